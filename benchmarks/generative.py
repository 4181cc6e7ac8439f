"""The generative transceivers: bits beside strings, our link beside diffusers called directly, and the full size once.

python -m benchmarks.generative [bits|overhead|full ...] [--steps 30] [--precision P] [--threads 1]

`bits`: a caption and a 4x64x64 float64 latent through the channel, beside the value-by-value way. `overhead`: a link on
a small Stable Diffusion of random weights, beside the same calls of diffusers. `full`: the architecture of Stable
Diffusion v1.5 with random weights at 512x512, through `TextAndLatent`; it takes 2.2 GB of disk (twice that in float32,
which is faster on processors without bfloat16), 6 GB of memory and minutes, and is not among those that run without
being named.
"""

import argparse
import random
import resource
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from semcomm import AWGN, QAM, BitFlips16QAM, Diffusers, FloatLatent, ImageSet, Noiseless, TextAndLatent, memo
from semcomm.codecs import ASCIIText
from semcomm.models.diffusion import load_pipeline, quiet_diffusers
from semcomm.models.loading import DTYPES
from semcomm.seeds import Seed, seeds_of
from semcomm.transceivers.generative.base import resized
from semcomm.transceivers.generative.captioned import bytes_message

SHAPE = (4, 64, 64)
CAPTION = "two men are sitting at a wooden table and playing a game of chess in the park"
EB_N0_DB = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["bits", "overhead", "full", []], default=["bits", "overhead"])
    parser.add_argument("--steps", type=int, default=30, help="denoising steps of `full`")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16", help="of `full`")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for part in arguments.parts:
        {"bits": bits, "overhead": overhead, "full": full}[part](arguments)


def bits(arguments: argparse.Namespace) -> None:
    """Caption and latent through the channel, by strings and by vectors."""
    latent = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    codec, flips, symbols = FloatLatent(), BitFlips16QAM(eb_n0_db=EB_N0_DB), AWGN(EB_N0_DB + 6.0206)
    qam, text, seeds = QAM("16qam"), ASCIIText(), [Seed("benchmark")]
    generator = torch.Generator().manual_seed(1)

    def by_flips() -> None:
        sent, told = codec.encode(latent)
        codec.decode(flips([sent], seeds).received[0], SHAPE, told, generator)

    def by_symbols() -> None:
        sent, told = codec.encode(latent)
        (received,) = symbols([qam.modulate(sent)], seeds).received
        codec.decode(qam.decide(received), SHAPE, told, generator)

    def caption() -> None:
        (received,) = flips([bytes_message(text.encode(CAPTION)).bits], seeds).received
        text.decode(np.packbits(received.numpy()).tobytes())

    values = latent.double().flatten().tolist()
    ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "latent, flipped bits": (lambda: latent_by_strings(values, flips.crossover), by_flips),
        "latent, 16QAM symbols": (lambda: latent_by_strings(values, flips.crossover), by_symbols),
        "caption of 77 characters, flipped bits": (lambda: caption_by_strings(CAPTION, flips.crossover), caption),
    }
    print(f"4x64x64 values of 64 bits, Eb/N0 {EB_N0_DB:g} dB, {arguments.threads} thread(s), CPU time, best of many\n")
    print("| what | value by value ms | ours ms | ratio |\n|---|---|---|---|")
    for name, (slow, fast) in ways.items():
        fast()
        times = [
            (timed(slow, time.process_time), min(timed(fast, time.process_time) for _ in range(10)))
            for _ in range(arguments.repeats)
        ]
        slower, faster = (1000 * min(column) for column in zip(*times))
        print(f"| {name} | {slower:.2f} | {faster:.2f} | {slower / faster:.0f} |")
    sent, _ = codec.encode(latent)
    (received,) = symbols([qam.modulate(sent)], seeds).received
    power = float((qam.modulate(sent).abs() ** 2).mean())
    wrong = (qam.decide(received) != sent).reshape(-1, 64).double().mean(0)
    errors = {"all bits": wrong.mean(), "sign and exponent": wrong[:12].mean(), "flips": torch.tensor(flips.crossover)}
    print(f"\nThe bits of a latent are not fair coins. Mean power of its symbols: {power:.2f}. Bit errors:")
    print(", ".join(f"{name} {100 * rate:.2f} %" for name, rate in errors.items()))


def latent_by_strings(values: list[float], probability: float) -> list[float]:
    """Each value to a string of its 64 bits, each bit flipped or not, and back."""
    received = []
    for value in values:
        (number,) = struct.unpack(">Q", struct.pack(">d", value))
        sent = format(number, "064b")
        flipped = "".join(("1" if bit == "0" else "0") if random.random() < probability else bit for bit in sent)
        received.append(struct.unpack(">d", struct.pack(">Q", int(flipped, 2)))[0])
    return received


def caption_by_strings(caption: str, probability: float) -> str:
    """Each character to a string of its 8 bits, each bit flipped or not, and back."""
    received = []
    for character in caption:
        sent = format(ord(character), "08b")
        flipped = "".join(("1" if bit == "0" else "0") if random.random() < probability else bit for bit in sent)
        received.append(chr(int(flipped, 2)))
    return "".join(received)


class Captioned(Diffusers):
    """Stable Diffusion with a caption that is given: the captioner is not what is measured here."""

    def weights(self) -> str:
        return "random"

    def caption(self, images: torch.Tensor) -> list[str]:
        return [CAPTION] * len(images)


def overhead(arguments: argparse.Namespace) -> None:
    """Our link beside encode, img2img and decode called directly, on one folder of weights."""
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), widths=(64, 128, 256, 256), vae_widths=(32, 64, 64, 64), text_width=256, text_layers=4)
        model = Captioned(folder, size=256, precision="fp32", device="cpu")
        image = resized(next(iter(ImageSet(limit=1)))[1][None], (256, 256))
        link, seeds = TextAndLatent(model, steps=10), seeds_of(image)
        pipeline = load_pipeline(folder, "StableDiffusionImg2ImgPipeline", "float32", "cpu")
        pipeline.set_progress_bar_config(disable=True)

        @torch.inference_mode()
        def direct() -> None:
            latent = pipeline.vae.encode(2 * image - 1).latent_dist.mode() * pipeline.vae.config.scaling_factor
            pipeline(
                prompt=[CAPTION],
                image=latent,
                num_inference_steps=10,
                strength=0.65,
                guidance_scale=9.0,
                generator=[seeds[0].generator("receive")],
                output_type="pt",
            )

        @torch.inference_mode()
        def ours() -> None:
            memo.current().clear()  # so that the latent is really computed
            link.transmit(image, AWGN(11), seeds)

        direct(), ours()
        times = [(timed(direct, time.process_time), timed(ours, time.process_time)) for _ in range(arguments.repeats)]
        size = weights(model)
    ratio = statistics.median(b / a for a, b in times)
    alone, linked = (statistics.median(column) for column in zip(*times))
    print(f"\n{size} million weights, 256x256, 6 steps, {arguments.threads} thread(s), CPU time\n")
    print("| diffusers directly s | TextAndLatent s | median ratio |\n|---|---|---|")
    print(f"| {alone:.2f} | {linked:.2f} | {ratio:.3f} |")


def full(arguments: argparse.Namespace) -> None:
    """Stable Diffusion v1.5's architecture at 512x512, once."""
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), precision=DTYPES[arguments.precision])
        print(f"built: {sum(f.stat().st_size for f in Path(folder).rglob('*') if f.is_file()) / 1e9:.2f} GB on disk")
        model = Captioned(folder, precision=arguments.precision, device="cpu")
        image = resized(next(iter(ImageSet(limit=1)))[1][None], (512, 512))
        steps = round(arguments.steps / 0.6)
        link, seeds = TextAndLatent(model, steps=steps), seeds_of(image)
        began = time.perf_counter()
        model._pipeline("StableDiffusionImg2ImgPipeline")
        print(f"loaded in {time.perf_counter() - began:.0f} s")
        with torch.inference_mode():
            encoded = timed(lambda: model.encode_once(image))
            began, before = time.perf_counter(), time.process_time()
            reception = link.transmit(image, Noiseless(), seeds)
            wall, cpu = time.perf_counter() - began, time.process_time() - before
            decoded = timed(lambda: model.decode(torch.zeros(1, *SHAPE)))
        size = weights(model)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    count = reception.info["denoising_steps"][0]
    print(f"{size} million weights in {arguments.precision}, 512x512, {count} steps, {arguments.threads} thread(s)\n")
    print("| encode s | receive, all steps s | of which decode s | CPU time of it s | a step s | peak memory GB |")
    print("|---|---|---|---|---|---|")
    a_step = (wall - decoded) / count
    print(f"| {encoded:.1f} | {wall:.0f} | {decoded:.1f} | {cpu:.0f} | {a_step:.1f} | {peak:.1f} |")


def build(
    folder: Path,
    widths: tuple[int, ...] = (320, 640, 1280, 1280),
    vae_widths: tuple[int, ...] = (128, 256, 512, 512),
    text_width: int = 768,
    text_layers: int = 12,
    precision: torch.dtype = torch.float32,
) -> None:
    """Write a Stable Diffusion with random weights; the defaults are v1.5's."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from tiny_models import clip_tokenizer
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    attending = ("CrossAttnDownBlock2D",) * 3
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=widths,
        down_block_types=(*attending, "DownBlock2D"),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        attention_head_dim=8,
        cross_attention_dim=text_width,
    ).to(precision)
    vae = AutoencoderKL(
        block_out_channels=vae_widths,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    ).to(precision)
    text = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=text_width,
        intermediate_size=4 * text_width,
        num_hidden_layers=text_layers,
        num_attention_heads=text_width // 64,
        hidden_act="quick_gelu",
        bos_token_id=512,
        eos_token_id=513,
    )
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    with quiet_diffusers():
        StableDiffusionPipeline(
            vae=vae,
            unet=unet,
            text_encoder=CLIPTextModel(text).to(precision),
            tokenizer=clip_tokenizer(),
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder)


def weights(model: Diffusers) -> str:
    """Millions of parameters of a pipeline."""
    pipeline = model._pipeline("StableDiffusionPipeline")
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    return f"{sum(p.numel() for part in parts for p in part.parameters()) / 1e6:,.0f}"


def timed(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that a call takes."""
    began = clock()
    function()
    return clock() - began


if __name__ == "__main__":
    main()

"""Channels of 3GPP: speed beside Sionna called directly; every transceiver over them; analog links over the SNR.

    python -m benchmarks.channels [speed] [links] [analog] [FOLDER] [--limit N] [--only TEXT]

FOLDER holds images, such as Kodak's; without it the built-in photographs stand in. Times are processor time of one
thread, the best of several.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from semcomm import (
    AWGN,
    JPEG2000,
    LDPC5G,
    LSCI,
    OFDM,
    PSNR,
    AtCapacity,
    DeepJSCC,
    Hybrid,
    ImageSet,
    Link,
    Separate,
    SoftCast,
    TextAndLatent,
    TextToImage,
    seeds_of,
)
from semcomm.channels import Channel
from semcomm.seeds import Seed

USES = 98_304
"""Channel uses of an image of 768x512 at CBR 1/12."""
TWO = {"tx_antennas": 2, "rx_antennas": 2}
SVD = {"csi": "instantaneous", "precoding": "svd"}
RATE, SNR_DB = 0.25, 12.0
PARTS = ("speed", "links", "analog")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arguments", nargs="*", help="parts and a folder")
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--only", default="", help="of `links`, the transceivers with this text in their name")
    given = parser.parse_args()
    folders = [name for name in given.arguments if name not in PARTS]
    parts = [name for name in given.arguments if name in PARTS] or PARTS
    torch.set_num_threads(1)
    for part in parts:
        print(f"\n### {part}\n", flush=True)
        folder = folders[0] if folders else "builtin"
        if part == "speed":
            speed()
        elif part == "links":
            links(folder, given.limit, given.only)
        else:
            analog(folder, given.limit)


def speed() -> None:
    """Print the time that an image of 98,304 symbols takes, and Sionna's for as many resource elements."""
    settings = {
        "TDL-C": {},
        "TDL-C, pilots and LMMSE": {"estimation": "lmmse"},
        "TDL-C 2x2, open loop": TWO,
        "CDL-C 2x2, open loop": {"profile": "cdl-c", **TWO},
        "CDL-C 2x2, SVD": {"profile": "cdl-c", **TWO, **SVD},
        "TDL-C 4x4, SVD": {"tx_antennas": 4, "rx_antennas": 4, **SVD},
        "UMi": {"profile": "umi"},
    }
    sent = [torch.randn(USES, dtype=torch.complex64)]
    print("| channel | ms | Sionna ms | ratio |\n|---|---|---|---|", flush=True)
    for name, arguments in settings.items():
        channel = OFDM(SNR_DB, **arguments)
        ours = best(lambda channel=channel: channel(sent, [Seed("speed")]))
        beside = "| |"
        if "estimation" not in arguments and "csi" not in arguments and name != "UMi":
            theirs = best(sionnas(channel))
            beside = f"{theirs:.0f} | {ours / theirs:.2f} |"
        print(f"| {name} | {ours:.0f} | {beside}", flush=True)


def best(function: Callable[[], object], repeats: int = 9) -> float:
    """Return the least processor time in ms."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        times.append(1e3 * (time.process_time() - began))
    return min(times)


def sionnas(channel: OFDM) -> Callable[[], object]:
    """Return Sionna's own way from symbols to equalised symbols over the same model and grid."""
    from sionna.phy.channel import ApplyOFDMChannel, cir_to_ofdm_channel, subcarrier_frequencies
    from sionna.phy.mimo import StreamManagement
    from sionna.phy.ofdm import LMMSEEqualizer, ResourceGrid, ResourceGridMapper

    from semcomm.channels.ofdm.models import _model

    grid, on_cpu = channel.grid, {"device": "cpu", "precision": "single"}
    model, steps = _model(channel.model), 14 * grid.slots(USES / channel.streams)
    theirs = ResourceGrid(steps, grid.subcarriers, grid.spacing, num_streams_per_tx=channel.streams, **on_cpu)
    mapper, apply = ResourceGridMapper(theirs, **on_cpu), ApplyOFDMChannel(**on_cpu)
    equaliser = LMMSEEqualizer(theirs, StreamManagement(np.array([[1]]), channel.streams), **on_cpu)
    symbols = torch.randn(1, 1, channel.streams, steps * grid.subcarriers, dtype=torch.complex64)
    frequencies = subcarrier_frequencies(grid.subcarriers, grid.spacing, **on_cpu)
    noise = torch.tensor(10 ** (-SNR_DB / 10))

    def run() -> object:
        h = cir_to_ofdm_channel(frequencies, *model(1, steps, 1 / grid.seconds))
        return equaliser(apply(mapper(symbols), h, noise), h, torch.zeros(()), noise)

    return run


def images_of(folder: str, limit: int) -> torch.Tensor:
    """Return the first images of a size."""
    images = [image for _, image in ImageSet(folder, limit=3 * limit)]
    return torch.stack([image for image in images if image.shape == images[0].shape][:limit])


def psnr(link: Link, channel: Channel, images: torch.Tensor) -> tuple[float, float, float]:
    """Return the mean PSNR in dB, the share of images of which nothing could be decoded, and the total CBR."""
    reception = link.transmit(images, channel, seeds_of(images))
    lost = reception.info.get("decode_failed", [False])
    quality = PSNR()(images, reception.images).clamp_max(99).mean().item()
    return quality, sum(map(bool, lost)) / len(lost), reception.ledger.total_cbr.mean().item()


def links(folder: str, limit: int, only: str) -> None:
    """Print what every transceiver makes of the channels at one mean SNR."""
    images = images_of(folder, limit)
    code = LDPC5G(0.5)
    transceivers = {
        "JPEG 2000 + LDPC 1/2, QPSK": Separate(JPEG2000(), code, "qpsk", RATE),
        "JPEG 2000 + LDPC 1/2, 16QAM": Separate(JPEG2000(), code, "16qam", RATE),
        "JPEG 2000 + LDPC, adaptive": Separate(JPEG2000(), code, "adaptive", RATE),
        "JPEG 2000 at capacity (a bound)": AtCapacity(JPEG2000(), RATE),
        "LSCI, 16QAM": LSCI(channel_uses_per_pixel=RATE),
        "DeepJSCC": DeepJSCC(channel_uses_per_pixel=RATE),
        "SoftCast": SoftCast(RATE),
        "Hybrid, QPSK 1/2, 3 to 20 dB": Hybrid(JPEG2000(), code, "qpsk", RATE, meant_for=(3, 20)),
        "caption, LDPC 1/2 (embedded)": TextToImage(text_code=code, steps=20),
        "caption and latent, LDPC 1/2 (embedded)": TextAndLatent(text_code=code, latent_code=code, steps=20),
    }
    channels = {
        "AWGN": AWGN(SNR_DB),
        "TDL-C": OFDM(SNR_DB, "tdl-c", delay_spread_ns=300.0),
        "TDL-C, pilots": OFDM(SNR_DB, "tdl-c", delay_spread_ns=300.0, estimation="lmmse"),
        "TDL-C 2x2, open loop": OFDM(SNR_DB, "tdl-c", delay_spread_ns=300.0, **TWO),
        "CDL-C 2x2, SVD": OFDM(SNR_DB, "cdl-c", delay_spread_ns=300.0, **TWO, **SVD),
    }
    height, width = images.shape[2:]
    print(
        f"{len(images)} images of {width}x{height}, {SNR_DB:g} dB, {RATE:g} symbols per pixel but for captions; PSNR in"
    )
    print("dB, in brackets the share of images of which nothing could be decoded; last row: all resources, CBR\n")
    print(f"| transceiver | {' | '.join(channels)} |\n|---|{'---|' * len(channels)}", flush=True)
    totals = {}
    for name, link in {name: link for name, link in transceivers.items() if only in name}.items():
        found = [psnr(link, channel, images) for channel in channels.values()]
        cells = [f"{quality:.2f}" + (f" ({lost:.0%})" if lost else "") for quality, lost, _ in found]
        totals[name] = [f"{cbr:.4f}" for *_, cbr in found]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    if "SoftCast" in totals:
        print(f"| resources of SoftCast (its symbols: {RATE / 3:.4f}) | {' | '.join(totals['SoftCast'])} |", flush=True)


def analog(folder: str, limit: int) -> None:
    """Print PSNR over the SNR of SoftCast, of hybrids and of the digital link that they start from."""
    images, code = images_of(folder, limit), LDPC5G(0.5)
    over = (0.0, 2.0, 4.0, 8.0, 12.0, 16.0, 20.0)
    hybrids = {f"Hybrid, share {share}": {"share": share} for share in (0.1, 0.3, 0.6)}
    hybrids |= {f"Hybrid for {low} to {high} dB": {"meant_for": (low, high)} for low, high in ((4, 8), (4, 20))}
    rows: dict[str, Link] = {
        "JPEG 2000 + LDPC 1/2, QPSK": Separate(JPEG2000(), code, "qpsk", RATE),
        "JPEG 2000 + LDPC 1/2, 16QAM": Separate(JPEG2000(), code, "16qam", RATE),
        "SoftCast": SoftCast(RATE),
        **{name: Hybrid(JPEG2000(), code, "qpsk", RATE, **how) for name, how in hybrids.items()},
    }
    print(f"{len(images)} images, AWGN, {RATE:g} symbols per pixel, PSNR in dB\n")
    print(f"| link | {' | '.join(f'{snr:g} dB' for snr in over)} |\n|---|{'---|' * len(over)}", flush=True)
    for name, link in rows.items():
        print(f"| {name} | {' | '.join(f'{psnr(link, AWGN(snr), images)[0]:.2f}' for snr in over)} |", flush=True)


if __name__ == "__main__":
    main()

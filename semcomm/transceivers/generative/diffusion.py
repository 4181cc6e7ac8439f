"""Stable Diffusion and Stable unCLIP through diffusers, as the generative transceivers use them."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor

from semcomm import memo
from semcomm.errors import ConfigurationError, ModelError
from semcomm.images import content_hash
from semcomm.models import Precision, UsesWeights, find, load_processor, weights_of
from semcomm.models.blip import Captioner
from semcomm.models.diffusion import Offload, load_pipeline, quiet_diffusers, read_index
from semcomm.models.embeddings import pixel_values
from semcomm.models.progress import report
from semcomm.transceivers.generative.base import GenerativeModel, Size, denoising_steps


class _Pipelines(UsesWeights):
    """The base of the models below: device and precision, the size of images, and the error when memory ends."""

    excluded_from_recipe: ClassVar[frozenset[str]] = UsesWeights.excluded_from_recipe | {
        "controlnet",
        "offload",
        "batch",
    }
    kind: ClassVar[str]

    model: str
    precision: Precision
    device: str
    offload: Offload
    size: int | None
    batch: int
    safety_checker: bool = False

    def _check(self) -> None:
        if self.batch < 1:
            raise ConfigurationError(f"batch is {self.batch}; it is a number of images, at least 1")
        if self.size is not None and (self.size < 8 or self.size % 8):
            raise ConfigurationError(f"size is {self.size} pixels; it must be a multiple of 8")

    def working_size(self, height: int, width: int) -> Size:
        """Return the square of `size`, or that which the model was trained on."""
        side = self.size or self._configured("unet")["sample_size"] * self._factor
        return side, side

    def latent_shape(self, size: Size) -> tuple[int, int, int]:
        """Return (channels, height, width) of the latent at a working size."""
        return self._configured("vae")["latent_channels"], size[0] // self._factor, size[1] // self._factor

    @property
    def _factor(self) -> int:
        return 2 ** (len(self._configured("vae")["block_out_channels"]) - 1)

    def _configured(self, part: str) -> dict[str, Any]:
        """Return the configuration of a part, without loading it."""
        folder = find(self.model)
        read_index(folder, self.kind)
        try:
            return json.loads((folder / part / "config.json").read_text())
        except (OSError, ValueError):
            raise ModelError(
                f"{folder}: the component {part} is missing or damaged; `semcomm models check {folder}` says what is "
                "there, `semcomm models fetch` gets the rest"
            ) from None

    def _pipeline(self, cls: str, **options: Any) -> Any:
        where = (self.precision, self.device, self.offload)
        with self._limited():
            made = load_pipeline(self.model, cls, *where, self.safety_checker, **options)
        made.set_progress_bar_config(disable=True)  # ours counts all passes together
        return made

    def _in_passes(self, count: int, make: Any) -> Tensor:
        """Return what `make(slice)` gives of all `count` images, at most `batch` at a time."""
        with self._limited(), quiet_diffusers():
            passes = [make(slice(start, start + self.batch)) for start in range(0, count, self.batch)]
        return torch.cat([images.float().cpu() for images in passes])

    def _denoised(
        self, pipeline: Any, count: int, steps: int, arguments: Any, hook: str = "callback_on_step_end"
    ) -> Tensor:
        """Return the images that a pipeline makes of `arguments(slice)`, telling of each of `steps` steps."""
        total, done = steps * -(-count // self.batch), 0

        def counted(*step: Any) -> Any:
            nonlocal done
            done += 1
            report(done, total)
            return step[-1]

        def made(part: slice) -> Tensor:
            return pipeline(eta=0.0, output_type="pt", **{hook: counted}, **arguments(part)).images

        return self._in_passes(count, made)

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """Turn the end of memory into an error that says which setting to change."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            advice = [f"batch: 1 (it is {self.batch})"] if self.batch > 1 else []
            advice += ["precision: bf16"] if self.precision == "fp32" else []
            advice += ["offload: model"] if self.offload == "none" else []
            advice += ["offload: sequential"] if self.offload == "model" else []
            side = f"it is {self.size}" if self.size else "it is the model's own"
            raise ModelError(
                f"{self.model}: out of memory. Set {', or '.join([*advice, f'a smaller size ({side})'])}"
                f"{'; offloading needs a GPU' if self.offload == 'none' else ''}"
            ) from error


class Diffusers(_Pipelines, GenerativeModel):
    """BLIP and Stable Diffusion, or any captioner and text-to-image pipeline of the same classes.

    Images are resized to a square, whatever their shape, as both papers do. The latent is the mean of the first stage's
    distribution times its scaling factor (the authors draw from the distribution, whose spread is small). Images are
    generated with DDIM whatever scheduler the folder names.

    Noise is drawn on the CPU, one generator per image. On one device the same images in the same passes give the same
    bits; with `batch: 1` that holds in whichever batch an image is sent.

    Args:
        model: short name, hub id or folder of a `StableDiffusionPipeline`.
        captioner: short name, hub id or folder of a BLIP.
        controlnet: short name, hub id or folder of a ControlNet, for sketches; none goes without.
        size: side of the square in pixels; none takes that which the model was trained on, 512 for v1.5.
        precision: of weights and arithmetic.
        safety_checker: use the folder's own; what it objects to becomes black.
        batch: images per pass through the networks.
        offload: where weights wait on machines with a small GPU: `model` or `sequential` (least memory, slowest).
        device: `auto`, or as PyTorch names it.
        trust_pickle: read the captioner from a pickle where its folder has no safetensors.
    """

    kind = "StableDiffusionPipeline"

    def __init__(
        self,
        model: str = "stable-diffusion-v1-5",
        captioner: str = "blip-large",
        controlnet: str | None = None,
        size: int | None = None,
        precision: Precision = "bf16",
        safety_checker: bool = False,
        batch: int = 1,
        offload: Offload = "none",
        device: str = "auto",
        trust_pickle: bool = False,
    ) -> None:
        self.name = "diffusers"
        self.model = model
        self.captioner = Captioner(captioner, precision, device, trust_pickle)
        self.controlnet = controlnet
        self.size = size
        self.precision = precision
        self.safety_checker = safety_checker
        self.batch = batch
        self.offload = offload
        self.device = device
        self._check()

    def weights(self) -> str:
        """Return the hashes of the pipeline, the captioner and the ControlNet, as one."""
        hashes = [weights_of(self.model), self.captioner.weights()]
        hashes += [weights_of(self.controlnet)] if self.controlnet else []
        return hashlib.sha256(" ".join(hashes).encode()).hexdigest()

    def caption(self, images: Tensor) -> list[str]:
        """Write a caption of each image, cut at the 77 tokens that CLIP takes."""
        with self._limited():
            return [self.cut(text) for text in self.captioner.captions(images)]

    def cut(self, text: str) -> str:
        """Return as much of the beginning of a text as the text encoder takes."""
        tokenizer = load_processor(str(find(self.model) / "tokenizer"), "CLIPTokenizer")
        found = tokenizer(text, truncation=True, max_length=tokenizer.model_max_length, return_offsets_mapping=True)
        return text[: max((end for _, end in found["offset_mapping"]), default=0)]

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return the scaled first-stage latents [B, c, h, w] of images of a working size."""
        vae = self._pipeline("StableDiffusionPipeline").vae

        def encoded(part: slice) -> Tensor:
            pixels = (2 * images[part] - 1).to(self._home, vae.dtype)
            return vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor

        return self._in_passes(len(images), encoded)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the images [B, 3, H, W] of scaled latents."""
        vae = self._pipeline("StableDiffusionPipeline").vae

        def decoded(part: slice) -> Tensor:
            scaled = latents[part].to(self._home, vae.dtype) / vae.config.scaling_factor
            return (vae.decode(scaled).sample / 2 + 0.5).clamp(0, 1)

        return self._in_passes(len(latents), decoded)

    def generate(
        self,
        prompts: Sequence[str],
        size: Size,
        latents: Tensor | None,
        steps: int,
        strength: float,
        guidance: float,
        rng: Sequence[torch.Generator],
    ) -> Tensor:
        """Return images [B, 3, H, W]; see `GenerativeModel.generate`."""
        pipeline = self._pipeline("StableDiffusionPipeline" if latents is None else "StableDiffusionImg2ImgPipeline")

        count = steps if latents is None else denoising_steps(steps, strength)

        def arguments(part: slice) -> dict[str, Any]:
            common = {
                "prompt": list(prompts[part]),
                "num_inference_steps": steps,
                "guidance_scale": guidance,
                "generator": list(rng[part]),
            }
            if latents is None:
                return {**common, "height": size[0], "width": size[1]}
            exact = (count + 0.5) / steps  # so that no rounding takes a step away
            return {**common, "image": latents[part].to(pipeline.vae.dtype), "strength": min(1.0, exact)}

        return self._denoised(pipeline, len(prompts), count, arguments)

    def generate_from_sketch(
        self,
        prompts: Sequence[str],
        sketches: Tensor,
        steps: int,
        guidance: float,
        control: float,
        rng: Sequence[torch.Generator],
    ) -> Tensor:
        """Return images [B, 3, H, W] that follow `sketches` [B, 1, H, W], 1 where there is an edge.

        Args:
            prompts: one per image.
            sketches: of a working size.
            steps: denoising steps.
            guidance: scale of classifier-free guidance.
            control: weight of the ControlNet.
            rng: one per image.

        Raises:
            ConfigurationError: when this model has no ControlNet.
        """
        if not self.controlnet:
            raise ConfigurationError(
                "a sketch needs a ControlNet: name one in the backend, Diffusers(controlnet='controlnet-canny')"
            )
        pipeline = self._pipeline("StableDiffusionControlNetPipeline", controlnet=self.controlnet)

        def arguments(part: slice) -> dict[str, Any]:
            return {
                "prompt": list(prompts[part]),
                "image": sketches[part].float().expand(-1, 3, -1, -1).contiguous(),
                "num_inference_steps": steps,
                "guidance_scale": guidance,
                "controlnet_conditioning_scale": control,
                "generator": list(rng[part]),
            }

        return self._denoised(pipeline, len(prompts), steps, arguments)

    @property
    def _home(self) -> torch.device:
        return self._pipeline("StableDiffusionPipeline")._execution_device


class StableUnCLIP(_Pipelines):
    """Stable unCLIP: an image encoder, and a diffusion model that is conditioned on its embedding.

    Args:
        model: short name, hub id or folder of a `StableUnCLIPImg2ImgPipeline`.
        size: side of the generated square in pixels; none takes that which the model was trained on, 768 for 2.1.
        precision: of weights and arithmetic.
        batch: images per pass through the networks.
        offload: where weights wait on machines with a small GPU: `model` or `sequential` (least memory, slowest).
        device: `auto`, or as PyTorch names it.
    """

    kind = "StableUnCLIPImg2ImgPipeline"

    def __init__(
        self,
        model: str = "stable-unclip",
        size: int | None = None,
        precision: Precision = "bf16",
        batch: int = 1,
        offload: Offload = "none",
        device: str = "auto",
    ) -> None:
        self.model = model
        self.size = size
        self.precision = precision
        self.batch = batch
        self.offload = offload
        self.device = device
        self._check()

    def weights(self) -> str:
        """Return the hash of the pipeline."""
        return weights_of(self.model)

    @property
    def width(self) -> int:
        """Numbers in an embedding."""
        return self._configured("image_encoder")["projection_dim"]

    def embed_once(self, images: Tensor) -> Tensor:
        """Return the embedding of each image `float32` [B, d], not normalised; the memo keeps them."""
        import numpy as np

        def kept(image: Tensor) -> bytes:
            key = {"embedding": self.recipe(), "image": content_hash(image)}
            return memo.current().get(key, lambda: self._embed(image).numpy().tobytes())

        return torch.stack([torch.from_numpy(np.frombuffer(kept(image), np.float32).copy()) for image in images])

    @torch.no_grad()
    def _embed(self, image: Tensor) -> Tensor:
        pipeline = self._pipeline("StableUnCLIPImg2ImgPipeline")
        pixels = pixel_values([image], str(find(self.model) / "feature_extractor"), "CLIPImageProcessorPil")
        with self._limited():
            found = pipeline.image_encoder(pixels.to(pipeline._execution_device, pipeline.image_encoder.dtype))
        return found.image_embeds[0].float().cpu()

    def generate(
        self,
        embeddings: Tensor,
        size: Size,
        steps: int,
        guidance: float,
        noise_level: int,
        rng: Sequence[torch.Generator],
    ) -> Tensor:
        """Return images [B, 3, H, W] of what embeddings [B, d] are about.

        Args:
            embeddings: as `embed_once` makes them.
            size: working size of the result.
            steps: denoising steps.
            guidance: scale of classifier-free guidance.
            noise_level: step, of 1,000, to which the embedding is noised first: 0 leaves it as it is.
            rng: one per image.
        """
        pipeline = self._pipeline("StableUnCLIPImg2ImgPipeline")
        levels = pipeline.image_noising_scheduler.config.num_train_timesteps
        if not 0 <= noise_level < levels:
            raise ConfigurationError(f"noise_level is {noise_level}; this model takes 0 to {levels - 1}")

        def arguments(part: slice) -> dict[str, Any]:
            return {
                "prompt": [""] * len(embeddings[part]),
                "image_embeds": embeddings[part].to(pipeline._execution_device, pipeline.unet.dtype),
                "noise_level": noise_level,
                "height": size[0],
                "width": size[1],
                "num_inference_steps": steps,
                "guidance_scale": guidance,
                "generator": list(rng[part]),
            }

        return self._denoised(pipeline, len(embeddings), steps, arguments, "callback")

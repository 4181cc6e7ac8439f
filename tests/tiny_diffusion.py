"""Diffusion pipelines of the real architectures, tiny, with random weights, saved as the published ones are."""

from pathlib import Path

import tiny_models
import torch

LAYERS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
BLOCKS = ("DownBlock2D", "CrossAttnDownBlock2D"), ("CrossAttnUpBlock2D", "UpBlock2D")
UNET = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 4,
    "cross_attention_dim": 32,
}
SIDE = 64
"""Pixels: 8 latent ones times the factor 8 of four blocks."""


def _parts(seed: int) -> dict:
    from diffusers import AutoencoderKL, PNDMScheduler
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
    )
    text = CLIPTextModel(CLIPTextConfig(**LAYERS, vocab_size=514, bos_token_id=512, eos_token_id=513))
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    return {"vae": vae, "text_encoder": text, "tokenizer": tiny_models.clip_tokenizer(), "scheduler": scheduler}


def stable_diffusion(folder: Path, seed: int = 0, safety_checker: bool = False) -> Path:
    """A text-to-image pipeline for 64x64 pixels, with the scheduler of Stable Diffusion v1.5."""
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessorPil

    parts = _parts(seed)
    unet = UNet2DConditionModel(**UNET, down_block_types=BLOCKS[0], up_block_types=BLOCKS[1])
    checker = processor = None
    if safety_checker:
        config = CLIPConfig(vision_config={**LAYERS, "image_size": 32, "patch_size": 8}, projection_dim=24)
        checker = StableDiffusionSafetyChecker(config)
        processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    pipeline = StableDiffusionPipeline(
        **parts, unet=unet, safety_checker=checker, feature_extractor=processor, requires_safety_checker=safety_checker
    )
    return tiny_models.quietly(pipeline.save_pretrained, folder)


def controlnet(folder: Path, seed: int = 0) -> Path:
    """A ControlNet for `stable_diffusion`."""
    from diffusers import ControlNetModel

    torch.manual_seed(seed)
    sizes = {name: UNET[name] for name in UNET if name != "sample_size"}
    model = ControlNetModel(**sizes, down_block_types=BLOCKS[0], conditioning_embedding_out_channels=(8, 8, 8, 8))
    for parameter in model.parameters():
        if not parameter.any():  # a new ControlNet ends in zeros, and so steers nothing
            torch.nn.init.normal_(parameter, std=0.2)
    return tiny_models.quietly(model.save_pretrained, folder)


def unclip(folder: Path, seed: int = 0) -> Path:
    """A Stable unCLIP pipeline for 64x64 pixels."""
    from diffusers import DDPMScheduler, StableUnCLIPImg2ImgPipeline, UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    parts = _parts(seed)
    vision = CLIPVisionConfig(**LAYERS, image_size=32, patch_size=8, projection_dim=24)
    unet = UNet2DConditionModel(
        **UNET,
        down_block_types=BLOCKS[0],
        up_block_types=BLOCKS[1],
        class_embed_type="projection",
        projection_class_embeddings_input_dim=48,
    )
    pipeline = StableUnCLIPImg2ImgPipeline(
        **parts,
        unet=unet,
        feature_extractor=CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        image_encoder=CLIPVisionModelWithProjection(vision),
        image_normalizer=StableUnCLIPImageNormalizer(24),
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
    )
    return tiny_models.quietly(pipeline.save_pretrained, folder)

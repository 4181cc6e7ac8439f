"""A tiny SAM with random weights, and its weights under the names that Meta gave them."""

import re

import torch


def small_sam():
    from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

    vision = SamVisionConfig(
        hidden_size=32,
        output_channels=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        window_size=3,
        global_attn_indexes=[1],
        num_pos_feats=16,
        mlp_dim=48,
    )
    prompts = SamPromptEncoderConfig(hidden_size=32, image_size=64, patch_size=8)
    decoder = SamMaskDecoderConfig(hidden_size=32, mlp_dim=48, num_attention_heads=4, iou_head_hidden_dim=24)
    model = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # by default the encoder is nearly zero
            spread = 1.0 if "positional" in name else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return model


def metas_names(state):
    """From the module tree of Meta's `segment_anything`, name by name; it has no second copy of the positions."""
    renamed = {}
    for name, tensor in state.items():
        if name == "shared_image_embedding.positional_embedding":
            continue
        parts = name.split(".")
        if parts[0] == "vision_encoder":
            parts[0] = "image_encoder"
            if parts[1] == "layers":
                parts[1] = "blocks"
                parts[3] = {"layer_norm1": "norm1", "layer_norm2": "norm2"}.get(parts[3], parts[3])
            if parts[1] == "patch_embed":
                parts[2] = "proj"
            if parts[1] == "neck":
                parts[2] = str(["conv1", "layer_norm1", "conv2", "layer_norm2"].index(parts[2]))
        elif parts[0] == "prompt_encoder":
            if parts[1] == "shared_embedding":
                parts[1:] = ["pe_layer", "positional_encoding_gaussian_matrix"]
            if parts[1] == "point_embed":
                parts[1] = "point_embeddings"
            if parts[1] == "mask_embed":
                order = ["conv1", "layer_norm1", "gelu", "conv2", "layer_norm2", "gelu", "conv3"]
                parts[1:3] = ["mask_downscaling", str(order.index(parts[2]))]
        elif parts[1] == "transformer":
            parts = [re.sub("^layer_norm", "norm", part) for part in parts]
        elif parts[1].startswith("upscale"):
            order = ["upscale_conv1", "upscale_layer_norm", "gelu", "upscale_conv2"]
            parts[1:2] = ["output_upscaling", str(order.index(parts[1]))]
        elif parts[1] in ("output_hypernetworks_mlps", "iou_prediction_head"):
            at = 3 if parts[1] == "output_hypernetworks_mlps" else 2
            three = {"proj_in": "0", "layers": "1", "proj_out": "2"}  # both have three layers
            parts = [*parts[:at], "layers", three[parts[at]], parts[-1]]
        renamed[".".join(parts)] = tensor
    return renamed

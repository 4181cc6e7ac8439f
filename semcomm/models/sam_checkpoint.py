"""Meta's original SAM checkpoints (`sam_vit_b_01ec64.pth` and the like) as transformers' `SamModel`.

The two have the same weights under different names. The architecture is read off the shapes, so a checkpoint of any
size loads, not just ViT-B, L and H.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from semcomm.errors import ModelError
from semcomm.models.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from transformers import SamConfig, SamModel

RENAMED = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.blocks\.(\d+)\.", r".layers.\1."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.neck\.0\.", ".neck.conv1."),
    (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."),
    (r"\.neck\.3\.", ".neck.layer_norm2."),
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix$", ".shared_embedding.positional_embedding"),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
)
"""Meta's name (a pattern) and transformers'. The layers of the decoder's small networks are renamed by `_network`."""
NETWORK = re.compile(r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.(\d+)\.")
POSITIONS = "prompt_encoder.shared_embedding.positional_embedding"


def translated(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with Meta's names as one with `SamModel`'s.

    Raises:
        ModelError: when it is not one of SAM.
    """
    last: dict[str, int] = {}
    for name in state:
        if found := NETWORK.match(name):
            last[found[1]] = max(last.get(found[1], 0), int(found[2]))

    def network(found: re.Match) -> str:
        """The first and the last layer have names of their own; those between are counted from 0."""
        number = int(found[2])
        own = {0: "proj_in", last[found[1]]: "proj_out"}
        return f"{found[1]}.{own.get(number, f'layers.{number - 1}')}."

    result = {}
    for name, tensor in state.items():
        name = NETWORK.sub(network, name)
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        result[name] = tensor
    if POSITIONS not in result:
        raise ModelError(
            "this is no checkpoint of SAM as Meta published it: it has no "
            "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
        )
    result["shared_image_embedding.positional_embedding"] = result[POSITIONS]
    return result


def sam_config(state: Mapping[str, Tensor], decoder_heads: int = 8) -> "SamConfig":
    """Return the architecture that a translated state dict was made with.

    The heads of the encoder follow from the width of its relative positions; those of the decoder leave no trace and
    are 8 in every published checkpoint.

    Raises:
        ModelError: when a tensor is missing.
    """
    from transformers import SamConfig, SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig

    try:
        _, grid, _, width = state["vision_encoder.pos_embed"].shape
        patch = state["vision_encoder.patch_embed.projection.weight"].shape[-1]
        depth = _count(state, r"vision_encoder\.layers\.(\d+)\.")
        reach = [state[f"vision_encoder.layers.{i}.attn.rel_pos_h"].shape[0] for i in range(depth)]
        whole = [i for i in range(depth) if reach[i] == 2 * grid - 1]
        windows = [(reach[i] + 1) // 2 for i in range(depth) if i not in whole]
        channels = state["vision_encoder.neck.conv1.weight"].shape[0]
        vision = SamVisionConfig(
            hidden_size=width,
            output_channels=channels,
            num_hidden_layers=depth,
            num_attention_heads=width // state["vision_encoder.layers.0.attn.rel_pos_h"].shape[1],
            image_size=grid * patch,
            patch_size=patch,
            mlp_dim=state["vision_encoder.layers.0.mlp.lin1.weight"].shape[0],
            qkv_bias="vision_encoder.layers.0.attn.qkv.bias" in state,
            window_size=windows[0] if windows else 0,
            global_attn_indexes=whole,
            num_pos_feats=state[POSITIONS].shape[1],
        )
        prompts = SamPromptEncoderConfig(
            hidden_size=channels,
            image_size=grid * patch,
            patch_size=patch,
            mask_input_channels=state["prompt_encoder.mask_embed.conv2.weight"].shape[0],
            num_point_embeddings=_count(state, r"prompt_encoder\.point_embed\.(\d+)\."),
        )
        decoder = SamMaskDecoderConfig(
            hidden_size=channels,
            mlp_dim=state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
            num_hidden_layers=_count(state, r"mask_decoder\.transformer\.layers\.(\d+)\."),
            num_attention_heads=decoder_heads,
            attention_downsample_rate=channels
            // state["mask_decoder.transformer.final_attn_token_to_image.q_proj.weight"].shape[0],
            num_multimask_outputs=state["mask_decoder.mask_tokens.weight"].shape[0] - 1,
            iou_head_depth=_count(state, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\.") + 2,
            iou_head_hidden_dim=state["mask_decoder.iou_prediction_head.proj_in.weight"].shape[0],
        )
    except KeyError as missing:
        raise ModelError(f"this is no checkpoint of SAM: it has no {missing.args[0]}") from None
    asked = depth * (4 * width * width + 2 * width * vision.mlp_dim)
    asked += decoder.num_hidden_layers * 2 * channels * decoder.mlp_dim + decoder.iou_head_hidden_dim**2
    if asked > (held := sum(tensor.numel() for tensor in state.values())):
        raise ModelError(f"its shapes ask for {asked:,} numbers, and it holds {held:,}")
    return SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({found[1] for name in state if (found := re.match(pattern, name))})


def load_sam(path: str | Path, trust_pickle: bool = False, decoder_heads: int = 8) -> "SamModel":
    """Load a checkpoint file of Meta's, in evaluation mode, in the precision of its tensors.

    Args:
        path: of the `.pth` file, or of a safetensors file of the same tensors.
        trust_pickle: whether you trust whoever made the `.pth` file.
        decoder_heads: attention heads of the mask decoder.

    Raises:
        ModelError: when it cannot be read or is no checkpoint of SAM.
    """
    from transformers import SamModel

    state = read_checkpoint(path, trust_pickle)
    try:
        translation = translated(state)
        model = SamModel(sam_config(translation, decoder_heads))
        model.load_state_dict(translation)
    except (ModelError, RuntimeError, ValueError, IndexError, ArithmeticError) as error:
        raise ModelError(f"{path}: {error}") from None
    return model.to(next(iter(translation.values())).dtype).eval()

"""Meta's original SAM checkpoints (`sam_vit_b_01ec64.pth` and the like) as transformers' `SamModel`.

The two have the same weights under different names; where the hub can be reached, `facebook/sam-vit-*` needs none of
this.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from semcomm.errors import ModelError
from semcomm.models.files import read_tensors

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
ENCODERS = {768: (12, 12, [2, 5, 8, 11]), 1024: (24, 16, [5, 11, 17, 23]), 1280: (32, 16, [7, 15, 23, 31])}
"""Width of the image encoder -> its layers, its heads, and which layers attend globally (Kirillov et al. 2023)."""
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


def published(width: int) -> "SamConfig":
    """Return the architecture of Meta's checkpoint whose encoder has this width: ViT-B, L or H.

    Raises:
        ModelError: when there is none.
    """
    from transformers import SamConfig, SamVisionConfig

    if width not in ENCODERS:
        widths = ", ".join(map(str, ENCODERS))
        raise ModelError(f"its encoder has the width {width}; those that Meta published have {widths}")
    depth, heads, whole = ENCODERS[width]
    vision = SamVisionConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        global_attn_indexes=whole,
        mlp_dim=4 * width,
    )
    return SamConfig(vision_config=vision)


def load_sam(path: str | Path, trust_pickle: bool = False) -> "SamModel":
    """Load a checkpoint file of Meta's, in evaluation mode, in the precision of its tensors.

    Args:
        path: of the `.pth` file, or of a safetensors file of the same tensors.
        trust_pickle: whether you trust whoever made the `.pth` file.

    Raises:
        ModelError: when it cannot be read or is no checkpoint of SAM.
    """
    from transformers import SamModel

    state = read_tensors(path, trust_pickle)
    try:
        translation = translated(state)
        config = published(translation["vision_encoder.pos_embed"].shape[-1])
        with torch.device("meta"):  # memory is taken for what the file holds
            model = SamModel(config)
        model.load_state_dict(translation, assign=True)
    except KeyError as missing:
        raise ModelError(f"{path}: this is no checkpoint of SAM: it has no {missing.args[0]}") from None
    except (ModelError, RuntimeError, ValueError, IndexError) as error:
        raise ModelError(f"{path}: {error}") from None
    return model.eval()

import pytest
import torch
from safetensors.torch import save_file
from small_sam import metas_names, small_sam

from semcomm.errors import ModelError
from semcomm.models.checkpoint import read_checkpoint
from semcomm.models.sam_checkpoint import load_sam, sam_config, translated


@pytest.fixture(scope="module")
def model():
    return small_sam()


def test_names_there_and_back(model):
    ours = model.state_dict()
    theirs = metas_names(ours)
    # names that Meta's checkpoints are known to have
    for name in (
        "image_encoder.pos_embed",
        "image_encoder.patch_embed.proj.weight",
        "image_encoder.blocks.1.attn.rel_pos_h",
        "image_encoder.blocks.0.norm1.weight",
        "image_encoder.blocks.0.mlp.lin2.bias",
        "image_encoder.neck.3.weight",
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "prompt_encoder.point_embeddings.3.weight",
        "prompt_encoder.mask_downscaling.6.weight",
        "prompt_encoder.not_a_point_embed.weight",
        "mask_decoder.transformer.layers.1.cross_attn_image_to_token.out_proj.bias",
        "mask_decoder.transformer.layers.0.norm4.weight",
        "mask_decoder.transformer.norm_final_attn.weight",
        "mask_decoder.output_upscaling.3.bias",
        "mask_decoder.output_hypernetworks_mlps.3.layers.2.weight",
        "mask_decoder.iou_prediction_head.layers.1.weight",
    ):
        assert name in theirs
    again = translated(theirs)
    assert again.keys() == ours.keys()
    assert all(torch.equal(again[name], ours[name]) for name in ours)


def test_the_architecture_is_read_off_the_shapes(model):
    config = sam_config(translated(metas_names(model.state_dict())), decoder_heads=4)
    for part, names in {
        "vision_config": "hidden_size output_channels num_hidden_layers num_attention_heads image_size patch_size "
        "window_size global_attn_indexes num_pos_feats mlp_dim qkv_bias",
        "prompt_encoder_config": "hidden_size image_size patch_size image_embedding_size mask_input_channels",
        "mask_decoder_config": "hidden_size mlp_dim num_hidden_layers num_attention_heads attention_downsample_rate "
        "num_multimask_outputs iou_head_depth iou_head_hidden_dim",
    }.items():
        for name in names.split():
            assert getattr(getattr(config, part), name) == getattr(getattr(model.config, part), name), name


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_checkpoint_gives_the_same_masks(model, tmp_path, suffix):
    path = tmp_path / f"sam_tiny.{suffix}"
    state = {name: tensor.contiguous() for name, tensor in metas_names(model.state_dict()).items()}
    if suffix == "pth":
        torch.save(state, path)
        with pytest.raises(ModelError, match="trust_pickle"):
            load_sam(path, decoder_heads=4)
    else:
        save_file(state, path)
    loaded = load_sam(path, trust_pickle=suffix == "pth", decoder_heads=4)
    pixels, point = (
        torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)),
        torch.tensor([[[[20.0, 30.0]]]]),
    )
    with torch.no_grad():
        expected, found = (each(pixel_values=pixels, input_points=point) for each in (model, loaded))
    assert torch.equal(expected.pred_masks, found.pred_masks)
    assert torch.equal(expected.iou_scores, found.iou_scores)


def test_bad_checkpoints(model, tmp_path):
    with pytest.raises(ModelError, match="no such checkpoint"):
        load_sam(tmp_path / "nothing.pth")
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, other)
    with pytest.raises(ModelError, match="no checkpoint of SAM"):
        load_sam(other)
    state = {name: tensor.contiguous() for name, tensor in metas_names(model.state_dict()).items()}
    for missing in ("image_encoder.neck.0.weight", "mask_decoder.iou_token.weight"):
        save_file({name: tensor for name, tensor in state.items() if name != missing}, other)
        with pytest.raises(ModelError, match=r"other\.safetensors"):
            load_sam(other, decoder_heads=4)
    whole = other.read_bytes()
    other.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        load_sam(other)
    pickled = tmp_path / "cut.pth"
    torch.save(state, pickled)
    pickled.write_bytes(pickled.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"cut\.pth"):
        load_sam(pickled, trust_pickle=True)
    pickled.write_bytes(b"this is no pickle")
    with pytest.raises(ModelError, match=r"cut\.pth"):
        load_sam(pickled, trust_pickle=True)


class Unwelcome:
    """What a hostile pickle would bring: a class of its own."""


def test_a_pickle_with_more_than_tensors_is_not_run(tmp_path):
    path = tmp_path / "strange.pth"
    torch.save({"model": {"a": torch.zeros(1)}, "extra": Unwelcome()}, path)
    with pytest.raises(ModelError, match="more than tensors"):
        read_checkpoint(path, trust_pickle=True)


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_wrappers_and_prefixes(tmp_path, wrapper):
    state = {"module.a.weight": torch.ones(2)}
    torch.save({wrapper: state, "epoch": 12} if wrapper else state, tmp_path / "x.pth")
    read = read_checkpoint(tmp_path / "x.pth", trust_pickle=True)
    assert list(read) == ["a.weight"]
    torch.save({"epoch": 12}, tmp_path / "x.pth")
    with pytest.raises(ModelError, match="no state dict"):
        read_checkpoint(tmp_path / "x.pth", trust_pickle=True)

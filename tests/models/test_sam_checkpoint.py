import pytest
import torch
from safetensors.torch import save_file
from small_sam import metas_names, small_sam
from transformers import SamModel

from semcomm.errors import ModelError
from semcomm.models.files import read_tensors
from semcomm.models.sam_checkpoint import load_sam, published, translated


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


def test_the_published_architectures():
    """The numbers of parameters in millions, as the paper has them for the three encoders: 91, 308 and 636."""
    for width, millions in ((768, 91), (1024, 308), (1280, 636)):
        with torch.device("meta"):
            encoder = SamModel(published(width)).vision_encoder
        assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, rel=0.02)
    with pytest.raises(ModelError, match="has the width 32; those that Meta published have 768"):
        published(32)


@pytest.fixture
def small_published(monkeypatch, model):
    monkeypatch.setattr("semcomm.models.sam_checkpoint.published", lambda width: model.config)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_checkpoint_gives_the_same_masks(model, small_published, tmp_path, suffix):
    path = tmp_path / f"sam_tiny.{suffix}"
    state = {name: tensor.contiguous() for name, tensor in metas_names(model.state_dict()).items()}
    if suffix == "pth":
        torch.save(state, path)
        with pytest.raises(ModelError, match="trust_pickle"):
            load_sam(path)
    else:
        save_file(state, path)
    loaded = load_sam(path, trust_pickle=suffix == "pth")
    pixels, point = (
        torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)),
        torch.tensor([[[[20.0, 30.0]]]]),
    )
    with torch.no_grad():
        expected, found = (each(pixel_values=pixels, input_points=point) for each in (model, loaded))
    torch.testing.assert_close(expected.pred_masks, found.pred_masks, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(expected.iou_scores, found.iou_scores, rtol=1e-4, atol=1e-4)


def test_bad_checkpoints(model, small_published, tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        load_sam(tmp_path / "nothing.pth")
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, other)
    with pytest.raises(ModelError, match="no checkpoint of SAM"):
        load_sam(other)
    state = {name: tensor.contiguous() for name, tensor in metas_names(model.state_dict()).items()}
    for missing in ("image_encoder.neck.0.weight", "mask_decoder.iou_token.weight"):
        save_file({name: tensor for name, tensor in state.items() if name != missing}, other)
        with pytest.raises(ModelError, match=r"other\.safetensors"):
            load_sam(other)
    whole = other.read_bytes()
    other.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="no whole safetensors file"):
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
        read_tensors(path, trust_pickle=True)


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_wrappers_and_prefixes(tmp_path, wrapper):
    state = {"module.a.weight": torch.ones(2)}
    torch.save({wrapper: state, "epoch": 12} if wrapper else state, tmp_path / "x.pth")
    read = read_tensors(tmp_path / "x.pth", trust_pickle=True)
    assert list(read) == ["a.weight"]
    torch.save({"epoch": 12}, tmp_path / "x.pth")
    with pytest.raises(ModelError, match="no state dict"):
        read_tensors(tmp_path / "x.pth", trust_pickle=True)

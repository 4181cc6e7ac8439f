"""Inputs that once ended in a traceback, a hang or all of the memory, or that were made to: each is now refused."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from semcomm.codecs import FloatLatent, QuantisedLatent
from semcomm.configuration import assignment
from semcomm.errors import ConfigurationError, DecodeError, ImageError, MetricError, ModelError
from semcomm.experiment.experiment import load
from semcomm.images import read_image
from semcomm.metrics.sess import Parameters, Scene, SceneGraph, match
from semcomm.metrics.sess.relations import predicates
from semcomm.metrics.sess.scene import image_similarity
from semcomm.metrics.sess.tuning import read_triplets
from semcomm.models.encoders.efficientnet_network import EfficientNetLite
from semcomm.models.files import read_tensors, read_weights, tensors_in
from semcomm.models.relation_head import RelationHead
from semcomm.parsing import parse_json, parse_yaml
from semcomm.training import checkpoints
from semcomm.training.configuration import build, read
from semcomm.training.data import listed
from semcomm.training.psg import PSG
from semcomm.transceivers.thresholds import load_thresholds

LINK = (
    "transceivers: {a: {class_path: Separate, init_args: {source: JPEG2000, code: LDPC5G, constellation: qpsk,"
    " channel_uses_per_pixel: 0.5}}}\n"
)


def laughs(one: str, many: str) -> str:
    """Few lines that stand for 9^12 items."""
    lines = [one, *(many.format(n=n, all=",".join([f"*a{n - 1}"] * 9)) for n in range(1, 12))]
    return LINK + "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LINK + "title: !!timestamp 2001-99-99", "month must be in 1..12"),
        (LINK + "title: " + "[" * 5000, "nested more than 50 deep"),
        (LINK + "? " * 9000, "nested too deeply"),
        (LINK + "title: &t [*t]", "nested more than 50 deep"),
        (laughs("a0: &a0 [x,x,x,x,x,x,x,x,x]", "a{n}: &a{n} [{all}]"), "that its aliases repeat"),
        (laughs("a0: &a0 {a: 1, b: 2, c: 3}", "a{n}: &a{n} {{<<: [{all}]}}"), "that merge keys repeat"),
        (LINK + "seed: 0x" + "f" * 9000, "a number of 36,000 bits"),
        (LINK + "title: " + "x" * 70_000, r"has 70,\d+ characters"),
        (LINK + "title: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        (LINK + "sweep: {channel_uses_per_pixel: {start: 0, stop: 1, step: 1.0e-300}}", "expected a list of values"),
        (LINK + "sweep: {channel_uses_per_pixel: {start: 0, stop: 1.0e+300, step: 1}}", "expected a list of values"),
        (
            LINK + "sweep: {a: {start: 1, stop: 500, step: 1}, b: {start: 1, stop: 500, step: 1}}",
            "250,000 combinations",
        ),
        (LINK.replace("}}}", "}, sweep: abc}}"), r"a\.sweep: expected axes"),
        ("transceivers: {a: {class_path: Separate, init_args: abc}}", "expected a class"),
        ("transceivers: {a: {class_path: os.system, init_args: {command: 'false'}}}", "no such class"),
    ],
)
def test_experiment_files(tmp_path, text, reason):
    (tmp_path / "it.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=reason):
        load(tmp_path / "it.yaml")


@pytest.mark.parametrize(
    "place",
    [
        {"sweep": {"code": ["EVIL"]}},
        {"sweep": {"code": "EVIL"}},
        {"channels": {"c": {"class_path": "AWGN", "init_args": {"snr_db": "EVIL"}}}},
        {"figures": [{"x": "a", "y": "b", "where": {"z": "EVIL"}}]},
        {"transceivers": {"a": "EVIL"}},
    ],
)
def test_a_class_is_made_only_where_one_of_ours_is_expected(tmp_path, place):
    """Where the type was `Any`, a class of any module was made, with any arguments, while the file was read."""
    evil = {"class_path": "logging.FileHandler", "init_args": {"filename": str(tmp_path / "pwned")}}
    data = {**parse_yaml(LINK), **json.loads(json.dumps(place).replace('"EVIL"', json.dumps(evil)))}
    if "figures" in place:
        assert load(data).figures[0].where["z"]["class_path"] == "logging.FileHandler"
    else:
        with pytest.raises(ConfigurationError):
            load(data)
    assert not (tmp_path / "pwned").exists()


def test_yaml_of_ordinary_kinds_is_read_as_before():
    text = "a: &a {x: 1, y: [1.5, true, null]}\nb: {<<: *a, y: 2}\nc: 2020-01-02\nd: |\n  [[[ text {\n"
    assert parse_yaml(text)["b"] == {"x": 1, "y": 2}
    assert parse_yaml(text)["d"] == "[[[ text {\n"


def test_json_that_is_nested_too_deeply():
    with pytest.raises(ValueError, match="too deeply"):
        parse_json("[" * 200_000)


@pytest.mark.parametrize("path", ["..x.y", "a..b", "x\0.y", "."])
def test_class_paths_of_tasks(path):
    with pytest.raises(ConfigurationError, match="training: task: "):
        build({"task": {"class_path": path}})


def test_training_files_and_assignments(tmp_path):
    for text in ("[" * 200_000, "steps: !!timestamp 2001-99-99"):
        (tmp_path / "it.yaml").write_text(text)
        with pytest.raises(ConfigurationError, match="cannot be read as YAML"):
            read(tmp_path / "it.yaml")
    with pytest.raises(ConfigurationError, match="cannot be read as YAML"):
        assignment("seed=!!timestamp 2001-99-99")
    task = {"class_path": "semcomm.training.tasks.DeepJSCCTraining", "init_args": {"folders": ["x"]}}
    with pytest.raises(ConfigurationError, match="too large"):
        build({"task": task, "clip": 10**400})


def safetensors(path: Path, header: object, data: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def empty(*shape: int) -> dict:
    """A tensor that takes no bytes, whatever its other sides claim."""
    return {"dtype": "F32", "shape": [*shape, 0], "data_offsets": [0, 0]}


@pytest.mark.parametrize(
    "network",
    [
        {"classes": 10**12},
        {"classes": "a"},
        {"widths": [4]},
        [1],
        None,
    ],
)
def test_an_encoder_whose_card_claims_more_than_it_holds(tmp_path, network):
    header = {"__metadata__": {"card": json.dumps({"network": network})}}
    with pytest.raises(ModelError, match="holds no image encoder"):
        read_weights(safetensors(tmp_path / "it.safetensors", header), "image encoder").network(EfficientNetLite)


def test_networks_whose_empty_tensors_claim_terabytes(tmp_path):
    wide = 10**6
    head = {
        "fc_input.0.weight": empty(wide),
        "model.encoder.layer.0.intermediate.dense.weight": empty(wide),
        "cls_sub.weight": empty(wide),
        "model.embeddings.position_embeddings.weight": empty(wide),
    }
    with pytest.raises(ModelError, match="ask for 9,000,000,000,000 numbers, and it holds 0"):
        RelationHead.load(safetensors(tmp_path / "head.safetensors", head))


@pytest.mark.parametrize("change", [{"hidden_size": 20_000}, {"num_hidden_layers": 10**7}, {"hidden_act": "evil"}])
def test_a_model_folder_whose_configuration_claims_more_than_it_holds(tmp_path, change):
    transformers = pytest.importorskip("transformers")
    from semcomm.models.loading import quiet_transformers, read_transformer

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    with quiet_transformers():
        model = transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=16, patch_size=8))
        model.save_pretrained(tmp_path)
    read_transformer(tmp_path, "ViTModel", "auto")
    described = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**described, **change}))
    with pytest.raises(ModelError, match=r"asks for|cannot be loaded"):
        read_transformer(tmp_path, "ViTModel", "auto")


def test_safetensors_of_no_shape(tmp_path):
    header = {"a": {"dtype": "F32", "shape": [-1, "x"], "data_offsets": [0, 4]}}
    with pytest.raises(ModelError, match="no whole safetensors file"):
        tensors_in(safetensors(tmp_path / "it.safetensors", header, bytes(4)))
    header = {"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}
    with pytest.raises(ModelError, match="no whole safetensors file"):
        read_tensors(safetensors(tmp_path / "it.safetensors", header, bytes(4)))


def test_a_trusted_pickle_that_ends_in_the_middle_of_a_number(tmp_path):
    (tmp_path / "it.pth").write_bytes(b"\x80\x02M\x00")
    with pytest.raises(ModelError, match="is damaged"):
        read_tensors(tmp_path / "it.pth", trust_pickle=True)


def checkpoint(folder: Path, tensors: bytes, **changes: object) -> Path:
    import hashlib

    facts = {"step": 3, "seconds": 1.0, "task": "x", "configuration": {}, "fingerprint": "f", "scores": {}}
    facts |= {"sha256": hashlib.sha256(tensors).hexdigest()} | changes
    (folder / "checkpoint-3.safetensors").write_bytes(tensors)
    (folder / "checkpoint-3.json").write_text(json.dumps(facts))
    return folder / "checkpoint-3.json"


def test_checkpoints(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        checkpoints.read(checkpoint(tmp_path, b"rubbish of the right hash"))
    with pytest.raises(ModelError, match="facts are not of the kinds"):
        checkpoints.read(checkpoint(tmp_path, b"", step="3"))
    module = torch.nn.Linear(2, 2)
    state = checkpoints.State(module, torch.nn.Linear(2, 2), torch.optim.AdamW(module.parameters()))
    whole = state.tensors()
    for wrong in (
        {"optimiser.nowhere:exp_avg": torch.ones(2)},
        {"optimiser.weight:exp_avg": torch.ones(5)},
        {"weights.weight": torch.ones(3, 3)},
    ):
        with pytest.raises(ModelError, match="another network"):
            state.restore(whole | wrong)


def psg(folder: Path, **changes: object) -> PSG:
    Image.new("RGB", (6, 4), (1, 0, 0)).save(folder / "a.png")
    entry = {
        "image_id": 1,
        "file_name": "a.png",
        "pan_seg_file_name": "a.png",
        "height": 4,
        "width": 6,
        "segments_info": [{"id": 1}],
        "relations": [[0, 0, 0]],
    }
    content = {"predicate_classes": [predicates()[0]], "test_image_ids": [], "data": [entry | changes]}
    (folder / "psg.json").write_text(json.dumps(content))
    return PSG(folder / "psg.json", folder, folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"relations": [[0.0, 0, 0]]},
        {"relations": [3]},
        {"relations": "abc"},
        {"segments_info": [{"id": "1"}]},
        {"segments_info": [{"id": 2**40}]},
        {"segments_info": [{"id": 1}] * 1001},
        {"file_name": 3},
        {"file_name": "a\0b"},
        {"pan_seg_file_name": None},
        {"height": "4"},
    ],
)
def test_relation_annotations(tmp_path, changes):
    assert len(psg(tmp_path)[0].masks) == 1
    with pytest.raises(ImageError):
        _ = psg(tmp_path, **changes)[0]


def test_panoptic_images_are_not_decoded_before_their_size_is_known(tmp_path):
    psg(tmp_path)
    Image.new("1", (3000, 3000)).save(tmp_path / "bomb.png")
    with pytest.raises(ImageError, match="is 3000x3000, but 6x4"):
        _ = psg(tmp_path, pan_seg_file_name="bomb.png")[0]


@pytest.mark.parametrize("row", ['{"reference": 3}', '[" "]', "[" * 100_000, '{"first_score": 1' + "0" * 400 + "}"])
def test_human_scores(tmp_path, row):
    good = {"reference": "a", "first": "b", "second": "c", "first_score": 1, "second_score": 0}
    row = json.dumps(good | json.loads(row)) if row.startswith("{") else row
    (tmp_path / "it.jsonl").write_text(row)
    with pytest.raises(ConfigurationError):
        read_triplets(tmp_path / "it.jsonl")


def test_lists_of_images_with_rows_cut_short(tmp_path):
    (tmp_path / "it.csv").write_text("file,class\na.jpg,3\nb.jpg\n")
    with pytest.raises(ConfigurationError, match="row 2"):
        listed(str(tmp_path / "it.csv"), "class")


def test_thresholds(tmp_path):
    row = {"constellation": "qpsk", "code_rate": 0.5, "payload_bits": 512, "construction": "", "snr_db": [1.0, 1.5]}
    rows = [{"snr_db": "ab"}, {"code_rate": "x"}, {"payload_bits": 0}, {"snr_db": [1, 2, 3]}, {"snr_db": [2, 1]}]
    for number, wrong in enumerate([*rows, {"construction": 1}, {"payload_bits": 10**400}, {"snr_db": [1, 1e308]}]):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps({"code": "x", "block_error_rates": [0.1, 0.01], "rows": [row | wrong]}))
        with pytest.raises(ConfigurationError, match="no file of thresholds"):
            load_thresholds(path)


def test_a_image_is_of_a_known_format_whatever_its_name(tmp_path):
    """Pillow would run Ghostscript on the first of these."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    (tmp_path / "b.png").write_bytes(b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 4, 8, 3) + bytes(200))
    for name in ("a.png", "b.png"):
        with pytest.raises(ImageError, match="cannot be read as an image"):
            read_image(tmp_path / name)


def test_no_pickle_is_opened_unless_it_is_named_as_trusted(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "pwned",))

    torch.save({"weight": Evil()}, tmp_path / "it.pth")
    (tmp_path / "it.safetensors").write_bytes((tmp_path / "it.pth").read_bytes())
    save_file({"weight": torch.ones(1)}, tmp_path / "good.safetensors")
    for name, trust in (("it.pth", False), ("it.safetensors", False), ("it.pth", True)):
        with pytest.raises(ModelError):
            read_tensors(tmp_path / name, trust_pickle=trust)
        with pytest.raises(ModelError):
            RelationHead.load(tmp_path / name, trust_pickle=trust)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(("codec", "told"), [(FloatLatent("bfloat16"), None), (QuantisedLatent(8), (0.0, 1.0))])
@pytest.mark.parametrize("count", [0, 1, 8, 33, 64])
def test_bits_of_a_latent_that_are_too_few_or_too_many(codec, told, count):
    with pytest.raises(DecodeError, match=f"{count} bits arrived, and a latent of \\[3\\] takes {codec.bits((3,))}"):
        codec.decode(torch.zeros(count, dtype=torch.uint8), (3,), told, torch.Generator())


def test_a_latent_whose_range_is_no_float32():
    bits, told = QuantisedLatent(8).encode(torch.tensor([3e38, -3e38, 0]))
    found = QuantisedLatent(8).decode(bits, (3,), told, torch.Generator()).latent
    assert found.isfinite().all() and found[0] > 1e37 and found[1] < -1e37


@pytest.mark.parametrize("limit", [float("inf"), 1e39, float("nan")])
def test_a_limit_up_to_which_infinity_would_be_believed(limit):
    with pytest.raises(ConfigurationError, match="smallest < limit"):
        FloatLatent(limit=limit)


def graph(n: int = 3) -> SceneGraph:
    none = np.full((n, n), -1)
    return SceneGraph(np.eye(n, 4), 1 + none, none.astype(float), np.full((n, 2), 0.5), np.full(n, 1 / n))


SIMILARITY = np.eye(2)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: match(graph(), graph(), 1.0, np.full((2, 2), np.nan)), "from -1 to 1"),
        (lambda: match(graph(), graph(), 1.0, np.full((2, 2), 1e308)), "from -1 to 1"),
        (lambda: match(graph(), graph(), 1.0, np.eye(2, 1)), "are \\[p, p\\], not \\[2, 1\\]"),
        (lambda: match(graph(), graph(), float("nan"), SIMILARITY), "whole images is nan"),
        (lambda: match(graph(), replace(graph(), embeddings=np.eye(3)), 1.0, SIMILARITY), "of 4 and of 3 numbers"),
        (lambda: replace(graph(), embeddings=np.ones(3)), "embeddings are \\[n, d\\]"),
        (lambda: replace(graph(), centre=np.full((3, 2), 1e200)), "centres lie from 0 to 1"),
        (lambda: replace(graph(), importance=np.full(3, 1e300)), r"sums to 3e\+300"),
        (lambda: replace(graph(), relation=np.full((3, 3), np.nan)), "relations are numbers of predicates"),
        (lambda: replace(graph(), relation_score=np.full((3, 3), np.inf)), "are finite"),
    ],
)
def test_graphs_and_similarities_that_cannot_be_matched(make, reason):
    """The first and the seventh let the assignment go round for ever; the third was read beyond its end."""
    assert match(graph(), graph(), 1.0, SIMILARITY).score == pytest.approx(1)
    with pytest.raises(MetricError, match=reason):
        make()


@pytest.mark.parametrize(
    "changes",
    [
        {"iterations": 10**9},
        {"iterations": 10**30},
        {"iterations": 2.5},
        {"saliency_root": float("nan")},
        {"relation_root": float("inf")},
        {"crop": "x"},
        {"in_place": "no"},
    ],
)
def test_parameters_of_sess(tmp_path, changes):
    (tmp_path / "it.json").write_text(json.dumps(changes))
    with pytest.raises(MetricError):
        Parameters.load(tmp_path / "it.json")


def scene(**changes: np.ndarray) -> Scene:
    whole = graph()
    made = Scene(
        np.ones(4), whole.embeddings, np.ones((3, 2, 2), bool), np.ones(3), whole.relation, whole.relation_score
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"masks": np.zeros((3, 2, 2), bool)}, "has no pixel"),
        ({"embedding": np.ones(5)}, "cannot be compared"),
        ({"relation": np.full((2, 2), 0)}, "matrices of that size"),
    ],
)
def test_scenes(changes, reason):
    bad = scene(**changes)
    with pytest.raises(MetricError, match=reason):
        (bad.graph(Parameters.authors()), image_similarity(bad, scene()))

"""Targets that a file reaches: experiments, trainings, weights, checkpoints, annotations, images."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import nn

from fuzzing.graphs import compare_small_graphs
from fuzzing.streams import wavy_image
from fuzzing.target import Target, file_of, scratch
from semcomm.configuration import assignment
from semcomm.experiment import experiment
from semcomm.images import read_image, to_bytes
from semcomm.metrics.sess.graph import Parameters
from semcomm.metrics.sess.relations import predicates
from semcomm.metrics.sess.tuning import read_triplets
from semcomm.models.checking import check
from semcomm.models.files import read_tensors, read_weights
from semcomm.models.relation_head import RelationHead
from semcomm.training import checkpoints, configuration
from semcomm.training.data import listed
from semcomm.training.psg import PSG
from semcomm.transceivers.thresholds import Thresholds, load_thresholds

YAML = b"""\
title: A test
transceivers:
  jpeg2000: {class_path: Separate, init_args: {source: JPEG2000, code: LDPC5G, constellation: qpsk}}
  ldpc: {class_path: Separate, init_args: {source: {class_path: JPEG, init_args: {progressive: false}}, code:
    {class_path: LDPC5G, init_args: {rate: 0.5}}, constellation: adaptive}, sweep: {code.rate: [0.3, 0.5]}}
channels: {awgn: {class_path: AWGN}, fading: {class_path: Rayleigh, init_args: {coherence: image}}}
sweep: {channel.snr_db: {start: 0, stop: 6, step: 2}, channel_uses_per_pixel: [0.25]}
metrics: [PSNR, SSIM]
images: {path: builtin, limit: 2, size: 64}
seed: 1
realisations: 2
figures: [{x: snr_db, y: PSNR}]
"""
YAML_WORDS = [
    *(b"{", b"}", b"[", b"]", b": ", b"- ", b"? ", b"&a ", b"*a", b"<<: ", b"!!set ", b"!!binary ", b"!!timestamp "),
    *(b"2001-99-99", b"!!python/object/apply:os.system [true]", b"0x", b"1e999", b".nan", b".inf", b"-1", b"null"),
    *(b"9" * 20, b"1e-300", b"~", b"\n", b"---\n", b"%YAML 9.9\n", b"sweep: ", b"start: ", b"step: ", b"class_path: "),
]
JSON_WORDS = [
    *(b"{", b"}", b"[", b"]", b":", b",", b'""', b"null", b"true", b"NaN", b"Infinity", b"-1", b"1e999", b"9" * 20),
    *(b"0.5", b'"id"', b"{}", b"[]", b"[[]]", b"[" * 50, b'{"a":' * 50, b"\\ud800", b'"../../x"', b'"/etc/passwd"'),
]


def _experiment(data: bytes) -> None:
    made = experiment.load(file_of(data, "experiment.yaml"))
    assert experiment.load(made.resolved()).resolved() == made.resolved()


def _training(data: bytes) -> None:
    configuration.read(file_of(data, "training.yaml"))


TRAINING = b"""\
task:
  class_path: semcomm.training.tasks.Distillation
  init_args: {class_folder: photos, photo_list: list.csv, sizes: [64, 96], views: 2}
steps: 10
batch: 4
learning_rate: 1e-3
precision: fp32
"""


def _safetensors(header: object, size: int) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


def _encoders() -> Sequence[bytes]:
    card = {"card": json.dumps({"name": "x", "network": {"in_features": 8, "out_features": 2}})}
    tensors = {"weight": torch.zeros(2, 8), "bias": torch.zeros(2)}  # a small network: a real one would be megabytes
    return [save(tensors, card), _safetensors({"__metadata__": card}, 0)]


def _encoder(data: bytes) -> None:
    read_weights(file_of(data, "encoder.safetensors"), "image encoder").network(nn.Linear)


def _weights(data: bytes) -> None:
    read_tensors(file_of(data, "weights.safetensors"))


def _head(data: bytes) -> None:
    RelationHead.load(file_of(data, "head.safetensors"), heads=2, predicates=3)


def _heads() -> Sequence[bytes]:
    head = RelationHead(
        token_width=4, width=4, heads=2, intermediate=4, layers=1, feature_width=2, predicates=3, positions=4
    )
    return [save(head.state_dict())]


def _pickle(data: bytes) -> None:
    read_tensors(file_of(data, "head.pth"), trust_pickle=True)


def _pickles() -> Sequence[bytes]:
    buffers = [io.BytesIO(), io.BytesIO()]
    torch.save({"weight": torch.ones(2, 3)}, buffers[0])
    torch.save({"weight": torch.ones(2, 3)}, buffers[1], _use_new_zipfile_serialization=False)
    return [buffer.getvalue() for buffer in buffers]


def _checkpoint_state() -> checkpoints.State:
    module = nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    return checkpoints.State(module, nn.Linear(2, 2), optimiser)


def _checkpoint(data: bytes) -> None:
    """The facts, a line end, the tensors; half of them with the right hash, as one who means harm would have it."""
    facts, _, tensors = data.partition(b"\n")
    facts = facts.replace(b"RIGHT", hashlib.sha256(tensors).hexdigest().encode())
    file_of(facts, "checkpoint-00000003.json")
    file_of(tensors, "checkpoint-00000003.safetensors")
    found, state = checkpoints.read(scratch() / "checkpoint-00000003.json")
    checkpoints.check_same(scratch(), found, "x.Task", {"steps": 3}, "f")
    _checkpoint_state().restore(state)


def _checkpoints() -> Sequence[bytes]:
    facts = checkpoints.Checkpoint(3, 1.0, "x.Task", {"steps": 3}, "f", {"loss": 1.0}, "RIGHT")
    return [json.dumps(asdict(facts)).encode() + b"\n" + save(_checkpoint_state().tensors())]


@cache
def _model_files() -> dict[str, bytes]:
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    from semcomm.models.loading import quiet_transformers

    folder = scratch() / "good-vit"
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    with quiet_transformers():
        ViTModel(ViTConfig(**sizes, image_size=16, patch_size=8)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _models() -> Sequence[bytes]:
    return [bytes([n]) + content for n, content in enumerate(_model_files().values())]


def _model(data: bytes) -> None:
    """A folder of a vision transformer, one of whose files is the input."""
    names = list(_model_files())
    for name, content in _model_files().items():
        file_of(content, f"vit/{name}")
    file_of(data[1:], f"vit/{names[data[0] % len(names) if data else 0]}")
    check(scratch() / "vit")


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _psg_files() -> Sequence[bytes]:
    entry = {
        "image_id": 1,
        "file_name": "psg.png",
        "pan_seg_file_name": "psg-masks.png",
        "height": 4,
        "width": 6,
        "segments_info": [{"id": 1}, {"id": 2}],
        "relations": [[0, 1, 0]],
    }
    content = {"predicate_classes": list(predicates()[:2]), "test_image_ids": [2], "data": [entry]}
    return [json.dumps(content).encode()]


def _panoptic() -> bytes:
    masks = np.zeros((4, 6, 3), np.uint8)
    masks[..., 0] = 1 + (np.arange(6) > 2)
    return _png(masks)


def _psg(data: bytes) -> None:
    file_of(_panoptic(), "psg-masks.png")
    file_of(_panoptic(), "psg.png")
    dataset = PSG(file_of(data, "psg.json"), scratch(), scratch())
    for index in range(min(len(dataset), 3)):
        _ = dataset[index]


def _masks(data: bytes) -> None:
    file_of(data, "psg-masks-here.png")
    file_of(_png(np.ones((4, 6, 3), np.uint8)), "psg.png")
    annotations = _psg_files()[0].replace(b"psg-masks.png", b"psg-masks-here.png")
    _ = PSG(file_of(annotations, "psg-good.json"), scratch(), scratch())[0]


def _triplets(data: bytes) -> None:
    name = "triplets.csv" if data[:1] not in (b"{", b"[") else "triplets.jsonl"
    for row in read_triplets(file_of(data, name)):
        assert 0 <= row["first_score"] <= 1 and isinstance(row["reference"], str)


TRIPLETS = [
    b"reference,first,second,first_score,second_score\na.png,b.png,c.png,0.5,1\nx.png,y.png,z.png,0,0.25\n",
    b'{"reference": "a.png", "first": "b.png", "second": "c.png", "first_score": 0.5, "second_score": 1}\n' * 2,
]


def _parameters(data: bytes) -> None:
    found = Parameters.load(file_of(data, "parameters.json"))
    compare_small_graphs(found)


def _list(data: bytes) -> None:
    listed(str(file_of(data, "list.csv")), "class")


def _thresholds(data: bytes) -> None:
    from semcomm.codecs import LDPC5G, QAM

    found: Thresholds = load_thresholds(file_of(data, "thresholds.json"))
    found.waterfall(LDPC5G(0.5), QAM("qpsk"), 4000).snr_db(0.05)


THRESHOLDS = {
    "code": "semcomm.codecs.LDPC5G",
    "block_error_rates": [0.1, 0.01],
    "rows": [
        {
            "constellation": "qpsk",
            "code_rate": 0.5,
            "payload_bits": bits,
            "construction": "base graph 1",
            "snr_db": [1.0, 1.4],
        }
        for bits in (4000, 8000)
    ],
}


def _images() -> Sequence[bytes]:
    image = Image.fromarray(to_bytes(wavy_image(30, 40)))
    files = []
    for format in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "JPEG2000", "AVIF", "GIF"):
        buffer = io.BytesIO()
        image.save(buffer, format)
        files.append(buffer.getvalue())
    for mode in ("L", "P", "RGBA", "1"):
        buffer = io.BytesIO()
        image.convert(mode).save(buffer, "PNG")
        files.append(buffer.getvalue())
    for compression in ("tiff_lzw", "jpeg", "packbits", "tiff_deflate"):
        buffer = io.BytesIO()
        image.save(buffer, "TIFF", compression=compression)
        files.append(buffer.getvalue())
    return files


def _image(data: bytes) -> None:
    image = read_image(file_of(data, "image.png"))
    assert image.ndim == 3 and image.shape[0] == 3 and image.min() >= 0 and image.max() <= 1


def _override(data: bytes) -> None:
    key, value = assignment(data.decode("utf-8", "replace"))
    experiment.load(repository("experiments", "quickstart.yaml"), {key: value})


def _good_thresholds() -> Sequence[bytes]:
    return [json.dumps(THRESHOLDS).encode()]


def _good_parameters() -> Sequence[bytes]:
    Parameters.paper().save(scratch() / "good.json")
    return [(scratch() / "good.json").read_bytes()]


def _lists() -> Sequence[bytes]:
    return [b"file,class,author\na.jpg,3,Fr\\303\\251d\nb.jpg,4,x\n"]


def repository(*parts: str) -> Path:
    """Return a path in this repository."""
    return Path(__file__).resolve().parent.parent.joinpath(*parts)


def _experiments() -> Sequence[bytes]:
    return [YAML, repository("experiments", "quickstart.yaml").read_bytes()]


OVERRIDES = [b"images.limit=2", b"sweep.channel.snr_db=[0, 5]", b"seed=3"]

FILES = [
    Target("experiment", _experiments, _experiment, YAML_WORDS),
    Target(
        "override",
        lambda: [b"images.limit=2", b"sweep.channel.snr_db=[0, 5]", b"seed=3"],
        _override,
        [b"=", *YAML_WORDS],
    ),
    Target("training", lambda: [TRAINING], _training, YAML_WORDS),
    Target("checkpoint", _checkpoints, _checkpoint, JSON_WORDS),
    Target("encoder", _encoders, _encoder, JSON_WORDS),
    Target("weights", _encoders, _weights, JSON_WORDS),
    Target("model-folder", _models, _model, JSON_WORDS),
    Target("relation-head", _heads, _head, JSON_WORDS),
    Target("trusted-pickle", _pickles, _pickle),
    Target("psg", _psg_files, _psg, JSON_WORDS),
    Target("psg-masks", lambda: [_panoptic(), *_images()], _masks),
    Target("triplets", lambda: TRIPLETS, _triplets, [*JSON_WORDS, b",", b"\n", b'"']),
    Target("parameters", _good_parameters, _parameters, JSON_WORDS),
    Target("image-list", _lists, _list, [b",", b"\n", b'"', b"\\377", b"\0"]),
    Target("thresholds", _good_thresholds, _thresholds, JSON_WORDS),
    Target("image", _images, _image),
]

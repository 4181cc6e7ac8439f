import json

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from semcomm import ImageEncoder, ImageSet, memo, write_image
from semcomm.errors import ConfigurationError, MetricError, ModelError
from semcomm.images import quantise
from semcomm.metrics.sess import Embedded, Parameters, Scene, Scenes, SeSS
from semcomm.metrics.sess.explain import explain
from semcomm.metrics.sess.geometry import PREDICATES, GeometricRelations, relations
from semcomm.metrics.sess.relations import HeadRelations, NoRelations
from semcomm.metrics.sess.scene import crops, pooled
from semcomm.models.encoders import EfficientNetLite0
from semcomm.models.segmenters import ColourRegions, FeatureRegions, Segmenter, Segments, merged


class Colours(ImageEncoder):
    """An encoder of one's own: the mean colour, at stride 32 as a map."""

    name = "colours"
    stride = 32

    def weights(self):
        return "none"

    def embed_batch(self, images):
        return torch.stack([image.mean((1, 2)) + 0.01 for image in images])

    def features_batch(self, images, side):
        size = side // 32
        return torch.cat([interpolate(i[None], (size, size), mode="area") for i in images]) + 0.01


class Halves(Segmenter):
    """A segmenter of one's own: the left and the right half."""

    def segment(self, image, features):
        masks = np.zeros((2, 4, 4), bool)
        masks[0, :, :2] = masks[1, :, 2:] = True
        return Segments(masks)


@pytest.fixture(autouse=True)
def fresh_memo():
    with memo.using(memo.Memo()):
        yield


def masks_of(*boxes, height=20, width=30):
    masks = np.zeros((len(boxes), height, width), bool)
    for mask, (top, bottom, left, right) in zip(masks, boxes):
        mask[top:bottom, left:right] = True
    return masks


def names_of(masks):
    relation, score = relations(masks)
    assert ((relation >= 0) == (score > 0)).all()
    assert (score <= 1).all()
    return {(i, j): PREDICATES[relation[i, j]] for i, j in np.argwhere(relation >= 0)}


def test_relations_from_geometry():
    ground, box, sky = (12, 20, 0, 30), (8, 12, 10, 16), (0, 4, 0, 30)
    found = names_of(masks_of(ground, box, sky))
    assert found[1, 0] == "on"
    assert found[2, 1] == "over"
    assert (1, 2) not in found
    side = names_of(masks_of((5, 15, 0, 10), (5, 15, 10, 20)))
    assert side == {(0, 1): "beside", (1, 0): "beside"}
    frame = masks_of((2, 18, 2, 28), (8, 12, 10, 16))
    frame[0] &= ~frame[1]
    assert names_of(frame) == {(0, 1): "enclosing", (1, 0): "in"}
    assert names_of(masks_of((0, 3, 0, 3), (15, 20, 20, 30))) == {}


@pytest.mark.parametrize("segmenter", [FeatureRegions(6), ColourRegions(6)], ids=["features", "colours"])
def test_regions_are_few_cover_the_image_and_do_not_overlap(photograph, segmenter):
    masks = segmenter.segment(photograph, Colours().features([photograph])[0]).masks
    assert 2 <= len(masks) <= 6
    assert masks.sum(0).max() == 1
    assert masks.any(0).mean() > 0.9
    assert (np.diff(masks.sum((1, 2))) <= 0).all()


def test_merging_is_ward_s():
    from scipy.cluster.hierarchy import fcluster, linkage

    rng = np.random.default_rng(0)
    means = rng.normal(size=(9, 5))
    labels = np.stack([np.arange(9)] * 9)  # stripes, all of them side by side with two others only
    chain = merged(labels, np.arange(9.0)[:, None] ** 2, 3)[0]
    assert (np.diff(chain) >= 0).all() or len(np.unique(chain)) == 3
    line = np.sort(means[:, :1], axis=0)  # sorted values: Ward's best partner is always a neighbour
    ours = merged(labels, line, 4)[0]
    theirs = fcluster(linkage(line, "ward"), 4, "maxclust")
    assert [(ours == ours[i]).tolist() for i in range(9)] == [(theirs == theirs[i]).tolist() for i in range(9)]


def drawing():
    image = torch.zeros(3, 144, 192)
    image[2] = 0.8
    image[:, 96:] = torch.tensor([0.1, 0.6, 0.1])[:, None, None]
    image[:, 40:96, 60:116] = torch.tensor([0.8, 0.1, 0.1])[:, None, None]
    house = np.zeros((144, 192), bool)
    house[40:96, 60:116] = True
    return image, house


def test_a_drawing_falls_into_its_parts():
    image, house = drawing()
    scene = Scenes(ColourRegions(4), Colours(), GeometricRelations()).describe(image, "mask")
    overlap = [(mask & house).sum() / (mask | house).sum() for mask in scene.masks]
    found = int(np.argmax(overlap))
    assert overlap[found] > 0.7
    ground = int(np.argmax([mask[100:].mean() for mask in scene.masks]))
    assert PREDICATES[scene.relation[found, ground]] == "on"
    centre = scene.graph(Parameters.paper()).centre[found]
    assert centre == pytest.approx([68 / 144, 88 / 192], abs=0.06)


def test_features_of_a_drawing_fall_into_its_parts():
    image, house = drawing()
    scene = Embedded(Colours(), regions=3).describe(image, "mask")
    small = torch.from_numpy(house)[None, None].float()
    small = interpolate(small, scene.masks.shape[1:], mode="area")[0, 0].numpy() > 0.5
    assert max((mask & small).sum() / (mask | small).sum() for mask in scene.masks) > 0.6


def test_objects_are_pooled_inside_their_masks():
    features = np.arange(2 * 3 * 4, dtype=np.float16).reshape(2, 3, 4)
    masks = masks_of((0, 1, 0, 2), (1, 3, 3, 4), height=3, width=4)
    assert pooled(features, masks).tolist() == [[0.5, 12.5], [9.0, 21.0]]
    assert pooled(features, masks.repeat(2, 1).repeat(2, 2)) == pytest.approx(pooled(features, masks), abs=1)


def test_either_image_s_regions_are_tried_on_both(photograph):
    backend = Embedded(Colours())
    first, second = (backend.describe(image, "mask") for image in (photograph, photograph.flip(2)))
    views = backend.views(first, second)
    assert [v[0].masks is first.masks for v in views] == [True, True, False]
    assert [v[1].masks is second.masks for v in views] == [True, False, True]
    metric = SeSS(backend)
    own = SeSS(Scenes(FeatureRegions(6), Colours(), GeometricRelations(), "map", "area"))
    assert metric.match(first, second).score >= own.match(first, second).score
    assert metric.match(first, second).score == pytest.approx(metric.match(second, first).score, abs=1e-12)
    again = first.with_regions_of(first)
    assert np.allclose(again.embeddings, first.embeddings)
    assert np.allclose(again.saliency_sum, first.saliency_sum)


def test_scenes_of_one_s_own(photograph):
    metric = SeSS(Scenes(Halves(), Colours(), NoRelations()))
    assert metric.name == "SeSS (own scenes)"
    assert metric(photograph[None], photograph[None]).item() == pytest.approx(1, abs=1e-6)
    image = torch.cat(
        [torch.ones(3, 8, 4) * torch.tensor([0.9, 0.1, 0.1])[:, None, None], torch.ones(3, 8, 4) * 0.5], 2
    )
    scene = metric.backend.describe(image, "box")
    assert scene.embeddings == pytest.approx(Colours().embed([image[:, :, :4], image[:, :, 4:]]).numpy(), abs=1e-5)
    mixed = {"init_args": {"segmenter": "Halves"}}
    assert mixed != metric.recipe()
    assert metric.recipe() != SeSS(Scenes(Halves(), Colours(), GeometricRelations())).recipe()


def test_parts_that_do_not_fit(photograph):
    class NoMap(Colours):
        stride = None
        name = "no map"

        def features_batch(self, images, side):
            return ImageEncoder.features_batch(self, images, side)

    with pytest.raises(ModelError, match="no map has no feature map"):
        Embedded(NoMap()).describe(photograph, "mask")
    with pytest.raises(ConfigurationError, match="set objects to 'map'"):
        Scenes(Halves(), Colours(), NoRelations(), both=True)
    scenes = [Embedded(encoder).describe(photograph, "mask") for encoder in (Colours(), "efficientnet-lite0")]
    with pytest.raises(MetricError, match="cannot be compared"):
        SeSS().match(*scenes)
    with pytest.raises(MetricError, match="take SAMMasks"):
        HeadRelations("head.safetensors").relate(photograph, Halves().segment(photograph, None))


@pytest.mark.parametrize("crop", ["mask", "box"])
def test_crops_show_the_object(crop):
    image = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0))
    masks = masks_of((5, 15, 10, 20), height=40, width=60)
    masks[0, 5:10, 10:15] = False
    (cut,) = crops(image, masks, crop, 10)
    assert torch.allclose(cut[:, 5:, 5:], image[:, 10:15, 15:20], atol=1e-5)
    corner = torch.full((3, 5, 5), 0.5) if crop == "mask" else image[:, 5:10, 10:15]
    assert torch.allclose(cut[:, :5, :5], corner, atol=1e-5)


def test_a_scene_survives_being_kept(photograph):
    backend = Embedded(Colours())
    fresh = backend.describe(photograph, "mask")
    kept = Scene.from_bytes(fresh.to_bytes())
    for name, value in vars(fresh).items():
        assert np.array_equal(value, getattr(kept, name)), name
    calls = []
    backend.describe = lambda image, crop: calls.append(crop) or fresh
    for crop in ("mask", "mask", "box"):
        backend.scene(photograph, crop)
    assert calls == ["mask", "box"]


def test_score_of_an_image_with_itself_and_with_others(photograph):
    metric = SeSS()
    images = torch.stack([photograph, photograph])
    darker, other = quantise(photograph * 0.7), photograph.flip(0)
    itself, (dark, turned) = metric(images[:1], images[:1]), metric(images, torch.stack([darker, other])).tolist()
    assert itself.item() == pytest.approx(1, abs=1e-6)
    assert turned < dark < 1
    assert metric.name == "SeSS (embedded)"
    assert SeSS(parameters="authors").name == "SeSS (embedded, authors)"


@pytest.mark.parametrize(
    "image",
    [
        torch.full((3, 40, 40), 0.3),
        torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)),
        torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)),
        torch.rand(3, 4, 10_000, generator=torch.Generator().manual_seed(0)),
        torch.rand(3, 1, 1),
    ],
    ids=["one colour", "8x8", "noise", "wide", "one pixel"],
)
def test_strange_images_have_a_score(image, photograph):
    metric = SeSS()
    for a, b in ((image, image), (image, photograph), (photograph, image)):
        (score,) = metric(a[None], b[None]).tolist()  # the sizes may differ
        assert 0 <= score <= 1 + 1e-9
    assert metric(image[None], image[None]).item() == pytest.approx(1, abs=1e-6)


def test_recipes_tell_parameters_and_weights_apart(tmp_path, monkeypatch):
    Parameters.paper().changed(update_rate=0.1).save(tmp_path / "mine.json")
    mine = SeSS(parameters=str(tmp_path / "mine.json"))
    assert mine.name == "SeSS (embedded, mine)"
    assert mine.parameters.update_rate == 0.1
    recipes = [SeSS().recipe(), SeSS(parameters="authors").recipe(), mine.recipe()]
    monkeypatch.setattr(EfficientNetLite0, "weights", lambda self: "others")
    recipes.append(SeSS().recipe())
    recipes.append(SeSS(Embedded(Colours())).recipe())
    assert len({json.dumps(recipe, sort_keys=True) for recipe in recipes}) == 5


def test_explanation_adds_up_and_is_plain(photograph):
    data, scenes, found = explain(SeSS(), photograph, quantise(photograph * 0.8))
    assert json.loads(json.dumps(data)) == data
    assert sum(pair["share"] for pair in data["pairs"]) + data["image_share"] == pytest.approx(data["score"])
    assert len(data["objects"][0]) == len(scenes[0].masks)
    assert found.score == data["score"]


def test_explain_command(tmp_path, capsys, photograph):
    from semcomm.cli import main

    for name, image in (("a", photograph), ("b", quantise(photograph * 0.8))):
        write_image(tmp_path / f"{name}.png", image)
    out = tmp_path / "match.png"
    images = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert main(["sess", "explain", *images, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metric"] == "SeSS (embedded)"
    assert out.stat().st_size > 10_000
    assert main(["sess", "explain", *images, "--parameters", "papr"]) == 1
    assert "papr: cannot be read as parameters" in capsys.readouterr().err


def test_in_a_sweep_references_are_described_once(tmp_path, monkeypatch):
    from semcomm import run

    described = []
    describe = Scenes.describe

    def counting(self, image, crop):
        described.append(1)
        return describe(self, image, crop)

    monkeypatch.setattr(Scenes, "describe", counting)
    experiment = {
        "transceivers": {"j": {"class_path": "Separate", "init_args": {"source": "JPEG2000"}}},
        "sweep": {"bpp": [0.5, 1.0, 2.0]},
        "metrics": ["SeSS"],
        "images": {"limit": 2, "crop": 96},
    }
    table = run(experiment, tmp_path / "run").table
    assert table["SeSS (embedded)"].notna().all()
    assert len(described) == 2 + 2 * 3
    assert len(dict(ImageSet(limit=2))) == 2


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Embedded(regions=0), ConfigurationError),
        (lambda: ColourRegions(smallest=0), ConfigurationError),
        (lambda: Scenes(Halves(), Colours(), NoRelations(), objects="both"), ConfigurationError),
        (lambda: SeSS(parameters="nowhere.json"), MetricError),
    ],
)
def test_mistakes(make, error):
    with pytest.raises(error):
        make()

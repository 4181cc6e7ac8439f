import pytest
import tiny_models
import torch

from semcomm.errors import MetricError, ModelError
from semcomm.images import quantise
from semcomm.metrics.perceptual import LPIPS, LpipsScore
from semcomm.models.backbones import BUILD, MIN_SIDE

NETWORKS = ("alex", "vgg", "squeeze")
PUBLISHED = {"alex": 61_100_840, "vgg": 138_357_544, "squeeze": 1_235_496}
"""Parameters of torchvision's classifiers, as its documentation counts them."""
CLASSIFIER = {
    "alex": 9216 * 4096 + 4096 * 4096 + 4096 * 1000 + 4096 + 4096 + 1000,
    "vgg": 25088 * 4096 + 4096 * 4096 + 4096 * 1000 + 4096 + 4096 + 1000,
    "squeeze": 512 * 1000 + 1000,
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMCOMM_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lpips")
    return {n: str(tiny_models.torchvision_file(folder / f"{n}.safetensors", n)) for n in NETWORKS}


@pytest.fixture(scope="module")
def pair(photograph):
    reference = torch.stack([photograph, photograph.flip(2)])[..., :96, :80]
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    return reference, quantise(reference + torch.tensor([0.02, 0.2])[:, None, None, None] * noise)


@pytest.mark.parametrize("network", NETWORKS)
def test_agrees_with_torchmetrics(network, files, pair, monkeypatch):
    from torchmetrics.functional.image import lpips

    monkeypatch.setattr(lpips, "_get_tv_model_features", lambda *_: tiny_models.torchvision_features(network))
    theirs = lpips._LPIPS(net=network).eval()
    with torch.no_grad():
        expected = theirs(*pair, normalize=True).flatten()
    found = LPIPS(network, files[network])(*pair)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    assert 0 < found[0] < found[1]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_networks_have_the_published_number_of_parameters(network):
    found = sum(parameter.numel() for parameter in BUILD[network]().parameters())
    assert found + CLASSIFIER[network] == PUBLISHED[network]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_smallest_images_it_is_defined_for(network, files):
    metric = LPIPS(network, files[network])
    side = MIN_SIDE[network]
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    assert metric(images, 1 - images).isfinite().all()
    with pytest.raises((RuntimeError, ValueError)):
        BUILD[network]()(images[..., :-1])
    with pytest.raises(MetricError, match=f"sides of {side} pixels"):
        metric(images[..., :-1], images[..., :-1])


def test_identical_is_zero_symmetric_and_independent_of_the_batch(files, pair):
    metric = LPIPS(weights=files["alex"])
    assert metric(pair[0], pair[0]).tolist() == [0, 0]
    scores = metric(*pair)
    assert metric(*pair[::-1]).tolist() == pytest.approx(scores.tolist(), rel=1e-6)
    alone = [metric(a[None], b[None]).item() for a, b in zip(*pair)]
    assert scores.tolist() == pytest.approx(alone, rel=1e-4)


def test_black_images_have_no_direction_and_still_a_score(files):
    black = torch.zeros(1, 3, 64, 64)
    assert LPIPS(weights=files["alex"])(black, black).tolist() == [0]


def test_the_score_of_the_sess_paper_is_one_minus_the_distance(files, pair):
    found = LpipsScore(weights=files["alex"])(*pair)
    assert found.tolist() == pytest.approx((1 - LPIPS(weights=files["alex"])(*pair)).tolist())
    assert LpipsScore.higher_is_better and not LPIPS.higher_is_better
    assert (LPIPS().name, LPIPS("vgg").name) == ("LPIPS", "LPIPS (VGG16)")
    assert (LpipsScore().name, LpipsScore("squeeze").name) == ("LpipsScore", "LpipsScore (SqueezeNet)")


def test_weights_by_file_folder_or_trusted_pickle(tmp_path, files, pair):
    expected = LPIPS(weights=files["alex"])(*pair)
    pickled = tiny_models.torchvision_file(tmp_path / "alexnet-owt-7be5be79.pth", "alex")
    with pytest.raises(ModelError, match="trust_pickle=True"):
        LPIPS(weights=str(pickled))(*pair)
    assert LPIPS(weights=str(tmp_path), trust_pickle=True)(*pair).tolist() == expected.tolist()


def test_another_network_or_none_is_a_clear_error(files, pair):
    with pytest.raises(ModelError, match="is no complete vgg16: "):
        LPIPS("vgg", files["alex"])(*pair)
    for ask in (lambda: LPIPS()(*pair), lambda: LPIPS().recipe()):
        with pytest.raises(ModelError, match=r"`semcomm models fetch lpips-alex --trust-pickle`"):
            ask()


def test_the_recipe_has_the_hash_of_the_weights(files):
    recipe = LPIPS(weights=files["alex"]).recipe()
    assert len(recipe["weights"]) == 64
    assert recipe["weights"] != LPIPS("vgg", weights=files["vgg"]).recipe()["weights"]
    assert "device" not in recipe["init_args"]

"""Codecs learn, go on after whatever stopped them as if nothing had, and say what is wrong with a training."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_codecs import TINY, smooth_images
from torch.nn import functional as F

from semcomm.errors import ConfigurationError, ImageError, ModelError, RunError
from semcomm.images import ImageSet, write_image
from semcomm.jscc import checks
from semcomm.jscc.loading import load_codec
from semcomm.training import Settings, losses, train
from semcomm.training.checkpoints import last
from semcomm.training.tasks import DeepJSCCTraining, LSCITraining

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    **{"batch": 4, "learning_rate": 0.003, "warmup_steps": 3, "ema": 0.9, "precision": "fp32", "device": "cpu"},
    **{"threads": 1, "validate_steps": 1000},
}


@pytest.fixture(scope="module")
def photo_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number, image in enumerate(smooth_images(16, 128, 120, seed=5)):
        write_image(folder / f"{number:02d}.png", image)
    return folder


@pytest.fixture(autouse=True)
def _one_small_photograph(monkeypatch):
    """The figures of the card take a piece of a photograph, not five whole ones: here they are not what is tested."""
    monkeypatch.setattr(checks, "ImageSet", lambda _: ImageSet(limit=1, size=64))


def small(**changes) -> Settings:
    return Settings(**{**SMALL, **changes})


def lsci(photo_folder: Path, **changes) -> LSCITraining:
    return LSCITraining(**{"folders": [str(photo_folder)], "val_fraction": 0.1, "crop": 32, **TINY, **changes})


class Breaking(LSCITraining):
    """Stops, or has a loss that is not a number, at a step if asked to."""

    excluded_from_recipe = LSCITraining.excluded_from_recipe | {"stop_at", "nan_at"}

    def __init__(self, folders: list[str], stop_at: int | None = None, nan_at: int | None = None) -> None:
        super().__init__(folders, val_fraction=0.1, crop=32, **TINY)
        self.stop_at, self.nan_at, self.step = stop_at, nan_at, None

    def batch(self, size, progress, generator):
        return {**super().batch(size, progress, generator), "step": torch.tensor(round(progress * 12))}

    def losses(self, module, batch, generator):
        if batch["step"] == self.stop_at:
            raise KeyboardInterrupt
        found = super().losses(module, batch, generator)
        return {"loss": found["loss"] * torch.nan} if batch["step"] == self.nan_at else found


def tensors_of(folder: Path) -> dict:
    return load_file(last(folder).with_suffix(".safetensors"))


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def scores_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def loss_of(task, network) -> float:
    """The loss of a network on a batch that training does not see; few images, but other crops, noise and plans."""
    with torch.no_grad():
        batch = task.batch(24, 0.0, torch.Generator().manual_seed(77))
        return task.losses(network, batch, torch.Generator().manual_seed(78))["loss"].item()


def test_a_few_steps_make_it_better_and_what_is_exported_is_a_codec(photo_folder, tmp_path):
    task = lsci(photo_folder, attribution=["Drawn for a test."], name="tiny")
    path = train(task, small(steps=50, learning_rate=0.01), tmp_path)
    rows = scores_of(tmp_path)
    assert set(rows[0]) == {"step", *(f"psnr 3 layers {snr_db} dB" for snr_db in (0, 10, 20))}
    codec = load_codec(path)
    assert loss_of(task, codec.network) < loss_of(task, task.build()) - 0.5
    assert codec is load_codec(tmp_path)
    assert codec.network.constellation == "16qam"
    assert codec.card["snr_db"] == [-2, 20]
    assert codec.card["images"] == {"training": len(task.train[0]), "validation": len(task.validation)}
    assert codec.card["images"]["training"] + codec.card["images"]["validation"] == 16
    assert codec.card["data"] == ["Drawn for a test."]
    # its figures on photographs are found again from the file
    assert len(codec.card["checks"]) == 5
    assert checks.figures(codec) == pytest.approx(codec.card["checks"], abs=0.002)
    # and the validation's last score from the file alone, by way of symbols and the channel of sweeps
    assert rows[-1]["psnr 3 layers 20 dB"] == pytest.approx(judged_again(codec, task), abs=0.1)
    assert str(photo_folder) not in path.with_suffix(".md").read_text()


def judged_again(codec, task) -> float:
    from semcomm import AWGN, seeds_of
    from semcomm.jscc.codec import estimates_of

    middles = [task.validation[index].float() / 255 for index in range(len(task.validation))]
    # the middle 256x256, its border repeated, of 128x120
    images = torch.stack([F.pad(middle[None], (68, 68, 64, 64), mode="replicate")[0] for middle in middles])
    snr_db = torch.full((len(images),), 20.0)
    plan = torch.full((len(images), 16, 16), 3, dtype=torch.uint8)
    symbols, gains = codec.send(images, snr_db, plan)
    estimates, seen = estimates_of(AWGN(20.0)(symbols, seeds_of(images)), codec.network.constellation)
    found = codec.receive(estimates, gains, seen, plan, 256, 256)
    return (-10 * ((found - images) ** 2).mean((1, 2, 3)).log10()).mean().item()


def test_deepjscc_trains_too(tmp_path):
    """From scratch it takes hundreds of steps to show more than a mean; so here are images of which that is much."""
    (tmp_path / "dark").mkdir()
    for number, image in enumerate(smooth_images(6, 48, 48)):
        write_image(tmp_path / "dark" / f"{number}.png", 0.3 * image)
    task = DeepJSCCTraining([str(tmp_path / "dark")], val_fraction=0.0, crop=32, symbols=4)
    path = train(task, small(steps=40, learning_rate=0.01), tmp_path)
    codec = load_codec(path)
    assert loss_of(task, codec.network) < loss_of(task, task.build()) - 1
    assert codec.network.uses == [4]
    assert list(codec.card["checks"]) == [f"PSNR at {snr_db} dB, CBR 1/12" for snr_db in (0, 10, 20)]
    assert codec.card["title"] == "DeepJSCC at CBR 1/12"


def test_stopped_and_continued_is_bit_identical(photo_folder, tmp_path):
    settings = small(steps=12, checkpoint_steps=3, validate_steps=6)
    train(Breaking([str(photo_folder)]), settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(Breaking([str(photo_folder)], stop_at=8), settings, tmp_path / "stopped")
    assert last(tmp_path / "stopped").stem == "checkpoint-00000006"
    torch.rand(3)  # the state of the global generator does not matter
    train(Breaking([str(photo_folder)]), settings, tmp_path / "stopped")
    assert_same(tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "stopped"))
    assert scores_of(tmp_path / "whole") == scores_of(tmp_path / "stopped")
    names = ("whole/lsci.safetensors", "stopped/lsci.safetensors")
    assert_same(*(load_file(tmp_path / name) for name in names))


def test_a_task_draws_nothing_from_the_global_generator(photo_folder):
    state = torch.get_rng_state()
    for task in (lsci(photo_folder), DeepJSCCTraining([str(photo_folder)], crop=32)):
        task.prepare()
        task.batch(2, 0.0, torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_checkpoint(photo_folder, tmp_path):
    settings = small(steps=12, checkpoint_steps=4)
    with pytest.raises(RunError, match=r"at step 10 the loss is nan.*good checkpoint is kept: checkpoint-00000008"):
        train(Breaking([str(photo_folder)], nan_at=9), settings, tmp_path)
    assert all(tensor.isfinite().all() for tensor in tensors_of(tmp_path).values())
    assert train(Breaking([str(photo_folder)]), settings, tmp_path).exists()


def test_a_batch_is_what_the_task_says(photo_folder):
    """SNRs over the whole range, plans within their budgets, shares of wrong CSI, varied plans and fading."""
    task = lsci(photo_folder, drawn_layers=[1, 0, 2, 1], snr_db=(0.0, 10.0), downscale_fraction=0.5, crop=64)
    task.prepare()
    batch = task.batch(400, 0.0, torch.Generator().manual_seed(2))
    assert batch["images"].shape == (400, 3, 64, 64)
    assert 0 <= batch["images"].min() < batch["images"].max() <= 1
    snr_db = batch["snr_db"]
    assert 0 <= snr_db.min() < 0.2 < 9.8 < snr_db.max() <= 10
    assert abs(snr_db.mean() - 5) < 4 * (100 / 12 / 400) ** 0.5
    wrong = batch["known_snr_db"] - snr_db
    assert (wrong != 0).float().mean().item() == pytest.approx(0.25, abs=0.09)
    assert wrong[wrong != 0].std().item() == pytest.approx(2, abs=0.6)
    assert batch["fading"].float().mean().item() == pytest.approx(0.1, abs=0.06)
    varied = batch["plan"].flatten(1).min(1).values != batch["plan"].flatten(1).max(1).values
    # half are drawn so; of those with the first layer alone, or with all, none varies
    assert varied.float().mean().item() == pytest.approx(0.25, abs=0.09)
    even = batch["plan"][~varied][:, 0, 0]
    assert even.unique().tolist() == [1, 3, 4]
    straight = lsci(photo_folder, adaptive=0.0, csi_error_fraction=0.0, fading_fraction=0.0, drawn_layers=[0, 0, 1, 0])
    straight.prepare()
    batch = straight.batch(50, 0.0, torch.Generator().manual_seed(2))
    assert torch.equal(batch["known_snr_db"], batch["snr_db"])
    assert not batch["fading"].any()
    assert (batch["plan"] == 3).all()


@pytest.mark.parametrize("loss", [{"mse": 1.0}, {"ms_ssim": 1.0}, {"features": 0.5}, {"mse": 1.0, "features": 0.3}])
@pytest.mark.parametrize("kind", [LSCITraining, DeepJSCCTraining])
def test_every_loss_has_finite_gradients_from_the_start(photo_folder, loss, kind):
    changes = TINY if kind is LSCITraining else {}
    task = kind([str(photo_folder)], crop=112, loss=loss, **changes)
    task.prepare()
    for seed in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = task.build()
        generator = torch.Generator().manual_seed(seed)
        found = task.losses(module, task.batch(3, 0.0, generator), generator)
        assert set(found) == {"loss", *loss}
        assert found["loss"].item() == pytest.approx(sum(share * found[name].item() for name, share in loss.items()))
        found["loss"].backward()
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert sum(gradient.norm() for gradient in gradients) > 0


def test_the_losses_are_what_they_say():
    from semcomm import MSSSIM

    images = smooth_images(3, 112, 112)
    damaged = (images + 0.2 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    expected = 1 - MSSSIM(window=7)(images, damaged)
    assert losses.ms_ssim_loss(damaged, images).tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    with torch.autocast("cpu", torch.bfloat16):  # as exact
        assert losses.ms_ssim_loss(damaged, images).tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    mild, strong = losses.feature_loss(0.9 * images + 0.1 * damaged, images), losses.feature_loss(damaged, images)
    assert (mild > 1e-4).all()
    assert (strong > 3 * mild).all()
    assert losses.feature_loss(images, images).abs().max() == 0
    # at 1 bpp the line has 35.8 dB; at 15 dB and 0.5 uses per pixel, 1/2 · log2(1 + 10^1.5) = 2.5 bpp
    typical = losses.typical_mse(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 15.0]))
    psnr = (-10 * typical.log10()).tolist()
    assert psnr == pytest.approx([35.8, 35.8 + 11.7 * 0.4004], abs=0.02)
    error = losses.relative_mse(images + 0.1, images, torch.tensor([0.01, 0.001, 1.0]))
    assert error.tolist() == pytest.approx([0.6931, 2.3979, 0.00995], rel=1e-3)  # ln 2, ln 11, ln 1.01


def test_constellations_are_drawn_by_their_shares_and_all_are_known_after(photo_folder, tmp_path):
    task = lsci(photo_folder, constellations={"64qam": 3.0, "qpsk": 1.0})
    path = train(task, small(steps=2), tmp_path)
    generator = torch.Generator().manual_seed(5)
    drawn = [int(task.batch(1, 0.0, generator)["constellation"]) for _ in range(200)]
    assert sum(drawn) / 200 == pytest.approx(0.25, abs=0.07)
    assert load_codec(path).card["constellations"] == ["64qam", "qpsk"]
    assert [load_codec(path, constellation=name).network.constellation for name in (None, "qpsk")] == ["64qam", "qpsk"]
    with pytest.raises(ConfigurationError, match=r"was trained for 64qam, qpsk, not for analog.*='{\"analog\": 1}'"):
        load_codec(path, constellation="analog")
    row = scores_of(tmp_path)[-1]
    assert {name for name in row if "qpsk" in name} == {"psnr 3 layers 10 dB on qpsk"}
    assert row["psnr 3 layers 10 dB on qpsk"] != row["psnr 3 layers 10 dB"]


def test_each_step_trains_on_the_constellation_that_was_drawn(photo_folder):
    """The loss follows the draw, whatever constellation the network had before."""
    task = lsci(photo_folder, constellations={"64qam": 1.0, "qpsk": 1.0})
    task.prepare()
    network = task.build()
    batch = task.batch(8, 0.0, torch.Generator().manual_seed(1))
    found = {}
    for index in (0, 1, 0):
        batch["constellation"] = torch.tensor(index)
        loss = task.losses(network, batch, torch.Generator().manual_seed(2))["loss"].item()
        assert found.setdefault(index, loss) == loss
    assert found[0] != found[1]


def test_start_from_takes_the_weights_to_another_constellation(photo_folder, tmp_path):
    first = train(lsci(photo_folder, constellations={"analog": 1.0}), small(steps=5), tmp_path / "analog")
    for source in (first, tmp_path / "analog"):
        out = tmp_path / f"from-{source.name}"
        path = train(lsci(photo_folder), small(steps=1, learning_rate=1e-12, start_from=str(source)), out)
        assert load_codec(path).network.constellation == "16qam"
        old, new = load_file(first), load_file(path)
        assert all(torch.allclose(old[name].float(), new[name].float(), atol=1e-3) for name in old)
    with pytest.raises(ModelError, match="the weights belong to another network"):
        train(lsci(photo_folder, widths=[6, 8, 10]), small(steps=1, start_from=str(first)), tmp_path / "wider")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 40}, "crop is 40; it must be a multiple of 16"),
        ({"crop": 0}, "crop is 0; it must be a multiple of 16"),
        ({"loss": {"psnr": 1.0}}, "loss: there is no 'psnr'; choose from mse, ms_ssim, features"),
        ({"loss": {"mse": 0.0}}, "weights are at least 0, and one is above it"),
        ({"loss": {"mse": 1.0, "features": -1.0}}, "weights are at least 0"),
        ({"loss": {"ms_ssim": 1.0}}, "ms_ssim needs a crop of 97 pixels or more"),
        ({"snr_db": (10.0, 0.0)}, "it is the lowest and the highest SNR"),
        ({"snr_db": (10.0,)}, "it is the lowest and the highest SNR"),
        ({"folders": []}, "folders is empty"),
        ({"shares": [1.0, 2.0]}, "a number for each of 1 folders"),
        ({"shares": [0.0]}, "a number for each of 1 folders"),
        ({"drawn_layers": [1.0]}, "drawn_layers has 1 numbers for 4 layers"),
        ({"drawn_layers": [0, 0, 0, 0]}, "they are at least 0, and one is above it"),
        ({"drawn_layers": [1, 1, -1, 0]}, "they are at least 0, and one is above it"),
        ({"constellations": {"16qam": 1.0, "8psk": 1.0}}, "no constellation '8psk' here"),
        ({"constellations": {"16qam": 1.0, "qpsk": 0.0}}, "leave out those that are not to be drawn"),
        ({"constellations": {"16qam": 1.0, "qpsk": -1.0}}, "leave out those that are not to be drawn"),
        ({"constellations": {"16qam": float("nan")}}, "leave out those that are not to be drawn"),
        ({"layers": [[4, 1], [16, 2]]}, "never grow"),
    ],
)
def test_arguments_that_make_no_sense(photo_folder, changes, message):
    with pytest.raises(ConfigurationError, match=message):
        lsci(photo_folder, **changes)


def test_folders_that_do_not_do(photo_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no images in this folder"):
        train(lsci(tmp_path / "empty"), small(steps=1), tmp_path / "out")
    with pytest.raises(ImageError, match="no images to train on"):
        train(lsci(photo_folder, val_fraction=1.0), small(steps=1), tmp_path / "out")
    with pytest.raises(ConfigurationError, match=r"none\.csv: cannot be read as a list of images"):
        train(lsci(tmp_path / "none.csv"), small(steps=1), tmp_path / "out")
    data = (photo_folder / "00.png").read_bytes()
    (tmp_path / "empty" / "half.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"half\.png: cannot be read"):
        train(lsci(tmp_path / "empty", val_fraction=0.0), small(steps=1), tmp_path / "out")
    assert not list((tmp_path).glob("out/*.safetensors"))


def test_folders_and_lists_by_their_shares_and_small_images(photo_folder, tmp_path):
    """A list names authors for the card; an image below the crop is enlarged."""
    write_image(tmp_path / "black.png", torch.zeros(3, 20, 24))
    (tmp_path / "list.csv").write_text("file,author\nblack.png,A. Painter\n")
    task = lsci(photo_folder, folders=[str(photo_folder), str(tmp_path / "list.csv")], shares=[1, 3], val_fraction=0.0)
    task.prepare()
    images = task.batch(200, 0.0, torch.Generator().manual_seed(3))["images"]
    assert (images.amax((1, 2, 3)) == 0).float().mean().item() == pytest.approx(0.75, abs=0.12)
    assert not len(task.validation)
    assert task.validate(task.build()) == {}
    assert task.describe(task.build())["authors"] == ["A. Painter"]

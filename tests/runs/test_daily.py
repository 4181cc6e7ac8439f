"""A run, whatever is tried on it, by whom and where: it stays as it was, and can be read without what made it."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small_run import experiment, link

import semcomm as sc
from semcomm.analysis.figures import draw
from semcomm.analysis.report import write_report
from semcomm.analysis.report.contents import contents_of
from semcomm.cli import main
from semcomm.errors import ConfigurationError, ImageError, MetricError, ModelError, RunError
from semcomm.images import ImageSet, write_image
from semcomm.metrics import Metric
from semcomm.runs.run import Progress, open_results, run

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
ONE = {"transceivers": {"robust": link("qpsk", channel_uses_per_pixel=0.5)}, "realisations": 1}
SWEEP = {"channel.snr_db": [4, 12]}


def small(folder, **changes):
    said = []
    return run(experiment(**{**ONE, "sweep": SWEEP, **changes}), folder, on_note=said.append), said


def state(folder):
    """Everything that describes a run on disk."""
    results = open_results(folder)
    kept = {"experiment": results.experiment.resolved(), "rows": results.table.to_csv(index=False)}
    return kept, (folder / "experiment.yaml").read_text(), (folder / "results.csv").read_text()


class Absent(Metric):
    """Its weights are not on this machine."""

    name = "absent"

    def recipe(self):
        raise ModelError("the weights of absent are not on this machine")

    def score(self, prepared, reconstruction):
        raise AssertionError


class Large(Metric):
    name, min_side = "large", 1000

    def score(self, prepared, reconstruction):
        raise AssertionError


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metrics": ["PSNR", "SSIM", f"{__name__}.Absent"]}, "weights of absent"),
        ({"metrics": ["PSNR", f"{__name__}.Large"]}, "large is not defined"),
        ({"metrics": ["PSNR", {"class_path": "EmbeddedFID", "init_args": {"minimum": 9}}]}, "at least 9 images"),
        ({"seed": 5}, "seed was 0 and is now 5"),
        ({"transceivers": {"robust": link("16qam", channel_uses_per_pixel=0.5)}}, "robust.constellation was 'qpsk'"),
        ({"images": {"limit": 1, "size": 64}}, "images.limit was 2"),
        (
            {"transceivers": {"x": {"class_path": "LSCI", "init_args": {"device": "gpu", "layers": 2}}}},
            "transceivers.x: device is 'gpu'; say auto, cpu, cuda",
        ),
    ],
)
def test_what_is_refused_leaves_no_trace(tmp_path, changes, reason):
    small(tmp_path)
    before = state(tmp_path)
    with pytest.raises((ModelError, MetricError, RunError, ConfigurationError), match=reason):
        small(tmp_path, **changes)
    assert state(tmp_path) == before
    table = small(tmp_path)[0].table  # the first command again
    assert len(table) == 4


def test_a_first_try_that_is_refused_leaves_the_folder_free(tmp_path):
    with pytest.raises(ModelError):
        small(tmp_path, metrics=[f"{__name__}.Absent"])
    with pytest.raises(RunError, match="no run in this folder"):
        open_results(tmp_path)
    assert len(small(tmp_path, images={"limit": 1, "size": 64})[0].table) == 2  # other images than those of the try


def test_things_are_taken_out_and_put_back_without_sending(tmp_path):
    both = {**ONE["transceivers"], "fast": link("16qam", channel_uses_per_pixel=0.5)}
    whole = small(tmp_path, transceivers=both, metrics=["PSNR", "SSIM"], realisations=2)[0].table
    left = small(tmp_path, sweep={"channel.snr_db": [12]}, metrics=["SSIM"])[0]
    assert (len(left.table), "PSNR" in left.table) == (2, False)
    assert left.table["transceiver"].unique().tolist() == ["robust"]
    assert len(open_results(tmp_path).table) == 2
    steps = []
    again = run(
        experiment(**ONE | {"sweep": SWEEP, "transceivers": both, "metrics": ["PSNR", "SSIM"], "realisations": 2}),
        tmp_path,
        on_progress=steps.append,
    )
    assert steps == [Progress(0, 0)]  # nothing is sent again
    measured = [name for name in whole if not name.endswith("_seconds")]
    assert again.table[measured].equals(whole[measured])


def test_an_axis_is_added_and_another_spelling_is_the_same_experiment(tmp_path):
    small(tmp_path, sweep={}, channels={"awgn": "AWGN"})
    arguments = {**ONE["transceivers"]["robust"]["init_args"], "constellation": "QPSK", "damage": "prefix"}
    described = {"class_path": "semcomm.Separate", "init_args": arguments}
    results, said = small(tmp_path, channels={"awgn": "awgn"}, transceivers={"robust": described})
    assert (len(results.table), said) == (4, [])


LAB = """
import semcomm as sc

class Blur(sc.Link):
    def __init__(self, by: int = {by}):
        self.by = by

    def transmit(self, images, channel, seeds):
        received = sc.images.quantise(images * (1 - self.by / 10))
        return sc.Reception(received, sc.Ledger.of(images, source_bits=1, channel_uses=4), {{}})

class Shade(sc.Metric):
    name, unit, higher_is_better, range = "Shade", "dB", False, (0.0, 3.0)

    def score(self, prepared, reconstruction):
        return (prepared - reconstruction).abs().mean((1, 2, 3))
"""


def test_a_run_with_classes_of_ones_own_is_read_without_them_and_elsewhere(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_lab.py").write_text(LAB.format(by=1))
    described = experiment(
        transceivers={"blur": {"class_path": "own_lab.Blur", "sweep": {"by": [1, 2]}}, **ONE["transceivers"]},
        metrics=["own_lab.Shade", "PSNR"],
        sweep={"channel.snr_db": [12]},
        realisations=1,
    )
    results = run(described, tmp_path / "run")
    moved = tmp_path / "elsewhere"
    (tmp_path / "run").rename(moved)
    monkeypatch.delitem(sys.modules, "own_lab")
    (tmp_path / "own_lab.py").unlink()
    read = open_results(moved)
    assert read.table.equals(results.table)
    (shade, _) = read.experiment.metrics
    said = (type(shade).__name__, shade.unit, shade.higher_is_better, list(shade.range))
    assert said == ("Shade", "dB", False, [0, 3])
    assert read.experiment.axes == {"by": [1, 2], "snr_db": [12]}
    assert read.experiment.resolved() == results.experiment.resolved()
    draw(read, moved / "figures")
    assert write_report(read, moved / "report.html").stat().st_size > 1000
    with pytest.raises(RunError, match="only known from a run's folder"):
        read.experiment.points[0].link.transmit(torch.zeros(1, 3, 8, 8), None, sc.seeds_of(torch.zeros(1, 3, 8, 8)))


def test_an_edited_class_is_said_and_its_rows_are_made_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    described = {"transceivers": {"blur": "edited_lab.Blur"}, "channels": {"none": "Noiseless"}, "sweep": {}}
    tables = []
    for text in (LAB, LAB.replace("1 - self.by", "0.9 - self.by")):
        monkeypatch.delitem(sys.modules, "edited_lab", raising=False)
        (tmp_path / "edited_lab.py").write_text(text.format(by=1) + f"# {len(tables)}")
        importlib.invalidate_caches()
        results, said = small(tmp_path / "run", **described)
        tables.append(results.table)
    assert said == ["blur: its class or a file that it reads has changed since this run began; it is sent again"]
    assert len(tables[1]) == 2
    assert (tables[0]["PSNR"] > tables[1]["PSNR"] + 1).all()  # old rows and new are in no curve together


class Mixed(sc.Link):
    """Says something of several kinds, and sends with a hundred times the power."""

    def transmit(self, images, channel, seeds):
        note = 1 if images.shape[-1] == 64 else "two"
        said = {"note": [note], "grade": [0.5], "symbol_power": [100.0]}
        return sc.Reception(images, sc.Ledger.of(images, source_bits=1, channel_uses=256), said)


def test_columns_of_several_kinds_are_text_and_too_much_power_is_said(tmp_path):
    results, said = small(tmp_path, transceivers={"loud": f"{__name__}.Mixed"}, sweep={})
    assert results.table["note"].tolist() == ["1", "two"]
    assert results.table["grade"].tolist() == [0.5, 0.5]
    (remark,) = said
    assert remark.startswith("loud sent with a mean power of 100")
    assert "20.0 dB higher" in remark
    assert open_results(tmp_path).remarks() == said
    assert contents_of(results)["remarks"] == said
    assert small(tmp_path / "quiet")[0].remarks() == []


def test_words_beside_numbers_are_a_column_of_text_in_the_order_of_the_file(tmp_path):
    channels = {"fading": {"class_path": "Rayleigh", "init_args": {"snr_db": 10}}}
    results, _ = small(tmp_path, channels=channels, sweep={"channel.coherence": ["symbol", "image", 100]})
    assert list(dict.fromkeys(results.table["coherence"])) == ["symbol", "image", "100"]
    assert results.experiment.axes == {"coherence": ["symbol", "image", "100"]}
    points = sc.curves(results, "coherence", "PSNR")
    assert points["coherence"].tolist() == ["symbol", "image", "100"]
    assert len(open_results(tmp_path).table) == 6


def test_numpy_is_taken_where_numbers_are(tmp_path):
    changes = {"channel.snr_db": np.arange(0, 21, 10), "channel_uses_per_pixel": [np.float32(0.5)]}
    transceivers = {"robust": link("qpsk")}
    results, _ = small(tmp_path, sweep=changes, transceivers=transceivers, realisations=np.int64(1))
    assert results.experiment.axes == {"snr_db": [0, 10, 20], "channel_uses_per_pixel": [0.5]}
    assert small(tmp_path / "b", sweep={"channel.snr_db": range(0, 20, 10)})[0].experiment.axes == {"snr_db": [0, 10]}
    built = sc.Experiment(
        transceivers={"mine": sc.AtCapacity(sc.JPEG2000(), 0.5)},
        channels={"awgn": sc.AWGN},
        metrics=["psnr", sc.SSIM()],
        images="builtin",
        sweep={"channel.snr_db": np.linspace(0, 1, 3)},
    )
    assert [point.over.snr_db for point in built.points] == [0, 0.5, 1]
    assert [metric.name for metric in built.metrics] == ["PSNR", "SSIM"]


def test_a_run_is_no_input_of_its_own_and_what_is_ignored_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", next(iter(ImageSet(limit=1, size=64)))[1])
    write_image(tmp_path / "same.png", next(iter(ImageSet(limit=1, size=64)))[1])
    (tmp_path / "b.heic").write_text("x")
    for _ in range(2):
        results, said = small(Path("runs/it"), images={"path": "."}, keep="all")
        assert results.table["image"].unique().tolist() == ["a.png", "same.png"]
        assert "ignored 1 folders of runs, 1 of .heic" in said[0]
        assert said[1] == "same.png is the same image as a.png, and counts again"


SCRIPT = """
import sys
sys.path[:0] = {paths!r}
import semcomm as sc
from small_run import experiment
{guard}sc.run(experiment(realisations=1), {out!r}, workers=2)
"""


@pytest.mark.parametrize(("guard", "fine"), [("", False), ("if __name__ == '__main__': ", True)])
def test_a_script_without_a_main_guard_is_told_so(tmp_path, guard, fine):
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(paths=paths, guard=guard, out=str(tmp_path / "run")))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == fine, done.stderr
    if not fine:
        assert f"{script}, line 6: with workers=2 each worker imports this script" in done.stderr
        assert 'if __name__ == "__main__":' in done.stderr
        assert done.stderr.count("Traceback") == 1


RIGHT = {"bsc": 4, "bsc_arg": 1, "coherence": 3, "intnames": 4, "norway": 3, "nosweep": 1}
WRONG = {
    "duptx": "the key 'qpsk' stands twice, in lines 3 and 4",
    "dupkey": "the key 'images' stands twice, in lines 1 and 6",
    **({} if torch.cuda.is_available() else {"cuda": "transceivers.LSCI: device is 'cuda'"}),
}


@pytest.mark.parametrize("name", [*RIGHT, *WRONG])
def test_the_cases_that_failed(name, tmp_path, capsys):
    if not CASES.is_dir():
        pytest.skip("the cases are not here")
    status = main(["run", str(CASES / f"{name}.yaml"), "--no-report", "--workers", "1", "--out", str(tmp_path / "run")])
    error = capsys.readouterr().err
    if name in RIGHT:
        assert status == 0, error
        assert len(open_results(tmp_path / "run").table) == RIGHT[name]
    else:
        assert (status, error.count("\n")) == (1, 1)
        assert WRONG[name] in error


def test_keys_stand_anywhere_and_reach_everything(tmp_path, capsys):
    file = tmp_path / "it.yaml"
    described = {**experiment(**ONE), "sweep": {}, "metrics": ["PSNR"], "images": {"limit": 1, "size": 64}}
    file.write_text(yaml.safe_dump(described))
    cases = {
        "sweep.channel.snr_db=[0, -1e1]": lambda e: e["sweep"] == {"channel.snr_db": [0, -10]},
        "transceivers.robust.init_args.source=JPEG2000": lambda e: "JPEG2000" in json.dumps(e["transceivers"]),
        "channels.awgn.snr_db=3": lambda e: e["channels"]["awgn"]["init_args"]["snr_db"] == 3,
        "metrics=ssim": lambda e: [m["class_path"] for m in e["metrics"]] == ["semcomm.metrics.SSIM"],
        "images=builtin": lambda e: e["images"]["limit"] is None,
        "channels.awgn=Noiseless": lambda e: e["channels"]["awgn"]["class_path"] == "semcomm.channels.Noiseless",
    }
    for number, (text, holds) in enumerate(cases.items()):
        out = tmp_path / str(number)
        also = ["images.size=64"] if text.startswith("images") else []
        assert main(["run", str(file), "--out", str(out), text, "--workers", "1", *also, "--no-report"]) == 0, text
        capsys.readouterr()
        assert holds(yaml.safe_load((out / "experiment.yaml").read_text())), text


def test_no_image_at_all(tmp_path):
    with pytest.raises(ImageError, match="no images in this folder"):
        small(tmp_path / "run", images={"path": str(tmp_path)})


def test_an_axis_that_shares_its_name_with_a_column_spoils_no_rate(tmp_path):
    shifted = {"class_path": "Translation", "sweep": {"pixels": [1, 2]}}
    table = small(tmp_path, transceivers={"shift": shifted, **ONE["transceivers"]}, sweep={"channel.snr_db": [12]})[
        0
    ].table
    robust = table[table["transceiver"] == "robust"]
    assert robust["bpp"].notna().all()
    assert robust["cbr"].between(0.16, 0.17).all()
    assert table[table["transceiver"] == "shift"]["pixels"].unique().tolist() == [1, 2]

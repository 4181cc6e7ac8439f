import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from small_run import experiment, link, small_run

from semcomm import Metric, open_results, run
from semcomm.errors import ConfigurationError, ImageError, MetricError, ModelError, RunError
from semcomm.images import ImageSet, content_hash, read_image, write_image
from semcomm.runs import engine
from semcomm.runs.folder import locked

SECONDS = ["transmit_seconds", "score_seconds"]
HERE = Path(__file__).parents[1]


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    pd.testing.assert_frame_equal(a.drop(columns=SECONDS), b.drop(columns=SECONDS))
    return True


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("reference") / "run")


@pytest.fixture
def counted(monkeypatch):
    """Count the tasks carried out, and the images sent."""
    counts = {"tasks": 0, "sent": 0}
    do, send = engine.Engine.do, engine._sent

    def counting_do(self, task):
        counts["tasks"] += 1
        return do(self, task)

    def counting_send(link, images, channel, seeds):
        counts["sent"] += len(images)
        return send(link, images, channel, seeds)

    monkeypatch.setattr(engine.Engine, "do", counting_do)
    monkeypatch.setattr(engine, "_sent", counting_send)
    return counts


def test_one_row_per_transceiver_point_image_and_realisation(reference):
    table = reference.table
    assert len(table) == 2 * 6 * 2 * 2
    assert not table.duplicated(
        ["transceiver", "channel", "image", "realisation", "snr_db", "channel_uses_per_pixel"]
    ).any()
    standard = "transceiver channel image realisation snr_db bpp cbr source_bits coded_bits channel_uses side_bits"
    counted = "symbol_power block_errors blocks decode_failed channel_uses_per_pixel PSNR SSIM"
    for column in [*standard.split(), *counted.split(), *SECONDS]:
        assert column in table
    assert (table["cbr"] * 3 - table["channel_uses_per_pixel"]).abs().max() < 1e-3
    assert table["PSNR"].notna().all()


def test_every_number_can_be_recomputed_alone(reference):
    from semcomm import AWGN, PSNR, seeds_of
    from semcomm.configuration import build
    from semcomm.transceivers import Link

    row = reference.table.iloc[17]
    image = dict(ImageSet(limit=2, size=64))[row["image"]][None]
    link_ = build(Link, link("qpsk", channel_uses_per_pixel=row["channel_uses_per_pixel"]), "link")
    reception = link_.transmit(image, AWGN(row["snr_db"]), seeds_of(image, 0, row["realisation"]))
    assert PSNR()(image, reception.images).item() == row["PSNR"]
    assert reception.info["block_errors"] == [row["block_errors"]]


def test_files_beside_the_results(reference):
    folder = reference.folder
    written = pd.read_parquet(folder / "results.parquet")
    pd.testing.assert_frame_equal(written, reference.table, check_dtype=False)
    assert len(pd.read_csv(folder / "results.csv")) == len(reference.table)
    assert yaml.safe_load((folder / "experiment.yaml").read_text())["images"]["size"] == 64
    assert '"torch"' in (folder / "environment.json").read_text()
    assert same(open_results(folder).table, reference.table)


def test_kept_reconstructions_are_the_scored_ones(reference):
    from semcomm import PSNR

    originals = dict(ImageSet(limit=2, size=64))
    rows = reference.table[reference.table["realisation"] == 0].reset_index(drop=True)
    assert len(rows) == 24
    for (number, name, realisation), key in reference.reconstructions.items():
        if realisation == 0:
            point = reference.experiment.points[number]
            image = read_image(reference.folder / "reconstructions" / key[:2] / f"{key}.png")
            assert content_hash(image) == key
            row = rows[
                (rows["transceiver"] == point.transceiver)
                & (rows["image"] == name)
                & (rows["snr_db"] == point.parameters["snr_db"])
                & (rows["channel_uses_per_pixel"] == point.parameters["channel_uses_per_pixel"])
            ]
            assert PSNR()(originals[name][None], image[None]).item() == row["PSNR"].item()


def test_workers_do_not_change_the_rows(reference, tmp_path):
    script = "import sys; sys.path.insert(0, sys.argv[1]); from small_run import *\n" + (
        "if __name__ == '__main__': run(experiment(), sys.argv[2], workers=2)"
    )
    path = tmp_path / "script.py"
    path.write_text(script)
    subprocess.run([sys.executable, path, HERE, tmp_path / "two"], check=True, timeout=300)
    assert same(open_results(tmp_path / "two").table, reference.table)


def test_batch_size_changes_nothing_for_a_separate_link(reference, tmp_path):
    # the two images differ in size; cropped they share a batch
    small, large = (small_run(tmp_path / str(b), batch_size=b, images={"limit": 3, "crop": 64}) for b in (1, 8))
    assert same(small.table, large.table)


def test_a_finished_run_does_nothing(reference, counted):
    assert same(run(experiment(), reference.folder).table, reference.table)
    assert counted == {"tasks": 0, "sent": 0}


def test_added_metric_sends_nothing_where_reconstructions_are_kept(tmp_path, counted):
    small_run(tmp_path, metrics=["PSNR"], keep="all")
    before = dict(counted)
    table = small_run(tmp_path, metrics=["PSNR", "SSIM", "MSE"], keep="all").table
    assert counted["sent"] == before["sent"]
    assert table[["PSNR", "SSIM", "MSE"]].notna().all(axis=None)
    assert np.allclose(table["PSNR"], -10 * np.log10(table["MSE"]))


def test_added_metric_sends_again_only_what_was_not_kept(tmp_path, counted, reference):
    small_run(tmp_path, metrics=["PSNR"], keep=0)
    sent = counted["sent"]
    assert same(small_run(tmp_path).table, reference.table)
    assert sent < counted["sent"] <= 2 * sent  # what came out alike elsewhere is found on disk


def test_added_snr_transceiver_and_realisation_compute_only_those(tmp_path, counted):
    start = {"channel.snr_db": [4, 20], "channel_uses_per_pixel": [0.5]}
    small_run(tmp_path, transceivers={"robust": link("qpsk")}, sweep=start, realisations=1)
    assert counted["sent"] == 2 * 2
    more = {**start, "channel.snr_db": [4, 12, 20]}
    small_run(tmp_path, transceivers={"robust": link("qpsk")}, sweep=more, realisations=1)
    assert counted["sent"] == 2 * 3
    small_run(tmp_path, transceivers={"robust": link("qpsk"), "fast": link("16qam")}, sweep=more, realisations=1)
    assert counted["sent"] == 2 * 6
    table = small_run(
        tmp_path, transceivers={"robust": link("qpsk"), "fast": link("16qam")}, sweep=more, realisations=2
    ).table
    assert counted["sent"] == 2 * 12
    assert len(table) == 24


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"images": {"limit": 2, "size": 48}}, r"images\.size was 64 and is now 48"),
        ({"transceivers": {"robust": link("bpsk"), "fast": link("16qam")}}, r"transceivers\.robust"),
        ({"channels": {"awgn": {"class_path": "AWGN", "init_args": {"csi": "none"}}}}, r"channels\.awgn"),
        ({"batch_size": 1}, "batch_size"),
    ],
)
def test_another_experiment_is_refused_naming_the_key(reference, changes, key):
    with pytest.raises(RunError, match=f"holds another experiment: {key}"):
        run(experiment(**changes), reference.folder)


def test_kill_9_and_resume_gives_the_same_rows(reference, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time; sys.path.insert(0, sys.argv[1]); from small_run import *\n"
        "from semcomm.runs import engine\n"
        "do = engine.Engine.do\n"
        "def slow(self, task):\n    time.sleep(0.1); return do(self, task)\n"
        "engine.Engine.do = slow\n"
        "if __name__ == '__main__': run(experiment(), sys.argv[2])"
    )
    out = tmp_path / "run"
    rows = []
    for _ in range(3):
        process = subprocess.Popen([sys.executable, script, HERE, out])
        enough = (rows[-1] if rows else 0) + 4
        while process.poll() is None and _count(out) < enough:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        rows.append(_count(out))
    assert 0 < rows[0] < rows[1] < rows[2] < 48
    assert same(run(experiment(), out).table, reference.table)


def _count(folder: Path) -> int:
    try:
        with sqlite3.connect(f"file:{folder / 'results.sqlite'}?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*) FROM receptions").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_a_damaged_reconstruction_is_sent_again(tmp_path, counted):
    results = small_run(tmp_path, metrics=["PSNR"], keep="all")
    victim = results.reconstructions[0, "astronaut", 0]
    path = results.folder / "reconstructions" / victim[:2] / f"{victim}.png"
    write_image(path, read_image(path) * 0.5)
    sent = counted["sent"]
    table = small_run(tmp_path, metrics=["PSNR", "MSE"], keep="all").table
    assert np.allclose(table["PSNR"], -10 * np.log10(table["MSE"]))
    assert counted["sent"] > sent
    assert content_hash(read_image(path)) == victim


def test_two_runs_in_one_folder(tmp_path):
    with locked(tmp_path), pytest.raises(RunError, match=rf"in use by process {os.getpid()} on"):
        small_run(tmp_path)
    small_run(tmp_path, sweep={"channel.snr_db": [20], "channel_uses_per_pixel": [0.5]})


def test_a_image_that_changed_under_the_run(tmp_path):
    for n in range(2):
        write_image(tmp_path / f"{n}.png", next(iter(ImageSet(limit=1, size=64)))[1].roll(n, 2))
    images = {"path": str(tmp_path / "*.png")}
    small_run(tmp_path / "run", images=images, metrics=[])
    write_image(tmp_path / "0.png", read_image(tmp_path / "1.png"))
    with pytest.raises(RunError, match=r"0\.png: is not the image that this run began with"):
        small_run(tmp_path / "run", images=images, metrics=[])


def test_bad_images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    write_image(folder / "good.png", next(iter(ImageSet(limit=1, size=64)))[1])
    (folder / "bad.png").write_text("no")
    images = {"path": str(folder)}
    with pytest.raises(ImageError, match=r"bad\.png: .*on_error: skip"):
        small_run(tmp_path / "run", images=images)
    notes = []
    results = run(experiment(images={**images, "on_error": "skip"}), tmp_path / "run2", on_note=notes.append)
    assert set(results.table["image"]) == {"good.png"}
    assert len(notes) == 1
    assert "bad.png" in notes[0]
    (folder / "good.png").unlink()
    with pytest.raises(ImageError, match="none of its 1 images"):
        small_run(tmp_path / "run3", images={**images, "on_error": "skip"})


def test_images_too_small_for_a_metric_are_said_before_anything_is_sent(tmp_path, counted):
    with pytest.raises(MetricError, match="MS-SSIM"):
        small_run(tmp_path, metrics=["MSSSIM"])
    assert counted["sent"] == 0


def test_a_full_disk_is_one_message_and_loses_nothing(tmp_path, reference):
    """Files may not grow beyond a limit, so SQLite and images fail to write somewhere in the middle."""
    script = tmp_path / "script.py"
    script.write_text(
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1]); from small_run import *\n"
        "from semcomm.errors import RunError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)\n"
        "try: run(experiment(), sys.argv[2])\n"
        "except RunError as error: print(error)\n"
    )
    for limit in (1000, 30_000, 80_000):
        out = tmp_path / str(limit)
        command = [sys.executable, script, HERE, out, str(limit)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert said.returncode == 0, said.stderr
        assert "again" in said.stdout
        assert said.stdout.count("\n") == 1
        assert same(run(experiment(), out).table, reference.table)


class Picky(Metric):
    name = "picky"

    def score(self, prepared, reconstruction):
        raise MetricError("not this one")


def test_an_error_in_a_task_keeps_what_is_finished(tmp_path):
    small_run(tmp_path, metrics=["PSNR"])
    with pytest.raises(MetricError, match="not this one"):
        small_run(tmp_path, metrics=["PSNR", f"{__name__}.Picky"])
    assert open_results(tmp_path).table["PSNR"].notna().all()


class Counted(Metric):
    name = "counted"
    scored = 0

    def score(self, prepared, reconstruction):
        Counted.scored += 1
        return reconstruction.mean((1, 2, 3))


def test_realisations_that_arrive_alike_are_scored_once(tmp_path, monkeypatch):
    monkeypatch.setattr(Counted, "scored", 0)
    metrics, sweep = ["PSNR", f"{__name__}.Counted"], {"channel.snr_db": [11, 40]}
    robust = {"robust": link(channel_uses_per_pixel=1.0)}
    table = small_run(tmp_path, metrics=metrics, sweep=sweep, transceivers=robust, realisations=3).table
    different = table.groupby(["image", "snr_db"])["counted"].nunique()
    assert different.loc[:, 40].tolist() == [1, 1]
    assert different.loc[:, 11].min() > 1
    assert different.sum() <= Counted.scored < len(table)  # alike is what came last, not what ever came
    assert table["counted"].notna().all()


class Weighted(Metric):
    name = "weighted"
    present = True

    def recipe(self):
        if not self.present:
            raise ModelError("the weights are not on this machine")
        return {**super().recipe(), "weights": "abc"}

    def score(self, prepared, reconstruction):
        return reconstruction.mean((1, 2, 3))


def test_results_are_read_without_the_weights_they_took(tmp_path, monkeypatch):
    table = small_run(tmp_path, metrics=[f"{__name__}.Weighted"]).table
    monkeypatch.setattr(Weighted, "present", False)
    assert same(open_results(tmp_path).table, table)
    assert table["weighted"].notna().all()


def test_no_run_and_bad_workers(tmp_path):
    with pytest.raises(RunError, match="no run in this folder"):
        open_results(tmp_path)
    with pytest.raises(ConfigurationError, match="workers is 0"):
        run(experiment(), tmp_path, workers=0)

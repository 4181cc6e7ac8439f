import sqlite3

import pandas as pd
import pytest
from small_run import experiment, link, small_run

from semcomm import open_results, run
from semcomm.errors import ConfigurationError, ModelError, RunError
from semcomm.experiment.experiment import Resources, load
from semcomm.models.component import UsesWeights
from semcomm.runs import engine, results
from semcomm.runs.store import DATABASE, LEDGER, Store, StoredReception, StoredScore
from semcomm.transceivers import Separate

SECONDS = ["transmit_seconds", "score_seconds"]


def same(a, b) -> bool:
    pd.testing.assert_frame_equal(a.drop(columns=SECONDS), b.drop(columns=SECONDS))
    return True


def reception(number: float) -> StoredReception:
    return StoredReception(dict.fromkeys(LEDGER, number), {"a": [1, "ü"]}, f"image {number}", 0.5)


def test_what_is_put_in_comes_out_in_the_order_asked_for(tmp_path):
    store = Store(tmp_path)
    nan = float("nan")
    store.add({"x": reception(-0.0), "y": reception(nan)}, [StoredScore("r", "p", "m", nan, 0.1)])
    store.add({}, [StoredScore("r", "q", "m", 3, 0.2)])
    store.close()
    notes = []
    store = Store(tmp_path, notes.append)
    found = store.receptions(["y", "no", "x"])
    assert found[1] is None
    assert found[2].ledger == reception(0.0).ledger
    assert found[0].info == {"a": [1, "ü"]}
    assert all(value != value for value in found[0].ledger.values())
    assert store.received(["x", "no"]) == ["image -0.0", None]
    first, second, third = store.scores("m", [("r", "q"), ("r", None), ("r", "p")])
    assert (first, second) == ((3.0, 0.2), None)
    assert third[0] != third[0]
    assert notes == []


def test_a_changed_value_is_found_by_its_checksum_and_computed_again(tmp_path):
    reference = small_run(tmp_path).table
    with sqlite3.connect(tmp_path / DATABASE) as db:
        db.execute("UPDATE scores SET value = value + 1 WHERE value > 10")
        db.execute("UPDATE receptions SET info = replace(info, 'false', 'true')")
        db.execute("DELETE FROM meta WHERE key = 'seal'")
    notes = []
    read = open_results(tmp_path, on_note=notes.append).table
    assert len(read) < len(reference)
    assert any("damaged rows of scores are left out" in note for note in notes)
    notes.clear()
    assert same(run(experiment(), tmp_path, on_note=notes.append).table, reference)
    assert any("damaged rows of receptions are computed again" in note for note in notes)


@pytest.mark.parametrize("damage", ["text that is no UTF-8", "another type of a column", "a column's name"])
def test_damage_that_the_file_itself_does_not_show(tmp_path, damage):
    """SQLite's own check passes all three."""
    reference = small_run(tmp_path).table
    path = tmp_path / DATABASE
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM meta WHERE key = 'seal'")
        if damage == "text that is no UTF-8":
            db.execute(
                "UPDATE receptions SET info = CAST(X'7BBABA7D' AS TEXT) WHERE key = (SELECT key FROM receptions)"
            )
            db.execute("UPDATE scores SET metric = CAST(X'50BA' AS TEXT) WHERE value > 10")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    if damage != "text that is no UTF-8":
        old, new = {"another type of a column": (b"info TEXT", b"info T\xbaXT")}.get(
            damage, (b"source_bits REAL", b"source_\xba\xbats REAL")
        )
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))
    notes = []
    assert same(run(experiment(), tmp_path, on_note=notes.append).table, reference)
    assert any("damaged" in note for note in notes)
    assert same(open_results(tmp_path, on_note=notes.append).table, reference)


def test_a_run_of_a_later_format_is_refused_and_not_put_aside(tmp_path):
    small_run(tmp_path)
    store = Store(tmp_path)
    store.set_meta("format", 99)
    store.close()
    with sqlite3.connect(tmp_path / DATABASE) as db:
        db.execute("ALTER TABLE scores ADD COLUMN unit TEXT")
    with pytest.raises(RunError, match="was written in format 99"):
        run(experiment(), tmp_path)
    assert not list(tmp_path.glob("*.damaged-*"))


def test_rows_around_a_hole_in_the_file_are_saved(tmp_path):
    reference = small_run(tmp_path, realisations=20).table
    path = tmp_path / DATABASE
    data = bytearray(path.read_bytes())
    page = len(data) // 2 // 4096 * 4096
    data[page : page + 4096] = b"\xaa" * 4096
    path.write_bytes(data)
    with pytest.raises(RunError, match="database is damaged"):
        open_results(tmp_path)
    notes, tasks = [], []
    table = run(experiment(realisations=20), tmp_path, on_note=notes.append, on_progress=tasks.append).table
    assert same(table, reference)
    assert "rows of it are saved" in notes[0]
    assert tasks[0].total < len(reference) / 2  # half of its batches
    assert (tmp_path / f"{DATABASE}.damaged-1").exists()


def test_a_run_from_before_the_checksums_goes_on(tmp_path, monkeypatch):
    reference = small_run(tmp_path).table
    with sqlite3.connect(tmp_path / DATABASE) as db:
        for table in ("meta", "images", "receptions", "scores"):
            db.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
        db.execute("UPDATE meta SET value = '1' WHERE key = 'format'")
    monkeypatch.setattr(engine, "_sent", None)  # nothing may be sent any more
    assert same(run(experiment(), tmp_path).table, reference)


def test_what_was_exported_is_read_back_only_while_it_is_all(tmp_path, monkeypatch):
    table = small_run(tmp_path).table
    made = results._table
    monkeypatch.setattr(results, "_table", None)  # nothing may be looked up any more
    assert same(open_results(tmp_path).table, table)
    assert same(run(experiment(title="other"), tmp_path).table, table)
    monkeypatch.setattr(results, "_table", made)
    (tmp_path / "results.csv").write_text("not ours")
    (tmp_path / "results.parquet").write_bytes(b"damaged")
    assert same(run(experiment(), tmp_path).table, table)
    assert len(pd.read_csv(tmp_path / "results.csv")) == len(table)
    more = small_run(tmp_path, realisations=3).table
    assert len(more) == len(table) * 3 / 2


class Learned(Separate, UsesWeights):
    found = "abc"

    def weights(self) -> str:
        if not self.found:
            raise ModelError("the weights are not on this machine")
        return self.found


def test_results_are_read_without_the_weights_of_a_link(tmp_path, monkeypatch):
    described = {**link(), "class_path": f"{__name__}.Learned"}
    table = small_run(tmp_path, transceivers={"learned": described}).table
    for weights in ("", "others"):  # gone, or replaced
        monkeypatch.setattr(Learned, "found", weights)
        assert same(open_results(tmp_path).table, table)
    states = []
    run(experiment(transceivers={"learned": described}), tmp_path, on_progress=states.append)
    assert states[-1].total == 24  # other weights: everything is sent again
    monkeypatch.setattr(Learned, "found", "")
    with pytest.raises(ModelError, match="not on this machine"):
        run(experiment(transceivers={"learned": described}), tmp_path)


def test_a_worker_with_other_weights_is_refused(tmp_path, monkeypatch):
    described = {**link(), "class_path": f"{__name__}.Learned"}

    def elsewhere(progress):
        monkeypatch.setattr(Learned, "found", "others" if progress.done == 0 else "abc")

    with pytest.raises(RunError, match=r"transceiver learned is not the same on .* as where the run was planned"):
        run(experiment(transceivers={"learned": described}), tmp_path, on_progress=elsewhere)


def test_resources_are_checked_and_add_up():
    found = load(experiment(resources={"fast": {"gpus": 0.5, "cpus": 2}, "SSIM": {"gpus": 0.25}}))
    assert found.needs("fast") == Resources(cpus=2, gpus=0.75)
    assert found.needs("robust") == Resources(cpus=1, gpus=0.25)
    assert load(found.resolved()).resources == found.resources
    with pytest.raises(ConfigurationError, match="no transceiver or metric 'fist'; did you mean 'fast'"):
        load(experiment(resources={"fist": {}}))
    with pytest.raises(ConfigurationError, match=r"cpus.*must be above 0"):
        load(experiment(resources={"fast": {"cpus": 0}}))
    with pytest.raises(ConfigurationError, match="gpu"):
        load(experiment(resources={"fast": {"gpu": 1}}))


def test_images_that_came_or_went(tmp_path):
    from semcomm.images import ImageSet, write_image

    images = tmp_path / "images"
    images.mkdir()
    for name, image in ImageSet(limit=2, size=64):
        write_image(images / f"{name}.png", image)
    plan = {"images": {"path": str(images)}, "metrics": []}
    small_run(tmp_path / "run", **plan)
    (images / "cat.png").rename(images / "dog.png")
    with pytest.raises(RunError, match=r"other images than when this run began \(cat\.png, dog\.png\)"):
        small_run(tmp_path / "run", **plan)

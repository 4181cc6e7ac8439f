"""Studies from runs, folders and lists, and the commands from the first to SeSS with a laboratory's constants."""

import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from simulated_raters import answer_all, noisy, originals

from semcomm.cli import main
from semcomm.errors import ConfigurationError, StudyError
from semcomm.images import content_hash, write_image
from semcomm.ratings import Settings, Study
from semcomm.ratings.settings import load_settings, text_of
from semcomm.ratings.sources import Candidate, balanced, from_folders, from_list, from_runs


def test_a_choice_is_balanced():
    """Links with unlike numbers of points are shown alike, and so are the points of each."""
    found = [
        Candidate(f"image {n}", link, f"{point}", None, {})
        for n in range(12)
        for link, points in (("jpeg", 10), ("lsci", 4), ("generative", 2))
        for point in range(points)
    ]
    items = balanced({f"image {n}": None for n in range(12)}, found, 60, "triplets", 0)
    assert len(items) == 60
    assert set(Counter(item.facts["names"][0] for item in items).values()) == {5}
    shown = Counter(name for item in items for name in item.facts["names"][1:])
    links = Counter()
    for name, count in shown.items():
        links[name.split()[0]] += count
    assert max(links.values()) - min(links.values()) <= 3
    for link in links:
        counts = [count for name, count in shown.items() if name.startswith(link)]
        assert max(counts) - min(counts) <= 2
    assert len({tuple(sorted(item.facts["names"])) for item in items}) == 60
    everything = balanced({f"image {n}": None for n in range(12)}, found, 10**6, "pairs", 0)
    assert len(everything) == len(found)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    from small_run import small_run

    folder = tmp_path_factory.mktemp("run") / "it"
    small_run(folder, images={"limit": 4, "size": 64}, realisations=1, keep="all")
    return folder


def test_from_a_run(run_folder, tmp_path):
    items = from_runs([run_folder], 20, "triplets")
    study = Study.make(tmp_path / "it", Settings(training=2), items)
    kept = [item for item in study.database.items() if not item.practice]
    assert len(kept) == 18 and sum(item.practice for item in study.database.items()) == 2
    for item in kept:
        for key in (item.reference, item.first, item.second):
            assert content_hash(study.image(key)) == key
        for facts, name in zip(item.facts["candidates"], item.facts["names"][1:]):
            assert facts["link"] in name and facts["snr_db"] in (4, 12, 20) and facts["bpp"] > 0
    links = Counter(facts["link"] for item in kept for facts in item.facts["candidates"])
    assert abs(links["robust"] - links["fast"]) <= 4


def test_from_a_run_that_kept_nothing(tmp_path):
    from small_run import small_run

    small_run(tmp_path / "it", images={"limit": 1, "size": 64}, realisations=1, keep=0)
    with pytest.raises(StudyError, match="keep: all"):
        from_runs([tmp_path / "it"], 5, "triplets")


def test_from_folders_and_lists(tmp_path):
    for n, image in enumerate(originals(6)):
        for link, strength in (("original", 0), ("mild", 0.05), ("harsh", 0.2)):
            (tmp_path / "in" / link).mkdir(parents=True, exist_ok=True)
            write_image(tmp_path / "in" / link / f"{n}.png", noisy(image, strength, n) if strength else image)
    items = from_folders(tmp_path / "in", 10, "triplets")
    assert len(items) == 6 and {tuple(sorted(i.facts["names"][1:])) for i in items} == {("harsh", "mild")}
    assert len(from_folders(tmp_path / "in", 10, "pairs")) == 10
    lines = ["reference,first,second"] + [f"original/{n}.png,mild/{n}.png,harsh/{n}.png" for n in range(6)]
    (tmp_path / "in" / "list.csv").write_text("\n".join(lines))
    study = Study.make(tmp_path / "study", Settings(), from_list(tmp_path / "in" / "list.csv"))
    assert len(study.database.items()) == 6
    with pytest.raises(StudyError, match="set `kind`"):
        Study.make(tmp_path / "other", Settings(kind="pairs"), from_list(tmp_path / "in" / "list.csv"))
    with pytest.raises(StudyError, match="is not empty"):
        Study.make(tmp_path / "study", Settings(), from_list(tmp_path / "in" / "list.csv"))
    for text, reason in (
        ("reference,first\nx.png,y.png\n", "there is no file"),
        ("first,second\nx.png,y.png\n", "needs the columns"),
        ("reference,first\nx.png\n", "line 2: needs reference, first"),
        ("", "needs the columns"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(StudyError, match=reason):
            from_list(tmp_path / "bad.csv")
    with pytest.raises(StudyError, match="named original"):
        from_folders(tmp_path / "in" / "mild", 5, "pairs")


def test_settings_are_written_and_read(tmp_path):
    settings = Settings(instructions="Zwei Absätze.\n\nUnd noch einer.", words={"next": "Weiter"}, language="de")
    (tmp_path / "study.yaml").write_text(text_of(settings), encoding="utf-8")
    assert load_settings(tmp_path / "study.yaml") == settings
    for change, reason in (
        ({"words": {"nxt": "x"}}, "words.nxt"),
        ({"kind": "quartets"}, "kind"),
        ({"repeats": 99}, "more than items_per_rater"),
        ({"items_per_rater": 0}, "must be from 1"),
        ({"language": '"><script>'}, "language"),
        ({"exclusion": {"median_seconds": -1.0}}, "median_seconds is -1"),
        ({"simulatd": True}, "did you mean 'simulated'"),
    ):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(change))
        with pytest.raises(ConfigurationError, match=reason):
            load_settings(tmp_path / "study.yaml")


def test_the_whole_way(run_folder, tmp_path, capsys, monkeypatch):
    """The example of the documentation, with simulated raters in the place of people."""
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    settings = {"simulated": True, "items_per_rater": 8, "ratings_per_item": 2, "metrics": ["SeSS"], "repeats": 2}
    Path("settings.yaml").write_text(yaml.safe_dump(settings))
    assert (
        main(["ratings", "new", "study", "--run", str(run_folder), "--items", "8", "--settings", "settings.yaml"]) == 0
    )
    assert main(["ratings", "links", "study", "--add", "1"]) == 0
    assert capsys.readouterr().out.count("/r/R00") == 3
    study = Study("study")
    for rater in study.database.raters():
        answer_all(study, rater.code)
    study.close()
    assert main(["ratings", "export", "study", "--half", "a", "--to", "triplets.csv"]) == 0
    assert main(["sess", "tune", "triplets.csv", "--trials", "5", "--out", "our-lab.json"]) == 0
    report = ["ratings", "report", "study", "--half", "b", "--parameters", "our-lab.json", "--resamples", "5"]
    assert main(report) == 0
    page = Path("study/report/report.html").read_text()
    assert "SeSS (embedded)" in page and "SeSS (embedded, our-lab)" in page and "simulated" in page
    halves = len(Path("triplets.csv").read_text().splitlines()) - 1 + len(pd.read_csv("study/report/pairs.csv")) // 2
    assert halves == 8 and len(pd.read_csv("study/report/ratings.csv")) == 3 * (8 + 2 + 3 + 3)
    tuned = {"class_path": "SeSS", "init_args": {"parameters": "our-lab.json"}}
    from small_run import small_run

    results = small_run(tmp_path / "after", metrics=[tuned], images={"limit": 1, "size": 64}, realisations=1)
    assert results.table["SeSS (embedded, our-lab)"].notna().all()
    assert json.loads(Path("our-lab.json").read_text())["iterations"] >= 1


def test_errors_are_one_line(tmp_path, capsys):
    for command, said in (
        (["report", str(tmp_path)], "there is no study in this folder"),
        (["report", str(tmp_path / "none.csv")], "cannot be read"),
        (["new", str(tmp_path / "x"), "--run", str(tmp_path)], "there is no run"),
        (["new", str(tmp_path / "x"), "--folder", str(tmp_path), "--items", "0"], "--items is 0"),
    ):
        assert main(["ratings", *command]) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1

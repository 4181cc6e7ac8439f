"""Reports and exports of studies of every kind."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated_raters import answer_all, small_study

from semcomm.errors import ConfigurationError, StudyError
from semcomm.metrics import PSNR, SSIM
from semcomm.metrics.sess.tuning import read_triplets
from semcomm.ratings import Exclusion
from semcomm.ratings.files import write_ratings, write_triplets
from semcomm.ratings.opinions import opinions_of
from semcomm.ratings.report import write_report
from semcomm.ratings.statistics import CEILING


def test_a_report(answered, tmp_path):
    opinions = opinions_of(answered)
    table = write_report(opinions, [PSNR(), SSIM()], tmp_path, answered.database, resamples=60)
    assert set(table["metric"]) == {"PSNR", "SSIM", CEILING}
    found = table.set_index(["metric", "statistic"])["value"]
    assert found["PSNR", "spearman"] > 0.9 and found[CEILING, "spearman"] > 0.8
    assert found["PSNR", "preference"] == pytest.approx(1, abs=0.1)
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    assert len(pairs) == len(opinions.pairs) == 18 and set(pairs["source"]) == {"simulated raters"}
    assert pairs["score"].to_numpy() == pytest.approx(opinions.means(), nan_ok=True)
    assert pairs["PSNR"].corr(pairs["score"], method="spearman") == pytest.approx(found["PSNR", "spearman"])
    agreement = pd.read_csv(tmp_path / "agreement.csv").set_index("what")["value"]
    assert agreement["Krippendorff's alpha"] > 0.9
    assert agreement["identical pairs, mean score"] > 0.95
    raters = pd.read_csv(tmp_path / "raters.csv")
    assert list(raters["rater"]) == ["R001", "R002", "R003", "R004"]
    page = (tmp_path / "report.html").read_text()
    assert "Simulated raters: programs gave these answers" in page and "<script" not in page
    # what a metric said is kept: nothing is computed again
    broken = PSNR()
    broken.score = None
    again = write_report(opinions, [broken], tmp_path / "again", answered.database, resamples=2)
    assert again.set_index(["metric", "statistic"])["value"]["PSNR", "kendall"] == found["PSNR", "kendall"]


def test_who_answers_at_random_is_left_out(tmp_path):
    study = small_study(tmp_path / "it", raters=3, identical=4, items_per_rater=9)
    answer_all(study, "R001")
    answer_all(study, "R002")
    answer_all(study, "R003", noise=1.0)
    opinions = opinions_of(study)
    assert opinions.raters == ["R001", "R002"]
    assert "identical pairs" in opinions.conduct[2].excluded
    write_report(opinions, [PSNR()], tmp_path / "report", study.database, resamples=2)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "The rule leaves 1 more out." in page and opinions.rule[:40] in page


def test_nobody_and_nobody_left(tmp_path):
    study = small_study(tmp_path / "it", raters=1)
    with pytest.raises(StudyError, match="nobody has answered yet"):
        opinions_of(study)
    strict = small_study(tmp_path / "strict", raters=1, exclusion=Exclusion(median_seconds=99.0))
    answer_all(strict, "R001")
    with pytest.raises(ConfigurationError, match="leaves no rater"):
        write_report(opinions_of(strict), [PSNR()], tmp_path / "report")


def test_choices(tmp_path):
    study = small_study(tmp_path / "it", kind="choices", raters=3, items_per_rater=9)
    for rater in study.database.raters():
        answer_all(study, rater.code)
    opinions = opinions_of(study)
    assert opinions.scores.shape == (0, 18) and set(opinions.preferences[~np.isnan(opinions.preferences)]) == {0, 1}
    table = write_report(opinions, [PSNR()], tmp_path / "report", study.database, resamples=20)
    assert set(table["statistic"]) == {"preference"}
    assert table.set_index("metric")["value"]["PSNR"] > 0.9
    with pytest.raises(StudyError, match="no scores to tune on"):
        write_triplets(opinions, study, tmp_path / "it.csv")


def test_pairs(tmp_path):
    study = small_study(tmp_path / "it", kind="pairs", raters=2, items_per_rater=9)
    for rater in study.database.raters():
        answer_all(study, rater.code)
    opinions = opinions_of(study)
    table = write_report(opinions, [PSNR()], tmp_path / "report", study.database, resamples=20)
    assert "preference" not in set(table["statistic"])
    assert write_triplets(opinions, study, tmp_path / "it.csv") == 9
    for row in read_triplets(tmp_path / "it.csv"):
        assert row["first"] == row["second"] and row["first_score"] == row["second_score"]


def test_exported_triplets_are_what_tuning_reads(answered, tmp_path):
    opinions = opinions_of(answered)
    count = write_triplets(opinions, answered, tmp_path / "deep" / "triplets.csv")
    rows = read_triplets(tmp_path / "deep" / "triplets.csv")
    assert count == len(rows) == 9
    means = opinions.means().reshape(-1, 2)
    for row, (first, second) in zip(rows, means, strict=True):
        assert (row["first_score"], row["second_score"]) == pytest.approx((first, second), abs=1e-6)
        for name in ("reference", "first", "second"):
            assert Path(row[name]).resolve().parent == (answered.folder / "images").resolve()
    with (tmp_path / "deep" / "triplets.csv").open() as file:
        assert {row["source"] for row in csv.DictReader(file)} == {"simulated raters"}


def test_every_answer_can_be_had_as_it_was_given(answered, tmp_path):
    write_ratings(answered, tmp_path / "ratings.csv")
    table = pd.read_csv(tmp_path / "ratings.csv")
    assert len(table) == 4 * 13 and set(table["kind"]) == {"practice", "item", "repeat", "identical"}
    assert "R001" in set(table["rater"]) and (table["seconds"] == 3).all()

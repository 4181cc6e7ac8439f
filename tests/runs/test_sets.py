import numpy as np
import pandas as pd
import pytest
from small_run import experiment, small_run

from semcomm import SetMetric, open_results, run
from semcomm.errors import MetricError
from semcomm.images import ImageSet, read_image

CALLS = []


class MeanGap(SetMetric):
    """Distance of the mean colours of two sets."""

    name = "gap"
    minimum = 2

    def features(self, images):
        CALLS.append(len(images))
        return images.mean((2, 3))

    def distance(self, reference, reconstruction):
        return float((reference.mean(0) - reconstruction.mean(0)).norm())


METRICS = ["PSNR", f"{__name__}.MeanGap"]


def test_one_number_per_point_and_realisation(tmp_path):
    CALLS.clear()
    results = small_run(tmp_path, metrics=METRICS, keep="all")
    sets = results.sets
    assert len(sets) == 2 * 6 * 2
    assert list(sets.columns)[-2:] == ["images", "gap"]
    assert "gap" not in results.table
    for _, row in sets.iloc[[0, 13]].iterrows():
        numbers = [
            number
            for number, point in enumerate(results.experiment.points)
            if (point.transceiver, point.parameters["snr_db"], point.parameters["channel_uses_per_pixel"])
            == (row["transceiver"], row["snr_db"], row["channel_uses_per_pixel"])
        ]
        keys = [results.reconstructions[numbers[0], name, row["realisation"]] for name in ("astronaut", "cat")]
        found = [read_image(tmp_path / "reconstructions" / key[:2] / f"{key}.png").mean((1, 2)) for key in keys]
        originals = [image.mean((1, 2)) for _, image in ImageSet(limit=2, size=64)]
        expected = (sum(originals) / 2 - sum(found) / 2).norm().item()
        assert row["gap"] == pytest.approx(expected, abs=1e-6)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "sets.parquet"), sets, check_dtype=False)


def test_features_are_computed_once_and_added_later_without_sending(tmp_path, monkeypatch):
    from semcomm.runs import engine

    small_run(tmp_path, metrics=["PSNR"], keep="all")
    monkeypatch.setattr(engine, "_sent", None)  # nothing may be sent any more
    CALLS.clear()
    first = run(experiment(metrics=METRICS, keep="all"), tmp_path)
    distinct = len(set(first.reconstructions.values())) + 2
    assert len(CALLS) == distinct
    again = run(experiment(metrics=METRICS, keep="all"), tmp_path)
    assert len(CALLS) == distinct
    pd.testing.assert_frame_equal(first.sets, again.sets)
    pd.testing.assert_frame_equal(open_results(tmp_path).sets, first.sets)
    assert np.isfinite(first.sets["gap"]).all()


def test_too_few_images_are_refused_before_anything_is_sent(tmp_path):
    with pytest.raises(MetricError, match="gap needs at least 2 images, and there are 1"):
        small_run(tmp_path, metrics=METRICS, images={"limit": 1, "size": 64})
    assert not list(tmp_path.glob("reconstructions/*"))


def test_resolved_experiment_builds_the_same_metrics():
    from semcomm import load

    found = load(experiment(metrics=["PSNR", "SeSS", {"class_path": "SeSS", "init_args": {"parameters": "authors"}}]))
    again = load(found.resolved())
    assert [m.name for m in again.metrics] == [m.name for m in found.metrics]

import dataclasses
import json
from pathlib import Path

import bjontegaard
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp
from small_run import link, small_run

from semcomm.analysis.compare import compare
from semcomm.analysis.curves import curves
from semcomm.analysis.figures import draw
from semcomm.cli import main
from semcomm.errors import ConfigurationError, RunError
from semcomm.runs.joined import joined
from semcomm.runs.results import Results
from semcomm.runs.run import open_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    budgets = {"channel.snr_db": [4, 12, 20], "channel_uses_per_pixel": [0.3, 0.6, 1.2, 2.4]}
    return small_run(tmp_path_factory.mktemp("run"), sweep=budgets, realisations=1)


def set_scores(results: Results, **columns: pd.Series) -> Results:
    return dataclasses.replace(results, table=results.table.assign(**columns))


def test_bjontegaard_deltas_agree_with_an_independent_package(results: Results) -> None:
    found = compare(results, "robust", "bpp", "PSNR")
    assert list(found["curve"]) == ["fast, snr_db 4", "fast, snr_db 12", "fast, snr_db 20"]
    assert list(found["reference"]) == ["robust, snr_db 4", "robust, snr_db 12", "robust, snr_db 20"]
    frame = curves(results, "bpp", "PSNR")
    fast, robust = (frame[frame["curve"] == f"{name}, snr_db 20"].sort_values("bpp") for name in ("fast", "robust"))
    columns = [curve[name].to_numpy() for curve in (robust, fast) for name in ("bpp", "mean")]
    at_20 = found.iloc[2]
    assert at_20["bd_rate"] == pytest.approx(bjontegaard.bd_rate(*columns, method="pchip", min_overlap=0), abs=1e-6)
    assert at_20["bd_quality"] == pytest.approx(bjontegaard.bd_psnr(*columns, method="pchip", min_overlap=0), abs=1e-6)
    assert at_20["reason"] == ""


def test_what_cannot_be_compared_has_a_reason(results: Results) -> None:
    at_4 = compare(results, "robust", "bpp", "PSNR").iloc[0]  # nothing arrives at 4 dB: every quality is the same
    assert np.isnan(at_4["bd_rate"]) and at_4["reason"].startswith("bd_rate: ")
    lost = set_scores(results, PSNR=results.table["PSNR"].where(results.table["transceiver"] == "fast"))
    found = compare(lost, "robust", "bpp", "PSNR")
    assert found[["bd_rate", "bd_quality"]].isna().all(axis=None) and (found["reason"] != "").all()
    found = compare(lost, "robust", "snr_db", "PSNR")
    assert found[["gain", "x_difference"]].isna().all(axis=None)
    assert "share no snr_db" in found["reason"][0] and "fewer than two" in found["reason"][0]


def test_points_where_nothing_was_sent_are_left_out(results: Results) -> None:
    with np.errstate(all="raise"):
        idle = set_scores(results, bpp=results.table["bpp"].mask(results.table["channel_uses_per_pixel"] == 0.3, 0.0))
        assert np.isfinite(compare(idle, "robust", "bpp", "PSNR").iloc[2]["bd_quality"])


def test_a_shift_in_snr_is_found(results: Results) -> None:
    table = results.table
    quality = table["snr_db"] + 30 - 3.0 * (table["transceiver"] == "fast")
    found = compare(set_scores(results, PSNR=quality), "robust", "snr_db", "PSNR")
    assert list(found["curve"]) == [f"fast, channel_uses_per_pixel {n}" for n in (0.3, 0.6, 1.2, 2.4)]
    assert found["gain"].to_numpy() == pytest.approx(-3)
    assert found["x_difference"].to_numpy() == pytest.approx(3)
    assert (found["points"] == 3).all() and (found["reason"] == "").all()


def test_falling_curves_and_error_rates(results: Results) -> None:
    table = results.table
    shift = 4.0 * (table["transceiver"] == "fast")
    found = compare(set_scores(results, PSNR=100 - table["snr_db"] + shift), "robust", "snr_db", "PSNR")
    assert found["gain"].to_numpy() == pytest.approx(4)
    assert found["x_difference"].to_numpy() == pytest.approx(4)
    errors = 10 ** (-(table["snr_db"] - shift) / 8) * table["blocks"]
    found = compare(set_scores(results, block_errors=errors), "robust", "snr_db", "bler")
    assert found["x_difference"].to_numpy() == pytest.approx(4)


def test_channels_are_apart_and_parameters_of_one_alone_exclude_nothing(tmp_path: Path) -> None:
    results = small_run(
        tmp_path,
        transceivers={
            "reference": link(channel_uses_per_pixel=1.0),
            "mine": {**link(channel_uses_per_pixel=1.0), "sweep": {"fill": ["mean", "grey"]}},
        },
        channels={"near": "AWGN", "far": "AWGN"},
        sweep={"channel.snr_db": [4, 20]},
        metrics=["PSNR"],
        realisations=1,
    )
    found = compare(results, "reference", "snr_db", "PSNR")
    expected = [(c, f"mine, fill {q}", "reference") for c in ("near", "far") for q in ("mean", "grey")]
    assert list(found[["channel", "curve", "reference"]].itertuples(index=False, name=None)) == expected
    assert found["gain"][0] == 0


def test_bad_requests(results: Results) -> None:
    with pytest.raises(ConfigurationError, match="no transceiver 'robsut'; did you mean 'robust'"):
        compare(results, "robsut", "bpp", "PSNR")
    with pytest.raises(ConfigurationError, match="known are fast, robust"):
        compare(results, "zzz", "bpp", "PSNR")
    with pytest.raises(ConfigurationError, match="no column 'LPIPS'"):
        compare(results, "robust", "bpp", "LPIPS")
    with pytest.raises(ConfigurationError, match="'transceiver' holds no numbers"):
        compare(results, "robust", "transceiver", "PSNR")


def test_empty_results_give_an_empty_table(results: Results) -> None:
    empty = dataclasses.replace(results, table=results.table.iloc[:0])
    numbers = [f"{name}{end}" for name in ("bd_rate", "bd_quality") for end in ("", "_low", "_high")]
    assert list(compare(empty, "robust", "bpp", "PSNR").columns) == [
        *("channel", "curve", "reference", *numbers, "images", "reason")
    ]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Five images, whose scores are made up below: by much from image to image, by little from link to link."""
    return small_run(
        tmp_path_factory.mktemp("many"),
        sweep={"channel.snr_db": [4, 12, 20], "channel_uses_per_pixel": [1.0]},
        images={"limit": 5, "size": 32},
        metrics=["PSNR"],
    )


def made_up(results: Results, gains: list[float]) -> Results:
    table = results.table
    of_image = table["image"].map({name: n for n, name in enumerate(results.images)})
    fast = table["transceiver"] == "fast"
    return set_scores(
        results, PSNR=20 + 3 * of_image + table["snr_db"] / 2 + fast * of_image.map(dict(enumerate(gains)))
    )


def test_differences_are_paired(many: Results) -> None:
    """Images differ by 3 dB each and links by about 0.5: the interval knows the links' difference alone."""
    gains = [0.4, 0.5, 0.6, 0.45, 0.55]
    row = compare(made_up(many, gains), "robust", "snr_db", "PSNR").iloc[0]
    t = ttest_1samp(gains, 0).confidence_interval(0.95)
    assert row["gain"] == pytest.approx(0.5) and row["images"] == 5 and row["points"] == 3
    assert row["gain_low"] == pytest.approx(t.low, abs=0.02) and row["gain_high"] == pytest.approx(t.high, abs=0.02)
    assert row["x_difference"] == pytest.approx(-1.0) and row["x_difference_low"] < -1 < row["x_difference_high"] < -0.7
    each = compare(made_up(many, gains), "robust", "snr_db", "PSNR", each=True)
    assert each["snr_db"].tolist() == [4, 12, 20] and each["gain"].to_numpy() == pytest.approx(0.5)
    assert each["gain_low"].to_numpy() == pytest.approx(row["gain_low"], abs=1e-6)


def test_an_image_that_one_link_lacks_is_left_out_of_both(many: Results) -> None:
    made = made_up(many, [0.5] * 5)
    first = next(iter(made.images))
    lost = (made.table["image"] == first) & (made.table["transceiver"] == "fast")
    row = compare(set_scores(made, PSNR=made.table["PSNR"].mask(lost)), "robust", "snr_db", "PSNR").iloc[0]
    assert row["gain"] == pytest.approx(0.5) and row["images"] == 4


def test_one_image_gives_no_interval(tmp_path: Path) -> None:
    row = compare(small_run(tmp_path, images={"limit": 1, "size": 32}), "robust", "snr_db", "SSIM").iloc[0]
    assert np.isfinite(row["gain"]) and np.isnan(row["gain_low"]) and row["images"] == 1


def command(*words: str) -> list[str]:
    return ["compare", *words]


def test_the_command_line(many: Results, capsys: pytest.CaptureFixture) -> None:
    folder = str(many.folder)
    assert main(command(folder, "--to", "robust", "--format", "json")) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["curve"] == "fast" and row["gain_low"] < row["gain"] < row["gain_high"]
    assert main(command(folder, "--to", "robust", "--format", "csv", "--each")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "channel,curve,reference,snr_db,gain,gain_low,gain_high,images" and len(lines) == 4
    assert main(command(folder, "--to", "robust", "--format", "latex")) == 0
    latex = capsys.readouterr().out
    assert latex.startswith("% PSNR over snr_db, difference from robust") and "\\bottomrule" in latex
    assert latex.count("x\\_difference") == 1
    assert main(command(folder, "--to", "robust")) == 0
    assert "fast" in capsys.readouterr().out


def test_what_cannot_be_compared_is_one_sentence(many: Results, capsys: pytest.CaptureFixture) -> None:
    assert main(command(str(many.folder), "--to", "robust", "--x", "bpp")) == 0
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert (
        "none of 3 pairs of curves can be compared over bpp: a Bjøntegaard delta needs two finite points" in shown.err
    )


def test_several_runs_are_one_table(many: Results, tmp_path: Path) -> None:
    mine = small_run(
        tmp_path / "mine",
        transceivers={"robust": link("qpsk"), "mine": link("64qam")},
        sweep={"channel.snr_db": [12, 20, 28], "channel_uses_per_pixel": [1.0]},
        images={"limit": 5, "size": 32},
        metrics=["PSNR"],
    )
    both = open_results(many.folder, mine.folder)
    assert list(both.experiment.transceivers) == ["robust", "fast", "mine"]
    robust = curves(both, "snr_db", "PSNR").query("transceiver == 'robust'")
    assert sorted(robust["snr_db"]) == [4, 12, 20, 28] and set(robust["count"]) == {10}
    found = compare(both, "robust", "snr_db", "PSNR")
    assert found[["curve", "points"]].to_numpy().tolist() == [["fast", 3], ["mine", 3]]
    assert found["gain"][0] == pytest.approx(compare(many, "robust", "snr_db", "PSNR")["gain"][0])
    draw(both, tmp_path / "figures")


def test_names_of_several_runs_that_stand_for_different_things_are_told_apart(many: Results, tmp_path: Path) -> None:
    other = small_run(
        tmp_path / "other",
        transceivers={"robust": link("16qam")},
        sweep={"channel.snr_db": [4, 20], "channel_uses_per_pixel": [1.0]},
        images={"limit": 5, "size": 32},
        metrics=["PSNR"],
    )
    labels = [many.folder.name, "other"]
    both = open_results(many.folder, other.folder)
    assert list(both.experiment.transceivers) == [f"robust ({labels[0]})", "fast", "robust (other)"]
    frame = curves(both, "snr_db", "PSNR")
    alone = curves(other, "snr_db", "PSNR")
    assert frame[frame["transceiver"] == "robust (other)"]["mean"].tolist() == alone["mean"].tolist()
    changed = dataclasses.replace(many, table=many.table.assign(PSNR=many.table["PSNR"] + 1), folder=tmp_path / "new")
    assert "robust (new)" in joined([many, changed]).experiment.transceivers  # one description, other scores
    assert joined([many, many]).experiment.transceivers.keys() == many.experiment.transceivers.keys()
    with pytest.raises(RunError, match="no run in this folder"):
        open_results(many.folder, tmp_path / "nothing")

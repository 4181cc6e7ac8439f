import dataclasses
from pathlib import Path

import bjontegaard
import numpy as np
import pandas as pd
import pytest
from small_run import link, small_run

from semcomm.analysis.compare import compare
from semcomm.analysis.curves import curves
from semcomm.errors import ConfigurationError
from semcomm.runs.results import Results


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
    assert list(compare(empty, "robust", "bpp", "PSNR").columns) == [
        *("channel", "curve", "reference", "bd_rate", "bd_quality", "reason")
    ]

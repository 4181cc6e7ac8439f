import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_run import link, small_run

from semcomm.analysis.curves import curves_of
from semcomm.analysis.defaults import default_axes, default_figures, label_of, main_axis
from semcomm.analysis.figures import draw, figure
from semcomm.analysis.styles import style
from semcomm.errors import ConfigurationError, RunError
from semcomm.experiment.experiment import Experiment
from semcomm.experiment.figure import FigureSpec
from semcomm.runs.results import Results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return small_run(tmp_path_factory.mktemp("run"))


def with_table(results: Results, figures: list[FigureSpec] | None = None, **columns: object) -> Results:
    experiment = dataclasses.replace(results.experiment, figures=figures or [])
    return dataclasses.replace(results, experiment=experiment, table=results.table.assign(**columns))


def figure_of(results: Results, spec: FigureSpec) -> object:
    return figure(results, spec)


def notes_in(figure: object) -> str:
    return " ".join(" ".join(text.get_text() for text in axes.texts) for axes in figure.axes).replace("\n", " ")


def test_default_figures_are_every_metric_and_the_block_error_rate_over_snr(results: Results, tmp_path: Path) -> None:
    assert default_figures(results) == [
        FigureSpec("snr_db", "PSNR"),
        FigureSpec("snr_db", "SSIM"),
        FigureSpec("snr_db", "bler", log_y=True),
    ]
    files = draw(results, tmp_path / "figures")
    names = [f"{y}-over-snr-db" for y in ("psnr", "ssim", "bler")]
    assert [file.name for file in files] == [f"{name}{suffix}" for name in names for suffix in (".png", ".pdf", ".tex")]
    for file in files[::3]:
        with Image.open(file) as image:
            assert image.width == 700  # 3.5 inches at 200 dpi
    pdf = files[1].read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf


def test_the_same_results_give_the_same_bytes(results: Results, tmp_path: Path) -> None:
    one = with_table(results, [FigureSpec("snr_db", "PSNR")])
    first, second = draw(one, tmp_path / "a"), draw(one, tmp_path / "b")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_global_state_is_left_alone(results: Results, tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw(with_table(results, [FigureSpec("bpp", "SSIM", log_x=True)]), tmp_path)
    assert dict(matplotlib.rcParams) == before


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    results = small_run(
        tmp_path / "run",
        transceivers={"$\\frac{$": link(), "_hidden": link("16qam"), "x" * 200: link("64qam")},
        channels={"../../up": "AWGN", "..\\up": "AWGN", "": "AWGN"},
        sweep={"channel.snr_db": [20], "channel_uses_per_pixel": [0.5, 1.0]},
        metrics=["PSNR"],
        realisations=1,
        figures=[{"x": "channel_uses_per_pixel", "y": "PSNR"}],
    )
    files = draw(results, tmp_path / "figures")
    assert len({file.name for file in files}) == 9
    assert sorted(
        p for p in tmp_path.rglob("*.*") if p.suffix in (".png", ".pdf", ".tex") and "run" not in p.parts
    ) == sorted(files)
    assert {file.parent for file in files} == {tmp_path / "figures"}


def test_infinite_values_are_marked_and_said(results: Results) -> None:
    at_20 = results.table["snr_db"] == 20
    perfect = with_table(results, PSNR=results.table["PSNR"].mask(at_20, np.inf))
    figure = figure_of(perfect, FigureSpec("snr_db", "PSNR"))
    assert "▲ PSNR is infinite for every image." in notes_in(figure)
    markers = [line for line in figure.axes[0].lines if line.get_marker() == "^" and not line.get_clip_on()]
    assert [list(line.get_xdata()) for line in markers] == [[20.0]] * 4
    once = at_20 & (results.table["image"] == "cat") & (results.table["realisation"] == 0)
    partly = with_table(results, PSNR=results.table["PSNR"].mask(once, np.inf))
    assert "4 infinite values are left out of the means." in notes_in(figure_of(partly, FigureSpec("snr_db", "PSNR")))


def test_zeros_on_a_logarithmic_axis_are_marked_and_said(results: Results) -> None:
    figure = figure_of(results, FigureSpec("snr_db", "bler", log_y=True))
    assert "▼ Block error rate is 0." in notes_in(figure)
    assert figure.axes[0].get_yscale() == "log"
    free = with_table(results, block_errors=0)
    assert "bler" not in [spec.y for spec in default_figures(free)]


def test_missing_values_are_said(results: Results) -> None:
    gone = with_table(results, SSIM=results.table["SSIM"].where(results.table["snr_db"] < 20))
    assert "4 points have no SSIM." in notes_in(figure_of(gone, FigureSpec("snr_db", "SSIM")))
    analog = with_table(results, bpp=results.table["bpp"].where(results.table["transceiver"] == "fast"))
    notes = notes_in(figure_of(analog, FigureSpec("bpp", "SSIM")))
    assert "Points without a place on the horizontal axis: robust." in notes


def test_a_transceiver_keeps_its_colour(results: Results) -> None:
    colours = {name: style(n).colour for n, name in enumerate(["robust", "fast"])}
    for spec in (FigureSpec("snr_db", "PSNR"), FigureSpec("bpp", "SSIM"), FigureSpec("transceiver", "SSIM")):
        lines = figure_of(results, spec).axes[0].get_legend_handles_labels()[0]
        names = [curve.transceiver for curve in curves_of(results, spec.x, spec.y)]
        assert dict(zip(names, (line.get_color() for line in lines))) == colours and len(lines) == len(names)


def test_curve_names_are_words(results: Results) -> None:
    found = [(curve.transceiver, curve.telling, curve.number) for curve in curves_of(results, "snr_db", "PSNR")]
    budgets = [("0.5 uses per pixel", 0), ("1 uses per pixel", 1)]
    assert found == [(name, *budget) for name in ("robust", "fast") for budget in budgets]
    assert curves_of(results, "bpp", "PSNR")[1].telling == "SNR 12 dB"


def test_a_legend_does_not_repeat_itself(results: Results) -> None:
    spec = FigureSpec("snr_db", "PSNR")
    texts = [text.get_text().strip() for text in figure_of(results, spec).legends[0].get_texts()]
    assert texts == ["robust", "fast", "0.5 uses per pixel", "1 uses per pixel"]
    without = with_table(results, PSNR=results.table["PSNR"].where(results.table["transceiver"] == "fast"))
    figure = figure_of(without, spec)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["fast, 0.5 uses per pixel", "fast, 1 uses per pixel"]
    assert "PSNR (dB): none of robust." in notes_in(figure)


def test_labels_have_units(results: Results) -> None:
    expected = {
        "snr_db": "SNR (dB)",
        "bpp": "Rate (bpp)",
        "channel_uses_per_pixel": "Channel uses per pixel",
        "PSNR": "PSNR (dB)",
        "SSIM": "SSIM",
        "bler": "Block error rate",
        "code.iterations": "Code iterations",
    }
    assert {column: label_of(column, results.experiment) for column in expected} == expected


def test_main_axis() -> None:
    one = Experiment({"a": link(channel_uses_per_pixel=1.0)}, {"awgn": "AWGN"})
    assert main_axis(one) == "transceiver"
    budgets = {"channel_uses_per_pixel": [0.5, 1.0, 2.0]}
    assert main_axis(dataclasses.replace(one, sweep=budgets)) == "channel_uses_per_pixel"
    assert main_axis(dataclasses.replace(one, sweep={**budgets, "channel.snr_db": [0, 10]})) == "snr_db"


def test_transceivers_that_are_swept_along_different_axes() -> None:
    budgets = {**link(), "sweep": {"channel_uses_per_pixel": [0.5, 1.0]}}
    rates = {**link(), "sweep": {"bpp": [0.5, 1.0, 2.0]}}
    demappings = {**link(bpp=1.0), "sweep": {"constellation": ["bpsk", "qpsk", "16qam"]}}
    fixed = link(bpp=1.0)
    assert default_axes(Experiment({"a": budgets, "b": rates, "c": fixed}, {"awgn": "AWGN"})) == ["bpp"]
    assert default_axes(Experiment({"b": rates, "c": fixed}, {"awgn": "AWGN"})) == ["bpp"]
    several = Experiment({"a": budgets, "c": fixed, "d": demappings}, {"awgn": "AWGN"})
    assert default_axes(several) == ["channel_uses_per_pixel", "constellation"]
    assert default_axes(dataclasses.replace(several, sweep={"channel.snr_db": [0, 10]})) == ["snr_db"]


def test_a_curve_without_a_place_is_said_and_not_in_the_legend(tmp_path: Path) -> None:
    results = small_run(
        tmp_path,
        transceivers={
            "swept": {**link(), "sweep": {"channel_uses_per_pixel": [0.5, 1.0]}},
            "fixed": link(channel_uses_per_pixel=1.0, constellation="qpsk", source="WebP"),
        },
        sweep={},
    )
    figure = figure_of(results, FigureSpec("channel_uses_per_pixel", "PSNR"))
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert texts == ["swept"]


@pytest.mark.parametrize(("budgets", "ticked"), [([0.5, 1.0, 2.0], True), ([0.5, 0.52, 2.0], False)])
def test_places_that_are_close_have_no_tick_each(tmp_path: Path, budgets: list[float], ticked: bool) -> None:
    swept = {"only": {**link(), "sweep": {"channel_uses_per_pixel": budgets}}}
    figure = figure_of(small_run(tmp_path, transceivers=swept, sweep={}), FigureSpec("channel_uses_per_pixel", "PSNR"))
    assert (list(figure.axes[0].get_xticks()) == budgets) == ticked


def test_axes_without_numbers_have_named_places(tmp_path: Path) -> None:
    results = small_run(
        tmp_path,
        transceivers={"only": {**link(channel_uses_per_pixel=1.0), "sweep": {"constellation": ["qpsk", "16qam"]}}},
        sweep={},
    )
    figure = figure_of(results, FigureSpec("constellation", "PSNR"))
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["qpsk", "16qam"]


def test_an_empty_run_has_no_figures(results: Results, tmp_path: Path) -> None:
    assert draw(dataclasses.replace(results, table=results.table.iloc[:0]), tmp_path) == []


def test_bad_requests(results: Results, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no column 'snr'"):
        draw(with_table(results, [FigureSpec("snr", "PSNR")]), tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError):
        draw(with_table(results, [FigureSpec("snr_db", "PSNR")]), tmp_path / "file")


def test_results_are_not_changed(results: Results, tmp_path: Path) -> None:
    before = results.table.copy()
    draw(with_table(results, [FigureSpec("bpp", "PSNR")]), tmp_path)
    pd.testing.assert_frame_equal(results.table, before)


def test_a_figure_of_one_value(results: Results, tmp_path: Path) -> None:
    whole = FigureSpec("bpp", "PSNR")
    one = dataclasses.replace(whole, where={"snr_db": 12})
    sizes = []
    for n, spec in enumerate((whole, one)):
        (png, _, _) = draw(with_table(results, [spec]), tmp_path / str(n))
        sizes.append(png.read_bytes())
    assert sizes[0] != sizes[1]
    with pytest.raises(ConfigurationError, match="no point has snr_db = 13"):
        draw(with_table(results, [dataclasses.replace(one, where={"snr_db": 13})]), tmp_path)

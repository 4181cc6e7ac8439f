import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from small_run import link, small_run

from semcomm.analysis.curves import curves, curves_of
from semcomm.analysis.defaults import default_axes, default_figures, label_of, main_axis
from semcomm.analysis.figures import draw, figure, plot
from semcomm.analysis.fonts import unreadable
from semcomm.analysis.report.contents import contents_of
from semcomm.analysis.styles import COLOURS, style, styles_of
from semcomm.errors import ConfigurationError, RunError
from semcomm.experiment.experiment import Experiment
from semcomm.experiment.figure import FigureSpec, read_style
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


def test_figures_that_are_no_longer_named_are_removed_and_nothing_else(results: Results, tmp_path: Path) -> None:
    draw(with_table(results, [FigureSpec("snr_db", "PSNR"), FigureSpec("snr_db", "SSIM")]), tmp_path)
    (tmp_path / "mine.png").write_bytes(b"the user's own")
    draw(with_table(results, [FigureSpec("snr_db", "SSIM")]), tmp_path)
    names = {path.name for path in tmp_path.iterdir()} - {"drawn.json"}
    assert names == {"mine.png", *(f"ssim-over-snr-db.{end}" for end in ("png", "pdf", "tex"))}


def test_a_style_is_followed(results: Results) -> None:
    style = {
        "width": 7.0,
        "curves": ["fast", "robust, channel_uses_per_pixel 1"],
        "names": {"robust, channel_uses_per_pixel 1": "theirs"},
        "lines": {"fast": "dot"},
        "colours": ["#111111", "#222222"],
        "intervals": "bars",
        "y_limits": {"SSIM": [0, 0.5]},
        "x_limits": [0, 25],
        "font_size": 10,
    }
    drawn = figure(results, FigureSpec("snr_db", ["PSNR", "SSIM"], style={"width": 6.0}), style)
    first, second = drawn.axes
    lines, names = first.get_legend_handles_labels()
    assert names == ["fast, 0.5 uses per pixel", "fast, 1 uses per pixel", "theirs"]
    assert [line.get_color() for line in lines] == ["#222222", "#222222", "#111111"]
    assert first.get_xlabel() == "SNR (dB)" and first.xaxis.label.get_size() == 10
    assert second.get_ylim() == (0, 0.5) and first.get_xlim() == (0, 25)
    assert not any("FillBetween" in type(artist).__name__ for artist in first.collections)
    assert drawn.get_figwidth() == 6.0  # the figure's own key
    with pytest.raises(ConfigurationError, match="no transceiver or curve 'fsat'; did you mean 'fast'"):
        figure(results, FigureSpec("snr_db", "PSNR"), {"curves": ["fsat"]})
    with pytest.raises(ConfigurationError, match=r"figures\.style.*'widht'"):
        FigureSpec("snr_db", "PSNR", style={"widht": 3})


def test_a_style_file_draws_other_figures(results: Results, tmp_path: Path) -> None:
    file = tmp_path / "style.yaml"
    file.write_text("formats: [svg]\nfigures: [{x: bpp, y: [PSNR, SSIM]}]\n")
    style, figures = read_style(file)
    assert style == {"formats": ["svg"]} and figures == [FigureSpec("bpp", ["PSNR", "SSIM"])]
    files = draw(results, tmp_path / "figures", style, figures)
    assert [path.name for path in files] == ["psnr-and-ssim-over-bpp.svg", "psnr-and-ssim-over-bpp.tex"]
    file.write_text("size: 3\n")
    with pytest.raises(ConfigurationError, match="no such key: 'size'"):
        read_style(file)


def test_plot_draws_into_axes_and_returns_them(results: Results) -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert plot(results, "snr_db", "SSIM", axes=axes, where={"channel_uses_per_pixel": 1.0}) is axes
    lines, names = axes.get_legend_handles_labels()
    assert names == ["robust", "fast"]
    expected = curves(results, "snr_db", "SSIM").query("transceiver == 'fast' and channel_uses_per_pixel == 1")
    assert lines[1].get_ydata().tolist() == expected["mean"].tolist()
    with pytest.raises(ConfigurationError, match="no channel 'fading'"):
        plot(results, "snr_db", "SSIM", axes=axes, channel="fading")


def test_twenty_styles_are_told_apart_in_colour_and_in_grey() -> None:
    """In grey print, line style and marker are what is left; colours differ by more than the eye's threshold of 2.3."""
    looks = [style(n) for n in range(20)]
    assert len({(look.line, look.marker) for look in looks}) == 20
    rgb = np.array([[int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)] for colour in COLOURS])
    lab = rgb2lab(rgb)
    differences = deltaE_ciede2000(lab[:, None], lab[None])[~np.eye(len(rgb), dtype=bool)]
    assert differences.min() > 10
    assert lab[:, 0].min() > 30 and lab[:, 0].max() < 70  # neither lost on white nor on near black


def test_curves_of_many_kinds_have_styles_of_their_own(tmp_path: Path) -> None:
    results = small_run(tmp_path, sweep={"channel.snr_db": list(range(20)), "channel_uses_per_pixel": [0.5, 1.0]})
    found = curves_of(results, "bpp", "PSNR")
    looks = styles_of(found, results.experiment)
    assert len(found) == 40 and len({(look.colour, look.line, look.marker) for look in looks}) == 40


def test_each_curve_is_drawn_over_the_axis_that_its_channel_has(tmp_path: Path) -> None:
    results = small_run(
        tmp_path,
        transceivers={"only": link(channel_uses_per_pixel=1.0)},
        channels={
            "awgn": {"class_path": "AWGN", "sweep": {"snr_db": [4, 20]}},
            "rayleigh": {"class_path": "Rayleigh", "init_args": {"snr_db": 10}, "sweep": {"coherence": ["image", 100]}},
        },
        sweep={},
        metrics=["PSNR"],
    )
    names = {path.stem for path in draw(results, tmp_path / "figures") if path.suffix == ".png"}
    assert {"psnr-over-snr-db", "psnr-over-coherence"} <= names and not any("awgn" in name for name in names)
    drawn = figure(results, FigureSpec("coherence", "PSNR"))
    assert [tick.get_text() for tick in drawn.axes[0].get_xticklabels()] == ["image", "100"]
    over = {x["key"]: x["channels"] for x in contents_of(results)["x"]}
    assert over["snr_db"] == ["awgn"] and over["coherence"] == ["rayleigh"]


def test_names_in_other_scripts(results: Results, tmp_path: Path) -> None:
    """Either a font of this machine has them, or one sentence says that none has; there is no warning per letter."""
    renamed = {"传统方法": "robust", "हिन्दी": "fast"}
    experiment = dataclasses.replace(
        results.experiment, transceivers={name: results.experiment.transceivers[old] for name, old in renamed.items()}
    )
    table = results.table.assign(transceiver=results.table["transceiver"].map({v: k for k, v in renamed.items()}))
    notes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(dataclasses.replace(results, experiment=experiment, table=table), tmp_path, on_note=notes.append)
    missing = unreadable("", "".join(renamed))
    assert bool(notes) == bool(missing) and len(notes) <= 1 and unreadable("", "plain text") == ""


def test_a_table_for_latex_beside_every_figure(results: Results, tmp_path: Path) -> None:
    path = draw(with_table(results, [FigureSpec("snr_db", "PSNR")]), tmp_path)[-1]
    lines = path.read_text().splitlines()
    assert lines[0].startswith("% PSNR (dB) over SNR (dB), awgn") and "2 images" in lines[0]
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert [line.split(" & ")[0] for line in body] == ["4", "12", "20"] and all(line.count("&") == 4 for line in body)
    frame = curves(results, "snr_db", "PSNR")
    assert f"{frame['mean'][0]:.1f}" in body[0] and r"$\pm$" in body[0]

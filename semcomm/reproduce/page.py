"""The page of a reproduction: what was claimed, what was found, and every figure. No network, no script."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from semcomm.analysis.curves import in_words
from semcomm.analysis.defaults import label_of, main_axis
from semcomm.analysis.figures import channels_of
from semcomm.analysis.pages import render
from semcomm.analysis.report.gallery import webp
from semcomm.analysis.statistics import FEWEST
from semcomm.errors import ImageError
from semcomm.experiment.figure import FigureSpec
from semcomm.reproduce.chart import PublishedCurve, chart
from semcomm.reproduce.outcome import FigureResult, Reproduction
from semcomm.reproduce.papers import Figure
from semcomm.reproduce.summary import bound_in_words, counts_of, number_in_words
from semcomm.runs.image_store import ImageStore
from semcomm.runs.results import Results

KODAK = ("kodim", "kodak")
PUBLISHED_COLUMNS = {"PSNR": "PSNR", "MS-SSIM": "MSSSIM"}
MOST_RECONSTRUCTIONS = 8
"""Of one image: points shown where the figure does not say which."""


def page_of(found: Reproduction, experiments: Path) -> str:
    """Return the page as HTML.

    Args:
        found: what was found.
        experiments: folder of the papers' files, for the published curves.
    """
    papers = [
        {
            "name": name,
            "paper": paper,
            "claims": [one for one in found.claims if one.paper == name],
            "figures": [_figure(one, experiments) for one in found.figures if one.paper == name],
        }
        for name, paper in found.papers.items()
    ]
    return render(
        "semcomm.reproduce",
        "page.html",
        style=(files("semcomm.reproduce") / "page.css").read_text(encoding="utf-8"),
        title=" and ".join(paper.short for paper in found.papers.values()),
        setting=found.setting,
        lacking=sum(bool(one.missing or "missing" in one.made.facts) for one in found.figures),
        counts=counts_of(found),
        papers=papers,
        shown={(one.paper, one.name) for one in found.figures},
        fewest=FEWEST,
        slug=_slug,
        number_in_words=number_in_words,
        bound_in_words=bound_in_words,
    )


def _figure(one: FigureResult, experiments: Path) -> dict[str, Any]:
    """Return what the page says of a figure."""
    results = one.results
    missing = {**one.missing, **({"figure": one.made.facts["missing"]} if "missing" in one.made.facts else {})}
    drawn, legend = ([], {}) if results is None else _charts(results, one.figure, experiments)
    return {
        "name": one.name,
        "paper": one.paper,
        "figure": one.figure,
        "missing": [why if what in ("figure", "images") else f"{what}: {why}" for what, why in missing.items()],
        "counted": "" if results is None else _counted(results),
        "report": one.report,
        "legend": legend,
        "charts": drawn,
        "images": [] if results is None else list(_images(results, one.figure)),
        "drawn": [(f"{one.paper}/{one.name}-extra/{file}", title) for file, title in one.made.drawn],
        "table": one.made.table,
    }


def _counted(results: Results) -> str:
    experiment = results.experiment
    again = f", {experiment.realisations} realisations" if experiment.realisations > 1 else ""
    below = int(results.table["infeasible"].eq(True).sum()) if "infeasible" in results.table else 0
    floor = f" {below} of {len(results.table)} were below their codec's floor and show a plain colour." if below else ""
    images = f"{len(results.images)} image{'s' * (len(results.images) != 1)}"
    return f"{len(experiment.points)} points, {images}{again}.{floor}"


def _charts(results: Results, figure: Figure, experiments: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the charts of every metric on every channel, and one legend for all."""
    if figure.chart is None:
        return [], {}
    experiment, drawn, legend = results.experiment, [], {}
    of_sets = [metric.name for metric in experiment.set_metrics if metric.name in results.sets]
    # a setting may replace the transceiver that has the paper's axis, and bring another axis
    x = figure.chart.x if figure.chart.x in results.table else main_axis(experiment)
    for column in [*(metric.name for metric in experiment.image_metrics), *of_sets]:
        spec = FigureSpec(x, column, figure.chart.log_x and x == figure.chart.x)
        channels = channels_of(results, spec)
        for channel in channels:
            svg, curves = chart(results, spec, channel, list(_published(results, figure, column, experiments)))
            if svg:
                title = label_of(column, experiment) + (f", {channel}" if len(channels) > 1 else "")
                drawn.append({"title": title, "svg": svg})
                legend |= curves
    return drawn, legend


def _published(results: Results, figure: Figure, column: str, experiments: Path) -> Iterator[PublishedCurve]:
    """Give the published curves of the figure, where the images are those that they are of."""
    import pandas as pd

    names = [Path(name).name.lower() for name in results.images]
    if column not in PUBLISHED_COLUMNS or len(names) != 24 or not all(name.startswith(KODAK) for name in names):
        return
    table = pd.read_csv(experiments / "published" / "kodak.csv")
    for codec in figure.chart.published:
        rows = table[table["codec"] == codec]
        yield PublishedCurve(f"{codec}, published", rows["bpp"].tolist(), rows[column].tolist())


def _images(results: Results, figure: Figure) -> Iterator[list[dict[str, str]]]:
    """Give, for some images, the original and how it arrived, with the first scores."""
    kept, experiment = ImageStore(results.folder), results.experiment
    for name in list(results.images)[: figure.images]:
        numbers = sorted(n for n, image, realisation in results.reconstructions if image == name and realisation == 0)
        numbers = [n for n in numbers if _wanted(experiment.points[n], figure)]
        if not figure.show:
            numbers = numbers[:: max(1, -(-len(numbers) // MOST_RECONSTRUCTIONS))]
        cells = list(_original(results, name))
        for number in numbers:
            image = kept.read(results.reconstructions[number, name, 0])
            if image is not None:
                cells.append({"source": webp(image), **_caption(results, number, name)})
        yield cells


def _wanted(point: Any, figure: Figure) -> bool:
    parameters = {"transceiver": point.transceiver, **point.parameters}
    return not figure.show or any(all(parameters.get(k) == v for k, v in at.items()) for at in figure.show)


def _original(results: Results, name: str) -> Iterator[dict[str, str]]:
    try:
        image = results.experiment.images.load(Path(results.images[name].path))
    except ImageError:
        return
    yield {"source": webp(image), "title": "original", "facts": name}


def _caption(results: Results, number: int, name: str) -> dict[str, str]:
    experiment = results.experiment
    point = experiment.points[number]
    table = results.table
    of_image = (table["point"] == number) & (table["image"] == name) & (table["realisation"] == 0)
    row = table[of_image].iloc[0]
    swept = [in_words(axis, value) for axis, value in point.parameters.items() if len(experiment.axes[axis]) > 1]
    scores = [f"{metric.name} {row[metric.name]:.3g}" for metric in experiment.image_metrics[:2]]
    rate = [] if row["bpp"] != row["bpp"] else [f"{row['bpp']:.3g} bpp"]
    return {"title": ", ".join([point.transceiver, *swept]), "facts": ", ".join([*scores, *rate])}


def _slug(*names: str) -> str:
    return "-".join("".join(c if c.isalnum() else "-" for c in name.lower()) for name in names)

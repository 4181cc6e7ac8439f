"""The page of a reproduction: what was claimed, what was found, and every figure. No network, no script."""

import html
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from semcomm.analysis.figures import label_of
from semcomm.analysis.report.gallery import webp
from semcomm.analysis.statistics import estimate
from semcomm.errors import ImageError
from semcomm.experiment.experiment import Experiment
from semcomm.reproduce.chart import Curve, key, svg
from semcomm.reproduce.checks import Part
from semcomm.reproduce.papers import Figure, Paper
from semcomm.reproduce.summary import bound_in_words, counts_of, number_in_words
from semcomm.runs.image_store import ImageStore
from semcomm.runs.results import Results, label

if TYPE_CHECKING:
    import pandas as pd

    from semcomm.reproduce.command import ClaimResult, FigureResult, Reproduction

SIGNS = {"holds": "✓", "holds in part": "◐", "does not hold": "✕", "could not be tested": "–"}
OUTCOMES = {"supported": "✓", "contradicted": "✕", "open": "~", "untested": "–"}
KODAK = ("kodim", "kodak")
PUBLISHED_COLUMNS = {"PSNR": "PSNR", "MS-SSIM": "MSSSIM"}
MEASURED, COLOURS = ("bpp", "cbr", "total_bpp"), 7
MOST_RECONSTRUCTIONS = 8
"""Of one image: points shown where the figure does not say which."""


def page_of(found: "Reproduction", experiments: Path) -> str:
    """Return the page as HTML.

    Args:
        found: what was found.
        experiments: folder of the papers' files, for the published curves.
    """
    return Template((files("semcomm.reproduce") / "page.html").read_text(encoding="utf-8")).substitute(
        style=(files("semcomm.reproduce") / "page.css").read_text(encoding="utf-8"),
        title=_text(" and ".join(paper.short for paper in found.papers.values())),
        setting=_text(found.setting.title),
        banner=_banner(found),
        counts="".join(
            f'<li class="{_slug(verdict)}"><strong>{count}</strong> {verdict}</li>'
            for verdict, count in counts_of(found).items()
        ),
        papers="".join(_paper(found, name, experiments) for name in found.papers),
    )


def _banner(found: "Reproduction") -> str:
    notes = []
    if found.setting.stands_in:
        notes.append(
            "Small models that come with semcomm stand in for those of the papers, on a handful of images: a verdict "
            "here is one about them. The setting <code>paper</code> has the published models."
        )
    missing = sum(bool(one.missing or "missing" in one.made.facts) for one in found.figures)
    if missing:
        notes.append(f"{missing} of {len(found.figures)} figures lack something; each says what.")
    return "".join(f'<p class="banner">{note}</p>' for note in notes)


def _paper(found: "Reproduction", name: str, experiments: Path) -> str:
    paper = found.papers[name]
    figures = [one for one in found.figures if one.paper == name]
    shown = {figure.name for figure in figures}
    listed = "".join(_claim(one, one.claim.figure in shown, paper) for one in found.claims if one.paper == name)
    scorecard = f'<section><h3>Claims</h3><ol class="claims">{listed}</ol></section>' if listed else ""
    drawn = "".join(_figure(one, experiments) for one in figures)
    head = f'<h2>{_text(paper.short)}</h2><p class="soft">{_text(paper.title)}</p>'
    return f'<div class="paper" id="{_slug(name)}">{head}{scorecard}{drawn}</div>'


def _claim(one: "ClaimResult", figure_there: bool, paper: Paper) -> str:
    verdict, why = one.finding.verdict, one.finding.why
    figure = _text(paper.figures[one.claim.figure].paper)
    link = f'<a href="#{_slug(one.paper, one.claim.figure)}">{figure}</a>' if figure_there else figure
    badge = f'<span class="badge {_slug(verdict)}"><span aria-hidden="true">{SIGNS[verdict]}</span> {verdict}</span>'
    return (
        f'<li id="{_slug(one.paper, "claim", one.name)}"><div class="says">{badge}<p>{_text(one.claim.says)}</p></div>'
        f'<p class="soft">{_text(one.claim.where)} · {link} · published: {_text(one.claim.published)}</p>'
        f"{_measured(one.finding.parts)}{_paragraph('why', why[:1].upper() + why[1:])}"
        f"{_paragraph('note', one.claim.note)}</li>"
    )


def _measured(parts: list[Part]) -> str:
    if not parts:
        return ""
    head = '<th></th><th>measured</th><th class="number">value [95 %]</th><th>claimed</th>'
    rows = ""
    for part in parts:
        sign = f'<span aria-hidden="true">{OUTCOMES[part.outcome]}</span><span class="only-read">{part.outcome}</span>'
        value = number_in_words(part) if part.estimate else "–"
        rows += f'<tr><td class="{part.outcome}" title="{part.outcome}">{sign}</td><td>{_text(part.label)}</td>'
        rows += f'<td class="number">{_text(value)}</td><td>{_text(bound_in_words(part))}</td></tr>'
    return (
        f'<div class="scroll"><table class="measured"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _paragraph(kind: str, text: str) -> str:
    return f'<p class="{kind}">{_text(text)}</p>' if text else ""


def _figure(one: "FigureResult", experiments: Path) -> str:
    figure = one.figure
    missing = {**one.missing, **({"figure": one.made.facts["missing"]} if "missing" in one.made.facts else {})}
    said = [why if what in ("figure", "images") else f"{what}: {why}" for what, why in missing.items()]
    body = f'<ul class="absent">{"".join(f"<li>{_text(line)}</li>" for line in said)}</ul>' if said else ""
    if one.results is not None:
        link = f'<a href="{_text(one.report)}">All curves, images and tables</a>'
        body += f'<p class="soft">{_counted(one.results)} {link}</p>'
        body += _charts(one.results, figure, experiments) + _images(one.results, figure)
    for file, title in one.made.drawn:
        path = f"{one.paper}/{one.name}-extra/{file}"
        image = f'<a href="{path}"><img src="{path}" alt="{_text(title)}" loading="lazy"></a>'
        body += f'<figure class="drawn">{image}<figcaption>{_text(title)}</figcaption></figure>'
    return (
        f'<section id="{_slug(one.paper, one.name)}"><h3>{_text(figure.title)}</h3>'
        f'<p class="soft">{_text(figure.paper)} · <code>{_text(f"{one.paper}/{one.name}")}</code></p>'
        f"{body}{_table(one.made.table)}</section>"
    )


def _counted(results: Results) -> str:
    experiment = results.experiment
    again = f", {experiment.realisations} realisations" if experiment.realisations > 1 else ""
    below = int(results.table["infeasible"].eq(True).sum()) if "infeasible" in results.table else 0
    floor = f" {below} of {len(results.table)} were below their codec's floor and show a plain colour." if below else ""
    return f"{len(experiment.points)} points, {len(results.images)} images{again}.{floor}"


def _charts(results: Results, figure: Figure, experiments: Path) -> str:
    if figure.chart is None:
        return ""
    x, drawn, legend = figure.chart.x, [], {}
    for column in [*(m.name for m in results.experiment.image_metrics), *_of_sets(results)]:
        curves = [*_published(results, figure, column, experiments), *_curves(results, x, column)]
        names = (label_of(name, results.experiment) for name in (column, x))
        if drawing := svg(curves, *names, figure.chart.log_x):
            drawn.append(f'<div class="chart">{drawing}</div>')
            legend |= {curve.name: curve for curve in curves}
    if not drawn:
        return ""
    keys = "".join(f"<li>{key(curve)} {_text(name)}</li>" for name, curve in legend.items())
    return f'<ul class="legend">{keys}</ul><div class="charts">{"".join(drawn)}</div>'


def _of_sets(results: Results) -> list[str]:
    return [m.name for m in results.experiment.set_metrics if m.name in results.sets]


def _curves(results: Results, x: str, column: str) -> Iterator[Curve]:
    """Give a curve of each transceiver, and of each combination of what else tells its points apart."""
    experiment = results.experiment
    each = len(results.images), experiment.realisations
    groups: dict[str, list[tuple[float, tuple[float, float, float]]]] = {}
    for number, point in enumerate(experiment.points):
        rows = results.table.iloc[number * each[0] * each[1] : (number + 1) * each[0] * each[1]]
        at = _place(point.parameters, rows, x)
        if at is None:
            continue
        # along a measured rate a curve runs over whatever the transceiver was swept over
        fixed = [axis for axis in point.parameters if axis != x and (x not in MEASURED or _is_shared(experiment, axis))]
        telling = [f"{a.replace('_', ' ')} {label(point.parameters[a])}" for a in fixed if len(experiment.axes[a]) > 1]
        name = ", ".join([point.transceiver, *telling])
        if column in _of_sets(results):
            value = float(results.sets[column].iloc[number * each[1] : (number + 1) * each[1]].mean())
            found = value, value, value
        else:
            e = estimate(rows[column].to_numpy(dtype=float).reshape(each))
            found = e.mean, e.low, e.high
        groups.setdefault(name, []).append((at, found))
    for number, (name, points) in enumerate(groups.items()):
        yield Curve(name, [at for at, _ in points], *zip(*(found for _, found in points)), colour=number % COLOURS)


def _place(parameters: dict[str, Any], rows: "pd.DataFrame", x: str) -> float | None:
    """Return where a point stands: at the mean of a measured rate, else at what was swept; None for nowhere."""
    value = float(rows[x].mean()) if x in MEASURED else parameters.get(x)
    return value if isinstance(value, int | float) and value == value else None


def _is_shared(experiment: Experiment, axis: str) -> bool:
    return axis in {name.removeprefix("channel.") for name in experiment.sweep}


def _published(results: Results, figure: Figure, column: str, experiments: Path) -> Iterator[Curve]:
    """Give the published curves of the figure, where the images are those that they are of."""
    import pandas as pd

    names = [Path(name).name.lower() for name in results.images]
    if column not in PUBLISHED_COLUMNS or len(names) != 24 or not all(name.startswith(KODAK) for name in names):
        return
    table = pd.read_csv(experiments / "published" / "kodak.csv")
    for number, codec in enumerate(figure.chart.published):
        rows = table[table["codec"] == codec]
        yield Curve(f"{codec}, published", rows["bpp"].tolist(), rows[column].tolist(), colour=number % 7)


def _images(results: Results, figure: Figure) -> str:
    """Show some images as they arrived, with their first scores."""
    kept, experiment = ImageStore(results.folder), results.experiment
    rows = ""
    for name in list(results.images)[: figure.images]:
        cells = [_original(results, name)]
        numbers = sorted(n for n, image, realisation in results.reconstructions if image == name and realisation == 0)
        numbers = [n for n in numbers if _wanted(experiment.points[n], figure)]
        if not figure.show:
            step = max(1, -(-len(numbers) // MOST_RECONSTRUCTIONS))
            numbers = numbers[::step]
        for number in numbers:
            image = kept.read(results.reconstructions[number, name, 0])
            if image is not None:
                cells.append(_cell(webp(image), *_caption(results, number, name)))
        rows += f'<div class="images">{"".join(cells)}</div>'
    return rows


def _wanted(point: Any, figure: Figure) -> bool:
    parameters = {"transceiver": point.transceiver, **point.parameters}
    return not figure.show or any(all(parameters.get(k) == v for k, v in at.items()) for at in figure.show)


def _original(results: Results, name: str) -> str:
    try:
        image = results.experiment.images.load(Path(results.images[name].path))
    except ImageError:
        return ""
    return _cell(webp(image), "original", name)


def _caption(results: Results, number: int, name: str) -> tuple[str, str]:
    experiment = results.experiment
    point = experiment.points[number]
    images = list(results.images)
    row = results.table.iloc[(number * len(images) + images.index(name)) * experiment.realisations]
    swept = [f"{k.replace('_', ' ')} {label(v)}" for k, v in point.parameters.items() if len(experiment.axes[k]) > 1]
    scores = [f"{m.name} {row[m.name]:.3g}" for m in experiment.image_metrics[:2]]
    rate = [] if row["bpp"] != row["bpp"] else [f"{row['bpp']:.3g} bpp"]
    return ", ".join([point.transceiver, *swept]), ", ".join([*scores, *rate])


def _cell(source: str, title: str, facts: str) -> str:
    image = f'<img src="{source}" alt="{_text(f"{title}: {facts}")}" loading="lazy">'
    return f"<figure>{image}<figcaption><strong>{_text(title)}</strong><br>{_text(facts)}</figcaption></figure>"


def _table(rows: list[list[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{_text(cell)}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _slug(*names: str) -> str:
    return "-".join("".join(c if c.isalnum() else "-" for c in name.lower()) for name in names)


def _text(text: str) -> str:
    return html.escape(str(text), quote=True)

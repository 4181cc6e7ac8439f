"""Reproducing papers: run the figures that were asked for, judge the claims about them, write the page."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from semcomm.analysis.report import write_report
from semcomm.errors import ConfigurationError, ImageError, MetricError, ModelError, RunError
from semcomm.experiment.shipped import shipped_experiments
from semcomm.files import write_whole
from semcomm.reproduce.checks import Finding
from semcomm.reproduce.evidence import Evidence, Missing, evidence_of
from semcomm.reproduce.outcome import ClaimResult, FigureResult, Reproduction
from semcomm.reproduce.page import page_of
from semcomm.reproduce.papers import Paper, Planned, Setting, chosen, load_papers, load_setting, planned
from semcomm.reproduce.summary import scorecard_of, summary_of
from semcomm.runs.results import Results
from semcomm.runs.run import EXPERIMENT, Progress, _difference, run

EXPECTED = (ModelError, ImageError, MetricError, ConfigurationError)
"""Errors that stop one figure and not the others."""
SCORECARD, PAGE, SUMMARY = "scorecard.json", "index.html", "scorecard.md"


def reproduce(
    names: Sequence[str],
    setting: str,
    out: Path,
    workers: int = 1,
    overrides: Mapping[str, Any] | None = None,
    experiments: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> Reproduction:
    """Run figures, judge the claims about them, and write the page; what is finished is kept and not done again.

    Args:
        names: papers and figures (`sess`, `img2img/fig3`); none for everything.
        setting: name of a setting, or a file.
        out: folder for runs and page.
        workers: processes of one thread each.
        overrides: keys of every experiment, `images.limit` for instance; `extras.Tuning.triplets` for an extra's.
        experiments: folder of the papers' files; none takes those of `shipped_experiments`.
        on_progress: called with the run at hand.
        on_note: called with what is begun, and what is missing.

    Raises:
        ConfigurationError: for names or files that make no sense.
        RunError: when `out` holds other experiments; it says which key differs.
    """
    began = monotonic()
    folder = experiments or shipped_experiments()
    papers, made_in = load_papers(folder), load_setting(setting, folder)
    wanted = chosen(papers, names)
    of_extras = {k.removeprefix("extras."): v for k, v in (overrides or {}).items() if k.startswith("extras.")}
    overrides = {k: v for k, v in (overrides or {}).items() if not k.startswith("extras.")}
    files = dict.fromkeys((p, papers[p].figures[f].file) for p, f in wanted if papers[p].figures[f].file)
    plans = {(p, file): planned(folder, p, file, made_in, overrides) for p, file in files}
    for (paper, file), plan in plans.items():
        refuse_changed(plan, out / paper / file)
    runs: dict[tuple[str, str], tuple[Results | None, dict[str, str], str]] = {}
    for number, ((paper, file), plan) in enumerate(plans.items(), 1):
        on_note(f"{paper}/{file} ({number} of {len(plans)})")
        for what, why in plan.absent.items():
            on_note(f"{paper}/{file}: without {what}: {why}")
        runs[paper, file] = _run(plan, out, Path(paper) / file, workers, on_progress, on_note)
    shown = [_shown(papers, p, f, made_in, of_extras, runs, out, on_note) for p, f in wanted]
    judged = []
    for one in shown:
        evidence = _evidence(one, made_in)
        for name, claim in papers[one.paper].claims.items():
            if claim.figure == one.name:
                finding = claim.check.judge(evidence) if isinstance(evidence, Evidence) else evidence
                judged.append(ClaimResult(one.paper, name, claim, finding))
    order = [(paper, name) for paper in papers for name in papers[paper].claims]
    judged.sort(key=lambda one: order.index((one.paper, one.name)))
    used = {name: papers[name] for name in dict.fromkeys(p for p, _ in wanted)}
    found = Reproduction(used, made_in, shown, judged, monotonic() - began, out / PAGE)
    _write(found, folder, out)
    return found


def refuse_changed(plan: Planned, place: Path) -> None:
    """Refuse a folder that holds another experiment, before anything is run.

    Raises:
        RunError: naming the key that differs.
    """
    from semcomm.configuration import read_yaml

    if plan.experiment is None or not (place / EXPERIMENT).exists():
        return
    difference = _difference(read_yaml(place / EXPERIMENT), plan.experiment.resolved())
    if difference:
        key, old, new = difference
        raise RunError(
            f"{place}: holds another experiment: {key} was {old!r} and is now {new!r}. Use a new folder, or put the "
            "key back"
        )


def _run(
    plan: Planned, out: Path, where: Path, workers: int, on_progress: Callable, on_note: Callable
) -> tuple[Results | None, dict[str, str], str]:
    """Return the results of a run, what is missing of it, and its report."""
    if plan.experiment is None:
        return None, plan.absent, ""
    try:
        results = run(plan.experiment, out / where, workers, on_progress, on_note)
    except EXPECTED as error:
        on_note(f"{where}: could not be run: {error}")
        return None, {**plan.absent, "figure": str(error)}, ""
    report = where / "report.html"
    write_report(results, out / report)
    return results, plan.absent, report.as_posix()


def _shown(
    papers: Mapping[str, Paper],
    paper: str,
    name: str,
    setting: Setting,
    arguments: Mapping[str, Any],
    runs: Mapping[tuple[str, str], tuple[Results | None, dict[str, str], str]],
    out: Path,
    on_note: Callable[[str], None],
) -> FigureResult:
    figure = papers[paper].figures[name]
    results, missing, report = runs.get((paper, figure.file), (None, {}, ""))
    shown = FigureResult(paper, name, figure, results, missing, report=report)
    if figure.extra is None or (figure.file and results is None):
        return shown
    kind = type(figure.extra).__name__
    changes = {**setting.extras.get(kind, {})}
    changes |= {key.partition(".")[2]: value for key, value in arguments.items() if key.partition(".")[0] == kind}
    of = None if results is None else sorted(results.reconstructions.values())
    try:
        made = figure.extra.replaced(**changes).made_once(results, out / paper / f"{name}-extra", of)
    except EXPECTED as error:
        on_note(f"{paper}/{name}: could not be made: {error}")
        return replace(shown, missing={**missing, "figure": str(error)})
    if "missing" in made.facts:
        on_note(f"{paper}/{name}: {made.facts['missing']}")
    return replace(shown, made=made)


def _evidence(shown: FigureResult, setting: Setting) -> Evidence | Finding:
    """Return a figure's evidence, or the finding of every claim about it where there is none."""
    if shown.results is None and shown.figure.file:
        return Finding("could not be tested", "; ".join(dict.fromkeys(shown.missing.values())), [])
    facts = {**({"missing": shown.missing["figure"]} if "figure" in shown.missing else {}), **shown.made.facts}
    if shown.results is None:
        return Evidence([], {}, {}, {}, facts=facts, stands_in=setting.stands_in)
    try:
        return evidence_of(shown.results, shown.missing, facts, setting.stands_in)
    except Missing as missing:
        return Finding("could not be tested", str(missing), [])


def _write(found: Reproduction, experiments: Path, out: Path) -> None:
    write_whole(out / SCORECARD, json.dumps(scorecard_of(found), indent=1, ensure_ascii=False).encode())
    write_whole(out / SUMMARY, summary_of(found).encode())
    write_whole(out / PAGE, page_of(found, experiments).encode())

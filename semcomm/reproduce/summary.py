"""The scorecard as plain data and as Markdown."""

from collections import Counter
from math import isfinite
from typing import Any

from semcomm.analysis.statistics import CONFIDENCE
from semcomm.reproduce.checks import Part
from semcomm.reproduce.outcome import Reproduction

VERDICTS = ("holds", "holds in part", "does not hold", "could not be tested")


def counts_of(found: Reproduction) -> dict[str, int]:
    """Return verdict -> how many claims have it."""
    counted = Counter(one.finding.verdict for one in found.claims)
    return {verdict: counted[verdict] for verdict in VERDICTS}


def scorecard_of(found: Reproduction) -> dict[str, Any]:
    """Return every claim with its verdict and parts, and what was missing of every figure, as plain data."""
    return {
        "setting": found.setting.title,
        "stands_in": found.setting.stands_in,
        "confidence": CONFIDENCE,
        "counts": counts_of(found),
        "claims": [
            {
                "paper": one.paper,
                "claim": one.name,
                "says": one.claim.says,
                "figure": one.claim.figure,
                "where": one.claim.where,
                "published": one.claim.published,
                "verdict": one.finding.verdict,
                "why": one.finding.why,
                "parts": [_part(part) for part in one.finding.parts],
            }
            for one in found.claims
        ],
        "missing": {f"{one.paper}/{one.name}": one.missing for one in found.figures if one.missing},
    }


def summary_of(found: Reproduction) -> str:
    """Return the scorecard as Markdown: the same for the same results."""
    counted = ", ".join(f"{verdict}: {count}" for verdict, count in counts_of(found).items())
    lines = ["# Scorecard", "", f"Setting: {found.setting.title}. {counted}.", ""]
    if found.setting.stands_in:
        lines += ["Models of our own stand in for those of the papers: a verdict is one about them.", ""]
    for name, paper in found.papers.items():
        claims = [one for one in found.claims if one.paper == name]
        if not claims:
            continue
        lines += [
            f"## {paper.short}",
            "",
            "| claim | published | measured (95 % interval) | verdict |",
            "|---|---|---|---|",
        ]
        for one in claims:
            measured = "<br>".join(measured_in_words(part) for part in one.finding.parts) or one.finding.why
            cells = (f"{one.claim.says} ({paper.figures[one.claim.figure].paper})", one.claim.published, measured)
            lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} | {one.finding.verdict} |")
        lines.append("")
    return "\n".join(lines)


def measured_in_words(part: Part) -> str:
    """Return a part as one line: what it is, its mean with the interval, what the claim asks, the number of images."""
    if part.estimate is None:
        return f"{part.label}: not tested"
    images = f", n = {part.estimate.images}" if part.estimate.images else ""
    return f"{part.label}: {number_in_words(part)} ({bound_in_words(part)}{images}: {part.outcome})"


def number_in_words(part: Part) -> str:
    """Return the mean with its interval, if it has any width."""
    e = part.estimate
    mean = _digits(e.mean)
    return mean if e.low == e.high else f"{mean} [{_digits(e.low)}, {_digits(e.high)}]"


def bound_in_words(part: Part) -> str:
    """Return the bounds of a part."""
    if isfinite(part.above) and isfinite(part.below):
        return f"{part.above:g} to {part.below:g}"
    return f"above {part.above:g}" if isfinite(part.above) else f"below {part.below:g}"


def _digits(value: float) -> str:
    """Return a number with three decimals, or four digits where it is small."""
    return f"{value:.3f}" if abs(value) >= 0.1 or value == 0 else f"{value:.4g}"


def _part(part: Part) -> dict[str, Any]:
    e = part.estimate
    return {
        "label": part.label,
        "mean": e and e.mean,
        "low": e and e.low,
        "high": e and e.high,
        "images": e and e.images,
        "above": part.above if isfinite(part.above) else None,
        "below": part.below if isfinite(part.below) else None,
        "outcome": part.outcome,
        "missing": part.missing,
    }

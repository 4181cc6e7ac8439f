"""Outcome of a reproduction: every figure as it came out, every claim with its verdict."""

from dataclasses import dataclass, field
from pathlib import Path

from semcomm.reproduce.checks import Finding
from semcomm.reproduce.extras import ExtraResult
from semcomm.reproduce.papers import Claim, Figure, Paper, Setting
from semcomm.runs.results import Results


@dataclass(frozen=True)
class FigureResult:
    """A figure as it came out.

    Attributes:
        paper: name of its paper.
        name: of the figure.
        figure: what it is.
        results: of its run; None where it could not be run.
        missing: what was missing: transceiver, metric, `images` or `figure` -> why.
        made: by its extra.
        report: of its run, relative to the page.
    """

    paper: str
    name: str
    figure: Figure
    results: Results | None
    missing: dict[str, str]
    made: ExtraResult = field(default_factory=ExtraResult)
    report: str = ""


@dataclass(frozen=True)
class ClaimResult:
    """A claim and what became of it."""

    paper: str
    name: str
    claim: Claim
    finding: Finding


@dataclass(frozen=True)
class Reproduction:
    """The findings of `reproduce`.

    Attributes:
        papers: name -> paper, those that were asked for.
        setting: in which.
        figures: in the order of the papers.
        claims: likewise.
        seconds: that this call took.
        page: the file.
    """

    papers: dict[str, Paper]
    setting: Setting
    figures: list[FigureResult]
    claims: list[ClaimResult]
    seconds: float
    page: Path

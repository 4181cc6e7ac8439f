"""The papers again: their figures as experiments, their claims as checks, one page that says what holds."""

from semcomm.reproduce.checks import Check, Finding, Part
from semcomm.reproduce.command import reproduce
from semcomm.reproduce.evidence import Evidence, Missing, evidence_of
from semcomm.reproduce.extras import Extra, ExtraResult
from semcomm.reproduce.outcome import Reproduction
from semcomm.reproduce.papers import Changes, Claim, Figure, Paper, Setting, load_papers, load_setting

__all__ = [
    "Changes",
    "Check",
    "Claim",
    "Evidence",
    "Extra",
    "ExtraResult",
    "Figure",
    "Finding",
    "Missing",
    "Paper",
    "Part",
    "Reproduction",
    "Setting",
    "evidence_of",
    "load_papers",
    "load_setting",
    "reproduce",
]

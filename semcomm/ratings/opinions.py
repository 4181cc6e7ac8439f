"""People's scores of pairs of images: of a study, with its checks, or of a file of scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

import numpy as np
from torch import Tensor

from semcomm.errors import StudyError
from semcomm.ratings.settings import Exclusion
from semcomm.ratings.study import Study


@dataclass(frozen=True)
class Pair:
    """An original and one image that was compared with it.

    Attributes:
        reference: key of the original.
        candidate: key of the image.
        names: of both, for people.
        facts: what is known of the image, such as link and rate.
    """

    reference: str
    candidate: str
    names: tuple[str, str]
    facts: dict


@dataclass(frozen=True)
class Conduct:
    """A rater's results on the checks.

    Attributes:
        code: of the rater.
        rated: how many items were rated.
        seconds: median time for an answer.
        identical: scores of the original beside itself; in choices, 1 where it was chosen and 0 where not.
        repeats: absolute differences between the two scores of each repeated image.
        excluded: why the answers do not count; empty where they do.
    """

    code: str
    rated: int
    seconds: float
    identical: list[float]
    repeats: list[float]
    excluded: str


@dataclass(frozen=True)
class Opinions:
    """Scores of pairs, and preferences between them.

    Attributes:
        pairs: what was compared.
        scores: [raters, pairs] from 0 to 1, NaN where a rater was not asked; no rows in a study of choices.
        rivals: [triplets, 2] pairs that were seen together.
        preferences: [raters, triplets] 1 where the first was preferred, 0 where the second, NaN where neither.
        groups: [pairs] number of the item that a pair belongs to; what is drawn together in a bootstrap.
        raters: codes, of the rows.
        conduct: of every rater, excluded ones too.
        image: reads an image by its key.
        source: what it comes from, in words.
        rule: of exclusion, in words.
        simulated: the raters are programs.
        single: the file gives one score a pair, of however many people.
    """

    pairs: list[Pair]
    scores: np.ndarray
    rivals: np.ndarray
    preferences: np.ndarray
    groups: np.ndarray
    raters: list[str]
    image: Callable[[str], Tensor]
    source: str
    conduct: list[Conduct] = field(default_factory=list)
    rule: str = ""
    simulated: bool = False
    single: bool = False

    @property
    def people(self) -> str:
        """The word for those who judged."""
        return "simulated raters" if self.simulated else "people"

    def means(self) -> np.ndarray:
        """Return the mean score of each pair [pairs], NaN where nobody rated it."""
        return mean_scores(self.scores, np.ones(len(self.scores)))


def mean_scores(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean of scores [raters, pairs] over raters with these weights; NaN where there is none."""
    there = ~np.isnan(scores)
    with np.errstate(invalid="ignore"):
        return (weights @ np.where(there, scores, 0.0)) / (weights @ there)


def opinions_of(study: Study) -> Opinions:
    """Return what the raters of a study said, without those that its rule excludes.

    Raises:
        StudyError: when nobody has answered.
    """
    rule, kind = study.settings.exclusion, study.settings.kind
    answers: dict[str, list[Mapping[str, Any]]] = {}
    names = ("rater", "position", "item", "kind", "swapped", "first", "second", "seconds", "at")
    for row in study.database.answers():
        answer = dict(zip(names, row))
        if answer["kind"] != "practice":
            answers.setdefault(answer["rater"], []).append(answer)
    if not answers:
        raise StudyError(f"{study.folder}: nobody has answered yet")
    conduct = [conduct_of(code, given, rule, kind) for code, given in answers.items()]
    raters = [c.code for c in conduct if not c.excluded]
    items = [item for item in study.database.items() if not item.practice]
    sides = 1 if kind == "pairs" else 2
    pairs, groups = [], []
    originals = {item.reference: n for n, item in enumerate(items)}
    for item in items:
        for side, candidate in enumerate((item.first, item.second)[:sides]):
            known = item.facts.get("candidates") or [{}] * sides
            said = (item.facts["names"][0], item.facts["names"][1 + side])
            pairs.append(Pair(item.reference, candidate, said, known[side]))
            groups.append(originals[item.reference])
    scores = np.full((len(raters), len(pairs)), np.nan)
    preferences = np.full((len(raters), len(items)), np.nan)
    place = {item.number: n for n, item in enumerate(items)}
    for row, code in enumerate(raters):
        for answer in answers[code]:
            if answer["kind"] == "item":
                n = place[answer["item"]]
                given = (answer["first"], answer["second"])[:sides]
                scores[row, sides * n : sides * n + sides] = given
                if sides == 2 and given[0] != given[1]:
                    preferences[row, n] = given[0] > given[1]
    rivals = np.arange(len(pairs)).reshape(-1, 2) if sides == 2 else np.zeros((0, 2), int)
    return Opinions(
        pairs,
        np.zeros((0, len(pairs))) if kind == "choices" else scores,
        rivals,
        preferences if sides == 2 else np.zeros((len(raters), 0)),
        np.array(groups),
        raters,
        study.image,
        study.settings.title,
        conduct,
        study.settings.said_rule(),
        study.settings.simulated,
    )


def conduct_of(code: str, answers: Sequence[Mapping[str, Any]], rule: Exclusion, kind: str) -> Conduct:
    """Return how a rater did on the checks, and whether the rule excludes them.

    Args:
        code: of the rater.
        answers: all of theirs, practice apart.
        rule: of the study.
        kind: of the study.
    """
    first_time = {answer["item"]: answer for answer in answers if answer["kind"] == "item"}
    identical = [answer["first"] for answer in answers if answer["kind"] == "identical"]
    repeats = []
    for answer in answers:
        if answer["kind"] == "repeat" and answer["item"] in first_time:
            before = first_time[answer["item"]]
            sides = ("first",) if kind == "choices" else ("first", "second")
            repeats += [abs(answer[side] - before[side]) for side in sides if answer[side] is not None]
    seconds = median(answer["seconds"] for answer in answers)
    failures = sum(score < (0.5 if kind == "choices" else rule.identical_below) for score in identical)
    reasons = []
    if failures > rule.identical_failures:
        reasons.append(f"failed {failures} of {len(identical)} identical pairs")
    if repeats and mean(repeats) > rule.repeat_difference:
        reasons.append(f"repeats differ by {mean(repeats):.2f}")
    if seconds < rule.median_seconds:
        reasons.append(f"{seconds:.1f} s for an answer")
    return Conduct(code, len(first_time), seconds, identical, repeats, "; ".join(reasons))

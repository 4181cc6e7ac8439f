"""Trials of one rater: items, order and sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from semcomm.ratings.settings import Settings

APART = 1 / 3
"""A repeat comes at least this share of all trials after the first showing, where there is room."""


@dataclass(frozen=True)
class Item:
    """An original and what it is compared with.

    Attributes:
        number: of the item.
        practice: shown first, for practice, and never counted.
        reference: hash of the original's pixels.
        first: of the image to be compared.
        second: of the other one; None in a study of pairs.
        facts: names of the three, and what else is known of the two, such as link, SNR and rate.
    """

    number: int
    practice: bool
    reference: str
    first: str
    second: str | None
    facts: dict


@dataclass(frozen=True)
class Trial:
    """One showing of an item to one rater.

    Attributes:
        item: number of the item.
        kind: `practice`, `item`, `repeat` (of one before) or `identical` (the original stands in the place of the first
            image).
        swapped: the first image is shown on the right.
    """

    item: int
    kind: str
    swapped: bool


def trials_of(
    settings: Settings, items: Sequence[Item], shown: Mapping[int, int], rater: int, practised: bool = True
) -> list[Trial]:
    """Return the trials of a rater.

    Items that fewer raters have are given first, so that in the end each has as many as any other, or one more. Which
    image stands on the left alternates from rater to rater, and over the items of each.

    Args:
        settings: of the study.
        items: all of them.
        shown: number of an item -> how many raters have it already.
        rater: number of the rater, which with the seed of the study decides every draw.
        practised: whether there are practice items at the beginning.
    """
    rng = np.random.default_rng([settings.seed, rater])
    real = [item for item in items if not item.practice]
    drawn = rng.permutation(len(real))
    fewest = sorted(drawn, key=lambda n: shown.get(real[n].number, 0))  # stable: ties stay as drawn
    chosen = [real[n] for n in fewest[: settings.items_per_rater]]
    sides = {item.number: bool((item.number + rater) % 2) for item in items}
    trials = [Trial(item.number, "item", sides[item.number]) for item in _spread(chosen, rng)]
    for item in rng.permutation(len(trials))[: settings.repeats]:
        again = trials[item]
        trials.append(Trial(again.item, "repeat", not again.swapped))
    trials = _repeats_apart(trials, rng)
    checks = [chosen[n % len(chosen)] for n in rng.permutation(max(settings.identical, len(chosen)))]
    for number, item in enumerate(checks[: settings.identical]):
        # one in each stretch, so that a rater who tires is found out
        low, high = (round(len(trials) * (number + k) / settings.identical) for k in (0, 1))
        trials.insert(int(rng.integers(low, high + 1)), Trial(item.number, "identical", bool(rng.integers(2))))
    practice = [Trial(item.number, "practice", sides[item.number]) for item in items if item.practice and practised]
    return practice + trials


def _spread(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """Return items in random order, the same original never twice running where that can be had."""
    left = [items[n] for n in rng.permutation(len(items))]
    ordered: list[Item] = []
    while left:
        counts: dict[str, int] = {}
        for item in left:
            counts[item.reference] = counts.get(item.reference, 0) + 1
        last = ordered[-1].reference if ordered else None
        free = [item for item in left if item.reference != last] or left
        crowded = max(counts, key=counts.get)
        if counts[crowded] > len(left) / 2 and crowded != last:  # or it would be left over at the end
            free = [item for item in free if item.reference == crowded]
        ordered.append(free[0])
        left.remove(free[0])
    return ordered


def _repeats_apart(trials: list[Trial], rng: np.random.Generator) -> list[Trial]:
    """Put the repeats, which come last, at random places well after the first showing."""
    placed = [trial for trial in trials if trial.kind != "repeat"]
    for repeat in (trial for trial in trials if trial.kind == "repeat"):
        first = next(n for n, trial in enumerate(placed) if trial.item == repeat.item)
        earliest = min(first + 1 + round(APART * len(trials)), len(placed))
        placed.insert(int(rng.integers(earliest, len(placed) + 1)), repeat)
    return placed

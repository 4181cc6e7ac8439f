"""Order of the items that raters are shown: balanced, spread, with its checks in their places."""

import itertools
from collections import Counter

from semcomm.ratings.order import Item, trials_of
from semcomm.ratings.settings import Settings

ITEMS = [Item(n, n < 3, f"original {n % 5}", f"a{n}", f"b{n}", {}) for n in range(43)]
SETTINGS = Settings(items_per_rater=20, repeats=4, identical=3)


def all_raters(count: int, settings: Settings = SETTINGS) -> tuple[list, Counter]:
    shown: Counter = Counter()
    lists = []
    for rater in range(1, count + 1):
        trials = trials_of(settings, ITEMS, shown, rater)
        shown.update(trial.item for trial in trials if trial.kind == "item")
        lists.append(trials)
    return lists, shown


def test_every_item_is_shown_equally_often():
    _, shown = all_raters(7)
    assert len(shown) == 40
    assert set(shown.values()) == {3, 4}  # 7 raters of 20 items are 140 showings of 40
    _, shown = all_raters(8)
    assert set(shown.values()) == {4}


def test_sides_alternate_between_raters_and_over_items():
    lists, _ = all_raters(8)
    sides: dict[int, list[bool]] = {}
    for trials in lists:
        for trial in trials:
            if trial.kind == "item":
                sides.setdefault(trial.item, []).append(trial.swapped)
    assert 0.4 < sum(map(sum, sides.values())) / 160 < 0.6
    assert sum(len(set(of_item)) == 2 for of_item in sides.values()) > 30  # one side each, four times of eight


def test_the_checks_are_hidden_among_the_items():
    lists, _ = all_raters(6)
    for trials in lists:
        assert Counter(trial.kind for trial in trials) == {"practice": 3, "item": 20, "repeat": 4, "identical": 3}
        assert [trial.kind for trial in trials[:3]] == ["practice"] * 3
        where = {trial.item: n for n, trial in enumerate(trials) if trial.kind == "item"}
        for n, trial in enumerate(trials):
            if trial.kind == "repeat":
                first = trials[where[trial.item]]
                assert trial.swapped != first.swapped
                # never soon after: a third of all trials apart, or at the very end
                assert n - where[trial.item] >= 9 or n >= len(trials) - 4
        checks = [n - 3 for n, trial in enumerate(trials) if trial.kind == "identical"]
        assert checks[0] <= 10 and 8 <= checks[1] <= 20 and checks[2] >= 16  # one in each third


def test_an_original_does_not_come_twice_running():
    lists, _ = all_raters(6, Settings(items_per_rater=20, repeats=0, identical=0))
    for trials in lists:
        seen = [ITEMS[trial.item].reference for trial in trials if trial.kind == "item"]
        assert not any(a == b for a, b in itertools.pairwise(seen))


def test_orders_differ_and_can_be_made_again():
    assert trials_of(SETTINGS, ITEMS, {}, 1) == trials_of(SETTINGS, ITEMS, {}, 1)
    assert trials_of(SETTINGS, ITEMS, {}, 1) != trials_of(SETTINGS, ITEMS, {}, 2)
    assert trials_of(SETTINGS, ITEMS, {}, 1) != trials_of(Settings(items_per_rater=20, seed=1), ITEMS, {}, 1)

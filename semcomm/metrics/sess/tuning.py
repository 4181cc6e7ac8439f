"""Tuning the constants of SeSS on human scores (paper, section III.C).

A triplet is a reference, two candidates, and how alike people found each of them to the reference, from 0 to 1.
Scenes are found once, so a trial only matches graphs.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from semcomm.errors import ConfigurationError
from semcomm.images import read_image
from semcomm.metrics.sess.graph import Parameters, SceneGraph
from semcomm.metrics.sess.matching import match
from semcomm.metrics.sess.scene import Backend, Scene, image_similarity
from semcomm.parsing import parse_json

COLUMNS = ("reference", "first", "second", "first_score", "second_score")
SPACE = {
    "relation_weight": (0.0, 1.0),
    "update_rate": (0.0, 0.5),
    "image_weight": (0.0, 1.0),
    "position_weight": (0.0, 1.0),
    "saliency_root": (1.0, 5.0),
}
ITERATIONS = (1, 12)
HELD_OUT = 0.3
"""Share of the triplets that no trial sees."""


@dataclass(frozen=True)
class Rated:
    """Two scenes, in one or more views of which the best match counts, and how alike people found their images."""

    views: tuple[tuple[Scene, Scene], ...]
    human: float


@dataclass(frozen=True)
class Tuned:
    """The result of tuning.

    Attributes:
        parameters: the best.
        before: agreement of the parameters to begin with, on the held-out triplets.
        after: of the best ones, on the same triplets. See `agreement`.
        human: the human scores of the held-out pairs [m].
        scores: SeSS of the same pairs with the best parameters [m].
    """

    parameters: Parameters
    before: dict[str, float]
    after: dict[str, float]
    human: np.ndarray
    scores: np.ndarray


def read_triplets(path: Path) -> list[dict]:
    """Read triplets from CSV (with a header) or JSON lines: `reference, first, second, first_score, second_score`.

    Image names are relative to the file.

    Raises:
        ConfigurationError: for a missing column, a score outside 0 to 1, or no triplet at all.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Excel puts a byte-order mark before it
        if path.suffix.lower() in (".csv", ".tsv", ".txt"):
            header, *_ = text.splitlines() or [""]
            between = max(",;\t", key=header.count)  # Excel writes what the machine's language has between numbers
            rows = list(csv.DictReader(text.splitlines(), delimiter=between))
        else:
            rows = [parse_json(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigurationError(f"{path}: cannot be read as triplets ({error})") from None
    found = []
    for number, row in enumerate(rows, 1):
        where = f"{path}, triplet {number}"
        whole = isinstance(row, dict) and all(row.get(name) not in (None, "") for name in COLUMNS)
        if not whole or not all(isinstance(row[name], str) for name in COLUMNS[:3]):
            raise ConfigurationError(f"{where}: needs {', '.join(COLUMNS)}")
        for name in COLUMNS[3:]:
            try:
                value = float(row[name].replace(",", ".") if isinstance(row[name], str) else row[name])
            except (TypeError, ValueError, OverflowError):
                value = float("nan")
            if not 0 <= value <= 1:
                raise ConfigurationError(f"{where}: {name} is {row[name]!r}; a human score is from 0 to 1")
            row[name] = value
        names = {name: str(path.parent / row[name]) for name in COLUMNS[:3]}
        found.append({**names, **{name: float(row[name]) for name in COLUMNS[3:]}})
    if not found:
        raise ConfigurationError(f"{path}: holds no triplets")
    return found


def rate(rows: Sequence[dict], backend: Backend, crop: str) -> list[tuple[Rated, ...]]:
    """Find the scenes of the images of every triplet or pair, each image once; a pair has no `second`."""
    scenes: dict[str, Scene] = {}
    for row in rows:
        for name in COLUMNS[:3]:
            if name in row and row[name] not in scenes:
                scenes[row[name]] = backend.scene(read_image(row[name]), crop)
    return [
        tuple(
            Rated(tuple(backend.views(scenes[row["reference"]], scenes[row[c]])), row[f"{c}_score"])
            for c in COLUMNS[1:3]
            if c in row
        )
        for row in rows
    ]


def scores_of(pairs: Sequence[Rated], predicates: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Return SeSS of each pair [m]."""
    graphs = {}

    def graph(scene: Scene) -> SceneGraph:
        if id(scene) not in graphs:
            graphs[id(scene)] = scene.graph(parameters)
        return graphs[id(scene)]

    def score(first: Scene, second: Scene) -> float:
        return match(graph(first), graph(second), image_similarity(first, second), predicates, parameters).score

    return np.array([max(score(*view) for view in pair.views) for pair in pairs])


def tune(
    triplets: Sequence[tuple[Rated, ...]],
    predicates: np.ndarray,
    start: Parameters,
    trials: int = 100,
    method: Literal["random", "tpe"] = "random",
    seed: int = 0,
    on_trial: Callable[[int, float], None] = lambda number, error: None,
) -> Tuned:
    """Search for the constants whose scores are nearest to people's (least mean squared error).

    Args:
        triplets: at least 4, or as many pairs, of which `HELD_OUT` are kept apart, by position.
        predicates: similarity of each predicate to each.
        start: tried first, and the source of what is not searched for.
        trials: how many, the first included.
        method: `random` search as in the paper, or optuna's `tpe`.
        seed: of the search.
        on_trial: called with each trial's error on the triplets that are not held out.

    Raises:
        ConfigurationError: for too few triplets, scores that are all the same, or no optuna.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigurationError("tuning needs optuna: pip install 'semcomm[tuning]'") from None
    if len(triplets) < 4:
        raise ConfigurationError(f"tuning takes at least 4 triplets or pairs, not {len(triplets)}")
    order = np.random.default_rng(seed).permutation(len(triplets))
    cut = max(1, round(HELD_OUT * len(triplets)))
    held, seen = ([pair for i in part for pair in triplets[i]] for part in (order[:cut], order[cut:]))
    human = np.array([pair.human for pair in seen])
    if np.ptp(human) == 0:
        raise ConfigurationError("the human scores are all the same, so there is nothing to tune on")

    def error(trial: "optuna.Trial") -> float:
        chosen = {name: trial.suggest_float(name, *limits) for name, limits in SPACE.items()}
        parameters = start.changed(**chosen, iterations=trial.suggest_int("iterations", *ITERATIONS))
        found = float(np.square(scores_of(seen, predicates, parameters) - human).mean())
        on_trial(trial.number, found)
        return found

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler(seed) if method == "random" else optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({name: getattr(start, name) for name in (*SPACE, "iterations")})
    study.optimize(error, n_trials=trials)
    best = start.changed(**study.best_params)
    before, after = (scores_of(held, predicates, p) for p in (start, best))
    held_human = np.array([pair.human for pair in held])
    return Tuned(best, agreement(before, held_human), agreement(after, held_human), held_human, after)


def agreement(scores: np.ndarray, human: np.ndarray) -> dict[str, float]:
    """Return how well scores agree with people's: Pearson and Spearman correlation, mean squared error, mean excess."""
    from scipy.stats import pearsonr, spearmanr

    known = len(scores) > 1 and np.ptp(scores) > 0 and np.ptp(human) > 0
    return {
        "pearson": float(pearsonr(scores, human).statistic) if known else float("nan"),
        "spearman": float(spearmanr(scores, human).statistic) if known else float("nan"),
        "error": float(np.square(scores - human).mean()),
        "excess": float((scores - human).mean()),
    }


def draw_distributions(tuned: Tuned, path: Path) -> None:
    """Draw the distributions of human scores and SeSS on the held-out pairs (Figure 6 of the paper)."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 8}):
        figure = Figure(figsize=(3.5, 2.6), layout="constrained")
        axes = figure.subplots()
        for values, label, colour in ((tuned.human, "human", "#cc3311"), (tuned.scores, "SeSS", "#4477aa")):
            axes.hist(values, bins=20, range=(0, 1), alpha=0.5, label=label, color=colour)
        axes.set_xlabel("Similarity")
        axes.set_ylabel("Pairs")
        axes.legend(frameon=False)
        figure.savefig(path, dpi=200)

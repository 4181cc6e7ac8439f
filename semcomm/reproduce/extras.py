"""Extras of figures beside a sweep: the matching of objects, tuning on people's scores, properties of metrics."""

import json
from abc import abstractmethod
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from semcomm.component import Component
from semcomm.errors import ConfigurationError
from semcomm.files import write_whole
from semcomm.memo import key_of
from semcomm.metrics import SeSS
from semcomm.runs.image_store import ImageStore
from semcomm.runs.results import Results


@dataclass(frozen=True)
class ExtraResult:
    """The result of an extra.

    Attributes:
        facts: numbers that checks look at, and `missing`, why there are none.
        drawn: files with a title each, for the page.
        table: rows of texts, the first the heads.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    drawn: list[tuple[str, str]] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)


class Extra(Component):
    """Something that a figure needs beside its sweep."""

    @abstractmethod
    def made(self, results: Results | None, folder: Path) -> ExtraResult:
        """Make it, with drawings into `folder`.

        Args:
            results: of the figure's run, if it has one.
            folder: for files.

        Raises:
            SemcommError: when it cannot be made.
        """

    def made_once(self, results: Results | None, folder: Path, of: Any = None) -> ExtraResult:
        """Return what `made` gives, kept in `folder` for the same extra and results."""
        path = folder / f"{type(self).__name__.lower()}.json"
        key = key_of({"extra": self.recipe(), "of": of})
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept.pop("key", None) == key and all((folder / name).exists() for name, _ in kept["drawn"]):
                return ExtraResult(**kept)
        folder.mkdir(parents=True, exist_ok=True)
        found = self.made(results, folder)
        write_whole(path, json.dumps({"key": key, **asdict(found)}, indent=1).encode())
        return found


class WorkingSize(Extra):
    """Notes at how many pixels the generative model of a run works: what payloads are compared with."""

    def made(self, results: Results | None, folder: Path) -> ExtraResult:
        """Read it from the results."""
        sizes = [] if results is None or "working_size" not in results.table else results.table["working_size"].dropna()
        found = {tuple(map(int, text.split("x"))) for text in sizes}
        if len(found) != 1:
            return ExtraResult({"missing": "the run does not say at which size the model works"})
        ((width, height),) = found
        return ExtraResult({"working_pixels": width * height})


class Matches(Extra):
    """Draws which object SeSS has matched with which, for reconstructions that the run has kept.

    Args:
        count: how many pairs.
    """

    def __init__(self, count: int = 4) -> None:
        self.count = count

    def made(self, results: Results | None, folder: Path) -> ExtraResult:
        """Explain the first kept reconstructions, one of each point."""
        from semcomm.metrics.sess.explain import draw_match, explain

        metric = next((m for m in results.experiment.image_metrics if isinstance(m, SeSS)), None)
        if metric is None:
            return ExtraResult({"missing": "the run has no SeSS"})
        drawn, shares = [], []
        for title, original, received in _kept(results, self.count):
            data, scenes, _ = explain(metric, original, received)
            name = f"match-{len(drawn) + 1}.png"
            draw_match(data, scenes, (original, received), folder / name)
            drawn.append((name, f"{title}: {data['metric']} {data['score']:.3f}"))
            shares.append(sum(pair["share"] for pair in data["pairs"]))
        return ExtraResult({"matched": shares}, drawn)


class Tuning(Extra):
    """Tunes SeSS on people's scores, the user's own: none come with semcomm.

    Args:
        triplets: file of people's scores: triplets, as `semcomm ratings export` writes them, pairs
            (`image_a, image_b, score`), or one of Crisscrossed Captions; none leaves the figure undone.
        images: folder of the images of pairs; none is that of the file.
        limit: so many rows of it only.
        metric: with the backend and the constants to begin with; none is `SeSS`.
        trials: of the search.
    """

    def __init__(
        self,
        triplets: str | None = None,
        images: str | None = None,
        limit: int | None = None,
        metric: SeSS | None = None,
        trials: int = 100,
    ) -> None:
        self.triplets = triplets
        self.images = images
        self.limit = limit
        self.metric = metric
        self.trials = trials

    def made(self, results: Results | None, folder: Path) -> ExtraResult:
        """Tune, and draw the two distributions."""
        from semcomm.metrics.sess.human import read_human
        from semcomm.metrics.sess.tuning import draw_distributions, rate, tune

        if self.triplets is None:
            return ExtraResult(
                {
                    "missing": "people's scores are needed, and none were published: name a file as "
                    "extras.Tuning.triplets=FILE (reference, first, second, first_score, second_score; or image_a, "
                    "image_b, score; or sis_val.csv of Crisscrossed Captions with extras.Tuning.images=FOLDER)"
                }
            )
        metric = self.metric or SeSS()
        rows = read_human(Path(self.triplets), self.images and Path(self.images), limit=self.limit)
        rated = rate(rows, metric.backend, metric.parameters.crop)
        tuned = tune(rated, metric.backend.predicate_similarity(), metric.parameters, self.trials)
        draw_distributions(tuned, folder / "distributions.png")
        found = asdict(tuned.parameters)
        numbers = {name: value for name, value in found.items() if isinstance(value, int | float)}
        excess = (tuned.scores - tuned.human).tolist()
        rows = [["constant", "tuned"], *([name, f"{value:g}"] for name, value in numbers.items())]
        return ExtraResult(
            {**numbers, "excess of SeSS over people": excess}, [("distributions.png", "people and SeSS")], rows
        )


class Properties(Extra):
    """Measures what a table of metrics only says: robustness, sensitivity, symmetry, and the range that is used.

    Args:
        mild: transceivers that leave the meaning alone.
        strong: one that takes detail away along an axis: the fall between its ends is the sensitivity.
    """

    def __init__(self, mild: list[str], strong: str) -> None:
        self.mild = mild
        self.strong = strong

    def made(self, results: Results | None, folder: Path) -> ExtraResult:
        """Compute the table; symmetry on the reconstructions that the run has kept."""
        facts: dict[str, Any] = {}
        rows = [["metric", "worst over small changes", "fall with the rate", "asymmetry", "lowest to highest"]]
        pairs = _kept(results, 8)
        table = results.table
        for metric in results.experiment.image_metrics:
            name = type(metric).__name__
            means = table.groupby("transceiver")[metric.name].mean()
            worst = (np.min if metric.higher_is_better else np.max)(
                [means[link] for link in self.mild if link in means]
            )
            each = len(results.images) * results.experiment.realisations
            curve = table[table["transceiver"] == self.strong].groupby(lambda row, each=each: row // each)
            ends = curve[metric.name].mean()
            fall = abs(ends.iloc[-1] - ends.iloc[0]) if len(ends) else np.nan
            gaps = [abs(metric(a[None], b[None]).item() - metric(b[None], a[None]).item()) for _, a, b in pairs]
            values = table[metric.name].replace([np.inf, -np.inf], np.nan)
            facts |= {f"{name}, asymmetry": gaps, f"{name}, lowest": float(values.min())}
            asymmetry = f"{max(gaps):.2g}" if gaps else "not measured"
            rows.append(
                [metric.name, f"{worst:.3f}", f"{fall:.3f}", asymmetry, f"{values.min():.3f} to {values.max():.3f}"]
            )
        return ExtraResult(facts, table=rows)


def _kept(results: Results | None, count: int) -> list[tuple[str, Any, Any]]:
    """Return (title, original, reconstruction) of at most `count` kept pairs, image by image."""
    if results is None:
        raise ConfigurationError("this figure needs a run")
    kept, found = ImageStore(results.folder), []
    points, images = results.experiment.points, results.experiment.images
    names = list(results.images)
    entries = sorted(results.reconstructions.items(), key=lambda entry: (names.index(entry[0][1]), entry[0][0]))
    for (number, name, realisation), digest in entries:
        if realisation or len(found) == count:
            continue
        received = kept.read(digest)
        if received is not None:
            original = images.load(Path(results.images[name].path))
            swept = [f"{axis} {value}" for axis, value in points[number].parameters.items()]
            found.append((", ".join([name, points[number].transceiver, *swept]), original, received))
    return found

"""The results of a run as a table: one row per transceiver, channel, point, image and realisation."""

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from semcomm.errors import RunError
from semcomm.experiment.axes import label as label
from semcomm.experiment.experiment import Experiment, reception_key, spelt
from semcomm.experiment.reopened import Recorded
from semcomm.files import files_at, write_whole
from semcomm.ledger import Ledger
from semcomm.memo import Memo, key_of
from semcomm.metrics import Metric, SetMetric
from semcomm.runs.engine import features_of, metric_key
from semcomm.runs.image_store import ImageStore
from semcomm.runs.plan import chunks, recipes_of
from semcomm.runs.store import LEDGER, SEAL, Store, StoredImage, StoredScore
from semcomm.transceivers.checks import excess_power

if TYPE_CHECKING:
    import pandas as pd

PARQUET, CSV = "results.parquet", "results.csv"
SETS_PARQUET, SETS_CSV = "sets.parquet", "sets.csv"
COUNTS = ["symbol_power", "papr_db", "block_errors", "blocks", "decode_failed", "infeasible"]
NAMES = ["transceiver", "channel", "image", "realisation"]
LAYOUT = 3
"""Of the tables; raise it when their columns change, so that what was exported before is not taken for it."""
ROWS_AT_ONCE = 1000
"""Rows looked up in one query."""


@dataclass(frozen=True, repr=False)
class Results:
    """The results of a run.

    Attributes:
        experiment: what was run.
        table: a pandas table; `NAMES`, the number of the
            point, the swept parameters, `snr_db`, the rates, the ledger, what the links say, the
            metrics, and the seconds spent. Costs that do not exist (source bits of an analog link) are NaN.
        sets: one row per transceiver, channel, point and realisation, with the metrics of sets; those whose images are
            not all there yet are left out.
        folder: of the run.
        images: name -> the image as it was when the run began.
        reconstructions: (number of the point, image, realisation) -> hash of its pixels, of those that the experiment
            keeps on disk.
    """

    experiment: Experiment
    table: "pd.DataFrame"
    sets: "pd.DataFrame"
    folder: Path
    images: dict[str, StoredImage]
    reconstructions: dict[tuple[int, str, int], str]

    def __repr__(self) -> str:
        experiment, table = self.experiment, self.table
        planned = len(experiment.points) * len(self.images) * experiment.realisations
        columns = [*(metric.name for metric in experiment.metrics), *experiment.axes]
        return (
            f"<Results of {experiment.title or self.folder.name!r} in {self.folder}: {len(table)} of {planned} rows; "
            f"{len(experiment.transceivers)} transceivers, {len(experiment.channels)} channels, {len(self.images)} "
            f"images; {', '.join(dict.fromkeys(columns))}>"
        )

    def remarks(self) -> list[str]:
        """Return what a reader of these results should know: links that sent with more than the nominal power."""
        said = []
        for name, rows in self.table.groupby("transceiver", sort=False) if len(self.table) else ():
            power = excess_power(rows["symbol_power"].tolist(), rows["channel_uses"].tolist())
            if power is not None:
                said.append(
                    f"{name} sent with a mean power of {power:.3g}, and the noise is set for 1: its SNR was "
                    f"{10 * math.log10(power):.1f} dB higher than snr_db says"
                )
        return said


def collect(experiment: Experiment, store: Store, images: Sequence[StoredImage]) -> Results:
    """Look every planned row up in the store; those not there yet are left out. What was exported is read back."""
    recipes = recipes_of(store, experiment)
    tables = _sealed(experiment, store, images)
    if tables is None:
        store.check()
    reconstructions = _reconstructions(experiment, store, images, recipes)
    if tables is None:
        tables = _table(experiment, store, images, recipes), _sets(experiment, store, images, recipes)
    return Results(experiment, *tables, store.folder, {image.name: image for image in images}, reconstructions)


def is_finished(experiment: Experiment, store: Store, images: Sequence[StoredImage]) -> bool:
    """Say whether all of a run was exported, nothing came or went since, and the images that it keeps are there."""
    seal = store.meta(SEAL) or {}
    if not seal.get("complete") or _sealed(experiment, store, images, whole=True) is None:
        return False
    kept = ImageStore(store.folder)
    found = _reconstructions(experiment, store, images, recipes_of(store, experiment))
    return all(kept.has(key) for key in found.values())


def _reconstructions(
    experiment: Experiment, store: Store, images: Sequence[StoredImage], recipes: Sequence[str]
) -> dict[tuple[int, str, int], str]:
    reconstructions = {}
    kept = (
        (n, i, r)
        for n, i, r in itertools.product(range(len(recipes)), range(len(images)), range(experiment.realisations))
        if experiment.kept(i, r)
    )
    for some in chunks(kept, ROWS_AT_ONCE):
        keys = [reception_key(recipes[n], images[i].hash, experiment.seed, r) for n, i, r in some]
        for (n, i, r), found in zip(some, store.received(keys)):
            if found:
                reconstructions[n, images[i].name, r] = found
    return reconstructions


def _table(
    experiment: Experiment, store: Store, images: Sequence[StoredImage], recipes: Sequence[str]
) -> "pd.DataFrame":
    import pandas as pd

    metrics = [(metric.name, _kept_key(store, metric)) for metric in experiment.image_metrics]
    labels = [{axis: label(p.parameters.get(axis)) for axis in experiment.axes} for p in experiment.points]
    planned = itertools.product(range(len(recipes)), range(len(images)), range(experiment.realisations))
    columns = _Columns()
    for some in chunks(planned, ROWS_AT_ONCE):
        keys = [reception_key(recipes[n], images[i].hash, experiment.seed, r) for n, i, r in some]
        found = [(at, reception) for at, reception in zip(some, store.receptions(keys)) if reception]
        pairs = [(images[i].hash, reception.reconstruction) for (_, i, _), reception in found]
        scores = [store.scores(key, pairs) for _, key in metrics]
        where, got = zip(*found) if found else ((), ())
        said = dict.fromkeys([*COUNTS, *(name for it in got for name in it.info)])
        columns.extend(
            len(found),
            {
                "transceiver": [experiment.points[n].transceiver for n, _, _ in where],
                "channel": [experiment.points[n].channel for n, _, _ in where],
                "image": [images[i].name for _, i, _ in where],
                "realisation": [r for _, _, r in where],
                "point": [n for n, _, _ in where],
                "snr_db": [experiment.points[n].over.snr_db for n, _, _ in where],
                **{name: [it.ledger[name] for it in got] for name in LEDGER},
                **{f"ledger {name}": [it.ledger[name] for it in got] for name in LEDGER},
                **{name: [it.info.get(name, None if name in COUNTS else math.nan) for it in got] for name in said},
                **{axis: [labels[n][axis] for n, _, _ in where] for axis in experiment.axes},
                **{name: [s[0] if s else None for s in column] for (name, _), column in zip(metrics, scores)},
                "transmit_seconds": [it.seconds for it in got],
                "score_seconds": [sum(s[1] for s in of_metrics if s) for of_metrics in zip(*scores)] or [0] * len(got),
            },
        )
    ledger = {name: columns.lists.pop(f"ledger {name}", []) for name in LEDGER}  # an axis may have the name of a column
    table = pd.DataFrame(columns.lists, columns=_columns(experiment, columns.lists))
    table = table.assign(**{name: _as_text(table[name]) for name in table if table[name].dtype == object})
    numbers = ["snr_db", *RATES, *LEDGER, "symbol_power", "papr_db", *(name for name, _ in metrics)]
    table = table.astype({name: "float64" for name in numbers if name in table})
    return table.assign(**_rates(ledger))


def _as_text(column: "pd.Series") -> "pd.Series":
    """Return a column as text, if it has values of several kinds: no table holds those."""
    kinds = {
        bool if isinstance(v, bool) else str if isinstance(v, str) else float
        for v in column
        if v == v and v is not None
    }
    if len(kinds) < 2:
        return column
    return column.map(lambda v: v if v is None or v != v or isinstance(v, str) else json.dumps(v))


class _Columns:
    """Rows as columns."""

    def __init__(self) -> None:
        self.lists: dict[str, list] = {}
        self._rows = 0

    def extend(self, count: int, columns: dict[str, list]) -> None:
        """Add `count` rows; columns that they lack, or that are new, are filled with NaN."""
        for name in columns:
            self.lists.setdefault(name, [math.nan] * self._rows)
        for name, values in self.lists.items():
            values += columns.get(name, [math.nan] * count)
        self._rows += count


def _sets(
    experiment: Experiment, store: Store, images: Sequence[StoredImage], recipes: Sequence[str]
) -> "pd.DataFrame":
    """Return the metrics of sets; a number is computed once and kept beside the scores."""
    import pandas as pd

    rows = []
    for point, recipe in zip(experiment.points, recipes) if experiment.set_metrics else []:
        for realisation in range(experiment.realisations):
            found = store.received([reception_key(recipe, i.hash, experiment.seed, realisation) for i in images])
            if None in found:
                continue
            references = [image.hash for image in images]
            rows.append(
                {
                    "transceiver": point.transceiver,
                    "channel": point.channel,
                    "realisation": realisation,
                    "snr_db": point.over.snr_db,
                    **{axis: label(point.parameters.get(axis)) for axis in experiment.axes},
                    "images": len(images),
                    **{metric.name: _set_score(store, metric, references, found) for metric in experiment.set_metrics},
                }
            )
    return pd.DataFrame(rows)


def _set_score(store: Store, metric: SetMetric, references: Sequence[str], found: Sequence[str]) -> float:
    key = _kept_key(store, metric)
    first, second = ("set " + hashlib.sha256("".join(hashes).encode()).hexdigest() for hashes in (references, found))
    (kept,) = store.scores(key, [(first, second)])
    if kept is not None:
        return kept[0]
    if isinstance(metric, Recorded):
        return math.nan  # the run has not come to it
    features = Memo(f"{store.meta('place') or store.folder}/memo")

    def of(hashes: Sequence[str]) -> torch.Tensor:
        rows = [np.frombuffer(features.get(features_of(key, h), _absent), np.float32) for h in hashes]
        return torch.from_numpy(np.stack(rows))

    value = metric.distance(of(references), of(found))
    store.add({}, [StoredScore(first, second, key, value, 0.0)])
    return value


def _absent() -> bytes:
    raise RunError("features of some images are gone from the memo; run the same command again")


def keys_of(experiment: Experiment) -> dict[str, Any]:
    """Return the keys of metrics and links: they name the weights, which a machine that only reads may not have.

    Raises:
        ModelError: when weights are not on this machine.
    """
    links = {id(point.link): point.link for point in experiment.points}.values()
    return {
        "metric keys": {spelt(metric): metric_key(metric) for metric in experiment.metrics},
        "link recipes": {spelt(link): link.recipe() for link in links},
    }


def _kept_key(store: Store, metric: Metric | SetMetric) -> str:
    return (store.meta("metric keys") or {}).get(spelt(metric)) or metric_key(metric)


def export(results: Results, store: Store, complete: bool) -> Results:
    """Write the tables as Parquet and CSV, each whole or not at all, unless that is what is there.

    Args:
        results: all that there is.
        store: of the run; it gets a seal, which holds until something is added.
        complete: nothing of the run is missing.
    """
    images = list(results.images.values())
    sealed = _sealed(results.experiment, store, images, whole=True) is not None
    if sealed and store.meta(SEAL)["complete"] == complete:
        return results
    tables = {(PARQUET, CSV): results.table, (SETS_PARQUET, SETS_CSV): results.sets}
    digests = {}
    for (parquet, csv), table in tables.items():
        if len(table) or parquet == PARQUET:
            buffer = BytesIO()
            table.to_parquet(buffer, index=False)
            for name, data in ((parquet, buffer.getvalue()), (csv, table.to_csv(index=False).encode())):
                write_whole(results.folder / name, data)
                digests[name] = hashlib.sha256(data).hexdigest()
    seal = {"of": _signature(results.experiment, store, images), "files": digests, "complete": complete}
    store.set_meta(SEAL, seal)
    return results


def _signature(experiment: Experiment, store: Store, images: Sequence[StoredImage]) -> str:
    """Return the hash of all that a table of results depends on beside the rows in the store."""
    described = {
        key: value for key, value in experiment.resolved().items() if key not in ("title", "figures", "resources")
    }
    return key_of(
        {
            "experiment": described,
            "layout": LAYOUT,
            "keys": [store.meta("metric keys"), recipes_of(store, experiment)],
            "images": [[image.name, image.hash] for image in images],
        }
    )


def _sealed(
    experiment: Experiment, store: Store, images: Sequence[StoredImage], whole: bool = False
) -> "tuple[pd.DataFrame, pd.DataFrame] | None":
    """Return the two tables as they were exported, or None where that is not all there is by now.

    Args:
        experiment: the experiment.
        store: of the run.
        images: of the run.
        whole: look at the CSV files too.
    """
    import pandas as pd

    seal = store.meta(SEAL)
    if not seal or seal["of"] != _signature(experiment, store, images):
        return None
    tables = {PARQUET: pd.DataFrame(), SETS_PARQUET: pd.DataFrame()}
    for name, digest in seal["files"].items():
        if whole or name in tables:
            data = files_at(store.folder).read(name)
            if data is None or hashlib.sha256(data).hexdigest() != digest:
                return None
            if name in tables:
                tables[name] = pd.read_parquet(BytesIO(data))
    return tables[PARQUET], tables[SETS_PARQUET]


RATES = ["bpp", "cbr", "total_bpp", "total_cbr", "code_rate"]


def _rates(counts: dict[str, list[float]]) -> dict[str, Any]:
    """Return the columns that follow from the ledger's; `Ledger` alone knows how."""
    ledger = Ledger(**{name: torch.tensor(counts[name], dtype=torch.float64) for name in LEDGER})
    return {name: getattr(ledger, name).numpy() for name in RATES}


def _columns(experiment: Experiment, found: Iterable[str]) -> list[str]:
    metrics = [metric.name for metric in experiment.image_metrics]
    ends = [*metrics, "transmit_seconds", "score_seconds"]
    first = [*NAMES, "point", *experiment.axes, "snr_db", *RATES, *LEDGER, *COUNTS]
    return list(dict.fromkeys([*first, *(name for name in found if name not in ends), *ends]))

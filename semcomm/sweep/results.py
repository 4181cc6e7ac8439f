"""The results of a run as a table: one row per transceiver, channel, point, image and realisation."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from semcomm.component import plain
from semcomm.errors import RunError
from semcomm.ledger import Ledger
from semcomm.memo import Memo, write_whole
from semcomm.metrics import Metric, SetMetric
from semcomm.sweep.engine import features_of, metric_key
from semcomm.sweep.experiment import Experiment
from semcomm.sweep.store import LEDGER, Store, StoredImage, StoredReception, StoredScore

if TYPE_CHECKING:
    import pandas as pd

PARQUET, CSV = "results.parquet", "results.csv"
SETS_PARQUET, SETS_CSV = "sets.parquet", "sets.csv"
COUNTS = ["symbol_power", "block_errors", "blocks", "decode_failed", "infeasible"]
NAMES = ["transceiver", "channel", "image", "realisation"]


@dataclass(frozen=True)
class Results:
    """What a run found.

    Attributes:
        experiment: what was run.
        table: a pandas table; `NAMES`, the swept parameters, `snr_db`, the rates, the ledger, what the links say, the
            metrics, and the seconds spent. Costs that do not exist (source bits of an analog link) are NaN.
        sets: one row per transceiver, channel, point and realisation, with the metrics of sets; those whose images are
            not all there yet are left out.
        folder: of the run.
        images: name -> the picture as it was when the run began.
        reconstructions: (number of the point, image, realisation) -> hash of its pixels; the picture is on disk where
            the experiment keeps it.
    """

    experiment: Experiment
    table: "pd.DataFrame"
    sets: "pd.DataFrame"
    folder: Path
    images: dict[str, StoredImage]
    reconstructions: dict[tuple[int, str, int], str]


def collect(experiment: Experiment, store: Store, images: Sequence[StoredImage]) -> Results:
    """Look every planned row up in the store; those not there yet are left out."""
    import pandas as pd

    receptions = dict(store.read_receptions())
    scores = store.scores()
    metrics = [(metric.name, _kept_key(store, metric)) for metric in experiment.image_metrics]
    rows, reconstructions = [], {}
    for number, point in enumerate(experiment.points):
        for image in images:
            for realisation in range(experiment.realisations):
                key = point.reception_key(image.hash, experiment.seed, realisation)
                if key not in receptions:
                    continue
                found = receptions[key]
                reconstructions[number, image.name, realisation] = found.reconstruction
                values = [scores.get((image.hash, found.reconstruction, m)) for _, m in metrics]
                rows.append(
                    {
                        "transceiver": point.transceiver,
                        "channel": point.channel,
                        "image": image.name,
                        "realisation": realisation,
                        "snr_db": point.over.snr_db,
                        **found.ledger,
                        **{name: found.info.get(name) for name in COUNTS},
                        **found.info,
                        **{axis: label(point.parameters.get(axis)) for axis in experiment.axes},
                        **{name: v[0] if v else None for (name, _), v in zip(metrics, values)},
                        "transmit_seconds": found.seconds,
                        "score_seconds": sum(v[1] for v in values if v),
                    }
                )
    table = pd.DataFrame(rows, columns=_columns(experiment, rows))
    numbers = ["snr_db", *_RATES, *LEDGER, "symbol_power", *(name for name, _ in metrics)]
    table = table.astype({name: "float64" for name in numbers if name in table})
    table = table.assign(**_rates(table))
    sets = _sets(experiment, store, images, receptions)
    return Results(experiment, table, sets, store.folder, {image.name: image for image in images}, reconstructions)


def _sets(
    experiment: Experiment, store: Store, images: Sequence[StoredImage], receptions: dict[str, StoredReception]
) -> "pd.DataFrame":
    """Return the metrics of sets; a number is computed once and kept beside the scores."""
    import pandas as pd

    rows = []
    for point in experiment.points if experiment.set_metrics else []:
        for realisation in range(experiment.realisations):
            keys = [point.reception_key(image.hash, experiment.seed, realisation) for image in images]
            if not all(key in receptions for key in keys):
                continue
            found = [receptions[key].reconstruction for key in keys]
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
    kept = store.score(first, second, key)
    if kept is not None:
        return kept
    features = Memo(store.folder / "memo")

    def of(hashes: Sequence[str]) -> torch.Tensor:
        rows = [np.frombuffer(features.get(features_of(key, h), _absent), np.float32) for h in hashes]
        return torch.from_numpy(np.stack(rows))

    value = metric.distance(of(references), of(found))
    store.add({}, [StoredScore(first, second, key, value, 0.0)])
    return value


def _absent() -> bytes:
    raise RunError("features of some images are gone from the memo; run the same command again")


def keep_metric_keys(store: Store, experiment: Experiment) -> None:
    """Note the key of each metric's scores: it names the weights, which a machine that only reads may not have."""
    store.set_meta("metric keys", {_spelt(metric): metric_key(metric) for metric in experiment.metrics})


def _kept_key(store: Store, metric: Metric | SetMetric) -> str:
    return (store.meta("metric keys") or {}).get(_spelt(metric)) or metric_key(metric)


def _spelt(metric: Metric | SetMetric) -> str:
    return json.dumps(metric.spec(), sort_keys=True)


def export(results: Results, folder: Path) -> Results:
    """Write the table as Parquet and CSV, whole or not at all."""
    buffer = BytesIO()
    results.table.to_parquet(buffer, index=False)
    write_whole(folder / PARQUET, buffer.getvalue())
    write_whole(folder / CSV, results.table.to_csv(index=False).encode())
    if len(results.sets):
        buffer = BytesIO()
        results.sets.to_parquet(buffer, index=False)
        write_whole(folder / SETS_PARQUET, buffer.getvalue())
        write_whole(folder / SETS_CSV, results.sets.to_csv(index=False).encode())
    return results


def label(value: Any) -> Any:
    """Return a swept value as it stands in a column: numbers and texts as they are, classes by name and arguments."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    value = plain(value)
    if isinstance(value, dict) and "class_path" in value:
        arguments = ", ".join(f"{k}={label(v)}" for k, v in (value.get("init_args") or {}).items())
        return f"{value['class_path'].rsplit('.', 1)[-1]}({arguments})"
    return json.dumps(value)


_RATES = ["bpp", "cbr", "total_bpp", "code_rate"]


def _rates(table: "pd.DataFrame") -> dict[str, Any]:
    """Return the columns that follow from the ledger's; `Ledger` alone knows how."""
    ledger = Ledger(**{name: torch.tensor(table[name].to_numpy(dtype="float64")) for name in LEDGER})
    return {name: getattr(ledger, name).numpy() for name in _RATES}


def _columns(experiment: Experiment, rows: list[dict]) -> list[str]:
    metrics = [metric.name for metric in experiment.image_metrics]
    ends = [*metrics, "transmit_seconds", "score_seconds"]
    first = [*NAMES, *experiment.axes, "snr_db", *_RATES, *LEDGER, *COUNTS]
    middle = [name for row in rows for name in row]
    return list(dict.fromkeys([*first, *(name for name in dict.fromkeys(middle) if name not in ends), *ends]))

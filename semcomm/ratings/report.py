"""The report: how raters agree, what scores they give, and how every metric agrees with them."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from semcomm.errors import ConfigurationError
from semcomm.files import write_whole
from semcomm.metrics import Metric
from semcomm.ratings.database import Database
from semcomm.ratings.opinions import Opinions
from semcomm.ratings.scoring import scored
from semcomm.ratings.statistics import (
    CEILING,
    FEWEST_GROUPS,
    KINDS,
    LARGE,
    RESAMPLES,
    RESAMPLES_OF_LARGE,
    Estimated,
    Judgement,
    alpha_of,
    judge,
)

if TYPE_CHECKING:
    import pandas as pd

PAGE, METRICS, PAIRS, RATERS, AGREEMENT = "report.html", "metrics.csv", "pairs.csv", "raters.csv", "agreement.csv"
BINS = 20
HEADS = {"spearman": "Spearman", "pearson": "Pearson", "kendall": "Kendall", "preference": "Preferences"}


def write_report(
    opinions: Opinions,
    metrics: Sequence[Metric],
    folder: Path,
    database: Database | None = None,
    resamples: int | None = None,
    on_note: Callable[[str], None] = lambda note: None,
) -> "pd.DataFrame":
    """Write the page and its tables, and return how each metric agrees with people.

    Args:
        opinions: of people.
        metrics: to compare with them.
        folder: for `report.html`, `metrics.csv`, `pairs.csv`, `agreement.csv` and, of a study, `raters.csv`.
        database: of the study, where the metrics' values are kept.
        resamples: of the bootstrap; none is `RESAMPLES`, or `RESAMPLES_OF_LARGE` for large studies.
        on_note: called with what is noted on the page too.

    Returns:
        A row per metric and statistic: value, interval, and of how many pairs or triplets.

    Raises:
        ConfigurationError: when every rater is excluded.
    """
    if not opinions.raters:
        raise ConfigurationError("the rule of exclusion leaves no rater, so there is nothing to report")
    if resamples is not None and resamples < 1:
        raise ConfigurationError(f"resamples is {resamples}; it must be at least 1")
    resamples = resamples or (RESAMPLES_OF_LARGE if len(opinions.pairs) > LARGE else RESAMPLES)
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        on_note(text)

    values = scored(opinions, metrics, database, note)
    judged = judge(opinions, values, resamples=resamples)
    agreement = _agreement(opinions, resamples)
    table = _table(judged)
    for name, frame in ((METRICS, table), (PAIRS, _pairs(opinions, values)), (AGREEMENT, _rows(agreement))):
        write_whole(folder / name, frame.to_csv(index=False).encode())
    if opinions.conduct:
        write_whole(folder / RATERS, _raters(opinions).to_csv(index=False).encode())
    write_whole(folder / PAGE, _page(opinions, values, judged, agreement, notes, resamples).encode())
    return table


def _agreement(opinions: Opinions, resamples: int) -> dict[str, Estimated]:
    """Return name -> number: alpha, and what the checks gave."""
    if opinions.single:
        return {}
    found = {"Krippendorff's alpha": alpha_of(opinions, resamples=resamples)}
    counted = [conduct for conduct in opinions.conduct if not conduct.excluded]
    for name, lists in (
        ("difference between repeats, mean", [c.repeats for c in counted]),
        ("identical pairs, mean score", [c.identical for c in counted]),
    ):
        values = [value for some in lists for value in some]
        if values:
            found[name] = Estimated(mean(values), math.nan, math.nan, len(values))
    return found


def _table(judged: Mapping[str, Mapping[str, Estimated]]) -> "pd.DataFrame":
    import pandas as pd

    rows = [
        {"metric": name, "statistic": kind, **vars(found)}
        for name, kinds in judged.items()
        for kind, found in kinds.items()
    ]
    return pd.DataFrame(rows, columns=["metric", "statistic", "value", "low", "high", "count"])


def _rows(agreement: Mapping[str, Estimated]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        [{"what": name, **vars(found)} for name, found in agreement.items()],
        columns=["what", "value", "low", "high", "count"],
    )


def _pairs(opinions: Opinions, values: Mapping[str, Judgement]) -> "pd.DataFrame":
    import pandas as pd

    counts = (~np.isnan(opinions.scores)).sum(0) if len(opinions.scores) else np.zeros(len(opinions.pairs), int)
    means = opinions.means() if len(opinions.scores) else np.full(len(opinions.pairs), np.nan)
    facts = pd.DataFrame([pair.facts for pair in opinions.pairs]) if any(p.facts for p in opinions.pairs) else None
    table = pd.DataFrame(
        {
            "original": [pair.names[0] for pair in opinions.pairs],
            "candidate": [pair.names[1] for pair in opinions.pairs],
            "raters": counts,
            "score": means,
            "source": opinions.people,
            **{name: judgement.values for name, judgement in values.items()},
        }
    )
    return table if facts is None else pd.concat([table, facts], axis=1)


def _raters(opinions: Opinions) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "rater": c.code,
                "items": c.rated,
                "median_seconds": c.seconds,
                "identical_mean": mean(c.identical) if c.identical else math.nan,
                "repeat_difference": mean(c.repeats) if c.repeats else math.nan,
                "excluded": c.excluded,
            }
            for c in opinions.conduct
        ]
    )


def _page(
    opinions: Opinions,
    values: Mapping[str, Judgement],
    judged: Mapping[str, Mapping[str, Estimated]],
    agreement: Mapping[str, Estimated],
    notes: Sequence[str],
    resamples: int,
) -> str:
    from semcomm.ratings.views import templates

    kinds = [kind for kind in HEADS if any(kind in found for found in judged.values())]
    sort_by = kinds[0] if kinds else None
    ranked = sorted(
        ((name, found) for name, found in judged.items() if name != CEILING),
        key=lambda entry: -np.nan_to_num(entry[1][sort_by].value, nan=-9.0) if sort_by else 0.0,
    )
    if CEILING in judged:
        ranked.append((CEILING, judged[CEILING]))
    groups = len(np.unique(opinions.groups))
    return (
        templates()
        .get_template("report.html")
        .render(
            opinions=opinions,
            people=opinions.people,
            counted=sum(not c.excluded for c in opinions.conduct),
            answers=int((~np.isnan(opinions.scores if len(opinions.scores) else opinions.preferences)).sum()),
            agreement=agreement,
            kinds=[(kind, HEADS[kind]) for kind in kinds],
            ranked=ranked,
            ceiling=CEILING,
            charts=_charts(opinions, values),
            raters=_raters(opinions).to_dict("records") if opinions.conduct else [],
            notes=notes,
            resamples=resamples,
            drawn="originals" if groups >= FEWEST_GROUPS else "items",
            correlations=bool(set(KINDS) & set(kinds)),
        )
    )


def _charts(opinions: Opinions, values: Mapping[str, Judgement]) -> list[dict[str, Any]]:
    """Return, for each metric, the histograms of Figure 6 and a scatter, as numbers from 0 to 1."""
    if not len(opinions.scores):
        return []
    human = opinions.means()
    charts = []
    for name, judgement in values.items():
        known = np.isfinite(judgement.values) & ~np.isnan(human)
        said, people = judgement.values[known], human[known]
        if not len(said):
            continue
        within = said.min() >= 0 and said.max() <= 1
        low, high = (0.0, 1.0) if within else (float(said.min()), float(said.max()))
        placed = (said - low) / (high - low) if high > low else np.full(len(said), 0.5)
        bars = [np.histogram(v, BINS, (0, 1))[0] / len(said) for v in (people, placed)]
        shown = np.random.default_rng(0).permutation(len(said))[:1000]
        charts.append(
            {
                "name": name,
                "low": f"{low:.3g}",
                "high": f"{high:.3g}",
                "scaled": not within,
                "excess": float((said - people).mean()) if within else None,
                "most": max(1e-9, float(np.max(bars))),
                "bars": [bar.tolist() for bar in bars],
                "dots": [(float(placed[n]), float(people[n])) for n in shown],
                "count": len(said),
                "infinite": int((np.isinf(judgement.values) & ~np.isnan(human)).sum()),
            }
        )
    return charts

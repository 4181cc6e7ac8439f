"""Output of the commands: a progress bar with an estimate, tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from semcomm.runs.notes import note as note

if TYPE_CHECKING:
    import pandas as pd

    from semcomm.analysis.statistics import Estimate
    from semcomm.runs.results import Results
    from semcomm.runs.run import Progress


@contextmanager
def progress() -> Iterator[Callable[["Progress"], None]]:
    """Show how far a run is and how long the rest will take; on a terminal as a bar, else as a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, speed_estimate_period=120) as bar:
        task = bar.add_task("sending and scoring", total=None)
        with _steps_in(bar):
            yield lambda state: bar.update(task, completed=state.done, total=state.total)


@contextmanager
def steps() -> Iterator[None]:
    """Show the denoising steps of whatever generates, on a terminal."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with Bar(console=console, transient=True) as bar, _steps_in(bar):
        yield


@contextmanager
def _steps_in(bar: Any) -> Iterator[None]:
    """Add a line for the denoising steps of the images at hand, once there are any."""
    from semcomm.models.progress import listening

    tasks = []

    def show(done: int, total: int) -> None:
        if not tasks:
            tasks.append(bar.add_task("denoising"))
        bar.update(tasks[0], completed=done, total=total)

    with listening(show):
        yield


class _Lines:
    """A line at the start, then at every tenth of the way."""

    def __init__(self) -> None:
        from time import monotonic

        self.now = monotonic
        self.began = monotonic()
        self.said = -1

    def __call__(self, state: "Progress") -> None:
        tenth = 10 * state.done // max(1, state.total)
        if tenth == self.said:
            return
        self.said = tenth
        left = ""
        if state.done:
            seconds = (self.now() - self.began) * (state.total - state.done) / state.done
            left = f", about {seconds:.0f} s left"
        note(f"{state.done} of {state.total} batches done{left}")


def show(results: "Results") -> None:
    """Print the first quantity of each curve over the main axis of each channel, and what went wrong on the way."""
    from semcomm.analysis.curves import curves_of, limits_of
    from semcomm.analysis.defaults import label_of, main_axis, quantities

    table, experiment = results.table, results.experiment
    if not len(table):
        print("no results yet")
        return
    y = next(iter(quantities(results)), "bpp")
    infinite = False
    for channel in experiment.channels:
        x = main_axis(experiment, channel)
        rows: dict[str, dict[str, str]] = {}
        for curve in curves_of(results, x, y):
            if curve.channel == channel:
                name = ", ".join(filter(None, [curve.transceiver, curve.telling]))
                name = name if x != "transceiver" else curve.telling or label_of(y, experiment)
                for place, found in zip(curve.places, curve.estimates(limits_of(results, y))):
                    at = "any" if place != place else f"{place:g}" if isinstance(place, float) else str(place)
                    rows.setdefault(at, {})[name] = _cell(found)
                    infinite |= bool(found.infinite)
        names = list(dict.fromkeys(name for row in rows.values() for name in row))
        where = f" on {channel}" if len(experiment.channels) > 1 else ""
        images = table["image"].nunique()
        title = f"{label_of(y, experiment)}{where} (mean over {images} image{'s' if images > 1 else ''})"
        if rows:
            cells = [[at, *(row.get(name, "") for name in names)] for at, row in rows.items()]
            print_table([label_of(x, experiment), *names], cells, title)
    if infinite:
        print("* without the infinite values of identical images")
    lost = int(table["decode_failed"].eq(True).sum())
    infeasible = int(table["infeasible"].eq(True).sum())
    print(f"{len(table)} rows; {lost} images not decoded, {infeasible} of them for want of budget")


def _cell(found: "Estimate") -> str:
    if found.count == 0:
        return "inf" if found.infinite else ""
    text = f"{found.mean:.2f}" if abs(found.mean) >= 1 else f"{found.mean:.3g}"
    return f"{text}*" if found.infinite else text


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table that loses nothing on a narrow screen: columns that do not fit stand in further tables below.

    Args:
        head: names of the columns; the first is repeated in each table.
        rows: of texts.
        title: above it.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console()
    widths = [max(_longest_word(name), *(len(row[n]) for row in rows), 1) + 3 for n, name in enumerate(head)]
    blocks: list[list[int]] = [[]]
    for n in range(1, len(head)):
        if blocks[-1] and widths[0] + sum(widths[m] for m in blocks[-1]) + widths[n] + 1 > console.width:
            blocks.append([])
        blocks[-1].append(n)
    for block in blocks:
        shown = Table(title=title, title_justify="left")
        for n in [0, *block]:
            number = all(row[n][:1] in "-–0123456789" for row in rows)
            shown.add_column(head[n], justify="right" if number else "left", overflow="fold")
        for row in rows:
            shown.add_row(*(row[n] for n in [0, *block]))
        console.print(shown)
        title = ""


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=1)


def show_table(table: "pd.DataFrame") -> None:
    """Print a table."""
    rows = [[f"{value:.4f}" if isinstance(value, float) else str(value) for value in row] for row in table.values]
    print_table(list(map(str, table.columns)), rows) if rows else print("nothing to show")


def show_comparison(table: "pd.DataFrame", form: str, x: str, y: str) -> None:
    """Print a comparison: whole for programs; for people what can be compared, and in a sentence why the rest cannot.

    Args:
        table: made by `semcomm.analysis.compare.compare`.
        form: `table`, `csv`, `json` or `latex`.
        x: along which was compared.
        y: what was compared.
    """
    from semcomm.analysis.tables import as_csv, as_json, as_latex, merged

    if form in ("csv", "json"):
        print((as_csv if form == "csv" else as_json)(table), end="" if form == "csv" else "\n")
        return
    numbers = [name for name in table if f"{name}_low" in table]
    there = table[numbers].notna().any(axis=1)
    shown = merged(table[there]).drop(columns="reason", errors="ignore")
    for name in ("channel", "reference"):
        if len(shown) and shown[name].nunique() == 1:
            shown = shown.drop(columns=name)
    title = f"{y} over {x}, difference from {' and '.join(dict.fromkeys(table['reference']))} [95 % interval]"
    if len(shown) and form == "latex":
        print(as_latex(list(shown), shown.to_numpy().tolist(), title), end="")
    elif len(shown):
        print_table(list(shown), shown.astype(str).to_numpy().tolist(), title)
    for sentence in _why_not(table, there, x):
        note(sentence)


def _why_not(table: "pd.DataFrame", there: "pd.Series", x: str) -> Iterator[str]:
    """Give a sentence for every reason why something is not compared."""
    if not len(table):
        yield f"nothing can be compared over {x}: no other curve has the channel and the parameters of the reference"
        return
    if "reason" not in table:
        return
    if not there.any():
        reasons = "; ".join(dict.fromkeys(reason.partition(": ")[2] for reason in table["reason"]))
        yield f"none of {len(table)} pairs of curves can be compared over {x}: {reasons}. Another --x may do"
        return
    for reason, count in table["reason"][table["reason"] != ""].value_counts().items():
        yield f"{count} of {len(table)} pairs: {reason}"


def show_pairs(values: Mapping[str, Any]) -> None:
    """Print names and values, a line each."""
    width = max(len(name) for name in values)
    for name, value in values.items():
        print(f"{name:<{width}}  {value:.6g}" if isinstance(value, float) else f"{name:<{width}}  {value}")

"""What the commands show: a progress bar with an estimate, tables."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from semcomm.runs.results import Results
    from semcomm.runs.run import Progress


def note(text: str) -> None:
    """Tell the user something in passing."""
    print(f"semcomm: {text}", file=sys.stderr)


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
    """Print the first quantity of each curve over the main axis, and what went wrong on the way."""
    from rich.console import Console
    from rich.table import Table

    from semcomm.analysis.curves import curves
    from semcomm.analysis.defaults import main_axis, quantities

    table = results.table
    console = Console()
    if not len(table):
        console.print("no results yet")
        return
    x = main_axis(results.experiment)
    y = next(iter(quantities(results)), "bpp")
    points = curves(results, x, y)
    channels = points["channel"].nunique()
    names = (points["curve"] + " / " + points["channel"]) if channels > 1 else points["curve"]
    cells = {(name, row[x]): _cell(row) for name, (_, row) in zip(names, points.iterrows())}
    shown = Table(title=f"{y} over {x} (mean over {table['image'].nunique()} images)")
    shown.add_column(x, justify="right")
    curve_names = list(dict.fromkeys(names))
    for name in curve_names:
        shown.add_column(name, justify="right")
    for level in dict.fromkeys(points[x]):
        text = f"{level:g}" if isinstance(level, float) else str(level)
        shown.add_row(text, *(cells.get((name, level), "") for name in curve_names))
    console.print(shown)
    if points["infinite"].sum():
        console.print("* without the infinite values of identical images")
    lost = int(table["decode_failed"].eq(True).sum())
    infeasible = int(table["infeasible"].eq(True).sum())
    console.print(f"{len(table)} rows; {lost} images not decoded, {infeasible} of them for want of budget")


def _cell(row: Mapping[str, Any]) -> str:
    if row["count"] == 0:
        return "inf" if row["infinite"] else ""
    text = f"{row['mean']:.2f}" if abs(row["mean"]) >= 1 else f"{row['mean']:.3g}"
    return f"{text}*" if row["infinite"] else text


def show_table(table: "pd.DataFrame") -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    shown = Table()
    for column in table.columns:
        shown.add_column(str(column), justify="left" if table[column].dtype == object else "right")
    for row in table.itertuples(index=False):
        shown.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row))
    Console().print(shown)


def show_pairs(values: Mapping[str, Any]) -> None:
    """Print names and values, a line each."""
    width = max(len(name) for name in values)
    for name, value in values.items():
        print(f"{name:<{width}}  {value:.6g}" if isinstance(value, float) else f"{name:<{width}}  {value}")

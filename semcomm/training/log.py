"""Logs of a training: lines with an estimate of the time left, a file of scores, TensorBoard where installed."""

import json
from collections import deque
from collections.abc import Callable
from math import inf
from pathlib import Path
from time import monotonic

from semcomm.files import write_whole
from semcomm.training.settings import Settings

SECONDS_BETWEEN_LINES = 15.0
LINES_OF_THE_ESTIMATE = 12
"""The estimate of what is left takes the pace of so many lines: images may grow on the way, others take the cores."""


class Log:
    """Takes the losses of each step and the scores of each validation.

    Args:
        folder: of the run; scores go to `scores.jsonl` in it, TensorBoard's files to `tensorboard`.
        settings: of the run.
        step: steps done before; what was logged of later ones, before a kill, is dropped.
        report: takes lines of text.
    """

    def __init__(self, folder: Path, settings: Settings, step: int, report: Callable[[str], None]) -> None:
        self.settings, self.report = settings, report
        self.path = folder / "scores.jsonl"
        rows = [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []
        self.rows = [row for row in rows if row["step"] <= step]
        self.said = -inf
        self.lately = deque([(monotonic(), step)], maxlen=LINES_OF_THE_ESTIMATE)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.board = None
        else:
            self.board = SummaryWriter(folder / "tensorboard", purge_step=step + 1)

    def losses(self, step: int, values: dict[str, float]) -> None:
        """Log one step."""
        now = monotonic()
        if now - self.said < SECONDS_BETWEEN_LINES and step < self.settings.steps:
            return
        self.said = now
        began, first = self.lately[0]
        self.lately.append((now, step))
        pace = (step - first) / max(now - began, 1e-9)
        left = (self.settings.steps - step) / pace
        shown = " ".join(f"{k} {v:.4g}" for k, v in values.items())
        self.report(
            f"step {step} of {self.settings.steps}: {shown}, {pace * self.settings.batch:.0f} images/s, "
            f"about {_duration(left)} left"
        )
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"train/{name}", value, step)

    def scores(self, step: int, values: dict[str, float]) -> None:
        """Log one validation."""
        self.rows.append({"step": step} | values)
        write_whole(self.path, "".join(json.dumps(row) + "\n" for row in self.rows).encode())
        self.report(f"step {step}: validation " + " ".join(f"{k} {v:.4f}" for k, v in values.items()))
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"validation/{name}", value, step)

    def close(self) -> None:
        """Finish TensorBoard's file."""
        if self.board:
            self.board.close()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

"""The loop's own keys in a training file."""

from dataclasses import dataclass
from typing import Literal

from semcomm.errors import ConfigurationError


@dataclass(frozen=True)
class Settings:
    """Length, speed and place of a training.

    Args:
        seed: of everything random.
        steps: of the optimiser, in all.
        minutes: end after so many minutes of training, if `steps` are not done by then, with scores, checkpoint and
            weights written; the learning rate falls with the time that is gone, so the result depends on the
            machine. For one process.
        batch: images in a step, over all processes.
        learning_rate: peak of the schedule.
        warmup_steps: over which the rate rises to its peak; it then falls as a cosine to 0.
        weight_decay: AdamW's, on matrices and kernels only.
        ema: decay of the moving average of the weights, which is what is validated and shipped.
        clip: largest norm of the gradient.
        precision: `bf16` runs the network under autocast, `fp32` does not.
        device: `auto` takes a GPU where there is one, with `accelerate launch` one for each process; or a torch device
            such as `cpu` or `cuda:1`.
        threads: of the network on a CPU; None leaves it to torch. Where other programs use the cores, 1 may be
            several times faster than 2: a layer waits for the slowest of its threads.
        workers: threads that prepare batches ahead.
        checkpoint_steps: a checkpoint at least so often, in steps.
        checkpoint_seconds: and at least so often, in seconds.
        validate_steps: validate so often, and at the end.
        start_from: weights to start from, with a fresh optimiser: a shipped safetensors file, or a run's folder.
    """

    seed: int = 0
    steps: int = 10_000
    minutes: float | None = None
    batch: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 0.05
    ema: float = 0.999
    clip: float = 1.0
    precision: Literal["bf16", "fp32"] = "bf16"
    device: str = "auto"
    threads: int | None = None
    workers: int = 1
    checkpoint_steps: int = 1000
    checkpoint_seconds: float = 300.0
    validate_steps: int = 1000
    start_from: str | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "workers", "checkpoint_steps", "validate_steps"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.threads is not None and self.threads < 1:
            raise ConfigurationError(f"threads is {self.threads}; it must be at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigurationError(f"minutes is {self.minutes}; it must be above 0")
        for name in ("learning_rate", "clip", "checkpoint_seconds"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.ema < 1:
            raise ConfigurationError(f"ema is {self.ema}; it must be in [0, 1)")


EXCLUDED_FROM_RECIPE = frozenset(
    {"device", "threads", "workers", "checkpoint_steps", "checkpoint_seconds", "validate_steps"}
)
"""Keys that may change when a run is continued. On another device, or with other threads, numbers differ in their last
digits; the rest leaves the weights alone."""

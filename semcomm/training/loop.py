"""The training loop: for the image encoder, the learned codecs and the relation head alike."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from semcomm.component import class_path, plain
from semcomm.errors import ConfigurationError, ModelError, RunError
from semcomm.seeds import Seed
from semcomm.training import checkpoints
from semcomm.training.checkpoints import Checkpoint, State
from semcomm.training.export import export
from semcomm.training.log import Log
from semcomm.training.processes import Processes
from semcomm.training.schedule import average, learning_rate
from semcomm.training.settings import EXCLUDED_FROM_RECIPE, Settings
from semcomm.training.task import Task


def train(
    task: Task,
    settings: Settings,
    out: Path,
    report: Callable[[str], None] | None = None,
    command: str = "",
    export_only: bool = False,
) -> Path | None:
    """Train `task`, or continue where the folder `out` left off, and return the shipped safetensors file.

    Where a launcher has started several processes, they train together, and all but the first return None.

    A run that was killed at any moment and is called again ends with the same weights as one that was not, on the
    same machine with the same number of threads.

    Args:
        task: what to train.
        settings: how.
        out: folder for checkpoints, logs and, at the end, the weights with their card.
        report: takes lines that say how far it is.
        command: how it was called, for the card.
        export_only: train no further; ship the last checkpoint as it is.

    Raises:
        ImageError: when there are no images, or one cannot be read.
        RunError: when the loss is no longer finite, or `out` holds a training with another configuration.
        ModelError: when a checkpoint is damaged or of another task.
    """
    with torch.random.fork_rng(), _threads(settings.threads):
        processes = Processes(settings.device)
        quiet = report is None or not processes.is_first
        trainer = Trainer(task, settings, Path(out), (lambda _: None) if quiet else report, processes)
        if not export_only:
            trainer.run()
        elif not trainer.step:
            raise RunError(f"{out}: there is no checkpoint to export yet")
        path = None
        if processes.is_first:
            path = export(task, settings, trainer.state.averaged, trainer.checkpoint(), Path(out), command)
        processes.wait()
        return path


class Trainer:
    """A training between two steps: modules, optimiser and the number of steps done."""

    def __init__(
        self, task: Task, settings: Settings, out: Path, report: Callable[[str], None], processes: Processes
    ) -> None:
        self.task, self.settings, self.out, self.report = task, settings, out, report
        self.processes, self.device = processes, processes.device
        self.share = processes.share(settings.batch)
        self.configuration = _flat(plain(asdict(settings)) | {"task": task.recipe()["init_args"]})
        for key in EXCLUDED_FROM_RECIPE:
            del self.configuration[key]
        if settings.minutes is None:
            del self.configuration["minutes"]
        elif processes.count > 1:
            raise ConfigurationError("minutes is for one process; of several, each would end at a step of its own")
        if settings.start_from is not None:  # by name: the card shows it, and a moved file is the same file
            self.configuration["start_from"] = Path(settings.start_from).name
        self.step, self.seconds, self.scores = 0, 0.0, {}
        path = checkpoints.last(out)
        found = None if path is None else checkpoints.read(path)
        with processes.first_alone():
            task.prepare(report)
        self.fingerprint = task.fingerprint()
        if found is not None:
            same = (class_path(type(task)), self.configuration, self.fingerprint)
            checkpoints.check_same(out, found[0], *same)
            self.configuration |= checkpoints.earlier_steps(found[0], settings.steps)
        torch.manual_seed(Seed(f"{settings.seed}/train").generator("weights").initial_seed())
        module = task.build()
        if found is None and settings.start_from is None:
            task.begin(module)
        elif found is None:
            _start(task, module, Path(settings.start_from).expanduser())
        module.to(self.device, memory_format=torch.channels_last)
        averaged = deepcopy(module).eval().requires_grad_(False)
        self.state = State(module.train(), averaged, _optimiser(module, settings))
        if found is not None:
            checkpoint, tensors = found
            self.state.restore(tensors)
            self.step, self.seconds, self.scores = checkpoint.step, checkpoint.seconds, checkpoint.scores
            report(f"continuing after step {self.step} of {settings.steps}")

    def run(self) -> None:
        """Train to the last step.

        Raises:
            RunError: when the loss or the gradient is no longer finite.
        """
        if self.processes.is_first:
            with closing(Log(self.out, self.settings, self.step, self.report)) as log:
                self._run(log)
        else:
            for batch in self._batches():
                self._one_step(batch)
                self.step += 1

    def _run(self, log: Log) -> None:
        settings = self.settings
        before, began = self.seconds, monotonic()
        saved_at = began
        writing = 0.0  # seconds that the last validation and checkpoint took
        limit = float("inf") if settings.minutes is None else 60 * settings.minutes
        for batch in self._batches():
            if self.seconds + writing >= limit:
                break
            losses = self._one_step(batch)
            self.step += 1
            self.seconds = before + monotonic() - began
            log.losses(self.step, losses)
            finished = self.step == settings.steps or self.seconds + writing >= limit
            ready_at = monotonic()
            if self.step % settings.validate_steps == 0 or finished:
                self.scores = self._validated()
                log.scores(self.step, self.scores)
            due = self.step % settings.checkpoint_steps == 0 or monotonic() - saved_at > settings.checkpoint_seconds
            if due or finished:
                checkpoints.write(self.out, self.checkpoint(), self.state.tensors())
                saved_at = monotonic()
                writing = max(writing, saved_at - ready_at)

    def checkpoint(self) -> Checkpoint:
        """Return the facts of this moment."""
        return Checkpoint(
            step=self.step,
            seconds=round(self.seconds, 1),
            task=class_path(type(self.task)),
            configuration=self.configuration,
            fingerprint=self.fingerprint,
            scores=self.scores,
        )

    def _one_step(self, batch: dict[str, Tensor]) -> dict[str, float]:
        settings, state = self.settings, self.state
        step = self.step
        if settings.minutes is not None:
            step = max(step, min(settings.steps - 1, int(self.seconds / (60 * settings.minutes) * settings.steps)))
        rate = learning_rate(step, settings.steps, settings.learning_rate, settings.warmup_steps)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        batch = {k: v.to(self.device, non_blocking=True) for k, v in batch.items()}
        seed = self._seed(self.step).generator("loss").initial_seed()
        torch.manual_seed(seed)  # for layers that draw from torch's global generator, such as dropout
        generator = torch.Generator(self.device).manual_seed(seed)
        with self._autocast():
            losses = self.task.losses(state.module, batch, generator)
        state.optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        self.processes.average_gradients(state.module)
        norm = nn.utils.clip_grad_norm_(state.module.parameters(), settings.clip)
        values = {k: v.item() for k, v in losses.items()} | {"gradient": norm.item(), "rate": rate}
        if not (isfinite(values["loss"]) and isfinite(values["gradient"])):
            raise RunError(self._diverged(values))
        state.optimiser.step()
        average(state.averaged, state.module, self.step, settings.ema)
        return values

    def _diverged(self, values: dict[str, float]) -> str:
        path = checkpoints.last(self.out)
        kept = f"the last good checkpoint is kept: {path.stem}" if path else "there is no checkpoint yet"
        return (
            f"{self.out}: at step {self.step + 1} the loss is {values['loss']} and the norm of its gradient "
            f"{values['gradient']}; {kept}. Lower learning_rate or clip, or set precision to fp32, in another folder "
            "(start_from takes the weights along)"
        )

    def _validated(self) -> dict[str, float]:
        with torch.no_grad(), self._autocast():
            return self.task.validate(self.state.averaged)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16")

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        """Give the batches of the steps that are left, prepared ahead by `workers` threads."""
        workers, steps = self.settings.workers, self.settings.steps
        waiting: list[Future] = []
        alone = {"initializer": torch.set_num_threads, "initargs": (1,)}  # of that thread: the network needs the cores
        with ThreadPoolExecutor(workers, "batch", **alone) as threads:
            try:
                for step in range(self.step, steps):
                    while len(waiting) <= workers and step + len(waiting) < steps:
                        waiting.append(threads.submit(self._batch, step + len(waiting)))
                    yield waiting.pop(0).result()
            finally:
                threads.shutdown(cancel_futures=True)

    def _batch(self, step: int) -> dict[str, Tensor]:
        generator = self._seed(step).generator("batch")
        return self.task.batch(self.share, step / self.settings.steps, generator)

    def _seed(self, step: int) -> Seed:
        rank = self.processes.rank
        return Seed(f"{self.settings.seed}/train/{step}" + (f"/{rank}" if rank else ""))


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _optimiser(module: nn.Module, settings: Settings) -> torch.optim.AdamW:
    kernels = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], settings.learning_rate, fused=True)


def _start(task: Task, module: nn.Module, path: Path) -> None:
    """Take the weights of a run's folder (the average of its last checkpoint) or of a shipped file."""
    if path.is_dir():
        last = checkpoints.last(path)
        if last is None:
            raise ModelError(f"start_from: {path} holds no checkpoint")
        checkpoint, tensors = checkpoints.read(last)
        if checkpoint.task != class_path(type(task)):
            raise ModelError(f"start_from: {path} is of the task {checkpoint.task}, not of {class_path(type(task))}")
        tensors = {k.removeprefix("average."): v for k, v in tensors.items() if k.startswith("average.")}
        try:
            module.load_state_dict(tensors)
        except RuntimeError as error:
            raise ModelError(f"start_from: {path} holds another network: {error}") from None
        return
    try:
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ModelError(f"start_from: {path} cannot be read as safetensors ({error})") from None
    task.load(module, tensors)


def _flat(data: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested JSON data by dotted key; lists stay whole, through JSON, so that what was read back is equal."""
    flat = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.loads(json.dumps(value))
    return flat

"""Local executors: this process, or several of one thread each. The rows are the same."""

import ast
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from types import FrameType

import torch

from semcomm.errors import ConfigurationError, RunError
from semcomm.runs.engine import Done, Engine, do_task, start_worker
from semcomm.runs.plan import Plan


def run_tasks(plan: Plan, folder: Path, workers: int) -> Iterator[Done]:
    """Carry out the tasks of a plan and give what came of each, in no particular order.

    Args:
        plan: taken up lazily.
        folder: of the run.
        workers: processes; 1 does it in this one, without starting any.

    Raises:
        ConfigurationError: when workers would run the script again that calls this.
        RunError: when a worker dies.
        SemcommError: what a task raised; the other tasks under way are dropped.
    """
    if workers == 1:
        yield from _here(plan, folder)
    else:
        yield from _in_processes(plan, folder, workers)


def _here(plan: Plan, folder: Path) -> Iterator[Done]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker: the number of threads can change the last bit
    try:
        engine = Engine(plan.experiment, plan.images, folder)
        for task in plan.tasks():
            yield engine.do(task)
    finally:
        torch.set_num_threads(threads)


def check_guard(workers: int) -> None:
    """Refuse to start processes from a script that would start them again: each imports the script first.

    Raises:
        ConfigurationError: when the script's call is not under `if __name__ == "__main__":`.
    """
    frame: FrameType | None = sys._getframe()
    while frame and not (
        frame.f_globals.get("__name__") in ("__main__", "__mp_main__") and frame.f_code.co_name == "<module>"
    ):
        frame = frame.f_back
    file = frame and getattr(sys.modules["__main__"], "__file__", None)
    if workers < 2 or not file or frame.f_code.co_filename != file:
        return
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return
    guarded = (n for n in tree.body if isinstance(n, ast.If) and "__name__" in ast.unparse(n.test))
    if not any(node.lineno <= frame.f_lineno <= node.end_lineno for node in guarded):
        raise ConfigurationError(
            f"{file}, line {frame.f_lineno}: with workers={workers} each worker imports this script and would start "
            'workers of its own. Put the call under `if __name__ == "__main__":`, or use workers=1'
        )


def _in_processes(plan: Plan, folder: Path, workers: int) -> Iterator[Done]:
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start_worker,
        initargs=(plan.experiment.resolved(), list(plan.images), folder, sys.path),
    )
    tasks = plan.tasks()
    under_way: set[Future] = set()
    try:
        while True:
            under_way |= {pool.submit(do_task, task) for task in islice(tasks, 2 * workers - len(under_way))}
            if not under_way:
                break
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise RunError(
            f"{folder}: a worker process died, most likely for want of memory. Finished rows are safe; run the same "
            "command again, with fewer --workers or a smaller batch_size"
        ) from None
    finally:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=not under_way, cancel_futures=True)
        if under_way:
            for process in processes:
                process.terminate()

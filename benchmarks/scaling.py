"""The engine's own ceiling: work that only sleeps, by local workers and on Ray; and what is saved by keeping work.

    python -m benchmarks.scaling [--no-ray]

A task sleeps for 50 ms, so one worker without any overhead does 20 a second. Counted is from the 10th task done to the
last, so that starting the workers is left out. Ray runs on nodes of one core each on this machine, which is why the
work sleeps. Last, the figure of the quick start on one image with the memo and without it, in processor seconds.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from semcomm import Ledger, Link, Reception, memo, run

SECONDS, TASKS, WARM = 0.05, 200, 10


class Sleeping(Link):
    """Sleeps, and gives back what it is given."""

    def __init__(self, number: int = 0):
        self.number = number

    def transmit(self, images, channel, seeds):
        time.sleep(SECONDS)
        return Reception(images, Ledger.of(images, source_bits=1), {})


def tasks_per_second(folder: Path, **options) -> float:
    """Return the pace of a run."""
    times = []
    experiment = {
        "transceivers": {"sleeping": {"class_path": "benchmarks.scaling.Sleeping"}},
        "channels": {"awgn": "AWGN"},
        "sweep": {"channel.snr_db": list(range(TASKS // 10)), "number": list(range(10))},
        "images": {"limit": 1, "size": 16},
        "keep": 0,
    }
    run(experiment, folder, on_progress=lambda state: times.append(time.perf_counter()), **options)
    return (len(times) - 1 - WARM) / (times[-1] - times[WARM])


def ceiling(folder: Path, with_ray: bool) -> None:
    print("| workers | tasks/s | of 20 per worker |\n|---|---|---|")

    def line(name: str, workers: int, pace: float) -> None:
        print(f"| {name} | {pace:.1f} | {100 * pace * SECONDS / workers:.0f} % |", flush=True)

    for workers in (1, 2):
        line(f"local, {workers}", workers, tasks_per_second(folder / f"local-{workers}", workers=workers))
    if not with_ray:
        return
    from ray.cluster_utils import Cluster

    from semcomm.runs.cluster import RayCluster

    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own name
    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False, "include_log_monitor": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    for nodes in (1, 2, 3, 4):
        cluster.add_node(num_cpus=1, **small)
        pace = tasks_per_second(folder / f"ray-{nodes}", cluster=RayCluster(cluster.address))
        line(f"Ray, {nodes} nodes of one core", nodes, pace)
    cluster.shutdown()


class Forgetful(memo.Memo):
    """Computes everything anew."""

    def get(self, description, compute):
        return compute()


def kept(folder: Path) -> None:
    file = Path(__file__).parents[1] / "experiments" / "quickstart.yaml"
    changes = {"images.limit": 1, "images.size": 256, "metrics": ["PSNR", "SeSS"]}
    from semcomm.experiment.experiment import load

    used = {}
    for name in ("with the memo", "without"):
        if name == "without":
            memo.Memo = Forgetful
        began = time.process_time()
        run(load(file, changes), folder / name.replace(" ", "-"))
        used[name] = time.process_time() - began
    first, second = used.values()
    print(f"\nQuick start, one image: {first:.1f} s with the memo, {second:.1f} s without: {second / first:.1f} times.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-ray", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ceiling(Path(folder), not arguments.no_ray)
        kept(Path(folder))


if __name__ == "__main__":
    main()

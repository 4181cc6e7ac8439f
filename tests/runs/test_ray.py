"""A real Ray cluster of several nodes on this machine, and what can happen to it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'semcomm[ray]'")

import ray_work  # noqa: E402

from semcomm import open_results, run  # noqa: E402
from semcomm.errors import ConfigurationError, RunError  # noqa: E402
from semcomm.images import content_hash, read_image  # noqa: E402
from semcomm.runs.cluster import AHEAD, RayCluster  # noqa: E402
from semcomm.runs.store import DATABASE  # noqa: E402

SECONDS = ["transmit_seconds", "score_seconds"]
HERE = str(Path(__file__).parents[1])


@pytest.fixture(scope="module")
def nodes():
    """A head without cores and two nodes of one core each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own 15 starves them on a busy machine
    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False, "include_log_monitor": False}
    cluster = _patiently(lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small}))
    for _ in range(2):
        _patiently(lambda: cluster.add_node(num_cpus=1, wait=False, **small))
    yield cluster
    cluster.shutdown()


def _patiently(start):
    """Ray gives a node half a minute to start, which can be too little on a busy machine."""
    for _ in range(3):
        try:
            return start()
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
    return start()


def on(nodes, **options) -> RayCluster:
    return RayCluster(nodes.address, **options)


def experiment(tmp_path, **changes) -> dict:
    slow = {"class_path": "ray_work.Slow", "init_args": {"number": 1, "diary": str(tmp_path / "diary")}}
    slow["init_args"] |= changes.pop("slow", {})
    return {
        "transceivers": {"slow": slow},
        "channels": {"awgn": "AWGN"},
        "sweep": {"channel.snr_db": [0, 10, 20], "number": [1, 2]},
        "images": {"limit": 3, "size": 32},
        "metrics": ["PSNR"],
        "batch_size": 1,
        **changes,
    }


def same(one, other) -> bool:
    pd.testing.assert_frame_equal(*(results.table.drop(columns=SECONDS) for results in (one, other)))
    return True


def sent(diary: Path) -> Counter:
    return Counter(line.rsplit(" ", 1)[0] for line in diary.read_text().splitlines() if line[0].isdigit())


def test_the_rows_are_those_of_the_local_run(nodes, tmp_path, monkeypatch):
    """Two kinds of workers; a store over a URL, slow and failing; a package that only Ray brings to the nodes."""
    plain = {"source": "JPEG", "constellation": "qpsk", "channel_uses_per_pixel": 2}
    plan = experiment(tmp_path, metrics=["PSNR", "SSIM", {"class_path": "ray_work.Loud", "init_args": {"diary": "no"}}])
    plan["transceivers"]["plain"] = {"class_path": "Separate", "init_args": plain}
    plan["transceivers"]["slow"]["sweep"] = {"number": [1, 2]}
    plan["sweep"] = {"channel.snr_db": [0, 20]}
    plan["resources"] = {"slow": {"cpus": 0.5}}
    plan["metrics"][2]["init_args"]["diary"] = str(tmp_path / "local")
    reference = run(plan, tmp_path / "here")
    plan["metrics"][2]["init_args"]["diary"] = str(tmp_path / "loaded")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != HERE])
    states = []
    cluster = on(nodes, store=f"flaky://{tmp_path / 'store'}", packages=(ray_work.__file__,))
    results = run(plan, tmp_path / "there", cluster=cluster, on_progress=states.append)
    assert same(results, reference)
    assert [s.done for s in states] == list(range(len(states)))
    assert states[-1].done == states[-1].total == 3 * 3 * 2
    for key in results.reconstructions.values():  # those that stay have come home
        assert content_hash(read_image(tmp_path / f"there/reconstructions/{key[:2]}/{key}.png")) == key
    loaded = [line.split() for line in (tmp_path / "loaded").read_text().splitlines()]
    assert len({pid for _, pid, _ in loaded}) == len(loaded) >= 1  # once in each worker
    assert all(not file.startswith(HERE) for _, _, file in loaded)
    assert same(open_results(tmp_path / "there"), reference)
    more = {**plan, "realisations": 2}  # and on it goes, here
    assert len(run(more, tmp_path / "there").table) == 2 * len(reference.table)


def test_a_node_killed_and_workers_that_die(nodes, tmp_path):
    fatal, hungry = tmp_path / "fatal", tmp_path / "hungry"
    plan = experiment(tmp_path, slow={"seconds": 0.2, "fatal": str(fatal), "hungry": str(hungry)})
    notes = []

    def progress(state):
        if state.done == 3:
            hungry.touch()
        if state.done == 6:
            fatal.touch()
        if state.done == 9:
            ours = ray.get_runtime_context().get_node_id()
            victim = next(node for node in nodes.worker_nodes if node.node_id != ours)
            nodes.remove_node(victim, allow_graceful=False)

    results = run(plan, tmp_path / "there", cluster=on(nodes), on_progress=progress, on_note=notes.append)
    diary = sent(tmp_path / "diary")
    assert not fatal.exists()
    assert not hungry.exists()
    assert any("ran out of memory" in note for note in notes)
    assert len([note for note in notes if "was lost" in note]) >= 2
    assert len(diary) == 18
    assert sum(diary.values()) - 18 <= AHEAD * len(notes)  # only what was under way is sent again
    assert same(results, run(plan, tmp_path / "here"))


def test_the_driver_killed_and_started_again(nodes, tmp_path):
    plan = experiment(tmp_path, slow={"seconds": 0.2})
    script = tmp_path / "driver.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {HERE!r})\nfrom semcomm import run\n"
        "from semcomm.runs.cluster import RayCluster\n"
        f"run({plan!r}, {str(tmp_path / 'run')!r}, cluster=RayCluster({nodes.address!r}))\n"
    )
    driver = subprocess.Popen([sys.executable, script])
    began = time.monotonic()
    while _rows(tmp_path / "run") < 4 and driver.poll() is None and time.monotonic() - began < 200:
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL
    finished = _rows(tmp_path / "run")
    assert 4 <= finished < 18
    (tmp_path / "diary").rename(tmp_path / "before")
    results = run(plan, tmp_path / "run", cluster=on(nodes))
    assert sum(sent(tmp_path / "diary").values()) == 18 - finished
    assert same(results, run(plan, tmp_path / "here"))


def test_what_cannot_be_said_plainly_beforehand(nodes, tmp_path):
    with pytest.raises(RunError, match="no node of the Ray cluster has the 1 CPUs and 1 GPUs that slow"):
        run(experiment(tmp_path, resources={"PSNR": {"gpus": 1}}), tmp_path / "a", cluster=on(nodes))
    with pytest.raises(ConfigurationError, match="there is no such file"):
        run(experiment(tmp_path), tmp_path / "b", cluster=on(nodes, packages=("nowhere",)))
    assert not (tmp_path / "diary").exists()


def _rows(folder: Path) -> int:
    try:
        with sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*) FROM receptions").fetchone()[0]
    except sqlite3.OperationalError:
        return 0

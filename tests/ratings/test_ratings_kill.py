"""A server that is killed in the middle of its raters' answers: what was confirmed is there, each once."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from simulated_raters import Client, small_study

from semcomm.errors import RunError
from semcomm.ratings import Study
from semcomm.ratings.server import serve

ROOT = Path(__file__).resolve().parents[2]


def rater(study: Study, port: int, code: str, confirmed: list, stop: threading.Event) -> None:
    """Answer as fast as the server confirms, and again whatever it did not confirm."""
    base = f"/r/{study.links.rater(code)}"
    kind = {"Content-Type": "application/json"}
    position, connection = 0, http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", f"{base}/consent", "{}", kind)
        connection.getresponse().read()
        while not stop.is_set():
            first = round((position * 7 + int(code[1:])) % 100 / 100, 2)
            answer = {"position": position, "first": first, "second": 0.5, "seconds": 1.0}
            connection.request("POST", f"{base}/rating", json.dumps(answer), kind)
            state = json.loads(connection.getresponse().read())
            confirmed.append((code, position, first))
            if state["stage"] != "rate":
                return
            position = state["position"]
    except (OSError, http.client.HTTPException, ValueError):
        return


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_kill_9(tmp_path):
    study = small_study(tmp_path / "it", 60, raters=4, items_per_rater=50, repeats=20, identical=20)
    command = [sys.executable, "-m", "semcomm", "ratings", "serve", str(study.folder), "--port", "0"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    try:
        port = int(server.stdout.readline().split("127.0.0.1:")[1].split("/")[0])
        with pytest.raises(RunError, match="is in use by process"):
            serve(study, port=0)
        confirmed: list = []
        stop = threading.Event()
        codes = [f"R{n:03d}" for n in range(1, 5)]
        raters = [threading.Thread(target=rater, args=(study, port, code, confirmed, stop)) for code in codes]
        for thread in raters:
            thread.start()
        while len(confirmed) < 60:
            time.sleep(0.005)
    finally:
        server.kill()
        server.wait()
    stop.set()
    for thread in raters:
        thread.join()
    study.close()
    again = Study(study.folder)
    swapped = {code: [trial.swapped for trial in again.database.trials(code)] for code in codes}
    kept = {(row[0], row[1]): row[6] if swapped[row[0]][row[1]] else row[5] for row in again.database.answers()}
    assert 60 <= len(confirmed) < 4 * 93  # it was in the middle
    assert {key: kept[key] for *key, _ in map(list, confirmed) for key in [tuple(key)]} == {
        (code, position): first for code, position, first in confirmed
    }
    assert len(kept) <= len(confirmed) + 4  # at most what each had under way
    for code in codes:  # and everybody goes on without a gap
        done = sum(c == code for c, _ in kept)
        assert sorted(position for c, position in kept if c == code) == list(range(done))
        assert Client(again, code).state()["position"] == done

"""A study's server under load: simulated raters at once over loopback, beside a server that does nothing.

python -m benchmarks.ratings [--raters 20] [--answers 30] [--think 1.0]

Each rater loads the images of a trial, thinks, and answers. The peer answers the same requests with the same number of
bytes and does nothing else: what is left of the ratio is ours.
"""

import argparse
import http.client
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from semcomm.images import ImageSet, quantise
from semcomm.ratings import Settings, Study
from semcomm.ratings.study import Shown

PEER = """
import sys
import uvicorn

async def app(scope, receive, send):
    size = int(scope["path"].rpartition("/")[2])
    body = bytes(size)
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

import socket
sock = socket.create_server(("127.0.0.1", 0), backlog=200)
print(f"http://127.0.0.1:{sock.getsockname()[1]}/", flush=True)
config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none", timeout_keep_alive=30)
uvicorn.Server(config).run(sockets=[sock])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raters", type=int, default=20)
    parser.add_argument("--answers", type=int, default=30)
    parser.add_argument("--think", type=float, default=1.0, help="seconds between answers, on average")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        study = _study(Path(scratch) / "study", arguments)
        ours = _measured(
            [sys.executable, "-m", "semcomm", "ratings", "serve", str(study.folder), "--port", "0"], study, arguments
        )
        count = len(study.database.answers())
        assert count == arguments.raters * arguments.answers, count
        peer = _measured([sys.executable, "-c", PEER], None, arguments, ours)
    print(f"{arguments.raters} simulated raters, {arguments.think:g} s between answers, {count} answers kept\n")
    print("| request | count | median ms | 95 % ms | slowest ms | 95 % of the peer ms | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind in ours:
        times, others = (1000 * np.array([s for s, _ in found[kind]]) for found in (ours, peer))
        p95, other = np.quantile(times, 0.95), np.quantile(others, 0.95)
        numbers = (np.median(times), p95, times.max(), other, p95 / other)
        print(f"| {kind} | {len(times)} |", " | ".join(f"{number:.1f}" for number in numbers), "|")


def _study(folder: Path, arguments: argparse.Namespace) -> Study:
    """A study of photographs of 512 pixels on the short side, as many items as each rater answers."""
    images = [image for _, image in ImageSet(size=512)]
    shown = []
    for n in range(arguments.answers):
        image = images[n % len(images)]
        noisy = [quantise(image + 0.01 * (1 + n + k) * np.sin(n + k)) for k in (0, 1)]
        shown.append(Shown(*[lambda i=i: i for i in (image, *noisy)], {"names": ["original", "a", "b"]}))
    settings = Settings(
        items_per_rater=arguments.answers, repeats=0, identical=0, training=0, simulated=True, ratings_per_item=1
    )
    return Study.make(folder, settings, shown, arguments.raters)


def _measured(
    command: list[str], study: Study | None, arguments: argparse.Namespace, like: dict | None = None
) -> dict[str, list[tuple[float, int]]]:
    """Return kind of request -> (seconds, bytes) of each, from a server in a process of its own."""
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline().split("127.0.0.1:")[1].split("/")[0])
        found: dict[str, list[tuple[float, int]]] = {"page": [], "image": [], "answer": []}
        sizes = {kind: int(np.mean([size for _, size in like[kind]])) for kind in found} if like else None
        codes = [f"R{n + 1:03d}" for n in range(arguments.raters)]
        bases = [f"/r/{study.links.rater(code)}" if study else "" for code in codes]
        raters = [
            threading.Thread(target=_rater, args=(port, base, n, arguments, sizes, found))
            for n, base in enumerate(bases)
        ]
        _asked(port)  # it is up
        for thread in raters:
            thread.start()
        for thread in raters:
            thread.join()
        return found
    finally:
        server.terminate()
        server.wait()


def _asked(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/1")
    connection.getresponse().read()
    connection.close()


def _rater(
    port: int, base: str, seed: int, arguments: argparse.Namespace, sizes: dict[str, int] | None, found: dict
) -> None:
    """Go through a study as a browser does; of the peer, ask for as much."""
    rng = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()

    def ask(kind: str, path: str, data: dict | None = None) -> bytes:
        path = f"/{sizes[kind]}" if sizes else path
        body = None if data is None else json.dumps(data)
        began = time.perf_counter()
        connection.request("GET" if data is None else "POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        found[kind].append((time.perf_counter() - began, len(text)))
        assert answer.status == 200, (answer.status, text)
        return text

    time.sleep(rng.uniform(0, arguments.think))
    ask("page", base)
    state = ask("answer", f"{base}/consent", {})
    for position in range(arguments.answers):
        paths = [""] * 3 if sizes else json.loads(state)["images"].values()
        for path in paths:
            ask("image", path)
        time.sleep(rng.expovariate(1 / arguments.think))
        answer = {"position": position, "first": 0.5, "second": 0.25, "seconds": 1.0}
        state = ask("answer", f"{base}/rating", answer)


if __name__ == "__main__":
    main()

"""A study's server in a thread, for tests that need real sockets."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from semcomm.ratings import Study
from semcomm.ratings.server import application, listening


@contextmanager
def served(study: Study, port: int = 0) -> Iterator[str]:
    """Serve a study and give its address."""
    socket = listening("127.0.0.1", port)
    address = f"http://127.0.0.1:{socket.getsockname()[1]}"
    quiet = uvicorn.Config(application(study, address), log_level="error", access_log=False, lifespan="off")
    server = uvicorn.Server(quiet)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield address
    finally:
        server.force_exit = server.should_exit = True
        thread.join()
        socket.close()

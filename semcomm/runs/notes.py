"""What a run says while it is under way."""

import sys
from collections.abc import Callable
from time import monotonic
from typing import Any


def note(text: str) -> None:
    """Tell the user something in passing."""
    print(f"semcomm: {text}", file=sys.stderr)


def notebook_progress() -> Callable[[Any], None]:
    """Return what shows how far a run is: in a notebook one line that is written over, elsewhere nothing."""
    ipython = sys.modules.get("IPython")
    if ipython is None or not hasattr(ipython.get_ipython(), "kernel"):
        return lambda progress: None
    began = monotonic()

    def show(progress: Any) -> None:
        left = ""
        if 0 < progress.done < progress.total:
            seconds = (monotonic() - began) * (progress.total - progress.done) / progress.done
            left = f", about {seconds:.0f} s left"
        text = f"semcomm: {progress.done} of {progress.total} batches done{left}"
        print(f"\r{text:<60}", end="\n" if progress.done == progress.total else "", flush=True)

    return show

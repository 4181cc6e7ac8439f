"""Notes of a run to its user."""

import sys


def note(text: str) -> None:
    """Tell the user something in passing."""
    print(f"semcomm: {text}", file=sys.stderr)

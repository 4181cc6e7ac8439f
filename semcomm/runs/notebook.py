"""A line of progress in a notebook, where nobody sees a terminal."""

import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semcomm.runs.run import Progress


def in_notebook() -> bool:
    """Say whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """Shows how far a run is and how long the rest will take, in one line that changes."""

    def __init__(self) -> None:
        self.began, self.handle = monotonic(), None

    def __call__(self, state: "Progress") -> None:
        """Show a state."""
        from IPython.display import HTML, display

        shown: Any = HTML(f"<progress value='{state.done}' max='{max(1, state.total)}'></progress> {self.words(state)}")
        if self.handle is None:
            self.handle = display(shown, display_id=True)
        elif self.handle:
            self.handle.update(shown)

    def words(self, state: "Progress") -> str:
        """Return the state in words."""
        if not state.total:
            return "nothing left to send or score"
        left = (monotonic() - self.began) * (state.total - state.done) / state.done if state.done else None
        rest = "" if left is None or state.done == state.total else f", about {left:.0f} s left"
        return f"{state.done} of {state.total} batches done{rest}"

"""The report of a run: one HTML file that opens from the disk, needs no network and runs no script but its own.

Every text in it that comes from a file or a name is data: JSON in the page, shown as text.
"""

import base64
import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from semcomm.analysis.pages import render
from semcomm.analysis.report.contents import contents_of
from semcomm.analysis.report.gallery import album_of
from semcomm.files import write_whole
from semcomm.runs.results import Results

SCRIPTS = ("page.js", "curves.js", "gallery.js", "table.js", "start.js")
"""Parts of one module, in this order."""


def write_report(results: Results, path: str | Path) -> Path:
    """Write the report of a run, finished or not.

    Args:
        results: of the run.
        path: of the HTML file; its folder is made if need be.

    Returns:
        The file.

    Raises:
        RunError: when it cannot be written.
    """
    import plotly.offline

    data = contents_of(results)
    album = album_of(results, data)
    plot = plotly.offline.get_plotlyjs()
    script = "\n".join(_part(name) for name in SCRIPTS)
    page = render(
        __name__,
        "report.html",
        title=data["title"],
        policy=_policy(plot, script),
        style=_part("report.css"),
        data=as_script(data),
        gallery=as_script(album),
        plotly=plot,
        script=script,
    )
    write_whole(Path(path), page.encode())
    return Path(path)


def as_script(data: Any) -> str:
    """Return data as JSON that nothing in it can break out of: pure ASCII, without `<`, `>` and `&`."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    return (files(__name__) / name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """Return a Content-Security-Policy: these scripts, styles and embedded images, and nothing from anywhere.

    Styles are free because Plotly places its own; without a network there is nothing that they could fetch.
    """
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )

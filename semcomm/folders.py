"""Images in folders and by patterns: what counts, and what is left out."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from semcomm.datasets import DATASETS
from semcomm.errors import ImageError

SYSTEM = frozenset(
    {"__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "system volume information"}
    | {"lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini"}
)
"""Folders and files that systems put beside images, in lower case; all that begins with a dot is hidden as well."""
RUN = "results.sqlite"
"""A folder with this file in it is a run's: what arrived in it is never an input by accident."""


def find(pattern: str, suffixes: Collection[str], on_note: Callable[[str], None]) -> dict[str, Path]:
    """Return name -> path of each image.

    Args:
        pattern: an image, a folder (searched through, links followed) or a glob pattern.
        suffixes: of images, in lower case.
        on_note: called once with what was left out.

    Raises:
        ImageError: when there is none, or a folder cannot be read.
    """
    ignored: Counter[str] = Counter()
    found = _found(pattern, suffixes, ignored)
    if ignored:
        on_note(f"{pattern}: ignored {_listed(ignored)}")
    return found


def _found(pattern: str, suffixes: Collection[str], ignored: Counter[str]) -> dict[str, Path]:
    root = Path(pattern).expanduser()
    if root.is_file():
        return {root.name: root}
    if root.is_dir():
        if (root / RUN).exists():
            raise ImageError(
                f"{root}: is the folder of a run; its images are what arrived. Name a folder of originals, or the "
                "folder in it that you mean"
            )
        paths = [p for p in _walk(root, ignored, (root.resolve(),)) if _is_image(p, suffixes, ignored)]
        if not paths:
            among = f"; ignored {_listed(ignored)}" if ignored else ""
            raise ImageError(f"{root}: no images in this folder (looked for {', '.join(sorted(suffixes))}{among})")
        return {p.relative_to(root).as_posix(): p for p in paths}
    if not any(c in pattern for c in "*?["):
        known = next((name for name in DATASETS if name == pattern.lower()), None)
        raise ImageError(f"{root}: there is no such image or folder{f'; did you mean {known}?' if known else ''}")
    anchor, parts = Path(root.anchor), root.relative_to(root.anchor).parts
    fixed = next(n for n, part in enumerate(parts) if any(c in part for c in "*?["))
    written = {part for part in parts if part.startswith(".")}
    any_suffix = not any(c in root.suffix for c in "*?[") and root.suffix != ""
    paths = []
    for path in anchor.glob(str(root.relative_to(anchor))):
        below = path.relative_to(anchor).parts[fixed:]
        if any(_is_hidden(part) and part not in written for part in below):
            ignored["hidden or of the system"] += 1
        elif any((anchor.joinpath(*parts[:fixed], *below[:n]) / RUN).exists() for n in range(1, len(below))):
            ignored["in folders of runs"] += 1
        elif not path.is_dir() and (path.is_file() if any_suffix else _is_image(path, suffixes, ignored)):
            paths.append(path)
    if not paths:
        raise ImageError(f"{pattern}: matches no image file")
    return {p.as_posix(): p for p in paths}


def _walk(folder: Path, ignored: Counter[str], above: tuple[Path, ...]) -> Iterator[Path]:
    """Give the files in a folder and those below, through links, but not round in circles."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise ImageError(f"{folder}: cannot be read ({error.strerror or error})") from None
    for entry in entries:
        path = Path(entry.path)
        if _is_hidden(entry.name):
            ignored["hidden or of the system"] += 1
        elif entry.is_dir():
            if (path / RUN).exists():
                ignored["folders of runs"] += 1
            elif (target := path.resolve()) in above:
                ignored["links to a folder above"] += 1
            else:
                yield from _walk(path, ignored, (*above, target))
        else:
            yield path


def _is_hidden(name: str) -> bool:
    return (name.startswith((".", "~$")) and not name.startswith("..")) or name.lower() in SYSTEM


def _is_image(path: Path, suffixes: Collection[str], ignored: Counter[str]) -> bool:
    if not path.is_file():
        ignored["links to nothing" if path.is_symlink() else "special files"] += 1
    elif path.suffix.lower() in suffixes:
        return True
    else:
        ignored[f"of {path.suffix.lower()}" if path.suffix else "without a suffix"] += 1
    return False


def _listed(ignored: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(ignored.items()))

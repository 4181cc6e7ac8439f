"""Experiment files that come with semcomm, found by name from wherever one is."""

from pathlib import Path

from semcomm.configuration import unknown_key
from semcomm.errors import ConfigurationError

FOLDER = "experiments"


def shipped_experiments() -> Path:
    """Return the folder of the experiment files: `experiments` here, else that which comes with semcomm.

    In a checkout that is the folder beside the package, in an installed wheel the one within it.

    Raises:
        ConfigurationError: when there is none, since somebody has taken the package apart.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (Path(FOLDER), package.parent / FOLDER, package / FOLDER):
        if (folder / "settings").is_dir():
            return folder
    raise ConfigurationError("the experiment files that come with semcomm are not there: install it again")


def experiment_file(name: str) -> Path:
    """Return an experiment file: a path as it is, or one that comes with semcomm by its name.

    Args:
        name: `mine.yaml`, or `quickstart`, `sess/fig10_11`, `experiments/sess/fig10_11.yaml`.

    Raises:
        ConfigurationError: when there is neither; it names the nearest.
    """
    path = Path(name)
    if path.exists():
        return path
    folder = shipped_experiments()
    known = sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml"))
    known = [one for one in known if not one.endswith("/claims") and not one.startswith(("settings/", "train/"))]
    wanted = path.with_suffix("") if path.suffix in (".yaml", ".yml") else path
    wanted = wanted.relative_to(FOLDER) if wanted.parts[:1] == (FOLDER,) else wanted
    if wanted.as_posix() in known:
        return folder / f"{wanted.as_posix()}.yaml"
    if path.suffix in (".yaml", ".yml"):
        raise ConfigurationError(f"{name}: there is no such file")
    raise ConfigurationError(f"there is no experiment file {unknown_key(name, known)}")

"""The papers: their figures, their claims, and the settings in which they are run, as files say them.

A paper is a folder of experiment files with a `claims.yaml`: its figures, each of an experiment file, and its claims. A
setting is a file that says what stands in the place of what: other images, further metrics, other models.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semcomm.configuration import build, read_yaml, unknown_key
from semcomm.errors import ConfigurationError, ImageError, MetricError, ModelError
from semcomm.experiment.experiment import Experiment, load
from semcomm.reproduce.checks import Check
from semcomm.reproduce.extras import Extra

PAPER = "claims.yaml"


@dataclass(frozen=True)
class Chart:
    """The charts of a figure: every metric, each over the same axis.

    Args:
        x: column of the horizontal axis.
        log_x: logarithmic.
        published: draw the reference curves of these codecs beside ours, where the images are the same.
    """

    x: str
    log_x: bool = False
    published: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """One figure or table of a paper.

    Args:
        title: what it shows.
        paper: what the paper calls it.
        file: its experiment file in the folder, without `.yaml`; figures of one file share its run.
        chart: over what the metrics are drawn; none draws none.
        images: how many images are shown as they arrive.
        show: where on the swept axes; none shows points spread over them.
        extra: what is made beside the sweep.
        note: what a reader should know about the figure.
    """

    title: str
    paper: str
    file: str | None = None
    chart: Chart | None = None
    images: int = 0
    show: list[dict[str, Any]] = field(default_factory=list)
    extra: Extra | None = None
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, its substance in words of our own.

    Args:
        says: the substance.
        figure: whose results it is about.
        where: section of the paper.
        published: the numbers that the paper gives, in words.
        check: what it means in numbers.
        note: what a reader should know about the check.
    """

    says: str
    figure: str
    where: str
    published: str
    check: Check
    note: str = ""


@dataclass(frozen=True)
class Paper:
    """A paper with its figures and claims.

    Args:
        title: of the paper.
        short: its name here.
        figures: name -> figure.
        claims: name -> claim.
    """

    title: str
    short: str
    figures: dict[str, Figure]
    claims: dict[str, Claim] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, claim in self.claims.items():
            if claim.figure not in self.figures:
                raise ConfigurationError(f"claims.{name}: no such figure: {unknown_key(claim.figure, [*self.figures])}")


@dataclass(frozen=True)
class Changes:
    """The changes that a setting makes to an experiment.

    Args:
        images: keys of `images`, in the place of all that the file says of them.
        metrics: further ones.
        transceivers: further ones, or others by the same name; null takes one away.
        realisations: in the place of the file's.
    """

    images: dict[str, Any] = field(default_factory=dict)
    metrics: list[Any] = field(default_factory=list)
    transceivers: dict[str, Any] = field(default_factory=dict)
    realisations: int | None = None

    def applied(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return an experiment's data with the changes."""
        links = {**data["transceivers"], **self.transceivers}
        return {
            **data,
            "transceivers": {name: entry for name, entry in links.items() if entry is not None},
            "metrics": [*data.get("metrics", []), *self.metrics],
            **({"images": self.images} if self.images else {}),
            **({"realisations": self.realisations} if self.realisations else {}),
        }


@dataclass(frozen=True)
class Setting:
    """A setting: models, images and metrics in the place of others.

    Args:
        title: in words.
        replace: name of a class -> the class that takes its place everywhere, with its arguments.
        papers: name of a paper -> changes to all its experiments.
        figures: `paper/file` -> changes to that experiment.
        extras: name of an extra's class -> arguments in the place of the file's.
        stands_in: whether the models are stand-ins for those of the papers.
    """

    title: str
    replace: dict[str, Any] = field(default_factory=dict)
    papers: dict[str, Changes] = field(default_factory=dict)
    figures: dict[str, Changes] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    stands_in: bool = False

    def applied(self, data: Mapping[str, Any], paper: str, file: str) -> dict[str, Any]:
        """Return an experiment's data as it is in this setting."""
        found = _replaced(dict(data), self.replace)
        for changes in (self.papers.get(paper), self.figures.get(f"{paper}/{file}")):
            found = changes.applied(found) if changes else found
        return found


def _replaced(data: Any, replace: Mapping[str, Any]) -> Any:
    """Return data with the classes in `replace` exchanged, wherever they stand."""
    if isinstance(data, str):
        return replace.get(data, data)
    if isinstance(data, list):
        return [_replaced(value, replace) for value in data]
    if not isinstance(data, Mapping):
        return data
    if data.get("class_path") in replace:
        other = replace[data["class_path"]]
        other = {"class_path": other} if isinstance(other, str) else other
        kept = {key: _replaced(value, replace) for key, value in data.items() if key not in ("class_path", "init_args")}
        return {**kept, **other}
    return {key: _replaced(value, replace) for key, value in data.items()}


def load_papers(folder: Path) -> dict[str, Paper]:
    """Return name -> paper of each folder with a `claims.yaml`.

    Raises:
        ConfigurationError: for a file that makes no sense.
    """
    _know_checks()
    files = sorted(folder.glob(f"*/{PAPER}"))
    if not files:
        raise ConfigurationError(f"{folder}: none of its folders has a {PAPER}")
    return {file.parent.name: build(Paper, read_yaml(file), str(file)) for file in files}


def load_setting(name: str, folder: Path) -> Setting:
    """Return a setting by its name in `experiments/settings`, or from a file.

    Raises:
        ConfigurationError: when there is none.
    """
    file = Path(name) if name.endswith((".yaml", ".yml")) else folder / "settings" / f"{name}.yaml"
    if not file.is_file():
        known = sorted(path.stem for path in (folder / "settings").glob("*.yaml"))
        raise ConfigurationError(f"there is no setting {unknown_key(name, known)}, nor such a file")
    return build(Setting, read_yaml(file), str(file))


def chosen(papers: Mapping[str, Paper], names: Sequence[str]) -> list[tuple[str, str]]:
    """Return (paper, figure) of what was asked for, `sess` or `sess/fig07`; everything where nothing was.

    Raises:
        ConfigurationError: for what there is not.
    """
    every = [(paper, figure) for paper, one in papers.items() for figure in one.figures]
    known = [*papers, *(f"{paper}/{figure}" for paper, figure in every)]
    for name in names:
        if name not in known:
            raise ConfigurationError(f"there is no paper or figure {unknown_key(name, known)}")
    return [(p, f) for p, f in every if not names or p in names or f"{p}/{f}" in names]


@dataclass(frozen=True)
class Planned:
    """An experiment as it can be run here.

    Attributes:
        experiment: without what is missing; None where nothing is left.
        absent: name of a transceiver or class of a metric -> why it is left out; `images` for the images.
    """

    experiment: Experiment | None
    absent: dict[str, str]


def planned(
    folder: Path, paper: str, file: str, setting: Setting, overrides: Mapping[str, Any] | None = None
) -> Planned:
    """Return the experiment of a figure in a setting, without what has no models or data on this machine.

    Raises:
        ConfigurationError: when the overrides make no sense.
    """
    path = folder / paper / f"{file}.yaml"
    data = setting.applied(read_yaml(path), paper, file)
    try:
        load(data)
    except (ModelError, ConfigurationError) as error:  # one bad file does not keep the others from being run
        return Planned(None, {"figure": f"{path}: {error}"})
    experiment = load(data, overrides)
    absent = dict(_absent(experiment))
    if "images" in absent:
        return Planned(None, absent)
    links = {name: entry for name, entry in data["transceivers"].items() if name not in absent}
    present = [type(metric).__name__ not in absent for metric in experiment.metrics]
    metrics = [spec for spec, there in zip(data.get("metrics", []), present) if there]
    if not links or (not metrics and data.get("metrics")):
        return Planned(None, absent)
    if not absent:
        return Planned(experiment, absent)
    return Planned(load({**data, "transceivers": links, "metrics": metrics}, overrides), absent)


def _absent(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Give what cannot be used here, with the reason."""
    try:
        count = len(experiment.images.files())
    except ImageError as error:
        yield "images", str(error)
        return
    for name in experiment.transceivers:
        try:
            for point in experiment.points:
                if point.transceiver == name:
                    point.link.recipe()
        except ModelError as error:
            yield name, str(error)
    for metric in experiment.metrics:
        try:
            metric.recipe()
        except (ModelError, MetricError) as error:
            yield type(metric).__name__, str(error)
            continue
        fewest = getattr(metric, "minimum", 0)
        if count < fewest:
            yield type(metric).__name__, f"{metric.name} needs at least {fewest} images, and there are {count}"


def _know_checks() -> None:
    """Import the checks and extras: a bare class name is taken only for classes that are loaded."""
    from semcomm.reproduce import checks, checks_of_scores, extras  # noqa: F401

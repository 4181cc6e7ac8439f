"""Needs of each experiment: data and models, their sources, and whether they are there."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from semcomm.datasets import DATASETS, DataSet, data_folder, images_of
from semcomm.errors import ImageError
from semcomm.experiment.shipped import shipped_experiments
from semcomm.reproduce.papers import chosen, load_papers, load_setting, planned


def describe(names: Sequence[str], setting: str, experiments: Path | None = None) -> Iterator[str]:
    """Give lines: the known data sets, then what each experiment of a setting has and lacks.

    Args:
        names: papers and figures; none for all.
        setting: name of a setting, or a file.
        experiments: folder of the papers' files; none takes those that come with semcomm.

    Raises:
        ConfigurationError: for names or files that make no sense.
    """
    yield f"Data sets, in {data_folder()} (SEMCOMM_DATA says where):"
    for data in DATASETS.values():
        yield f"  {data.name:<24}{_state(data):<18}{data.title}, {data.count:,} images; {data.terms}"
        yield f"  {'':<24}{'':<18}{data.way}"
    folder = experiments or shipped_experiments()
    papers, made_in = load_papers(folder), load_setting(setting, folder)
    yield f"\nExperiments, {made_in.title}:"
    files = dict.fromkeys((p, papers[p].figures[f].file) for p, f in chosen(papers, names) if papers[p].figures[f].file)
    for paper, file in files:
        plan = planned(folder, paper, file, made_in)
        name = f"{paper}/{file}"
        if plan.experiment is None:
            yield f"  {name:<24}cannot be run"
        else:
            images = plan.experiment.images
            count = len(plan.experiment.points) * len(images.files()) * plan.experiment.realisations
            lacking = f", without {', '.join(plan.absent)}" if plan.absent else ""
            yield f"  {name:<24}ready: {images.path}, {count:,} transmissions{lacking}"
        for what, why in plan.absent.items():
            yield f"  {'':<24}{'' if what in ('figure', 'images') else f'{what}: '}{why}"
    for paper, figure in chosen(papers, names):
        if papers[paper].figures[figure].file is None:
            name = f"{paper}/{figure}"
            yield f"  {name:<24}needs people's scores, a file of your own: extras.Tuning.triplets=FILE"


def _state(data: DataSet) -> str:
    try:
        found = len(images_of(data.name))
    except ImageError:
        return "absent"
    return "present" if found == data.count else f"{found:,} images"

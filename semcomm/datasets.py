"""Sets of images that experiments name: what each is, where it comes from, and where it is on this machine.

Nothing here downloads anything. A data set is looked for in the folder that `SEMCOMM_DATA` names (default:
`~/.cache/semcomm/data`) under its own name; a folder elsewhere is named by its path.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from semcomm.errors import ImageError


@dataclass(frozen=True)
class DataSet:
    """One set of images.

    Attributes:
        name: what `images.path` takes.
        title: in words.
        source: address of its archive or, as `save` says, of the page that has its images.
        terms: under which it may be used.
        count: how many images it has.
        folders: where its images lie within its folder, as they are unpacked; "" is the folder itself.
        pattern: of the images' names.
        save: which files to save from the source; None for an archive to unpack.
    """

    name: str
    title: str
    source: str
    terms: str
    count: int
    folders: tuple[str, ...] = ("",)
    pattern: str = "*.jpg"
    save: str | None = None

    @property
    def way(self) -> str:
        """Instructions to get it."""
        return f"save {self.save} from {self.source}" if self.save else f"unpack {self.source}"


_ALL = (
    DataSet(
        "coco-val2017",
        "COCO 2017, validation",
        "http://images.cocodataset.org/zips/val2017.zip",
        "each image under its Flickr licence",
        5000,
        ("val2017", "images/val2017", "images", ""),
    ),
    DataSet(
        "flickr8k",
        "Flickr8k",
        "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/Flickr8k_Dataset.zip",
        "for research; each image under its Flickr licence",
        8091,
        ("Flicker8k_Dataset", "Flickr8k_Dataset/Flicker8k_Dataset", "Images", "images", ""),
    ),
    DataSet(
        "kodak",
        "Kodak",
        "https://r0k.us/graphics/kodak/",
        "free to use",
        24,
        ("", "PhotoCD_PCD0992"),
        "*.png",
        "kodim01.png to kodim24.png",
    ),
    DataSet(
        "clic2020-professional",
        "CLIC 2020, professional, validation",
        "https://data.vision.ee.ethz.ch/cvl/clic/professional_valid_2020.zip",
        "Unsplash licence",
        41,
        ("valid", ""),
        "*.png",
    ),
)
DATASETS: dict[str, DataSet] = {one.name: one for one in _ALL}
"""Every known data set by its name."""


def data_folder() -> Path:
    """Return where data sets are looked for."""
    return Path(os.environ.get("SEMCOMM_DATA", "~/.cache/semcomm/data")).expanduser()


def images_of(name: str) -> dict[str, Path]:
    """Return name -> path of each image of a known data set.

    Raises:
        ImageError: when it is not on this machine; it says where it was looked for and where it comes from.
    """
    known = DATASETS[name]
    root = data_folder() / name
    for part in known.folders:
        paths = sorted(path for path in (root / part).glob(known.pattern) if not path.name.startswith("."))
        found = {path.name: path for path in paths if path.is_file()}
        if found:
            return found
    raise ImageError(
        f"{known.title} ({known.count:,} images) is not in {root}: {known.way} there, or name its folder as "
        "images.path (SEMCOMM_DATA names the folder of all data sets)"
    )

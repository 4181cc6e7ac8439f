"""A study as a whole: its folder, settings, images and database."""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from semcomm.errors import StudyError
from semcomm.images import content_hash, read_image, write_image
from semcomm.ratings import database, links, settings
from semcomm.ratings.database import Database, Rater
from semcomm.ratings.order import Item, Trial, trials_of
from semcomm.ratings.settings import Settings, load_settings, text_of

IMAGES = "images"
FROZEN = "settings"
"""The note about the settings as they were when the first rater began."""


class Study:
    """An opened study.

    Args:
        folder: of the study, as `Study.make` made it.

    Raises:
        StudyError: when there is none, or its settings have changed since the first rater began.
        ConfigurationError: when its settings make no sense.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / database.FILE).exists():
            raise StudyError(f"{self.folder}: there is no study in this folder; semcomm ratings new makes one")
        self.settings = load_settings(self.folder / settings.FILE)
        self.database = Database(self.folder / database.FILE)
        self.links = links.Links(self.folder)
        frozen = self.database.meta(FROZEN)
        for key, was in (frozen or {}).items():
            now = asdict(self.settings).get(key)
            if now != was:
                raise StudyError(
                    f"{self.folder / settings.FILE}: {key} was {was!r} when the first rater began and is now {now!r}. "
                    "Put it back, or make a new study"
                )

    @classmethod
    def make(cls, folder: str | Path, wanted: Settings, items: Sequence["Shown"], raters: int | None = None) -> "Study":
        """Make a study of items and return it.

        Args:
            folder: of the study: a new or an empty one.
            wanted: what is asked.
            items: what there is to show; those for practice are taken from them.
            raters: how many links; none makes as many as `ratings_per_item` takes.

        Raises:
            StudyError: when the folder is not empty, or there are too few items.
        """
        folder = Path(folder)
        kept, practice = _practice(items, wanted)
        most = min(wanted.items_per_rater, len(kept))
        wanted = replace(wanted, items_per_rater=most, repeats=min(wanted.repeats, most))
        try:
            if folder.exists() and any(folder.iterdir()):
                raise StudyError(f"{folder}: is not empty; a study takes a new folder")
            (folder / IMAGES).mkdir(parents=True, exist_ok=True)
            (folder / settings.FILE).write_text(text_of(wanted), encoding="utf-8")
            links.new_secret(folder)
            db = Database(folder / database.FILE, new=True)
        except OSError as error:
            raise StudyError(f"{folder}: cannot be written ({error.strerror or error})") from None
        made = []
        for number, shown in enumerate([*practice, *kept]):
            keys = [None if image is None else _keep(folder, image) for image in shown.images()]
            made.append(Item(number, number < len(practice), *keys, shown.facts))
        db.add_items(made)
        needed = -(-len(kept) * wanted.ratings_per_item // wanted.items_per_rater)
        db.add_raters(needed if raters is None else raters)
        db.close()
        return cls(folder)

    def begin(self, rater: Rater) -> None:
        """Note a rater's consent; with the first one, the settings are fixed."""
        if self.database.meta(FROZEN) is None:
            self.database.set_meta(FROZEN, asdict(self.settings))
        self.database.begin(rater, lambda shown: trials_of(self.settings, self.database.items(), shown, rater.number))

    def keys_of(self, trial: Trial, item: Item) -> dict[str, str]:
        """Return where -> hash of the image that stands there in a trial."""
        first = item.reference if trial.kind == "identical" else item.first
        sides = [first] if item.second is None else [first, item.second]
        sides = sides[::-1] if trial.swapped and item.second is not None else sides
        return {"original": item.reference, **dict(zip(("first", "second"), sides))}

    def path_of(self, key: str) -> Path:
        """Return the file of an image."""
        return self.folder / IMAGES / f"{key}.png"

    def image(self, key: str) -> Tensor:
        """Return an image [3, H, W].

        Raises:
            StudyError: when it is not what the raters saw.
        """
        image = read_image(self.path_of(key))
        if content_hash(image) != key:
            raise StudyError(f"{self.path_of(key)}: is not the image that the raters saw; put it back from a copy")
        return image

    def close(self) -> None:
        """Close the database."""
        self.database.close()


class Shown:
    """Images to show together, read when they are wanted.

    Args:
        reference: the original: a file, or a function that returns it.
        first: the image to compare.
        second: the other one, or None.
        facts: names of the three, and what else is known.
    """

    def __init__(self, reference: Any, first: Any, second: Any, facts: dict) -> None:
        self._images = (reference, first, second)
        self.facts = facts

    def images(self) -> list[Tensor | None]:
        """Return the three images."""
        return [None if i is None else i() if callable(i) else read_image(i) for i in self._images]


def _keep(folder: Path, image: Tensor) -> str:
    key = content_hash(image)
    path = folder / IMAGES / f"{key}.png"
    if not path.exists():
        part = path.with_name(f".part-{os.getpid()}.png")
        write_image(part, image)
        part.replace(path)
    return key


def _practice(items: Sequence[Shown], wanted: Settings) -> tuple[list[Shown], list[Shown]]:
    """Return the items that count, in order, and those for practice, spread over all."""
    least = wanted.training + 1
    if len(items) < least:
        raise StudyError(
            f"there are {len(items)} items, and at least {least} are needed: {wanted.training} for practice "
            "(`training`) and one that counts"
        )
    if any((item._images[2] is None) != (wanted.kind == "pairs") for item in items):
        there = "two images" if wanted.kind == "pairs" else "one image"
        raise StudyError(f"the study is of {wanted.kind}, and an item has {there} beside the original; set `kind`")
    spread = {round((k + 0.5) * len(items) / wanted.training - 0.5) for k in range(wanted.training)}
    return (
        [item for n, item in enumerate(items) if n not in spread],
        [item for n, item in enumerate(items) if n in spread],
    )

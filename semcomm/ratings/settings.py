"""Settings of a study: question, scale, number of raters, rule of exclusion. The file `study.yaml`."""

from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from semcomm.errors import ConfigurationError

FILE = "study.yaml"
MOST_RATED = 2000
"""Trials for one rater; a session of one hour has a few hundred."""

QUESTIONS = {
    "triplets": "How much of what the original shows does each image still show?",
    "pairs": "How much of what the original shows does the image still show?",
    "choices": "Which image shows more of what the original shows?",
}
TASKS = {
    "triplets": "an original image and two others that were made from it or resemble it. Say of each how much of what "
    "the original shows is still there",
    "pairs": "an original image and another that was made from it or resembles it. Say how much of what the original "
    "shows is still there",
    "choices": "an original image and two others that were made from it or resemble it. Choose the one in which more "
    "of what the original shows is still there",
}
INSTRUCTIONS = (
    "You will see {task}: the same things, doing the same, in the same place.\n\n"
    "Noise, blur or odd colours matter only as far as they change what can be seen. There are no right or wrong "
    "answers, and there is no hurry. Stop whenever you like: the same link brings you back to where you were.\n"
)
CONSENT = (
    "Taking part is voluntary, and you may stop at any time without giving a reason. We keep your answers, how long "
    "each took, and the code in your link; we do not ask for your name, and we keep no address of your computer. The "
    "answers may be published in this form.\n"
)

WORDS = {
    "begin": "I have read this and want to take part",
    "original": "Original",
    "first": "Image A",
    "second": "Image B",
    "practice": "Practice",
    "progress": "{done} of {total} done",
    "next": "Next",
    "unset": "not rated yet",
    "choose": "Choose",
    "chosen": "Chosen",
    "enlarge": "Enlarge",
    "close": "Close",
    "compare": "Compare",
    "flicker": "Flicker",
    "size": "Size",
    "fit": "Fit",
    "shortcuts": "Keys",
    "keys_scores": "0 to 9: a score. Arrows: move it, finely with Shift; Page up and Page down: far; Home and End: to "
    "its ends. Space: take it where it is. Tab: go to the other scale.",
    "keys_choices": "Left, right: choose.",
    "keys_common": "Enter: next. Z: enlarge. F: flicker between the original and an image. Escape: back.",
    "incomplete": "Please rate each image first.",
    "undecided": "Please choose one of the two first.",
    "saving": "Saving …",
    "offline": "The connection is lost. Your answer is kept here and is sent as soon as the connection is back.",
    "elsewhere": "This one was answered already, perhaps in another tab. Here is the next.",
    "ended": "This link has been closed. Thank you.",
    "broken": "An image could not be loaded. Reload the page, and tell us if it happens again.",
    "pause": "You can stop whenever you like; this link brings you back to this place.",
    "practice_over": "That was practice. From here on your answers count.",
    "thanks": "Thank you, that was all.",
    "thanks_more": "Your answers are saved. You can close this page.",
    "invited": "Taking part needs a personal link. Please open yours.",
    "no_script": "This page needs JavaScript.",
    "simulated": "A trial with simulated raters: these answers are not people's.",
}
"""Every text of the page that the other settings do not have; `words` replaces any of them."""


@dataclass(frozen=True)
class Exclusion:
    """The rule, fixed before the first answer, by which a rater's answers are left out of every result.

    Args:
        identical_below: an image shown beside itself fails when its score is below this, or the other image is chosen.
        identical_failures: how many such failures are forgiven.
        repeat_difference: largest mean difference between the two scores of repeated items; in choices, the largest
            share that was answered differently.
        median_seconds: least median time for an answer.
    """

    identical_below: float = 0.8
    identical_failures: int = 1
    repeat_difference: float = 0.35
    median_seconds: float = 1.0


@dataclass(frozen=True)
class Settings:
    """All of a study that is not its images.

    Args:
        title: of the page.
        kind: `triplets`: an original and two images, each given a score (Figure 5 of the SeSS paper); `pairs`: one
            image, one score; `choices`: which of two images is more like the original.
        question: asked above the images; empty takes one that fits the kind.
        low: name of the lower end of the scale.
        high: name of the upper end.
        instructions: read first; an empty line begins a paragraph, and nothing at all takes those that fit the kind.
        consent: likewise.
        language: of all texts, as in HTML (`en`, `zh-Hans`).
        direction: in which it is written.
        words: other texts of the page in the place of the English ones; their names are those of `WORDS`.
        items_per_rater: how many items a rater is given, checks not counted.
        ratings_per_item: how many raters each item shall have.
        repeats: how many of the items come a second time, unannounced.
        identical: how many times the original is shown beside itself, unannounced.
        training: how many items come first for practice and never count.
        exclusion: the rule by which raters are left out.
        metrics: what the report compares with people.
        seed: of what is chosen and of every order.
        simulated: the raters are programs; every page and file then says so.
    """

    title: str = "How alike are these images?"
    kind: Literal["triplets", "pairs", "choices"] = "triplets"
    question: str = ""
    low: str = "nothing of it"
    high: str = "all of it"
    instructions: str = ""
    consent: str = CONSENT
    language: str = "en"
    direction: Literal["ltr", "rtl"] = "ltr"
    words: dict[str, str] = field(default_factory=dict)
    items_per_rater: int = 40
    ratings_per_item: int = 5
    repeats: int = 4
    identical: int = 3
    training: int = 3
    exclusion: Exclusion = field(default_factory=Exclusion)
    metrics: list[Any] = field(default_factory=lambda: ["PSNR", "SSIM", "MSSSIM", "SeSS"])
    seed: int = 0
    simulated: bool = False

    def __post_init__(self) -> None:
        asked = {"question": QUESTIONS[self.kind], "instructions": INSTRUCTIONS.format(task=TASKS[self.kind])}
        for name, text in asked.items():
            object.__setattr__(self, name, getattr(self, name) or text)
        if unknown := sorted(set(self.words) - set(WORDS)):
            raise ConfigurationError(f"words.{unknown[0]}: there is no such text; there are {', '.join(WORDS)}")
        least = {"items_per_rater": 1, "ratings_per_item": 1, "repeats": 0, "identical": 0, "training": 0}
        for name, low in least.items():
            if not low <= getattr(self, name) <= MOST_RATED:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be from {low} to {MOST_RATED}")
        if self.repeats > self.items_per_rater:
            raise ConfigurationError(f"repeats is {self.repeats}, more than items_per_rater, {self.items_per_rater}")
        rule = self.exclusion
        for name in ("identical_below", "identical_failures", "repeat_difference", "median_seconds"):
            if not (isfinite(getattr(rule, name)) and getattr(rule, name) >= 0):
                raise ConfigurationError(f"exclusion.{name} is {getattr(rule, name)}; it must be at least 0")
        if not self.language or not all(part.isalnum() and part.isascii() for part in self.language.split("-")):
            raise ConfigurationError(f"language is {self.language!r}; expected a tag such as en or zh-Hans")

    @property
    def texts(self) -> dict[str, str]:
        """Every text of the page by its name."""
        return {**WORDS, **self.words}

    def said_rule(self) -> str:
        """Return the rule of exclusion in words."""
        rule = self.exclusion
        failing = "was not chosen" if self.kind == "choices" else f"was scored below {rule.identical_below:g}"
        unlike = "share of repeats answered differently" if self.kind == "choices" else "mean difference of repeats"
        return (
            f"A rater is left out when the original beside itself {failing} in more than {rule.identical_failures} of "
            f"its showings, when the {unlike} is above {rule.repeat_difference:g}, or when the median time for an "
            f"answer is below {rule.median_seconds:g} s."
        )


def load_settings(path: Path, **changes: Any) -> Settings:
    """Read a file of settings; what it leaves out has its default.

    Raises:
        ConfigurationError: when it makes no sense.
    """
    from semcomm.configuration import build, read_yaml

    return build(Settings, {**read_yaml(path), **changes}, str(path))


def text_of(settings: Settings) -> str:
    """Return the settings as the text of a file."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as such."""

    def block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Dumper.add_representer(str, block)
    head = "# What this study asks, and of how many. Nothing here can change once the first rater has begun.\n"
    return head + yaml.dump(asdict(settings), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)

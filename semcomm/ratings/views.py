"""The pages of a study: their contents and their acts, whatever server they are behind."""

from importlib.resources import files
from math import isfinite
from typing import Any

from semcomm.errors import StudyError
from semcomm.ratings.database import OutOfTurnError, Rater
from semcomm.ratings.study import Study

STATIC = {"rate.js": "text/javascript", "viewer.js": "text/javascript", "rate.css": "text/css"}
SLOTS = ("original", "first", "second")
MOST_SECONDS = 86_400.0
MOST_LINKS = 200
"""Links to be made at once."""


class Refused(Exception):  # noqa: N818
    """A refusal of a request: a status and a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Pages:
    """The pages of one study.

    Args:
        study: opened.
        address: where links begin, without a slash at the end.
    """

    def __init__(self, study: Study, address: str) -> None:
        self.study = study
        self.address = address
        self.templates = templates()
        settings = study.settings
        slots = SLOTS[: 2 if settings.kind == "pairs" else 3]
        values = {"settings": settings, "words": settings.texts, "slots": slots}
        # the same for every rater: what is a rater's own comes as data
        self.page, self.invited = (
            self.templates.get_template(name).render(values) for name in ("rate.html", "invited.html")
        )
        self.static = {name: (files(__package__) / "pages" / name).read_bytes() for name in STATIC}

    def owner(self, path: str) -> str:
        """Return whose request this is, by its path."""
        parts = path.split("/")
        if len(parts) > 2 and parts[1] == "r":
            return self.study.links.code_in(parts[2]) or ""
        known = len(parts) > 2 and parts[1] == "admin" and self.study.links.is_administrator(parts[2])
        return "administrator" if known else ""

    def rater(self, token: str) -> Rater:
        """Return the rater of a link."""
        code = self.study.links.code_in(token)
        rater = code and self.study.database.rater(code)
        if not rater:
            raise Refused(404, "no such link")
        return rater

    def state(self, rater: Rater) -> dict[str, Any]:
        """Return where a rater is, what is shown now, and what comes next, for loading it before."""
        db = self.study.database
        if rater.closed is not None:
            return {"stage": "closed"}
        if rater.begun is None:
            return {"stage": "consent"}
        done, total = db.progress(rater.code)
        practice = sum(trial.kind == "practice" for trial in db.trials(rater.code))
        state = {"stage": "rate", "position": done, "total": total, "practice": practice}
        if done >= total:
            return {**state, "stage": "done"}
        later = [self._images(rater, position) for position in (done, done + 1) if position < total]
        return {**state, "images": later[0], "next": later[1:]}

    def _images(self, rater: Rater, position: int) -> dict[str, str]:
        """Return where -> path of the image, which says nothing of what it is."""
        base = f"/r/{self.study.links.rater(rater.code)}/image/{position}"
        keys = self.study.keys_of(*self.study.database.trial(rater.code, position))
        return {slot: f"{base}/{slot}" for slot in keys}

    def image(self, rater: Rater, position: int, slot: str) -> bytes:
        """Return an image that a rater is shown, as PNG."""
        found = self.study.database.trial(rater.code, position) if 0 <= position < 2**31 else None
        keys = self.study.keys_of(*found) if found else {}
        if slot not in keys or rater.closed is not None:
            raise Refused(404, "no such image")
        return self.study.path_of(keys[slot]).read_bytes()

    def consent(self, rater: Rater) -> dict[str, Any]:
        """Note that a rater wants to take part."""
        self.study.begin(rater)
        return {"kept": True, **self.state(self.study.database.rater(rater.code))}

    def rate(self, rater: Rater, answer: Any) -> dict[str, Any]:
        """Keep an answer, once."""
        if rater.closed is not None or rater.begun is None:
            return {"kept": False, **self.state(rater)}
        position, first, second, seconds = self._checked(answer)
        found = self.study.database.trial(rater.code, position)
        if found and found[0].swapped and second is not None:
            first, second = second, first
        try:
            kept = self.study.database.rate(rater.code, position, first, second, seconds)
        except OutOfTurnError:
            raise Refused(409, "this is not what is asked now") from None
        return {"kept": kept, **self.state(rater)}

    def _checked(self, answer: Any) -> tuple[int, float, float | None, float]:
        kind = self.study.settings.kind
        names = {"position", "first", "seconds"} | (set() if kind == "pairs" else {"second"})
        if not isinstance(answer, dict) or set(answer) != names:
            raise Refused(422, f"an answer has {', '.join(sorted(names))}")
        if any(isinstance(v, bool) or not isinstance(v, int | float) or not abs(v) < 1e15 for v in answer.values()):
            raise Refused(422, "an answer is made of numbers")
        position, seconds, first, second = (answer.get(n) for n in ("position", "seconds", "first", "second"))
        scores = [first] if kind == "pairs" else [first, second]
        if not isinstance(position, int) or position < 0 or not (isfinite(seconds) and seconds >= 0):
            raise Refused(422, "position and seconds count from 0")
        if not all(0 <= score <= 1 for score in scores) or (kind == "choices" and sorted(scores) != [0, 1]):
            raise Refused(422, "a score is from 0 to 1, and one of two images is chosen")
        scores = [round(float(score), 4) for score in scores]
        return position, scores[0], scores[1] if len(scores) > 1 else None, round(min(seconds, MOST_SECONDS), 3)

    def administration(self) -> str:
        """Return the administrator's page."""
        from semcomm.ratings.opinions import opinions_of

        db = self.study.database
        try:
            conduct = {c.code: c for c in opinions_of(self.study).conduct}
        except StudyError:  # nobody has answered yet
            conduct = {}
        good = {code for code, c in conduct.items() if not c.excluded}
        counts: dict[int, int] = {item.number: 0 for item in db.items() if not item.practice}
        for code, _, item, kind, *_ in db.answers():
            if kind == "item" and code in good:
                counts[item] += 1
        wanted = self.study.settings.ratings_per_item
        raters = [(r, self.link(r.code), *db.progress(r.code), conduct.get(r.code)) for r in db.raters()]
        return self.templates.get_template("admin.html").render(
            settings=self.study.settings,
            raters=raters,
            items=len(counts),
            full=sum(count >= wanted for count in counts.values()),
            fewest=min(counts.values()),
            rule=self.study.settings.said_rule(),
            most=MOST_LINKS,
        )

    def administrate(self, form: dict[str, list[str]]) -> None:
        """Do what the administrator asked for."""
        action, code = (form.get(name, [""])[0] for name in ("action", "code"))
        if action == "add":
            count = form.get("count", [""])[0]
            if not (count.isascii() and count.isdigit() and 1 <= int(count[:6]) <= MOST_LINKS):
                raise Refused(422, f"from 1 to {MOST_LINKS} links at once")
            self.study.database.add_raters(int(count))
        elif action in ("close", "withdraw") and self.study.database.rater(code):
            (self.study.database.finish if action == "close" else self.study.database.withdraw)(code)
        else:
            raise Refused(422, "no such action")

    def link(self, code: str) -> str:
        """Return the link of a rater."""
        return f"{self.address}/r/{self.study.links.rater(code)}"


def templates() -> Any:
    """Return the pages' templates: every value in them is escaped."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (files(__package__) / "pages" / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

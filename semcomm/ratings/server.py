"""The web server of a study: the raters' page and the administrator's."""

import socket
from collections.abc import Callable, Collection
from importlib.resources import files
from math import isfinite
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from semcomm.errors import ConfigurationError, StudyError
from semcomm.ratings.database import OutOfTurnError, Rater
from semcomm.ratings.guarding import Guard
from semcomm.ratings.study import Study

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

STATIC = {"rate.js": "text/javascript", "viewer.js": "text/javascript", "rate.css": "text/css"}
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
SLOTS = ("original", "first", "second")
MOST_SECONDS = 86_400.0
MOST_LINKS = 200
"""Links to be made at once."""


class Refused(Exception):  # noqa: N818
    """What a request gets instead of what it wanted: a status, and a word on it."""

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


def application(study: Study, address: str, hosts: Collection[str] = ()) -> Callable:
    """Return the ASGI application of a study.

    Args:
        study: opened.
        address: where links begin.
        hosts: names by which it may be reached; empty takes any.

    Raises:
        ConfigurationError: when Starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
        from starlette.responses import Response as Plain
        from starlette.routing import Route
    except ImportError:
        raise _missing() from None
    pages = Pages(study, address)

    async def invited(request: "Request") -> "Response":
        return HTMLResponse(pages.invited, 404, headers={"Cache-Control": "no-store"})

    async def static(request: "Request") -> "Response":
        name = request.path_params["name"]
        if name not in STATIC:
            raise Refused(404, "no such file")
        return Plain(pages.static[name], media_type=STATIC[name], headers={"Cache-Control": "max-age=300"})

    async def page(request: "Request") -> "Response":
        if study.links.code_in(request.path_params["token"]) is None:
            raise Refused(404, "no such link")
        return HTMLResponse(pages.page, headers={"Cache-Control": "no-store"})

    async def state(request: "Request") -> "Response":
        found = await run_in_threadpool(lambda: pages.state(pages.rater(request.path_params["token"])))
        return JSONResponse(found, headers={"Cache-Control": "no-store"})

    async def image(request: "Request") -> "Response":
        token, position, slot = (request.path_params[name] for name in ("token", "position", "slot"))
        found = await run_in_threadpool(lambda: pages.image(pages.rater(token), position, slot))
        return Plain(found, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    async def answer(request: "Request") -> "Response":
        data = _json(await request.body(), request.headers.get("content-type", ""))
        act = pages.rate if request.url.path.endswith("/rating") else lambda rater, data: pages.consent(rater)
        found = await run_in_threadpool(lambda: act(pages.rater(request.path_params["token"]), data))
        return JSONResponse(found, headers={"Cache-Control": "no-store"})

    async def admin(request: "Request") -> "Response":
        if not study.links.is_administrator(request.path_params["token"]):
            raise Refused(404, "no such link")
        if request.method == "POST":
            await run_in_threadpool(pages.administrate, _form(await request.body()))
            return RedirectResponse(request.url.path, 303)
        return HTMLResponse(await run_in_threadpool(pages.administration), headers={"Cache-Control": "no-store"})

    async def refused(request: "Request", error: Exception) -> "Response":
        return PlainTextResponse(str(error), error.status)

    routes = [
        Route("/", invited),
        Route("/static/{name}", static),
        Route("/r/{token}", page),
        Route("/r/{token}/state", state),
        Route("/r/{token}/image/{position:int}/{slot}", image),
        Route("/r/{token}/consent", answer, methods=["POST"]),
        Route("/r/{token}/rating", answer, methods=["POST"]),
        Route("/admin/{token}", admin, methods=["GET", "POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={Refused: refused})
    app.router.redirect_slashes = False
    return Guard(app, hosts, pages.owner)


def _form(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode("ascii", "replace"), max_num_fields=10)
    except ValueError:
        raise Refused(422, "too many fields") from None


def _json(body: bytes, kind: str) -> Any:
    from semcomm.parsing import parse_json

    if kind.partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "answers are JSON")
    try:
        return parse_json(body)
    except ValueError:
        raise Refused(400, "no JSON") from None


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


def serve(
    study: Study,
    host: str = "127.0.0.1",
    port: int = 8765,
    address: str | None = None,
    on_ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a study until it is interrupted.

    Args:
        study: opened.
        host: address to listen on; the default is reached from this machine alone.
        port: 0 takes a free one.
        address: the URL by which raters reach it, where that is another, such as a proxy's.
        on_ready: told the address once it is listening.

    Raises:
        ConfigurationError: when the extra is not installed, or the address makes no sense.
        StudyError: when the port cannot be had, or another process serves the study.
    """
    try:
        import uvicorn
    except ImportError:
        raise _missing() from None
    from semcomm.runs.folder import locked

    given = urlsplit(address) if address else None
    if given and (given.scheme not in ("http", "https") or not given.hostname):
        raise ConfigurationError(f"the address {address!r} is no URL such as https://study.example.org")
    with locked(study.folder):
        made = listening(host, port)
        name = f"[{host}]" if ":" in host else host
        reached = (address or f"http://{name}:{made.getsockname()[1]}").rstrip("/")
        hosts = {*LOOPBACK, name.lower()}
        if given:
            hosts.add(f"[{given.hostname}]" if ":" in given.hostname else given.hostname.lower())
        everywhere = host in ("0.0.0.0", "::") and not given
        app = application(study, reached, () if everywhere else hosts)
        configuration = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # it would hold the raters' links and addresses
            server_header=False,
            limit_concurrency=500,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=3,
            lifespan="off",
            ws="none",
        )
        configuration.load()  # so that the first rater does not wait for its imports
        on_ready(reached)
        uvicorn.Server(configuration).run(sockets=[made])


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        StudyError: when the address cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(200)
    except (OSError, OverflowError) as error:
        raise StudyError(f"{host}:{port}: cannot be listened on ({error}); choose another --port or --host") from None
    return made


def _missing() -> ConfigurationError:
    return ConfigurationError("serving a study needs the extra ratings: pip install 'semcomm[ratings]'")

"""The web server of a study: the raters' page and the administrator's."""

import socket
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from semcomm.errors import ConfigurationError, StudyError
from semcomm.ratings.guarding import Guard
from semcomm.ratings.study import Study
from semcomm.ratings.views import STATIC, Pages, Refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


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
    return Guard(app, hosts, pages.owner, address)


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
        on_ready: called with the address once it is listening.

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

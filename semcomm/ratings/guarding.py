"""Checks on every request before the pages see it, and headers of every response."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

MOST_BYTES = 4096
"""Of a body; an answer has about a hundred."""
RATE, BURST = 20.0, 100.0
"""Requests a second, in the long run and at once, for each rater, and for each address without a valid link."""
MOST_BUCKETS = 10_000

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Buckets:
    """Rate limit per key: `BURST` requests at once, `RATE` a second after that."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> bool:
        """Count a request; say whether it is within bounds."""
        now = self._clock()
        left, before = self._left.pop(key, (BURST, now))
        left = min(BURST, left + RATE * (now - before))
        self._left[key] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > MOST_BUCKETS:
            self._left.popitem(last=False)
        return left >= 1


class Guard:
    """Refuses requests that are too many, too large, from another site or for another host.

    Args:
        app: what is guarded.
        hosts: names by which it is reached; empty takes any. A page elsewhere whose name was made to lead here is
            refused by them.
        owner: names whose request it is by the path: a rater's code, or the empty string.
        address: the URL by which raters reach it, whatever name a proxy puts in its place.
    """

    def __init__(self, app: Callable, hosts: Collection[str], owner: Callable[[str], str], address: str) -> None:
        self.app = app
        self.place = urlsplit(address).netloc
        self.hosts = frozenset(hosts)
        self.owner = owner
        self.buckets = Buckets()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        body = b""
        if refusal is None and scope["method"] == "POST":
            body, refusal = await _body(receive)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        answered = False

        async def again() -> MutableMapping[str, Any]:
            nonlocal answered
            if answered:
                return await receive()
            answered = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_encoded(HEADERS)]
            await send(message)

        await self.app(scope, again, with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "there is nothing here that takes this method"
        host = _host(headers.get("host", ""))
        if self.hosts and host not in self.hosts:
            return 400, "this study has another address"
        if scope["method"] == "POST":
            # a page of another site cannot know a link, and this keeps it from using one that leaked
            site, origin = headers.get("sec-fetch-site", "same-origin"), headers.get("origin")
            if site not in ("same-origin", "none") or (
                origin and _place(origin) not in (headers.get("host"), self.place)
            ):
                return 403, "answers are taken from the study's own page only"
            if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > MOST_BYTES:
                return 413, "too long"
        key = self.owner(scope["path"]) or f"address {(scope.get('client') or ('?',))[0]}"
        return None if self.buckets.take(key) else (429, "too many requests; wait a moment")


def _place(url: str) -> str | None:
    """Return host and port of a URL, or None where it is none."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return None


def _host(header: str) -> str:
    name = header.rpartition("]")[0] + "]" if header.startswith("[") else header.partition(":")[0]
    return name.lower()


async def _body(receive: Receive) -> tuple[bytes, tuple[int, str] | None]:
    import anyio

    body = b""
    with anyio.move_on_after(10) as waiting:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b"", (400, "cut off")
            body += message.get("body", b"")
            if len(body) > MOST_BYTES:
                return b"", (413, "too long")
            if not message.get("more_body", False):
                return body, None
    assert waiting.cancelled_caught
    return b"", (408, "took too long")


async def _answer(send: Send, status: int, text: str) -> None:
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        **({"Retry-After": "5"} if status == 429 else {}),
        **HEADERS,
    }
    body = text.encode()
    headers["Content-Length"] = str(len(body))
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": body})


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]

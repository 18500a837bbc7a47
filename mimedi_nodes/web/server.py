# SPDX-License-Identifier: Apache-2.0
"""The operator's page: HTTP for acts, a WebSocket for what the workcell tells. It asks the nodes' services only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from ..nodes.clients.workcell_client import Outcome, WorkcellClient
from ..process.people.accounts import LoginError
from .logins import Logins, NotLoggedIn, Visitor
from .state import PageState

COOKIE = "workcell_session"
LONGEST_NAME = 200
"""Letters of a batch's name that a page may ask for."""
PERIOD_S = 0.5
"""Shortest time between two pictures of the state that a page is sent [s]."""
CHECK_S = 10.0
"""Longest time for which an ended session still sees the page's stream [s]."""
STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_FIELDS = {
    "command": ("command", "why"),
    "answer": ("prompt_id", "answer"),
    "alarm": ("alarm_id", "act"),
}
"""Fields that an act must have, all texts."""


class _Page:
    """A page that looks: its stream, and which batch it wants to see, empty for the oldest."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.batch_id = ""
        self._chosen = asyncio.Event()

    def take(self, text: object) -> None:
        """Take the name of a batch, the one thing that a page says on its stream; anything else is passed over."""
        if isinstance(text, str) and len(text) <= LONGEST_NAME:
            self.batch_id = text
            self._chosen.set()

    async def next_picture(self) -> None:
        """Return when the page is told again: after the period, or at once when it wants another batch."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._chosen.wait(), PERIOD_S)
        self._chosen.clear()


class PageServer:
    """Serves one workcell's page.

    Args:
        client: the workcell; started by the caller.
        logins: who may look and act.
        secure: whether it is reached by TLS, so that cookies never go without.
    """

    def __init__(self, client: WorkcellClient, logins: Logins, secure: bool) -> None:
        self._client, self._logins, self._secure = client, logins, secure
        self._state = PageState(client)
        self._sockets: set[web.WebSocketResponse] = set()

    def application(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._guard], client_max_size=16_384)
        app.router.add_get("/", self._index)
        app.router.add_static("/static/", STATIC)
        app.router.add_get("/api/me", self._me)
        app.router.add_post("/api/login", self._login)
        app.router.add_post("/api/logout", self._logout)
        app.router.add_get("/api/curves", self._curves)
        for name in _FIELDS:
            app.router.add_post(f"/api/{name}", partial(self._act, name))
        app.router.add_get("/ws", self._stream)
        app.cleanup_ctx.append(self._looking)
        app.on_shutdown.append(self._close_sockets)
        return app

    # -- around every request ---------------------------------------------------------------------------

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Refuse requests that another site's page makes; answer errors as JSON; add the headers."""
        if not _same_origin(request):
            return _error(403, "this request comes from another site's page")
        try:
            response = await handler(request)
        except NotLoggedIn as error:
            response = _error(401, str(error))
        except LoginError as error:
            response = _error(403, str(error))
        except web.HTTPException as error:
            response = _error(error.status, error.reason)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _visitor(self, request: web.Request) -> Visitor:
        return self._logins.visitor(request.cookies.get(COOKIE, ""))

    # -- pages ------------------------------------------------------------------------------------------

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _me(self, request: web.Request) -> web.Response:
        workcell = self._client.node.get_namespace().strip("/")  # which of several somebody stands at
        try:
            return web.json_response(_told(self._visitor(request)) | {"workcell": workcell})
        except NotLoggedIn:
            return web.json_response({"user": None, "accounts": self._logins.has_accounts(), "workcell": workcell})

    async def _login(self, request: web.Request) -> web.Response:
        given = await _body(request, ("user", "password"))
        cookie, visitor = await asyncio.to_thread(self._logins.login, given["user"], given["password"])
        response = web.json_response(_told(visitor))
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="Strict", secure=self._secure, path="/")
        return response

    async def _logout(self, request: web.Request) -> web.Response:
        await asyncio.to_thread(self._logins.logout, request.cookies.get(COOKIE, ""))
        response = web.json_response({})
        response.del_cookie(COOKIE, path="/")
        return response

    async def _curves(self, request: web.Request) -> web.Response:
        self._visitor(request)
        return web.json_response(self._state.curves())

    # -- acts -------------------------------------------------------------------------------------------

    async def _act(self, kind: str, request: web.Request) -> web.Response:
        visitor = self._visitor(request)
        given = await _body(request, _FIELDS[kind])
        batch_id = str(given.get("batch_id", ""))  # of several in production; the page names the one that it shows
        call: Callable[[], Outcome]
        if kind == "command":
            if not given["why"].strip():
                return _error(400, "why is missing; it goes into the batch record")
            call = partial(self._client.command, given["command"], visitor.token, given["why"], batch_id)
        elif kind == "answer":
            call = partial(
                self._client.answer, given["prompt_id"], given["answer"], visitor.token, "answered on the web page",
                batch_id,
            )  # fmt: skip
        else:
            why, hours = str(given.get("why", "")), given.get("hours", 0.0)
            if not isinstance(hours, int | float) or not 0.0 <= hours <= 24.0:
                return _error(400, f"hours is {hours!r}; allowed: 0 to 24")
            call = partial(
                self._client.act_on_alarm, given["alarm_id"], given["act"], visitor.token, why, float(hours)
            )
        outcome = await asyncio.to_thread(call)
        return web.json_response(vars(outcome), status=200 if outcome.accepted else 409)

    # -- the stream -------------------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self._visitor(request)
        socket = web.WebSocketResponse(heartbeat=15.0)
        await socket.prepare(request)
        self._sockets.add(socket)
        page = _Page(socket)
        sender = asyncio.create_task(self._send(page, request))
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
                page.take(message.data)
        finally:
            sender.cancel()
            self._sockets.discard(socket)
        return socket

    async def _send(self, page: _Page, request: web.Request) -> None:
        last, checked_s, socket = "", 0.0, page.socket
        loop = asyncio.get_running_loop()
        while not socket.closed:
            if loop.time() - checked_s > CHECK_S:
                try:
                    self._visitor(request)
                except NotLoggedIn:
                    await socket.close(code=4401, message=b"the session has ended")
                    return
                checked_s, last = loop.time(), ""  # the page is told at least so often: silence is staleness
            text = json.dumps(self._state.snapshot(page.batch_id))
            if text != last:
                last = text
                await socket.send_str(text)
            await page.next_picture()

    async def _looking(self, app: web.Application) -> Any:
        async def look() -> None:
            while True:
                self._state.look()
                await asyncio.sleep(PERIOD_S)

        task = asyncio.create_task(look())
        yield
        task.cancel()

    async def _close_sockets(self, app: web.Application) -> None:
        for socket in set(self._sockets):
            await socket.close(code=1001, message=b"the server ends")


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what serves by TLS 1.2 or newer.

    Raises:
        OSError: a file cannot be read, or the two do not belong together (ssl.SSLError).
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def _told(visitor: Visitor) -> dict[str, Any]:
    return {"user": visitor.user, "name": visitor.name, "roles": visitor.roles, "acts": visitor.acts}


def _same_origin(request: web.Request) -> bool:
    """Whether a request comes from our own page; a browser names the origin of every post and every WebSocket."""
    origin = request.headers.get("Origin")
    if origin is None:
        return request.method in ("GET", "HEAD") and request.path != "/ws"
    return urlsplit(origin).netloc == request.headers.get("Host")


async def _body(request: web.Request, fields: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the JSON object of a request; raises HTTPBadRequest naming what is wrong."""
    try:
        given = await request.json()
    except (ValueError, UnicodeDecodeError) as error:
        raise web.HTTPBadRequest(reason="the body is no JSON") from error
    if not isinstance(given, dict):
        raise web.HTTPBadRequest(reason="the body is no JSON object")
    missing = [name for name in fields if not isinstance(given.get(name), str)]
    if missing:
        raise web.HTTPBadRequest(reason=f"missing texts: {', '.join(missing)}")
    return given


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"accepted": False, "message": message}, status=status)

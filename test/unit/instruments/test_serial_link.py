# SPDX-License-Identifier: Apache-2.0
"""The serial link on real pseudo-terminals: deadlines, stale bytes, loss and return of the port, capture."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimedi_nodes.instruments.wire.exchange import exchange
from mimedi_nodes.instruments.wire.link import GarbledReply, LinkLost, ReplyTimeout
from mimedi_nodes.instruments.wire.serial_link import SerialLink
from mimedi_sim.pty_server import PtyServer


def line_end(data: bytes) -> int | None:
    at = data.find(b"\n")
    return None if at < 0 else at + 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PtyServer]:
    made = PtyServer(tmp_path / "ports", lambda line, data: data.upper().replace(b"QUIET\n", b""))
    made.plug("echo")
    yield made
    made.close()


async def opened(server: PtyServer, **options: object) -> SerialLink:
    link = SerialLink("echo", str(server.directory / "echo"), 9600, **options)  # type: ignore[arg-type]
    await link.open()
    return link


async def test_request_and_reply(server: PtyServer) -> None:
    link = await opened(server)
    await link.open()
    assert await link.transact(b"hello\n", line_end, 1.0) == b"HELLO\n"
    assert await link.transact(b"quiet\n", None, 1.0) == b""
    assert await link.transact(b"again\n", line_end, 1.0) == b"AGAIN\n"
    await link.close()
    await link.close()
    with pytest.raises(LinkLost, match="closed"):
        await link.transact(b"x\n", line_end, 1.0)


async def test_requests_keep_their_order(server: PtyServer) -> None:
    link = await opened(server)
    answers = await asyncio.gather(*(link.transact(b"%d\n" % i, line_end, 1.0) for i in range(50)))
    assert answers == [b"%d\n" % i for i in range(50)]


async def test_deadline_is_kept_while_bytes_trickle(server: PtyServer) -> None:
    link = await opened(server)
    begin_s = time.monotonic()
    with pytest.raises(ReplyTimeout, match="4 bytes came"):
        await link.transact(b"half", line_end, 0.15)
    assert 0.14 < time.monotonic() - begin_s < 1.0


async def test_late_answer_is_not_taken_for_the_next_one(server: PtyServer) -> None:
    link = await opened(server)
    server.delay("echo", 0.1)
    with pytest.raises(ReplyTimeout):
        await link.transact(b"first\n", line_end, 0.09)
    server.delay("echo", 0.0)
    assert await link.transact(b"second\n", line_end, 1.0) == b"SECOND\n"


async def test_what_came_unasked_is_kept_and_is_no_answer(server: PtyServer) -> None:
    link = await opened(server)
    server.send("echo", b"ALARM:1\r\n")
    deadline_s = time.monotonic() + 5.0
    heard = b""
    while b"ALARM:1\r\n" not in heard:  # a push may also come between a request and its answer
        assert time.monotonic() < deadline_s
        heard += await link.transact(b"x\n", lambda data: data.find(b"X\n") + 2 if b"X\n" in data else None, 1.0)
        heard += link.take_unasked()
    assert link.take_unasked() == b""
    for k in range(300):
        server.send("echo", b"%08d\r\n" % k)
    await link.transact(b"y\n", lambda data: data.find(b"Y\n") + 2 if b"Y\n" in data else None, 1.0)
    assert len(link.take_unasked()) <= 1024


async def test_unplugged_port_is_lost_and_comes_back(server: PtyServer) -> None:
    link = await opened(server)
    server.unplug("echo")
    with pytest.raises(LinkLost, match="was lost"):
        await link.transact(b"a\n", line_end, 1.0)
    with pytest.raises(LinkLost, match="cannot be opened"):
        await link.transact(b"a\n", line_end, 1.0)
    server.plug("echo")
    assert await link.transact(b"a\n", line_end, 1.0) == b"A\n"


async def test_port_unplugged_during_a_wait_is_lost_at_once(server: PtyServer) -> None:
    link = await opened(server)
    server.silence("echo", True)
    waiting = asyncio.create_task(link.transact(b"a\n", line_end, 5.0))
    await asyncio.sleep(0)
    begin_s = time.monotonic()
    server.unplug("echo")
    with pytest.raises(LinkLost):
        await waiting
    assert time.monotonic() - begin_s < 2.0


async def test_missing_port_and_port_in_use_are_told(server: PtyServer, tmp_path: Path) -> None:
    with pytest.raises(LinkLost, match="cannot be opened"):
        await SerialLink("scale", str(tmp_path / "nothing"), 9600).open()
    first = await opened(server)
    with pytest.raises(LinkLost, match="look who else uses it"):
        await opened(server)
    await first.close()
    second = await opened(server)
    assert await second.transact(b"free\n", line_end, 1.0) == b"FREE\n"


async def test_traffic_is_captured(server: PtyServer, tmp_path: Path) -> None:
    file = tmp_path / "capture" / "echo.jsonl"
    link = await opened(server, capture=file)
    await link.transact(b"hi\n", line_end, 1.0)
    with pytest.raises(ReplyTimeout):
        await link.transact(b"hal", line_end, 0.02)
    await link.close()
    entries = [json.loads(row) for row in file.read_text().splitlines()]
    assert [(e["dir"], bytes.fromhex(e["hex"])) for e in entries] == [
        (">", b"hi\n"),
        ("<", b"HI\n"),
        (">", b"hal"),
        ("?", b"HAL"),
    ]
    assert entries[0]["t_s"] <= entries[-1]["t_s"]


async def test_waiting_for_the_wire_is_told(server: PtyServer) -> None:
    told: list[tuple[bool, threading.Thread]] = []
    link = await opened(server, on_busy=lambda busy: told.append((busy, threading.current_thread())))
    await link.transact(b"a\n", line_end, 1.0)
    with pytest.raises(ReplyTimeout):
        await link.transact(b"a", line_end, 0.01)
    assert [busy for busy, _ in told] == [True, False, True, False]
    assert {thread for _, thread in told} == {threading.current_thread()}


async def test_bounded_retries_only_for_timeouts_and_garbled_replies(server: PtyServer) -> None:
    link = await opened(server)
    seen: list[bytes] = []

    def parse(data: bytes) -> bytes:
        seen.append(data)
        if len(seen) < 3:
            raise GarbledReply("echo", "not yet")
        return data

    assert await exchange(link, b"a\n", line_end, parse, instrument="echo", retries=2) == b"A\n"
    seen.clear()
    with pytest.raises(GarbledReply):
        await exchange(link, b"a\n", line_end, parse, instrument="echo", retries=1)
    server.unplug("echo")
    seen.clear()
    with pytest.raises(LinkLost):
        await exchange(link, b"a\n", line_end, parse, instrument="echo", retries=2)
    assert seen == []

# SPDX-License-Identifier: Apache-2.0
"""The photon counter by the letter of docs/protocols.md, with frames built here by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_sim.firmware.photon_counter import PhotonCounterFirmware
from mimedi_sim.plant.photon_counter import ScreeningStation


def crc32(data: bytes) -> int:
    """CRC-32 bit by bit (reflected, polynomial 04C11DB7h, start and end FFFFFFFFh), as in ITU-T V.42."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xEDB88320 if crc & 1 else crc >> 1
    return crc ^ 0xFFFFFFFF


def stuffed(data: bytes) -> bytes:
    """Consistent overhead byte stuffing for less than 254 bytes, as in the paper's listing."""
    out, block = b"", b""
    for byte in data + b"\0":
        if byte == 0:
            out += bytes((len(block) + 1,)) + block
            block = b""
        else:
            block += bytes((byte,))
    return out


def unstuffed(data: bytes) -> bytes:
    out, at = b"", 0
    while at < len(data):
        out += data[at + 1 : at + data[at]] + b"\0"
        at += data[at]
    return out[:-1]


def frame(body: bytes) -> bytes:
    return b"\0" + stuffed(body + crc32(body).to_bytes(4, "big")) + b"\0"


def answer(data: bytes) -> bytes:
    assert data[0] == data[-1] == 0
    body = unstuffed(data[1:-1])
    assert crc32(body[:-4]).to_bytes(4, "big") == body[-4:]
    return body[:-4]


def counter() -> PhotonCounterFirmware:
    return PhotonCounterFirmware(ScreeningStation(1, 0.0))


def test_frames_by_the_page() -> None:
    assert crc32(b"123456789") == 0xCBF43926  # the check value of the standard
    device = counter()
    assert answer(device.receive(frame(b"\x07\x01"), 0.0)) == b"\x07\x81\x00MiMedI,PC-28,SP0001,1.0"
    assert answer(device.receive(frame(b"\x08\x02"), 0.0)) == b"\x08\x82\x00" + struct.pack(
        ">BBhHHBHI", 0, 0, 2000, 285, 2650, 0, 0, 0
    )
    start = b"\x09\x03" + struct.pack(">HIIB", 1, 1_000_000, 3, 0)
    assert answer(device.receive(frame(start), 10.0)) == b"\x09\x83\x00"
    assert answer(device.receive(frame(start), 11.0)) == b"\x09\x83\x00"  # once more: the same run
    reply = answer(device.receive(frame(b"\x0a\x05" + struct.pack(">HIB", 1, 0, 40)), 12.5))
    assert reply[:3] == b"\x0a\x85\x00"
    assert struct.unpack(">HIIB", reply[3:14]) == (1, 2, 0, 2)
    counts = [c for c, _ in struct.iter_unpack(">IB", reply[14:])]
    assert all(120 < c < 300 for c in counts)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\x01\x7f", 1),
        (b"\x01\x03\x00", 2),
        (b"\x01\x03" + struct.pack(">HIIB", 5, 10, 1, 0), 3),
        (b"\x01\x05" + struct.pack(">HIB", 9, 0, 1), 5),
    ],
)
def test_refusals_by_number(body: bytes, status: int) -> None:
    reply = answer(counter().receive(frame(body), 0.0))
    assert reply == bytes((1, body[1] | 0x80, status))


def test_broken_frames_cost_only_themselves() -> None:
    device = counter()
    good = frame(b"\x07\x01")
    broken = bytearray(good)
    broken[3] ^= 0x10
    assert device.receive(bytes(broken), 0.0) == b""
    assert device.receive(b"\x9c\xe7\x0f" + good[:4], 0.0) == b""
    assert answer(device.receive(good, 0.0))[1] == 0x81
    assert device.receive(good[:5], 0.0) == b""
    assert answer(device.receive(good[5:], 0.0))[1] == 0x81


@settings(max_examples=200, deadline=None)
@given(data=st.lists(st.binary(max_size=60), max_size=10))
def test_no_bytes_whatever_break_the_counter(data: list[bytes]) -> None:
    device = counter()
    for chunk in data:
        device.receive(chunk, 0.0)
    assert answer(device.receive(frame(b"\x07\x01"), 0.0))[1] == 0x81


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(12)))
def test_a_gate_counts_the_same_in_whatever_order_gates_are_read(order: list[int]) -> None:
    def station() -> ScreeningStation:
        made = ScreeningStation(5, 0.0)
        made.load(3.3, 50.0, 5e6)
        made.light_leak(7.25, 1e4)
        return made

    asked, in_turn = station(), station()
    found = {k: asked.counts(float(k), 1.0, shutter_open=True) for k in order}
    assert [found[k] for k in range(12)] == [in_turn.counts(float(k), 1.0, shutter_open=True) for k in range(12)]
    assert found[3][0] > found[2][0]
    assert found[8][0] > found[6][0]

# SPDX-License-Identifier: Apache-2.0
"""Finding an expected text in what a process wrote."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from launch.events.process import ProcessIO

Expected = str | re.Pattern[str] | list[str | re.Pattern[str]] | Any
OutputFilter = Callable[[str], str]

_ANSI = re.compile(r'\x1b\[[0-?]*[ -/]*[@-~]')


def joined(events: Iterable[ProcessIO], stream: str) -> str:
    """Return all that was written on a stream; a line may have come in pieces."""
    fd = {'stdout': 1, 'stderr': 2}[stream]
    return b''.join(event.text for event in events if event.fd == fd).decode('utf-8', 'replace')


def build_matcher(
    expected: Expected, output_filter: OutputFilter | None = None, strip_ansi: bool = True
) -> Callable[[str], bool]:
    """Return a function that says whether a text holds what is expected.

    Args:
        expected: a text, a pattern (searched), a list of them (in this order), or a function of the text.
        output_filter: changes the text first.
        strip_ansi: take colour sequences out first.

    Raises:
        ValueError: for anything else.
    """
    if callable(expected):
        accepts = expected
    else:
        parts = expected if isinstance(expected, (list, tuple)) else [expected]
        for part in parts:
            if not isinstance(part, (str, re.Pattern)):
                raise ValueError(f'expected a text, a compiled pattern or a list of them, got {expected!r}')

        def accepts(text: str) -> bool:
            return position_after(text, parts, 0) is not None

    def matches(text: str) -> bool:
        text = text.replace('\r\n', '\n')
        if strip_ansi:
            text = _ANSI.sub('', text)
        if output_filter is not None:
            text = output_filter(text)
        return bool(accepts(text))

    return matches


def position_after(text: str, parts: Iterable[str | re.Pattern[str]], start: int) -> int | None:
    """Return where, from `start` on, all parts have been found one after the other; None: they are not."""
    for part in parts:
        if isinstance(part, str):
            index = text.find(part, start)
            if index < 0:
                return None
            start = index + len(part)
        else:
            match = part.search(text, start)
            if match is None:
                return None
            start = match.end()
    return start

# SPDX-License-Identifier: Apache-2.0
"""One spelling for every JSON value, so that equal content has equal bytes and equal hashes.

The policy:

* keys sorted by code point, no blanks, text unescaped where JSON allows it, UTF-8;
* a number keeps its kind: `37` is an integer, `37.0` a float, with the fewest digits that read back the same;
* **unknown is null**: NaN and None both become `null`; `null` reads back as None, never as a number, so that
  comparing it raises instead of being quietly False;
* infinite is not unknown: it becomes the marker `{"$float":"inf"}` or `{"$float":"-inf"}`;
* tuples and arrays become lists; anything else that JSON has no word for is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from .errors import EventError

MAX_DEPTH = 24
"""Deepest nesting that is taken; deeper data belong into an attachment."""

_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)


def plain(value: Any, where: str = "data", depth: int = 0) -> Any:
    """Return `value` in plain JSON types by the policy above; a fixed point of itself.

    Args:
        value: scalars, mappings with text keys, sequences, NumPy scalars and arrays, `array.array`.
        where: path of the value, for the error message.
        depth: nesting so far.

    Raises:
        EventError: a type that JSON has no word for, a key that is no text, lone surrogates, or too deep.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(float(value))
    if depth >= MAX_DEPTH:
        raise EventError(f"{where}: nested deeper than {MAX_DEPTH}; register it as an attachment instead")
    if isinstance(value, Mapping):
        result = {}
        for key, inner in value.items():
            if not isinstance(key, str):
                raise EventError(f"{where}: key {key!r} is {type(key).__name__}; keys are text")
            kind = type(inner)
            if kind is float:  # most of a record: no path is spelt out for what cannot be wrong
                item: Any = _number(inner)
            elif inner is None or kind is bool or kind is int or (kind is str and inner.isascii()):
                item = inner
            else:
                item = plain(inner, f"{where}.{key}", depth + 1)
            result[key if key.isascii() and type(key) is str else _text(str(key), where)] = item
        return result
    if isinstance(value, (list, tuple)):
        return [plain(inner, f"{where}[{index}]", depth + 1) for index, inner in enumerate(value)]
    # NumPy scalars and arrays and the array.array of ROS messages turn themselves into plain values.
    to_list = getattr(value, "tolist", None)
    if callable(to_list):
        return plain(to_list(), where, depth + 1)
    raise EventError(
        f"{where}: {type(value).__name__} has no JSON form; give text, numbers, true/false, lists or mappings"
    )


def canonical_json(value: Any) -> str:
    """Return the canonical JSON text of `value`.

    Raises:
        EventError: see `plain`.
    """
    return _ENCODER.encode(plain(value))


def encode_plain(value: Any) -> str:
    """Return the canonical JSON text of a value that `plain` has returned, without looking at it again."""
    return _ENCODER.encode(value)


def read_json(text: str, where: str = "data_json") -> Any:
    """Return the plain value of a JSON text; the reverse of `canonical_json`.

    Raises:
        EventError: no JSON, a key twice in one object, or a bare NaN or Infinity.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            names = [key for key, _ in pairs]
            twice = sorted({key for key in names if names.count(key) > 1})
            raise EventError(f"{where}: key {twice[0]!r} occurs twice in one object; name each once")
        return result

    def constant(name: str) -> Any:
        raise EventError(f'{where}: {name} is no JSON; null is unknown, {{"$float":"inf"}} infinite')

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except (json.JSONDecodeError, RecursionError) as error:
        raise EventError(f"{where}: {error}; give one JSON object") from error


def _number(value: float) -> float | dict[str, str] | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return {"$float": "inf" if value > 0 else "-inf"}
    return value


def _text(value: str, where: str) -> str:
    value = str(value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise EventError(f"{where}: a lone surrogate cannot be written; give valid Unicode") from error
    return value

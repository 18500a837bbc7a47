# SPDX-License-Identifier: Apache-2.0
"""Message definitions with all that they depend on, as MCAP's `ros2msg` schema encoding has them.

Source: https://mcap.dev/spec/registry#ros2msg: the text of the .msg file, then for each dependency a line of 80 `=`,
a line `MSG: package/Name`, and its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

PRIMITIVES = frozenset(
    {"bool", "byte", "char", "float32", "float64", "string", "wstring"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)

_FIELD_TYPE = re.compile(r"\s*([A-Za-z][A-Za-z0-9_/]*)")
_SEPARATOR = "=" * 80


class SchemaError(ValueError):
    """A message definition cannot be found or read; names it."""


def schema_text(type_name: str) -> str:
    """Return the schema of a message type such as `mimedi_msgs/msg/ModuleState`.

    Raises:
        SchemaError: the type, or one that it depends on, is not installed.
    """
    texts = {type_name: _definition(type_name)}
    waiting = [type_name]
    while waiting:
        name = waiting.pop(0)
        for dependency in _dependencies(name, texts[name]):
            if dependency not in texts:
                texts[dependency] = _definition(dependency)
                waiting.append(dependency)
    parts = [texts.pop(type_name)]
    for name, text in texts.items():
        package, _, message = name.split("/")
        parts.append(f"{_SEPARATOR}\nMSG: {package}/{message}\n{text}")
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def _dependencies(type_name: str, text: str) -> Iterator[str]:
    package = type_name.split("/", 1)[0]
    for line in text.splitlines():
        match = _FIELD_TYPE.match(line.partition("#")[0])
        if match is None or match[1] in PRIMITIVES:
            continue
        parts = match[1].split("/")
        yield f"{parts[0] if len(parts) > 1 else package}/msg/{parts[-1]}"


@lru_cache(maxsize=256)
def _definition(type_name: str) -> str:
    package, _, message = type_name.split("/")
    try:
        path = Path(get_package_share_directory(package)) / "msg" / f"{message}.msg"
        return path.read_text(encoding="utf-8")
    except PackageNotFoundError as error:
        raise SchemaError(f"{type_name}: package {package} is not installed; source its overlay") from error
    except OSError as error:
        raise SchemaError(f"{type_name}: {error.filename}: {error.strerror}; build {package} again") from error

# SPDX-License-Identifier: Apache-2.0
"""YAML text from outside: YAML 1.2 by libyaml's parser, behind a door that bounds length and depth.

libyaml parses a recipe seven times as fast as the parser in Python. Its composer recurses in C, where a document
nested a hundred thousand levels deep would end the process: depth is therefore measured on the parser's events, which
need no recursion, before anything is composed.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import Node

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 40


def compose(text: str) -> tuple[YAML, Node | None]:
    """Return the reader, whose constructor gives the nodes' values, and the document's root; None of an empty one.

    Raises:
        YAMLError: `text` is no YAML, or longer than `MAX_CHARACTERS`, or nested deeper than `MAX_DEPTH`.
    """
    _check(text)
    yaml = YAML(typ="safe")
    return yaml, yaml.compose(text)


def load(text: str) -> Any:
    """Return a document's content as dict, list, text, numbers; raises YAMLError as `compose` does."""
    _check(text)
    return YAML(typ="safe").load(text)


def _check(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise MarkedYAMLError(problem=f"it has {len(text)} characters; allowed: at most {MAX_CHARACTERS}")
    depth = 0
    for event in YAML(typ="safe").parse(text):
        if isinstance(event, CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=event.start_mark)
        elif isinstance(event, CollectionEndEvent):
            depth -= 1

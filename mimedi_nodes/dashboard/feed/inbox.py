# SPDX-License-Identifier: Apache-2.0
"""Between two threads: the newest value of each kind, older ones dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable


class Inbox:
    """Keeps the newest item under each key until it is taken.

    `on_first` is called, in the poster's thread, when an item arrives in an empty inbox: the taker is told once
    however many items follow, and a slow taker never makes a queue grow.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self._on_first = on_first
        self._lock = threading.Lock()
        self._items: dict[Hashable, object] = {}

    def post(self, key: Hashable, item: object) -> None:
        """Leave an item; it replaces an older one under the same key, and takes the last place in order."""
        with self._lock:
            first = not self._items
            self._items.pop(key, None)
            self._items[key] = item
        if first:
            self._on_first()

    def take(self) -> list[object]:
        """Return all items in the order of arrival and forget them."""
        with self._lock:
            items, self._items = self._items, {}
        return list(items.values())

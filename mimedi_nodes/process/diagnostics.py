# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a file that people write, all of it at once, with line and path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import WorkcellError


@dataclass(frozen=True)
class Diagnostic:
    """One thing that is wrong in a file.

    Args:
        file: name of the file.
        line: line from 1; 0 when the whole file is meant.
        path: where in the document, dotted.
        value: what stands there; None when something is missing.
        message: what is wrong.
        allowed: what would be right.
    """

    file: str
    line: int
    path: str
    value: Any
    message: str
    allowed: str = ""

    def __str__(self) -> str:
        value = "" if self.value is None else f" ({str(self.value)[:80]!r})"
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{self.file}:{self.line}: {self.path or 'file'}{value}: {self.message}{allowed}"


class DiagnosticError(WorkcellError):
    """A file cannot be used; `diagnostics` has every reason."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=lambda d: d.line))
        count = len(self.diagnostics)
        super().__init__(
            f"{count} error{'s' if count != 1 else ''}:\n" + "\n".join(str(d) for d in self.diagnostics)
        )

# SPDX-License-Identifier: Apache-2.0
"""A finished run on disk, as the tests of the record look at it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.verify import verify
from mimedi_nodes.records.verify_report import VerifyReport


@dataclass
class Run:
    """A finished run of three appends, two producers and one attachment."""

    folder: Path
    heads_folder: Path
    signer: Signer

    @property
    def database(self) -> Path:
        return self.folder / "record.sqlite"

    @property
    def ledger(self) -> Path:
        return self.heads_folder / f"{self.folder.name}.jsonl"

    def verify(self, expected_head: str = "") -> VerifyReport:
        return verify(self.folder, self.heads_folder, self.signer.public_key, expected_head)

    def codes(self) -> set[str]:
        return {finding.code for finding in self.verify().findings}

# SPDX-License-Identifier: Apache-2.0
"""The simulated external quality-control laboratory: takes samples, measures with noise, signs what it reports.

Every test is a line of TESTS: turnaround, volume needed, method, and how the value with its 95 % interval follows
from the true content of the sample. Noise comes from counter-based streams keyed by sample and test, so that a
result does not depend on what else was ordered. The signing key of the simulation is fixed and public: it proves
in exercises that a record was not altered, never that a laboratory exists.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mimedi_nodes.process.errors import WorkcellError
from mimedi_sim.laboratory.car_t import CAR_T_TESTS
from mimedi_sim.laboratory.measures import sum_of
from mimedi_sim.laboratory.products import PRODUCT_TESTS
from mimedi_sim.plant.ledger import NUCLEATED, VOLUME, FloatArray
from mimedi_sim.random_streams import RandomStream

NAME = "Simulated QC laboratory"
KEY_ID = "simulated-qc-1"
TESTS = {**CAR_T_TESTS, **PRODUCT_TESTS}
"""Every test that the laboratory offers, by name."""
_KEY_TEXT = b"mimedi workcell: signing key of the simulated quality-control laboratory"


class LaboratoryError(WorkcellError):
    """An order that the laboratory refuses; says why and what to do."""


@dataclass(frozen=True)
class SignedRecord:
    """One result as it is sent: canonical JSON, Ed25519 signature of it (hex), and the key's name."""

    record_json: str
    signature_hex: str
    key_id: str


def signing_key() -> Ed25519PrivateKey:
    """Return the simulated laboratory's private key: the same in every run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.blake2b(_KEY_TEXT, digest_size=32).digest())


def public_key_hex() -> str:
    """Return the public key that a site names under `laboratory_keys` as KEY_ID."""
    return signing_key().public_key().public_bytes_raw().hex()


@dataclass
class _Sample:
    number: int  # in the order of arrival: its noise must not depend on the label's text
    batch_id: str
    content: FloatArray
    ordered: dict[str, float] = field(default_factory=dict)  # test to process time of its report


class Laboratory:
    """Samples taken in, results to come and results reported.

    Args: collect: process time [s] to the amounts that reached the sample port since the last collection.
    """

    def __init__(self, seed: int, collect: Callable[[float], FloatArray]) -> None:
        self._seed, self._collect = seed, collect
        self._samples: dict[str, _Sample] = {}
        self._waiting: list[tuple[float, str, str]] = []
        self._key = signing_key()

    def order(self, batch_id: str, sample_id: str, tests: Sequence[str], now_s: float) -> None:
        """Take what is in the sample port as sample_id and order tests on it; more tests may follow later.

        An order that repeats another one changes nothing. Raises: LaboratoryError on an unknown test, another
        batch's label, an empty sample port or too little sample.
        """
        unknown = [test for test in tests if test not in TESTS]
        if unknown or not tests:
            named = ", ".join(unknown) or "none"
            raise LaboratoryError(f"tests ordered: {named}; the laboratory offers: {', '.join(TESTS)}")
        sample = self._samples.get(sample_id)
        if sample is None:
            content = self._collect(now_s)
            if content[VOLUME] <= 0.0:
                raise LaboratoryError(f"sample {sample_id!r}: nothing reached the sample port; take the sample first")
            sample = _Sample(len(self._samples), batch_id, content)
            self._samples[sample_id] = sample
        if sample.batch_id != batch_id:
            raise LaboratoryError(f"sample {sample_id!r} belongs to batch {sample.batch_id!r}, not {batch_id!r}")
        new = [test for test in dict.fromkeys(tests) if test not in sample.ordered]
        cells_per_ml = sum_of(sample.content, NUCLEATED) / (float(sample.content[VOLUME]) * 1e-3)
        needed = sum(TESTS[test].needed_ul(cells_per_ml) for test in (*sample.ordered, *new))
        if needed > sample.content[VOLUME] + 1.0:
            raise LaboratoryError(
                f"sample {sample_id!r} has {sample.content[VOLUME]:.0f} uL; the tests need {needed:.0f} uL: "
                "take a larger sample"
            )
        for test in new:
            reported_s = now_s + 3600.0 * TESTS[test].turnaround_h
            sample.ordered[test] = reported_s
            self._waiting.append((reported_s, sample_id, test))
        self._waiting.sort()

    def next_event(self) -> float:
        """Return when the next result is due [s]; inf when none is."""
        return self._waiting[0][0] if self._waiting else math.inf

    def due(self, now_s: float) -> list[SignedRecord]:
        """Return the results reported up to now_s that were not returned before, oldest first."""
        ready = [entry for entry in self._waiting if entry[0] <= now_s]
        self._waiting = self._waiting[len(ready) :]
        return [self._report(*entry) for entry in ready]

    def _report(self, reported_s: float, sample_id: str, test: str) -> SignedRecord:
        sample, how = self._samples[sample_id], TESTS[test]
        result = how.measure(sample.content, RandomStream(self._seed, f"laboratory {sample.number}", test))

        def number(value: float | str) -> float | str | None:
            if isinstance(value, str):
                return value
            return None if math.isnan(value) else float(f"{value:.6g}")

        record = {
            "laboratory": NAME, "batch_id": sample.batch_id, "sample_id": sample_id, "test": test,
            "value": number(result.value), "low": number(result.low), "high": number(result.high),
            "unit": how.unit, "method": how.method, "status": result.status, "reported_s": reported_s,
        }
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return SignedRecord(text, self._key.sign(text.encode()).hex(), KEY_ID)

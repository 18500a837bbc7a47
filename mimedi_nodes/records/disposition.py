# SPDX-License-Identifier: Apache-2.0
"""What people have decided about a batch, and which signature may come next.

The program finds whether a batch meets its specification; a person releases, after another person has approved. Out of
specification a batch can be supplied without certification only: on the treating physician's recorded request, after a
risk evaluation and notification (EudraLex volume 4, part IV, 11.53 and 11.54).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .events import RecordEvent
from .facts import run_kind
from .signatures import MEANINGS, Signature, signatures

STAGE_OF_VERDICT = {"meets_provisionally": "provisional", "meets": "final"}
_NO_CONTENT = frozenset({"signature", "signature_refused", "attachment", "certificate_issued"})
"""Kinds of rows that come with reviewing and signing: they change nothing of what was reviewed."""

STATES = {
    "unsigned": "Nobody has signed yet; awaiting the responsible pharmacist",
    "performed": "Performed, to be verified",
    "verified": "Verified, to be approved",
    "approved": "Approved, awaiting the responsible pharmacist",
    "released_provisionally": "Released provisionally",
    "released": "Released",
    "rejected": "Rejected",
    "supplied": "Supplied without certification, out of specification",
}
"""Where the decision on a batch stands."""


@dataclass(frozen=True)
class Disposition:
    """Where the decision on a batch stands, by which signature, and whether the record has grown since.

    Args:
        state: a key of `STATES`.
        by: the signature it follows from, None without one.
        outdated: rows of content came after what that signature has signed.
    """

    state: str
    by: Signature | None = None
    outdated: bool = False

    @property
    def text(self) -> str:
        """How it is said."""
        later = "; the record has grown since it was signed" if self.outdated else ""
        return STATES[self.state] + later


def disposition(events: Sequence[RecordEvent]) -> Disposition:
    """Return what the signatures of a record amount to; the one that decides most counts."""
    given = signatures(events)
    for meaning in ("rejected", "supplied", "released", "approved", "verified", "performed"):
        last = next((s for s in reversed(given) if s.statement.meaning == meaning), None)
        if last is not None:
            provisional = meaning == "released" and last.statement.stage == "provisional"
            state = "released_provisionally" if provisional else meaning
            return Disposition(state, last, grown_since(events, last.statement.count))
    return Disposition("unsigned")


def grown_since(events: Sequence[RecordEvent], count: int) -> bool:
    """Return whether rows of content follow row number `count`."""
    return any(event.kind not in _NO_CONTENT for event in events[count:])


def objections(meaning: str, signer: str, events: Sequence[RecordEvent], verdict: str) -> list[str]:
    """Return why a person must not sign a batch with this meaning now; empty when she may.

    Her role is another matter (`roles`), as is whether the record verifies.

    Args:
        signer: name of the account.
        events: the record, in its order.
        verdict: what the specification says of it now.
    """
    if meaning not in MEANINGS or meaning == "maintenance":
        return [f"meaning is {meaning!r}; for a batch: {', '.join(name for name in MEANINGS if name != 'maintenance')}"]
    given = signatures(events)
    if not any(event.kind == "batch_started" for event in events):
        return ["the batch was never started"]
    if not any(event.kind == "batch_ended" for event in events):
        return ["the batch has not ended yet"]
    said = [s.statement for s in given if s.statement.meaning == "rejected"]
    if said and meaning != "rejected":
        return [f"{said[-1].signer} has rejected the batch"]
    return _RULES[meaning](signer, events, given, verdict)


def stage_of(meaning: str, verdict: str) -> str:
    """Return the stage that a release states: provisional while a test of the final stage is awaited."""
    return STAGE_OF_VERDICT.get(verdict, "") if meaning == "released" else ""


def _of(given: Sequence[Signature], meaning: str) -> list[str]:
    return [s.statement.signer for s in given if s.statement.meaning == meaning]


def _perform(signer: str, events: Sequence[RecordEvent], given: Sequence[Signature], verdict: str) -> list[str]:
    return [f"{signer} has signed this already"] if signer in _of(given, "performed") else []


def _verify(signer: str, events: Sequence[RecordEvent], given: Sequence[Signature], verdict: str) -> list[str]:
    performed = _of(given, "performed")
    if not performed:
        return ["nobody has signed that it was performed"]
    return [f"{signer} performed it; a second person verifies"] if signer in performed else []


def _approve(signer: str, events: Sequence[RecordEvent], given: Sequence[Signature], verdict: str) -> list[str]:
    if not _of(given, "verified"):
        return ["nobody has verified it"]
    return [f"{signer} performed it; another person approves"] if signer in _of(given, "performed") else []


def _release(signer: str, events: Sequence[RecordEvent], given: Sequence[Signature], verdict: str) -> list[str]:
    found = _not_production(events)
    stage = STAGE_OF_VERDICT.get(verdict)
    if stage is None:
        found.append(f"it does not meet its specification (verdict: {verdict}); reject it, or supply it on request")
    if any(s.statement.meaning == "released" and s.statement.stage in (stage, "final") for s in given):
        found.append(f"it is released already ({stage})")
    if signer in _of(given, "performed"):
        found.append(f"{signer} performed it; another person releases")
    approvals = [s.statement for s in given if s.statement.meaning == "approved"]
    if not approvals:
        found.append("nobody has approved it")
    elif grown_since(events, approvals[-1].count):
        found.append("the record has grown since it was approved; approve it again")
    elif approvals[-1].signer == signer:
        found.append(f"{signer} approved it; another person releases")
    return found


def _reject(signer: str, events: Sequence[RecordEvent], given: Sequence[Signature], verdict: str) -> list[str]:
    return ["it is rejected already"] if _of(given, "rejected") else []


def _request(signer: str, events: Sequence[RecordEvent], given: Sequence[Signature], verdict: str) -> list[str]:
    found = _not_production(events)
    if verdict not in ("rejected", "held"):
        found.append(f"it is not out of specification (verdict: {verdict})")
    if not _filled(events):
        found.append("no dose was filled: there is nothing to supply")
    return found


def _evaluate(signer: str, events: Sequence[RecordEvent], given: Sequence[Signature], verdict: str) -> list[str]:
    return [] if _of(given, "requested") else ["no treating physician's request is recorded"]


def _supply(signer: str, events: Sequence[RecordEvent], given: Sequence[Signature], verdict: str) -> list[str]:
    found = _request(signer, events, given, verdict)
    last: dict[str, Signature] = {s.statement.meaning: s for s in given}
    for meaning, lack in (
        ("requested", "no treating physician's request is recorded"),
        ("evaluated", "the risk is not evaluated"),
        ("notified", "authority and physician are not notified"),
    ):
        if meaning not in last:
            found.append(lack)
        elif grown_since(events, last[meaning].statement.count):
            found.append(f"the record has grown since it was {meaning}; sign that again")
    if "evaluated" in last and last["evaluated"].statement.signer == signer:
        found.append(f"{signer} evaluated the risk; another person decides")
    return found + (["it was supplied already"] if "supplied" in last else [])


def _filled(events: Sequence[RecordEvent]) -> bool:
    """Whether a dose was filled: what stopped before is no product."""
    return any(
        event.kind == "phase_ended" and event.data["action"] == "FormulateDose" and event.data["status"] == "succeeded"
        for event in events
    )


def _not_production(events: Sequence[RecordEvent]) -> list[str]:
    kind = run_kind(events)
    if kind == "production":
        return []
    return [f"it is an {kind} run: never for a patient" if kind else "the record does not say what kind of run it is"]


_RULES = {
    "performed": _perform, "verified": _verify, "approved": _approve, "released": _release, "rejected": _reject,
    "requested": _request, "evaluated": _evaluate, "notified": _evaluate, "supplied": _supply,
}  # fmt: skip

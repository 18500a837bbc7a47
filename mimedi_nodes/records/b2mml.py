# SPDX-License-Identifier: Apache-2.0
"""The record as XML after the batch production record of B2MML (ANSI/ISA-88.00.04, MESA B2MML-BatchProductionRecord).

A subset in B2MML's element names and order of nesting, for systems that read such records; not validated against
MESA's schemas, which are not shipped here.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

from .canonical import canonical_json
from .events import RecordEvent
from .facts import gather_facts, step_name
from .genealogy import trace
from .heads import Head
from .signatures import MEANINGS, signatures

NAMESPACE = "http://www.mesa.org/xml/B2MML"

EVENT_TYPES = {
    "alarm_raised": "Alarm", "alarm_cleared": "Alarm", "alarm_acknowledged": "Alarm", "command": "ControlRecipe",
    "decision": "ControlRecipe", "prompt_asked": "OperatorPrompt", "prompt_answered": "OperatorPrompt",
    "state_changed": "State", "phase_started": "State", "phase_ended": "State", "signature": "Signature",
}  # fmt: skip
"""Kind of event → EventType; any other is General."""


def b2mml(events: Sequence[RecordEvent], head: Head | None) -> str:
    """Return the XML of a batch."""
    ET.register_namespace("", NAMESPACE)
    facts = gather_facts(events)
    batch = facts.values["batch"]
    root = ET.Element(_tag("BatchProductionRecord"))
    batch_id = events[0].batch_id if events else ""
    _text(root, "ID", batch_id)
    _text(root, "BatchID", batch_id)
    _text(root, "MaterialDefinitionID", batch.get("product"))
    _text(root, "RecipeID", batch.get("recipe"))
    _text(root, "RecipeVersion", batch.get("version"))
    if head is not None:
        _text(root, "RecordHash", head.hash)
    if events:
        _text(root, "ActualStartTime", events[0].wall_time)
        _text(root, "ActualEndTime", events[-1].wall_time)
    for person in sorted({s.statement.signer for s in signatures(events)}):
        _text(ET.SubElement(root, _tag("PersonnelIdentificationManifest")), "PersonID", person)
    for event in facts.of_kind("recipe_parameter"):
        _value(ET.SubElement(root, _tag("BatchParameter")), event.what, event.data.get("value"), event.data.get("unit"))
    for lot in trace(events).lots:
        material = ET.SubElement(root, _tag("MaterialActual"))
        _text(material, "MaterialDefinitionID", lot.material)
        _text(material, "MaterialLotID", lot.lot)
        _text(material, "StorageLocation", lot.container)
    for event in facts.of_kind("phase_ended"):
        _element_record(root, event)
    for event in facts.of_kind("laboratory_result", "laboratory_in_process"):
        sample = ET.SubElement(root, _tag("Sample"))
        _text(sample, "ID", event.data.get("sample_id"))
        test = ET.SubElement(sample, _tag("SampleTest"))
        _text(test, "ID", event.what)
        _text(test, "TestMethod", event.data.get("method"))
        _value(ET.SubElement(test, _tag("TestResult")), event.what, event.data.get("value"), event.data.get("unit"))
    for row, event in enumerate(events, start=1):
        _event(root, event, row)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _element_record(root: ET.Element, event: RecordEvent) -> None:
    data = event.data
    record = ET.SubElement(root, _tag("RecipeElementRecord"))
    path = str(data.get("phase_id") or event.what)
    _text(record, "ID", path)
    _text(record, "RecipeElementType", "Phase")
    _text(record, "Description", step_name(path))
    _text(record, "EquipmentID", data.get("module"))
    _text(record, "Status", data.get("status"))
    _text(record, "ActualStartTime", data.get("started_s"))
    _text(record, "ActualEndTime", data.get("ended_s"))
    for group, values in (("Parameter", data.get("goal")), ("Result", data.get("result"))):
        for name, value in (values or {}).items():
            _value(ET.SubElement(record, _tag(group)), name, value, "")


def _event(root: ET.Element, event: RecordEvent, row: int) -> None:
    element = ET.SubElement(root, _tag("Event"))
    _text(element, "ID", row)
    _text(element, "TimeStamp", event.wall_time)
    if event.process_time_s == event.process_time_s:
        _text(element, "ProcessTime", event.process_time_s)
    _text(element, "EventType", EVENT_TYPES.get(event.kind, "General"))
    _text(element, "EventSubType", event.kind)
    _text(element, "EquipmentID", event.producer)
    _text(element, "PersonID", event.who)
    _text(element, "Description", event.what)
    _text(element, "Comment", event.why or MEANINGS.get(event.what))
    _text(element, "Value", event.data_json)


def _value(parent: ET.Element, name: str, value: Any, unit: Any) -> None:
    _text(parent, "ID", name)
    item = ET.SubElement(parent, _tag("Value"))
    plain = value if isinstance(value, str) else "" if value is None else canonical_json(value)
    _text(item, "ValueString", plain)
    kinds = {bool: "boolean", int: "int", float: "double"}
    _text(item, "DataType", "unknown" if value is None else kinds.get(type(value), "string"))
    _text(item, "UnitOfMeasure", unit)


def _text(parent: ET.Element, name: str, value: Any) -> None:
    if value is None or value == "":
        return
    # XML 1.0 has no control characters but tab and line ends.
    text = "".join(c if c >= " " or c in "\t\n\r" else "�" for c in str(value))
    ET.SubElement(parent, _tag(name)).text = text.replace("￾", "�").replace("￿", "�")


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"

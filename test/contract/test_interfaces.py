# SPDX-License-Identifier: Apache-2.0
"""Every field of every interface follows the comment grammar, and says its unit."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimedi_nodes.process.engine.procedure_state import ProcedureState
from mimedi_nodes.process.goals import check_value
from mimedi_nodes.process.interface_grammar import FLOATS, Field, InterfaceError, parse_field, parse_range
from mimedi_nodes.process.interfaces import Interfaces, camel_to_snake, read_sections, snake_to_camel
from mimedi_nodes.process.service_state import ServiceCommand, ServiceState

INTERFACES = Interfaces()
FILES = sorted(path for path in INTERFACES.folder.rglob("*") if path.suffix in (".msg", ".srv", ".action"))
WITHOUT_UNIT = {"-", "text", "id", "bool"}


def numeric_without_unit(field: Field) -> bool:
    """Whether a numeric field says no unit; `code`, `count`, `1` and `unit` (named by a sister field) are units."""
    return field.is_numeric and field.unit in WITHOUT_UNIT and field.name not in ("track_id",)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_field_follows_the_grammar_and_numbers_have_units(path: Path) -> None:
    sections, _ = read_sections(path)
    assert any(sections), f"{path.name} has no field"
    for fields in sections:
        for field in fields.values():
            assert not numeric_without_unit(field), f"{path.name}: {field.name} is a number without a unit"
            assert field.is_primitive or field.unit in ("-", "s"), f"{path.name}: {field.name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_names_carry_the_unit_that_the_comment_says(path: Path) -> None:
    suffixes = {
        "uL": "_ul",
        "uL/min": "_ul_min",
        "degC": "_c",
        "Hz": "_hz",
        "h": "_h",
        "d": ("_d", "_day"),
        "V": "_vpp",
    }
    sections, _ = read_sections(path)
    for fields in sections:
        for field in fields.values():
            if field.unit in suffixes and field.type_name in FLOATS:
                assert field.name.endswith(suffixes[field.unit]), f"{path.name}: {field.name} [{field.unit}]"


@pytest.mark.parametrize("action", INTERFACES.actions.values(), ids=lambda action: action.name)
def test_actions_begin_with_the_header_and_end_with_the_error(action) -> None:
    assert list(action.result)[-2:] == ["error_code", "error_msg"]
    assert list(action.feedback) == ["progress", "step"]
    if action.name != "ProduceBatch":
        assert next(iter(action.goal)) == "header"
    assert snake_to_camel(action.snake_name) == action.name


@pytest.mark.parametrize("action", INTERFACES.actions.values(), ids=lambda action: action.name)
def test_defaults_and_blank_results_are_what_their_own_file_allows(action) -> None:
    for field in action.goal.values():
        if field.default is not None:
            _, problem = check_value(field, field.default)
            assert problem is None, str(problem)
    blank = action.blank_result(501, "stopped early")
    assert set(blank) == set(action.result)
    assert blank["error_code"] == 501
    for name, value in blank.items():
        field = action.result[name]
        if field.may_be_unknown or field.is_array:
            assert check_value(field, value)[1] is None


def test_codes_of_the_state_machine_are_those_of_the_interfaces() -> None:
    assert {state.name: int(state) for state in ServiceState} == dict(
        INTERFACES.message("ModuleState").constants
    )
    constants = dict(INTERFACES.service("CommandModule").constants)
    assert {command.name: int(command) for command in ServiceCommand} == constants
    assert {str(state) for state in ProcedureState} == set(
        INTERFACES.message("BatchStatus").fields["state"].range.choices
    )


@pytest.mark.parametrize(
    "line",
    [
        "float64 volume_ul  # volume to move; unknown: never; range: any",
        "float64 volume_ul  # [uL] volume to move; range: any",
        "float64 volume_ul  # [uL] volume to move; unknown: never",
        "float64 volume_ul  # [uL] volume to move; unknown: never; range: [5, 1]",
        "float64 volume_ul  # [uL] volume to move; unknown: never; range: 0..1",
        "float64 volume_ul  # []  volume to move; unknown: never; range: any",
        "float64 volume_ul",
        "float63 volume_ul  # [uL] volume to move; unknown: never; range: any",
        "float64 volumeUl   # [uL] volume to move; unknown: never; range: any",
        "float64 volume_ul x # [uL] volume to move; unknown: never; range: any",
        "bool wet 1         # [bool] is wet; unknown: never; range: any",
    ],
)
def test_a_line_outside_the_grammar_is_refused_by_place(line: str) -> None:
    with pytest.raises(InterfaceError, match=r"X\.msg:3"):
        parse_field(line, "X.msg:3")


def test_a_number_without_a_unit_is_found() -> None:
    field = parse_field("float64 x 1.0  # [-] a number; unknown: NaN; range: any", "X.msg:1")
    assert numeric_without_unit(field)
    assert not numeric_without_unit(
        parse_field("float64 x_hz  # [Hz] a number; unknown: NaN; range: [1e3, 2.5e6]", "X.msg:1")
    )


def test_ranges_are_read_as_their_type() -> None:
    assert parse_range("{1, 2, 3}", "uint8", "f").choices == (1, 2, 3)
    assert parse_range("{A, none}", "string", "f").choices == ("A", "none")
    interval = parse_range("[1e-6, 0.1]", "float64", "f")
    assert (interval.low, interval.high) == (1e-6, 0.1)
    assert not interval.allows(0.2)
    assert camel_to_snake("MeasureCopyNumber") == "measure_copy_number"


def test_interfaces_are_found_in_an_installed_share_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from mimedi_nodes.process import interfaces

    share = tmp_path / "prefix" / "share" / "mimedi_msgs"
    shutil.copytree(INTERFACES.folder, share, ignore=shutil.ignore_patterns("build", "install"))
    monkeypatch.setattr(interfaces, "__file__", str(tmp_path / "site-packages" / "a" / "b" / "interfaces.py"))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path / 'prefix'}")
    assert interfaces.find_interface_folder() == share
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/nowhere")
    with pytest.raises(InterfaceError, match="source the workspace"):
        interfaces.find_interface_folder()

# SPDX-License-Identifier: Apache-2.0
"""Recipes: every mistake is found before anything moves, all at once, with its line and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_nodes.process.diagnostics import Diagnostic, DiagnosticError
from mimedi_nodes.process.expressions import render
from mimedi_nodes.process.recipes.loader import load_recipe, read_recipe
from mimedi_nodes.process.recipes.steps import NotYetStep, ParallelStep
from mimedi_nodes.process.recipes.values import ParameterError

SHIPPED = Path(__file__).parents[3] / "config" / "recipes" / "car_t_cd19.yaml"
MANIFEST = {
    "fluidics": {"TransferFluid", "TakeSample", "MixContainer"},
    "acoustic_sorter": {"TuneTransducer", "SortCells"},
    "vision_qc": {"InspectSample"},
}
GOOD = """\
recipe: little
version: 1.0.0
status: draft
product: little
parameters:
  moi: {value: 5.0, unit: TU/cell, range: [1.0, 10.0]}
  amount: {value: 1000, unit: uL, range: [100, 5000]}
procedure:
  - unit_procedure: work
    operations:
      - operation: first
        phases:
          - {id: move, do: fluidics/transfer_fluid, with: {source: a, destination: b, volume_ul: "${amount}"}}
          - {id: tune, do: acoustic_sorter/tune_transducer, with: {start_hz: 1.9e6, stop_hz: 2.1e6}}
          - id: sort
            do: acoustic_sorter/sort_cells
            with: {source: b, buffer: c, destination: d, waste: w, target: bead_bound_t_cell,
                   frequency_hz: "${tune.channel_resonance_hz}"}
          - {id: check, do: vision_qc/inspect_sample, with: {sample_id: S, cells_wanted: 800}}
        then:
          - {if: "check.viability < 0.8", decide: hold, cause: "viability ${check.viability}"}
"""


def mistakes(text: str) -> list[Diagnostic]:
    with pytest.raises(DiagnosticError) as caught:
        read_recipe(text, "r.yaml", MANIFEST)
    return list(caught.value.diagnostics)


def one_mistake(old: str, new: str) -> Diagnostic:
    assert old in GOOD
    (found,) = mistakes(GOOD.replace(old, new, 1))
    line = GOOD[: GOOD.index(old)].count("\n") + 1
    assert abs(found.line - line) <= new.count("\n") + 1, str(found)
    return found


def test_a_good_recipe_is_read() -> None:
    recipe = read_recipe(GOOD, "r.yaml", MANIFEST)
    assert recipe.title == "little 1.0.0"
    assert [phase.path for phase in recipe.phases()] == [f"work.first.{n}" for n in ("move", "tune", "sort", "check")]
    assert read_recipe(GOOD + "\n", "r.yaml").content_hash != recipe.content_hash


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("volume_ul:", "volum_ul:", "no goal field 'volum_ul'"),
        ('volume_ul: "${amount}"', "volume_ul: -1", "out of range"),
        ('volume_ul: "${amount}"', "volume_ul: 40 mL", "not a number"),
        ('volume_ul: "${amount}"', "volume_ul: .nan", "NaN"),
        ('volume_ul: "${amount}"', 'volume_ul: "${moi}"', "the unit is TU/cell, the field wants uL"),
        ('volume_ul: "${amount}"', 'volume_ul: "${amout}"', "nothing before this step gives this value"),
        ('volume_ul: "${amount}"', 'volume_ul: "${amount"', "needs its"),
        ('volume_ul: "${amount}"', 'volume_ul: "${amount ** 2}"', "Pow is not allowed"),
        ('volume_ul: "${amount}"', 'volume_ul: "about ${amount}"', "no value for this field"),
        ("source: a, ", "", "goal field source is missing"),
        ("source: a", "source: ''", "must be known"),
        ("source: a", "source: 5", "not text"),
        ("target: bead_bound_t_cell", "target: b_cell", "outside the allowed values"),
        ("cells_wanted: 800", "cells_wanted: 800.5", "not a whole number"),
        ("cells_wanted: 800", "cells_wanted: 10", "out of range"),
        ("cells_wanted: 800", "viability_halfwidth: 0.7", "out of range"),
        ("cells_wanted: 800", "concentration_relative_halfwidth: -0.1", "out of range"),
        ("cells_wanted: 800", "header: x", "no goal field 'header'"),
        ("vision_qc/inspect_sample", "vision_qc/inspect_samples", "there is no action"),
        ("vision_qc/inspect_sample", "eyes/inspect_sample", "there is no such module"),
        ("vision_qc/inspect_sample", "fluidics/inspect_sample", "has no such action"),
        ("vision_qc/inspect_sample", "inspect_sample", "not a phase"),
        ("tune.channel_resonance_hz", "check.viability", "nothing before this step"),
        ("tune.channel_resonance_hz", "tune.chanel_hz", "nothing before this step"),
        ("tune.channel_resonance_hz", "tune.channel_q", "the unit is 1, the field wants Hz"),
        ("unit: uL", "unit: litre", "unknown unit"),
        ("range: [100, 5000]", "range: [2000, 5000]", "out of range"),
        ("range: [100, 5000]", "range: [100, 5000000]", "wider than the field's"),
        ("range: [100, 5000]", "range: [5000, 100]", "not a range"),
        (", range: [100, 5000]", "", "key 'range' is missing"),
        ("id: tune,", "id: move,", "used before"),
        ("id: tune,", "id: amount,", "used before"),
        ("id: tune,", "id: batch,", "is taken"),
        ("id: tune,", "id: Tune-1,", "not a name"),
        ("id: tune, do", "id: tune, note: x, do", "unknown key 'note'"),
        ("id: tune, do", "id: tune, id: tune, do", "there twice"),
        ("id: check, do:", "id: check, wait_h: 1, do:", "exactly one kind"),
        ("id: check, do: vision_qc/inspect_sample, with", "id: check, with", "exactly one kind"),
        ("status: draft", "status: final", "not one of the allowed values"),
        ("version: 1.0.0", "version: 1.0", "not a text"),
        ("product: little\n", "", "key 'product' is missing"),
        ("decide: hold", "decide: shrug", "not one of the allowed values"),
        ('"check.viability < 0.8"', '"check.viabilty < 0.8"', "nothing before this step"),
        ('"check.viability < 0.8"', '"check.viability <"', "cannot be read"),
        ("${check.viability}", "${check.viabilty}", "nothing before this step"),
    ],
)  # fmt: skip
def test_each_mistake_is_found_where_it_is(old: str, new: str, words: str) -> None:
    if old == "tune.channel_resonance_hz" and "tune." not in new:
        assert words in str(one_mistake(old, new))
        return
    found = mistakes(GOOD.replace(old, new, 1))
    assert any(words in str(diagnostic) for diagnostic in found), [str(d) for d in found]
    # A missing key is told where it should be, a range that is too wide where the parameter is used.
    if "is missing" not in words and "wider" not in words:
        line = GOOD[: GOOD.index(old)].count("\n") + 1
        assert any(abs(d.line - line) <= 2 for d in found if words in str(d))


def test_all_mistakes_come_at_once_in_order_of_lines() -> None:
    text = GOOD.replace("volume_ul:", "volum_ul:").replace("800", "10").replace("status: draft", "status: x")
    found = mistakes(text)
    assert [d.line for d in found] == sorted(d.line for d in found)
    assert len(found) == 3
    assert str(found[0]).startswith("r.yaml:3: status")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"), ("- a", "not a mapping"), ("a: [", "no valid YAML"), ("a: &x 1\nb: *x\n", "aliases"),
        ("a: !!python/object:os.system x", ""), ("\t", "no valid YAML"), ("{" * 60, ""), ("? [a]\n: b", ""),
    ],
)  # fmt: skip
def test_no_text_gives_a_traceback(text: str, words: str) -> None:
    assert any(words in str(d) for d in mistakes(text))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_recipes_are_read_or_refused_in_words(data: st.DataObject) -> None:
    """Whatever is cut out, doubled or put in: a recipe or diagnostics, never anything else."""
    text = GOOD
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + data.draw(st.text(alphabet="ab:{}[]-\n \"'$0.#&*!|>,", max_size=6)) + text[end:]
    try:
        recipe = read_recipe(text, "r.yaml", MANIFEST)
    except DiagnosticError as error:
        refused = error.diagnostics
        recipe = None
    else:
        refused = ()
    assert (recipe is None) == bool(refused)
    assert all(d.message for d in refused)
    for phase in () if recipe is None else recipe.phases():
        assert phase.module in MANIFEST
        assert phase.action in MANIFEST[phase.module]


@settings(max_examples=60, deadline=None)
@given(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.integers(0, 3))
def test_a_misspelt_goal_field_never_starts(name: str, which: int) -> None:
    fields = re.findall(r"(source|destination|start_hz|cells_wanted):", GOOD)
    old = fields[which % len(fields)]
    allowed = {
        "source", "destination", "volume_ul", "flow_rate_ul_min", "tolerance_ul", "start_hz", "stop_hz", "points",
        "sample_id", "cells_wanted", "timeout_s", "dilution", "classes",
    }  # fmt: skip
    if name not in allowed:
        assert any(f"no goal field '{name}'" in str(d) for d in mistakes(GOOD.replace(f"{old}:", f"{name}:", 1)))


def test_parallel_branches_do_not_see_each_other() -> None:
    text = GOOD.replace(
        '          - {id: tune, do: acoustic_sorter/tune_transducer, with: {start_hz: 1.9e6, stop_hz: 2.1e6}}\n',
        "          - id: both\n            parallel:\n"
        "              a: [{id: tune, do: acoustic_sorter/tune_transducer}]\n"
        "              b: [{id: x, set: {y: {value: tune.channel_q, unit: '1'}}}]\n",
    )  # fmt: skip
    found = mistakes(text)
    assert len(found) == 1
    assert "nothing before this step" in str(found[0])


def test_parameters_of_a_batch_are_checked_all_at_once() -> None:
    recipe = read_recipe(GOOD, "r.yaml", MANIFEST)
    assert recipe.with_parameters({"moi": 7}).parameters["moi"].value == 7
    with pytest.raises(ParameterError) as caught:
        recipe.with_parameters(
            {
                "moi": 11,
                "amount": "much",
                "mio": 1,
            }
        )
    assert all(word in str(caught.value) for word in ("moi = 11", "1 to 10 TU/cell", "'much'", "no parameter 'mio'"))
    for value in (float("nan"), True, None):
        with pytest.raises(ParameterError):
            recipe.with_parameters({"moi": value})


def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DiagnosticError, match="cannot be read"):
        load_recipe(tmp_path / "bytes.yaml")


def test_the_shipped_recipe_is_right_and_carries_out_every_step_of_the_process() -> None:
    from mimedi_nodes.modules.registry import manifests

    recipe = load_recipe(SHIPPED, manifests())
    assert recipe.status == "approved"
    actions = {phase.action for phase in recipe.phases()}
    assert actions >= {
        "TransferFluid", "LabelCells", "TuneTransducer", "SortCells", "MixContainer", "ConcentrateCells",
        "InspectSample", "ActivateCells", "TransduceCells", "ExpandCulture", "PerfuseCulture", "HarvestCulture",
        "DepleteBeads", "FormulateDose", "TakeSample", "VerifyFocusing", "VerifyGrade", "CalibrateBackground",
        "ScreenSample", "AnalyzeCytometry", "MeasureCopyNumber", "ScanLabel", "MoveCassette", "Park",
    }  # fmt: skip
    assert not [step for step in recipe.steps() if isinstance(step, NotYetStep)]
    mixed = [step for step in recipe.steps() if isinstance(step, ParallelStep) and step.until == "main"]
    assert len(mixed) == 2, "sorting and harvesting keep their cells suspended"
    assert all(phase.requires for phase in recipe.phases() if phase.action in ("SortCells", "FormulateDose"))


@pytest.mark.parametrize(("harvest_ul", "cells_per_ml"), [(27_000.0, 7e7), (95_000.0, 4.5e7)])
def test_no_sample_takes_more_than_a_twentieth_of_its_vessel(harvest_ul: float, cells_per_ml: float) -> None:
    """PROCESS, sampling plan: at most 5 % of the cells per operation, of a small patient's harvest too."""
    known = {
        "wash_harvest": {"volume_destination_ul": harvest_ul},
        "count_final": {"concentration_per_ml": cells_per_ml},
    }
    recipe = load_recipe(SHIPPED)
    vessel_ul = {
        "sorter_inlet": 40_000,
        "sorted": 110_000,
        "activation_vessel": 190_000,
        "culture_vessel": 955_000,
        "harvest": harvest_ul,
    }
    for operation in recipe.operations():
        taken: dict[str, float] = {}
        for step in operation.steps:
            fields = getattr(step, "fields", {})
            if getattr(step, "action", "") == "TakeSample" and step.id != "final_to_microscope":
                volume_ul = render(fields["volume_ul"], known)
                taken[fields["container"]] = taken.get(fields["container"], 0.0) + volume_ul
        for vessel, volume_ul in taken.items():
            assert volume_ul <= 0.05 * vessel_ul[vessel], f"{operation.path}: {volume_ul} uL of {vessel}"

# SPDX-License-Identifier: Apache-2.0
"""Several batches on shared units: no deadlock, no meeting, no patient's material without a changeover."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fakes import Crash, FakeLaboratory, FakeModules, LoopTime, Record, run_virtual
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_nodes.modules.expectations import expected_phase_s
from mimedi_nodes.modules.registry import config_folder, manifests, module_table, modules_of
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.batch import Batch, BatchOutcome
from mimedi_nodes.process.context import PhaseHeader
from mimedi_nodes.process.diagnostics import DiagnosticError
from mimedi_nodes.process.engine.engine import Engine
from mimedi_nodes.process.engine.journal import Journal
from mimedi_nodes.process.errors import WorkcellError
from mimedi_nodes.process.gateway import Answer, PhaseOutcome, Question
from mimedi_nodes.process.identity.custody import WRONG_CONTAINER, Custody, GuardedModules
from mimedi_nodes.process.identity.identity import IdentityError, make_identifier, make_label
from mimedi_nodes.process.recipes.loader import load_recipe, read_recipe
from mimedi_nodes.process.recipes.recipe import Recipe
from mimedi_nodes.process.units.arbiter import Arbiter
from mimedi_nodes.process.units.claim_plan import claim_plan, conflict
from mimedi_nodes.process.units.units import Units, read_units, units_file

SITE = load_site(config_folder() / "site" / "demo.yaml")
UNITS = read_units(config_folder() / "units.yaml", list(module_table()), SITE.vessels)
TWO_FILE = config_folder() / "site" / "two_vessels.yaml"
TWO_SITE = load_site(TWO_FILE)
TWO = read_units(units_file(TWO_FILE), modules_of(TWO_SITE), TWO_SITE.vessels)
PATIENTS = tuple(make_identifier("F1234", 26, number) for number in range(1, 6))
HEAD = """
recipe: {name}
version: 1.0.0
status: draft
product: little
parameters:
  volume: {{value: 1000, unit: uL, range: [100, 5000]}}
procedure:
  - unit_procedure: work
    operations:
      - operation: first
        phases:
"""
HOURS = {
    "TransferFluid": 0.3, "TuneTransducer": 0.1, "ConditionChamber": 3.0, "ActivateCells": 18.0, "VerifyGrade": 0.2,
}  # fmt: skip


def recipe_of(phases: list[str], name: str = "little") -> Recipe:
    text = HEAD.format(name=name) + "".join(textwrap.indent(phase, " " * 10) for phase in phases)
    return read_recipe(text, "little.yaml")


class Numbered:
    """Writes steps of a recipe, each with an id of its own."""

    def __init__(self) -> None:
        self.count = 0

    def phase(self, do: str, fields: str = "") -> str:
        self.count += 1
        with_ = f", with: {{{fields}}}" if fields else ""
        long = max(HOURS[name] for name in HOURS if name.lower() == do.partition("/")[2].replace("_", ""))
        return f"- {{id: s{self.count}, do: {do}{with_}, expected_h: {long}}}\n"

    def move(self, source: str, destination: str) -> str:
        return self.phase("fluidics/transfer_fluid", f"source: {source}, destination: {destination}, volume_ul: 500")

    def parallel(self, branches: list[list[str]], until: bool) -> str:
        self.count += 1
        text = f"- id: s{self.count}\n  parallel:\n"
        for index, steps in enumerate(branches):
            text += f"    b{index}:\n" + textwrap.indent("".join(steps), " " * 6)
        return text + ("  until: b0\n" if until else "")


def labels(question: Question) -> str:
    """Return the right label for a changeover."""
    words = question.question.split()
    return make_label(words[-1], words[words.index("label") + 2]).text


@dataclass
class Shared:
    """Several engines on the same modules, arbiter and custody."""

    modules: FakeModules
    units: Units = UNITS
    custody: Custody = field(init=False)
    arbiter: Arbiter = field(init=False)
    records: dict[str, Record] = field(default_factory=dict)
    engines: dict[str, Engine] = field(default_factory=dict)
    asked: list[Question] = field(default_factory=list)
    answer: Callable[[Question], str] = labels

    def __post_init__(self) -> None:
        self.custody = Custody(units=self.units)
        self.arbiter = Arbiter(self.units)

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        await asyncio.sleep(60.0)
        return Answer(self.answer(question), "somebody", "because", simulated=True)

    def engine(self, number: int, recipe: Recipe, **options: Any) -> Engine:
        batch = Batch(f"B-{number}", PATIENTS[number], PATIENTS[number], 70.0)
        self.records.setdefault(batch.batch_id, Record())
        options.setdefault("journal", Journal(":memory:"))
        self.engines[batch.batch_id] = engine = Engine(
            recipe, batch, self.modules, self, FakeLaboratory(), LoopTime(), options.pop("journal"),
            self.records[batch.batch_id], expected_phase_s=expected_phase_s(recipe), custody=self.custody,
            vessels={**SITE.vessels, **TWO_SITE.vessels}, units=self.units, arbiter=self.arbiter, **options,
        )  # fmt: skip
        return engine


class OneAtATime(FakeModules):
    """Modules that also look whose material is where: independent of arbiter and custody."""

    def __init__(self, units: Units = UNITS) -> None:
        super().__init__({name: hours * 3600.0 for name, hours in HOURS.items()})
        self.units = units

    async def run_phase(
        self, module: str, action: str, goal: Any, header: PhaseHeader, goal_id: str, on_feedback: Any
    ) -> PhaseOutcome:
        for unit in self.units:
            working = [g for g in self.goals.values() if g.status == "running" and g.module in unit.modules]
            if module in unit.modules:
                assert {g.header.batch_id for g in working} <= {header.batch_id}, f"two batches in {unit.name}"
        return await super().run_phase(module, action, goal, header, goal_id, on_feedback)


# -- the static plan -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["car_t_cd19", "icasp9_dcd19", "osteoblast_graft"])
def test_shipped_recipes_can_share_the_workcell(name: str) -> None:
    recipe = load_recipe(config_folder() / "recipes" / f"{name}.yaml", manifests())
    plan = claim_plan(recipe, UNITS, expected_phase_s(recipe))
    assert conflict([plan, plan]) == ()
    assert "culture" in plan.order
    stretches = [claim for claim in plan.claims if "fluid_path" in claim.units]
    assert len(stretches) >= 3, "nobody else could use the fluid path while the culture grows"
    named = {step.path: planned for step in plan.steps if (planned := plan.opening.get(step.path))}
    assert named, "claims open at steps of the procedure"


def test_a_sample_stays_with_its_batch_until_it_has_been_looked_at() -> None:
    recipe = load_recipe(config_folder() / "recipes" / "car_t_cd19.yaml", manifests())
    plan = claim_plan(recipe, UNITS, expected_phase_s(recipe))
    paths = [step.path for step in plan.steps]
    spans = [(paths.index(c.opens), paths.index(c.closes)) for c in plan.claims if "fluid_path" in c.units]
    pairs = (("day1_to_microscope", "count_day1"), ("final_to_microscope", "count_final"), ("load_cells", "sorting"))
    for first, last in pairs:
        at = [next(i for i, path in enumerate(paths) if path.endswith(f".{name}")) for name in (first, last)]
        assert any(begin <= at[0] and at[1] <= end for begin, end in spans), (first, last)


def test_recipes_that_would_wait_for_each_other_are_found() -> None:
    write = Numbered()
    both = ("transduction/activate_cells", "incubator/condition_chamber")
    there = recipe_of([write.phase(do) for do in (*both, *both)])
    write = Numbered()
    back = recipe_of([write.phase(do) for do in (both[1], *both)])
    plans = [claim_plan(recipe, UNITS, expected_phase_s(recipe)) for recipe in (there, back)]
    assert conflict(plans[:1]) == conflict(plans[1:]) == ()
    assert set(conflict(plans)) == {"activation", "culture"}

    async def main() -> list[BatchOutcome]:
        shared = Shared(OneAtATime())
        return await asyncio.gather(*(shared.engine(i, recipe).run() for i, recipe in enumerate((there, back))))

    # The second begins when the first has ended.
    assert run_virtual(main()) == [BatchOutcome("completed")] * 2


# -- the property --------------------------------------------------------------------------------------------------


def _steps(write: Numbered, draw: st.DataObject, depth: int) -> list[str]:
    found: list[str] = []
    for _ in range(draw.draw(st.integers(1, 4))):
        kind = draw.draw(st.sampled_from(("move", "tune", "room", "activate", "culture", "parallel")[: 6 - depth]))
        if kind == "move":
            names = st.sampled_from(("sorted", "activation_vessel", "culture_vessel", "harvest"))
            found.append(write.move(draw.draw(names), "depleted"))
        elif kind == "tune":
            found.append(write.phase("acoustic_sorter/tune_transducer"))
        elif kind == "room":
            found.append(write.phase("enclosure/verify_grade", "grade: A, duration_s: 600"))
        elif kind == "activate":
            found.append(write.phase("transduction/activate_cells"))
        elif kind == "culture":
            found.append(write.phase("incubator/condition_chamber"))
        else:
            # A module has one phase at a time, in one batch too: each branch has modules of its own.
            lead = [write.move("sorted", "depleted"), write.phase("incubator/condition_chamber")]
            beside = [write.phase("acoustic_sorter/tune_transducer"), write.phase("enclosure/verify_grade", "grade: A")]
            found.append(write.parallel([lead, beside], draw.draw(st.booleans())))
    return found


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_batch_ends_and_no_unit_serves_two(data: st.DataObject) -> None:
    """Random recipes and arrivals: all end, one batch at a time in a unit, a changeover between two of them."""
    units = data.draw(st.sampled_from((UNITS, TWO)))
    number = data.draw(st.integers(2, 4))
    recipes = [recipe_of(_steps(Numbered(), data, 0), f"r{index}") for index in range(number)]
    arrivals_h = [data.draw(st.floats(0.0, 30.0)) for _ in recipes]

    async def main() -> tuple[list[BatchOutcome], Shared]:
        shared = Shared(OneAtATime(units), units)

        async def one(index: int) -> BatchOutcome:
            await asyncio.sleep(arrivals_h[index] * 3600.0)
            return await shared.engine(index, recipes[index]).run()

        return await asyncio.gather(*(one(index) for index in range(number))), shared

    # A deadlock is an error of the virtual loop: nothing is scheduled and nothing is ready.
    outcomes, shared = run_virtual(main())
    assert outcomes == [BatchOutcome("completed")] * number
    assert not any(shared.arbiter.held_by(batch_id) for batch_id in shared.records)
    for unit in units:
        last = ""
        goals = [goal for goal in shared.modules.goals.values() if goal.module in unit.modules]
        served = sorted((goal.ends_s, goal.header.batch_id) for goal in goals)
        changes = [e for r in shared.records.values() for e in r.of("unit_changed_over") if e[1] == unit.name]
        exchanges = 0
        for _, batch_id in served:
            exchanges += bool(last) and batch_id != last
            last = batch_id
        assert len(changes) >= exchanges, f"{unit.name}: {exchanges} changes of patient, {len(changes)} changeovers"


# -- changeover ----------------------------------------------------------------------------------------------------


def test_without_a_changeover_no_phase_of_another_batch_starts() -> None:
    custody, modules = Custody(units=UNITS), OneAtATime()
    culture = next(unit for unit in UNITS if unit.name == "culture")
    batches = [Batch(f"B-{i}", PATIENTS[i], PATIENTS[i], 70.0) for i in range(2)]
    guards = [GuardedModules(modules, custody, batch, SITE.vessels) for batch in batches]
    custody.exchange(culture, "B-0")

    async def start(guard: GuardedModules, module: str, action: str, goal: dict[str, Any]) -> PhaseOutcome:
        header = PhaseHeader(phase_id="some.step", goal_id="0" * 32)
        return await guard.run_phase(module, action, goal, header, "0" * 32, lambda progress, step: None)

    for module, goal in (("incubator", {}), ("fluidics", {"source": "sorted", "destination": "culture_vessel"})):
        refused = run_virtual(start(guards[1], module, "TransferFluid", goal))
        assert refused.error_code == WRONG_CONTAINER
        assert "no changeover: culture has served batch B-0" in refused.error_msg
    assert not modules.goals
    custody.exchange(culture, "B-1")
    custody.check_units("incubator", (), batches[1])
    with pytest.raises(IdentityError, match="served batch B-1"):
        custody.check_units("incubator", (), batches[0])


def test_the_wrong_cassette_is_refused_and_the_right_one_goes_on(tmp_path: Path) -> None:
    """A's cassette is offered to B: held before anything moves; then the right one, and both end."""
    write = Numbered()
    recipe = recipe_of([write.move("sorted", "depleted"), write.phase("incubator/condition_chamber"),
                        write.move("sorted", "depleted")])  # fmt: skip
    wrong = [make_label(PATIENTS[0], "cassette").text]

    def answer(question: Question) -> str:
        return wrong.pop() if question.batch_id == "B-1" and wrong else labels(question)

    async def main() -> Shared:
        shared = Shared(OneAtATime(), answer=answer)
        first = asyncio.ensure_future(shared.engine(0, recipe).run())
        await asyncio.sleep(10.0)
        second = asyncio.ensure_future(shared.engine(1, recipe).run())
        await asyncio.sleep(12.0 * 3600.0)
        assert shared.engines["B-1"].state == "held"
        assert "wrong cassette at fluid_path" in shared.engines["B-1"].hold_reason
        assert not [goal for goal in shared.modules.goals.values() if goal.header.batch_id == "B-1"]
        assert (await shared.engines["B-1"].command("restart", "somebody", "the right cassette")).accepted
        assert [(await first).state, (await second).state] == ["completed", "completed"]
        return shared

    shared = run_virtual(main())
    refused = shared.records["B-1"].of("identity_refused")
    assert len(refused) == 1
    assert PATIENTS[0] in refused[0][3]["answer"]
    assert shared.records["B-1"].of("unit_changed_over")[0][3]["old"] == "B-0"
    # A's own cassette came back to it between the two.
    assert [e[3]["old"] for e in shared.records["B-0"].of("unit_changed_over") if e[1] == "fluid_path"] in ([], ["B-1"])


def test_containers_of_a_set_in_the_store_keep_their_owner(tmp_path: Path) -> None:
    path = tmp_path / "custody.json"
    units = {unit.name: unit for unit in UNITS}
    custody = Custody(path, UNITS)
    custody.exchange(units["fluid_path"], "B-0")
    custody.bind("dose_bag", PATIENTS[0], "B-0", "scan")
    custody.exchange(units["fluid_path"], "B-1")
    assert custody.of("dose_bag") is None
    custody.bind("dose_bag", PATIENTS[1], "B-1", "scan")
    custody = Custody(path, UNITS)  # the process is another one
    assert custody.bindings("B-0") == {"dose_bag": {"chain_of_identity": PATIENTS[0], "batch_id": "B-0", "by": "scan"}}
    custody.restore(custody.bindings("B-0"))
    custody.exchange(units["fluid_path"], "B-0")
    found = custody.of("dose_bag")
    assert found is not None
    assert found.chain_of_identity == PATIENTS[0]
    assert custody.occupant("fluid_path") == "B-0"


# -- holds and crashes ---------------------------------------------------------------------------------------------


def test_who_needs_a_unit_of_a_held_batch_is_told_so() -> None:
    write = Numbered()
    recipe = recipe_of([write.move("culture_vessel", "depleted"), write.phase("incubator/condition_chamber"),
                        write.move("culture_vessel", "depleted")])  # fmt: skip

    async def main() -> tuple[BatchOutcome, BatchOutcome]:
        shared = Shared(OneAtATime())
        cold = PhaseOutcome("aborted", {"error_code": 411, "error_msg": "cold"})
        shared.modules.fail_next["ConditionChamber"] = [cold]
        first = await shared.engine(0, recipe, on_hold="end").run()
        return first, await shared.engine(1, recipe, on_hold="end").run()

    first, second = run_virtual(main())
    assert first.state == second.state == "held"
    assert "culture is occupied by batch B-0, which is held" in second.reason


def test_killed_at_any_event_both_batches_go_on_and_no_unit_changes_hands() -> None:
    """The coordinator dies at every fifth event of the second batch; its next life has the same claims."""
    write = Numbered()
    recipe = recipe_of([write.move("sorted", "activation_vessel"), write.phase("transduction/activate_cells"),
                        write.move("activation_vessel", "culture_vessel"), write.phase("incubator/condition_chamber"),
                        write.move("culture_vessel", "depleted")])  # fmt: skip

    async def main(crash_at: int) -> int:
        modules, journals = OneAtATime(), [Journal(":memory:"), Journal(":memory:")]
        shared = Shared(modules)
        shared.records["B-1"] = Record(crash_at)
        runs = [asyncio.ensure_future(shared.engine(i, recipe, journal=journals[i]).run()) for i in range(2)]
        crashed = False
        try:
            await asyncio.gather(*runs)
        except Crash:
            crashed = True
        for task in runs:
            task.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        if crashed:
            again = Shared(modules)
            again.custody = shared.custody
            again.records = {"B-0": shared.records["B-0"], "B-1": Record()}
            engines = [again.engine(i, recipe, journal=journals[i]) for i in range(2)]
            outcomes = await asyncio.gather(*(engine.run() for engine in engines))
            assert [outcome.state for outcome in outcomes] == ["completed", "completed"]
        for batch in ("B-0", "B-1"):
            done = [g for g in modules.goals.values() if g.header.batch_id == batch and g.status == "succeeded"]
            assert len(done) == 5, f"killed at event {crash_at}: {len(done)} phases of {batch}"
        return len(shared.records["B-1"].events)

    total = run_virtual(main(10_000))
    assert total > 30
    for crash_at in range(1, total, 5):
        run_virtual(main(crash_at))


# -- several units of a class --------------------------------------------------------------------------------------


def culture_recipe() -> Recipe:
    write = Numbered()
    return recipe_of([write.move("sorted", "activation_vessel"), write.phase("transduction/activate_cells"),
                      write.move("activation_vessel", "culture_vessel"), write.phase("incubator/condition_chamber"),
                      write.move("culture_vessel", "depleted")])  # fmt: skip


def test_a_batch_gets_a_free_unit_of_the_class_that_its_recipe_names() -> None:
    write = Numbered()
    recipe = recipe_of([write.move("sorted", "culture_vessel"), write.phase("incubator/condition_chamber"),
                        write.move("culture_vessel", "depleted")])  # fmt: skip

    async def main() -> Shared:
        shared = Shared(OneAtATime(TWO), TWO)
        shared.modules.durations_s["ConditionChamber"] = 40.0 * 3600.0
        outcomes = await asyncio.gather(*(shared.engine(index, recipe).run() for index in range(3)))
        assert [outcome.state for outcome in outcomes] == ["completed"] * 3
        return shared

    shared = run_virtual(main())
    grown = {goal.header.batch_id: goal for goal in shared.modules.started("ConditionChamber")}
    assert [grown[f"B-{i}"].module for i in range(3)] == ["incubator", "incubator_2", "incubator"]
    begins = [grown[f"B-{i}"].ends_s - grown[f"B-{i}"].duration_s for i in range(3)]
    assert begins[1] < grown["B-0"].ends_s, "two cultures grow at once"
    assert begins[2] > grown["B-0"].ends_s
    for number, vessel in enumerate(("culture_vessel", "culture_vessel_2", "culture_vessel")):
        moves = [g.fields for g in shared.modules.started("TransferFluid") if g.header.batch_id == f"B-{number}"]
        assert (moves[0]["destination"], moves[1]["source"]) == (vessel, vessel)
        bound = shared.records[f"B-{number}"].of("unit_bound")
        assert [e[3]["unit_class"] for e in bound] == ["culture"]
    changed = {e[1] for e in shared.records["B-1"].of("unit_changed_over")}
    assert changed == {"fluid_path"}, "nobody's set was in the second culture unit"
    assert [e[1] for e in shared.records["B-2"].of("unit_changed_over")].count("culture") == 1


def test_a_unit_in_maintenance_is_taken_last() -> None:
    async def main() -> Shared:
        shared = Shared(OneAtATime(TWO), TWO)
        unfit: list[str] = ["incubator"]
        outcome = await shared.engine(0, culture_recipe(), unfit=lambda: unfit).run()
        assert outcome.state == "completed"
        return shared

    assert [goal.module for goal in run_virtual(main()).modules.started("ConditionChamber")] == ["incubator_2"]


def test_killed_at_any_event_a_batch_keeps_the_unit_that_it_was_given() -> None:
    recipe = culture_recipe()

    async def main(crash_at: int) -> int:
        modules, journals = OneAtATime(TWO), [Journal(":memory:"), Journal(":memory:")]
        shared = Shared(modules, TWO)
        shared.records["B-1"] = Record(crash_at)
        runs = [asyncio.ensure_future(shared.engine(i, recipe, journal=journals[i]).run()) for i in range(2)]
        await asyncio.wait(runs, return_when=asyncio.FIRST_EXCEPTION)
        crashed = any(isinstance(run.exception(), Crash) for run in runs if run.done())
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        if crashed:
            again = Shared(modules, TWO)
            again.custody, again.records = shared.custody, {"B-0": shared.records["B-0"], "B-1": Record()}
            # In the other order: who comes back first must not get what the other one has.
            engines = [again.engine(i, recipe, journal=journals[i]) for i in (1, 0)]
            await asyncio.gather(*(engine.run() for engine in engines))
        grown = {g.header.batch_id: g.module for g in modules.started("ConditionChamber")}
        assert set(grown.values()) == {"incubator", "incubator_2"}, f"killed at event {crash_at}: {grown}"
        for goal in modules.started("TransferFluid"):
            own = {"incubator": "culture_vessel", "incubator_2": "culture_vessel_2"}[grown[goal.header.batch_id]]
            named = {goal.fields["source"], goal.fields["destination"]} & {"culture_vessel", "culture_vessel_2"}
            assert named <= {own}, f"killed at event {crash_at}: {goal.fields}"
        return len(shared.records["B-1"].events)

    total = run_virtual(main(10_000))
    for crash_at in range(1, total, 7):
        run_virtual(main(crash_at))


def test_a_recipe_names_the_class_and_no_unit_of_it() -> None:
    recipe = recipe_of([Numbered().move("sorted", "culture_vessel_2")])
    with pytest.raises(WorkcellError, match=r"culture_vessel_2 is one of the class culture; name that of its first"):
        Shared(OneAtATime(TWO), TWO).engine(0, recipe)


def test_units_of_a_class_are_alike(tmp_path: Path) -> None:
    path = tmp_path / "units.yaml"
    text = (
        "a: {kind: staying, set: bag, modules: [incubator], vessels: [culture_vessel]}\n"
        "b: {kind: staying, class: c, set: bag, modules: [transduction], vessels: [activation_vessel]}\n"
        "d: {kind: shared, class: a, set: bag, modules: [fluidics], vessels: [harvest]}\n"
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DiagnosticError) as error:
        read_units(path, list(module_table()), SITE.vessels)
    for part in ("units.yaml:2", "class 'c', which is no first unit", "units.yaml:3", "d cannot stand for a"):
        assert part in str(error.value), str(error.value)


def test_units_file_errors_name_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "units.yaml"
    path.write_text(
        "a: {kind: staying, set: bag, modules: [incubator], vessels: [culture_vessel]}\n"
        "b: {kind: lent, set: bag, modules: [incubator], vessels: [bucket]}\n",
        encoding="utf-8",
    )
    with pytest.raises(DiagnosticError) as error:
        read_units(path, list(module_table()), SITE.vessels)
    text = str(error.value)
    for part in ("units.yaml:2", "lent", "shared, staying", "incubator belongs to unit a", "bucket"):
        assert part in text, text

# SPDX-License-Identifier: Apache-2.0
"""The documentation: generated pages are up to date, links lead somewhere, every command in it exists."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from standalone.bootstrap.up import launch_command

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
HAND_WRITTEN = [path for path in PAGES if path.parent.name != "reference"]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()


@pytest.mark.parametrize("name", GENERATOR.PAGES)
def test_a_generated_page_is_what_the_source_says(name: str) -> None:
    path = ROOT / "docs" / "reference" / f"{name}.md"
    found = path.read_text(encoding="utf-8") if path.is_file() else ""
    assert found == GENERATOR.page(name), "old: ./workcell exec python docs/generate.py writes it again"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    missing = [
        target for target in LINK.findall(text)
        if "://" not in target and not (page.parent / target).exists()
    ]  # fmt: skip
    assert missing == []


# --- paths ---

PATH_LIKE = re.compile(r"(?<![\w/.:~-])(?:[\w.-]+/)+[\w.*-]*")
NO_FILES = {
    "mimedi_msgs/TimeRequest": "a message's type",
    "sim/exchange_set": "a service of the graph",
    "config/site/lab.yaml": "the reader copies it",
    "mimedi_msgs/action/ChillSample.action": "the reader writes it",
    "mimedi_nodes/modules/chiller/phases.py": "the reader writes it",
}
"""What the pages name in the form of a path and is no file of the tree, and why."""


def paths_in(text: str) -> set[str]:
    """Every path of a page's `code` whose first folder is one of the tree, or a room of mimedi_nodes."""
    roots = {place.name for base in (ROOT, ROOT / "mimedi_nodes") for place in base.iterdir() if place.is_dir()}
    roots = {name for name in roots if not name.startswith(".")} - {"runs"}  # the others the reader makes
    quoted = " ".join(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))
    found = {path.rstrip("/.") for path in PATH_LIKE.findall(quoted)}
    return {path for path in found if path.split("/")[0] in roots}


def is_in_the_tree(path: str, page: Path) -> bool:
    """Whether a path leads somewhere from the root, from mimedi_nodes or from the page; a module may go without .py."""
    places = (ROOT, ROOT / "mimedi_nodes", page.parent)
    return any(next(place.glob(name), None) for place in places for name in (path, f"{path}.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    named = paths_in(page.read_text(encoding="utf-8")) - set(NO_FILES)
    assert sorted(path for path in named if not is_in_the_tree(path, page)) == []


def test_a_path_that_moved_is_found_out() -> None:
    page = ROOT / "docs" / "architecture.md"
    assert paths_in("see `process/engine.py` and `process/engine/engine.py`, `volume/s`") == {
        "process/engine.py", "process/engine/engine.py"
    }  # fmt: skip
    assert not is_in_the_tree("process/engine.py", page)
    assert is_in_the_tree("process/engine/engine.py", page)


# --- commands ---


def commands_in(text: str) -> list[str]:
    """Every `./workcell …` of a page's code blocks, without the remark behind two blanks, and of its text."""
    found = []
    for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL):
        for line in block.splitlines():
            stripped = line.strip()
            if stripped.startswith("./workcell "):
                found.append(re.split(r"\s{2,}|\s+#\s", stripped)[0])
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return found + re.findall(r"`(\./workcell [^`…]+)`", prose)


def all_commands() -> list[tuple[str, str]]:
    return sorted(
        {(str(page.relative_to(ROOT)), line) for page in HAND_WRITTEN for line in commands_in(page.read_text("utf-8"))}
    )


@pytest.mark.parametrize(("page", "line"), all_commands())
def test_every_command_in_the_docs_is_one_that_the_parser_takes(page: str, line: str, capsys: Any) -> None:
    words = shlex.split(line.replace("<", "").replace(">", ""))[1:]
    command, arguments = words[0], [word for word in words[1:] if word not in ("…", "CMD…")]
    if command == "up":
        launch_command(arguments, ROOT / "launch" / "workcell.launch.py")  # raises at a name that is none
    elif command == "test":
        assert all((ROOT / word).exists() for word in arguments if word.startswith("test/"))
    elif command in GENERATOR.COMMANDS:
        parser = GENERATOR.parser_of(command)
        assert parser is not None, f"{command} is not there"
        if "--help" in arguments or line.endswith(command):
            return  # the command by itself, as a name
        try:
            parser.parse_args([*arguments, *(["--meaning", "released"] if command == "release" else [])])
        except SystemExit:
            pytest.fail(capsys.readouterr().err)
    else:
        assert command in ("setup", "exec", "clean", "lock", "COMMAND", "--help"), command


QUICK = (
    "recipe list",
    "recipe validate car_t_cd19",
    "recipe show car_t_cd19",
    "alarms explain incubator.co2_low",
    "completion bash",
    "user --help",
    "check-physics",
)
"""Commands of the docs that are quick and change nothing: these really run."""


@pytest.mark.parametrize("line", QUICK)
def test_quick_commands_of_the_docs_run(line: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mimedi_nodes.commands", *line.split()]
    env = {"PYTHONPATH": f"{ROOT}:{ROOT / 'sim'}", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()


def test_the_tutorials_recipe_is_valid(tmp_path: Path) -> None:
    from mimedi_nodes.modules.registry import manifests
    from mimedi_nodes.process.recipes.loader import load_recipe

    text = (ROOT / "docs" / "tutorial" / "2_write_a_recipe.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    path = tmp_path / "my_wash.yaml"
    path.write_text(recipe, encoding="utf-8")
    assert load_recipe(path, manifests()).name == "my_wash"


def test_foxgloves_layout_shows_topics_and_fields_that_exist() -> None:
    from mimedi_nodes.process.interfaces import Interfaces

    messages = Interfaces(ROOT / "mimedi_msgs").messages
    kinds = {"state": "ModuleState", "telemetry": "Telemetry", "batch_status": "BatchStatus", "prompt": "Prompt",
             "population": "PopulationSummary", "alarms": "AlarmList"}  # fmt: skip
    layout = json.loads((ROOT / "config" / "foxglove" / "workcell.json").read_text(encoding="utf-8"))
    panels = layout["configById"]
    shown = json.dumps(layout["layout"])
    assert all(f'"{name}"' in shown for name in panels)
    paths = [path["value"] for panel in panels.values() for path in panel.get("paths", ())]
    paths += [panel["topicPath"] for panel in panels.values() if "topicPath" in panel]
    assert paths
    for path in paths:
        topic, _, field = path.partition(".")
        message = messages[kinds[topic.rsplit("/", 1)[-1]]]
        name = re.split(r"[.\[{]", field)[0]
        assert not name or name in message.fields, path


RUN_BY = {
    "alarms": ("test/node/test_commands.py", "alarms.main("),
    "answer": ("test/node/test_commands.py", "answer.main("),
    **dict.fromkeys(("backup", "restore"), ("test/unit/records/test_records_backup.py", "backup.main(")),
    "chip": ("test/unit/test_chip_design.py", "import main"),
    "completion": ("test/unit/test_docs.py", '"completion bash"'),
    "check-physics": ("test/unit/test_docs.py", '"check-physics"'),
    "dashboard": ("test/node/test_dashboard_ros.py", "subprocess"),
    "export": ("test/unit/records/test_records_export.py", "import main"),
    "lab": ("test/unit/records/test_records_signing.py", "lab.main("),
    "label": ("test/unit/process/test_custody.py", "label_command("),
    "maintenance": ("test/launch/by_hand.py", "maintenance.main("),
    "produce": ("test/launch/test_bad_input.py", '"produce"'),
    "recipe": ("test/unit/test_docs.py", "recipe.main"),
    "release": ("test/unit/records/test_records_signing.py", '"released"'),
    "replay": ("test/node/test_commands.py", "replay.main("),
    "report": ("test/unit/records/test_records_report.py", "import main"),
    "review": ("test/unit/records/test_records_signing.py", "review.main("),
    "schedule": ("test/unit/process/test_scheduling.py", "import main"),
    "segment": ("test/unit/vision/test_files.py", "segment_command.main("),
    "sign": ("test/unit/records/test_records_signing.py", "sign.main("),
    "sim": ("test/node/test_sim_commands.py", "sim.main("),
    "simulate": ("test/unit/test_docs.py", "simulate.main"),
    "status": ("test/node/test_commands.py", "status.main("),
    "track": ("test/unit/vision/test_files.py", "track_command.main("),
    "user": ("test/node/test_commands.py", "user.main("),
    "verify": ("test/unit/records/test_records_verify.py", "import main"),
    "view": ("test/unit/test_view.py", "subprocess"),
    "watch": ("test/node/test_commands.py", "watch.main("),
    **dict.fromkeys(
        ("abort", "hold", "pause", "restart", "resume", "stop"), ("test/node/test_commands.py", "procedure.main(")
    ),
}
"""Which test runs a command, and the words by which it does."""
NOT_RUN = {
    "demo": "a minute over the graph; the launch tests produce batches and the drill's by its own director",
    "web": "serves until it is told to end; its server, doors and page are run by test/node/test_web.py",
    "up": "the launch tests launch what it launches; its ending is run by test/standalone",
    "setup": "whoever runs the tests has run it", "test": "runs these tests", "exec": "the tests run inside of it",
    "clean": "test/unit/bootstrap runs it on a folder of its own", "lock": "asks the registry",
}  # fmt: skip
"""Commands that no test carries out as they stand, and why."""


def test_every_command_in_the_docs_is_run_by_a_test_or_says_why_not() -> None:
    named = {shlex.split(line.replace("<", "").replace(">", ""))[1] for _, line in all_commands()}
    unknown = named - set(RUN_BY) - set(NOT_RUN) - {"COMMAND", "--help"}
    assert unknown == set(), f"no test is named that runs {sorted(unknown)}"
    for command, (path, words) in RUN_BY.items():
        assert words in (ROOT / path).read_text(encoding="utf-8"), f"{path} no longer runs {command}: {words}"


def test_the_tutorials_recipe_goes_the_way_that_the_tutorial_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Line by line, as a stranger in a folder of her own: looked at, tried on the twin, offered for approval."""
    from mimedi_nodes.commands import recipe, simulate

    page = (ROOT / "docs" / "tutorial" / "2_write_a_recipe.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    mine = tmp_path / "my_wash.yaml"
    mine.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    mains = {"recipe": recipe.main, "simulate": simulate.main}
    told = {}
    for line in (line for line in commands_in(page) if "my_wash.yaml" in line and "approve" not in line):
        command, *arguments = shlex.split(line)[1:]
        status = mains[command](arguments)
        told[line] = (status, capsys.readouterr().out)
    statuses = {line.split(" ", 1)[1]: status for line, (status, _) in told.items()}
    assert statuses == {
        "recipe validate my_wash.yaml": 0,
        "recipe show my_wash.yaml": 0,
        "simulate my_wash.yaml --engineering --json -": 1,  # a rinse makes no medicine
        "recipe diff car_t_cd19 my_wash.yaml": 1,  # there is a difference
    }
    tried = json.loads(told["./workcell simulate my_wash.yaml --engineering --json -"][1])
    assert tried["ended"]["state"] == "completed", tried["ended"]
    # Nobody is an approver here: the recipe stays as it is, and what is missing is told.
    assert recipe.main(["approve", "my_wash.yaml", "--demonstration", "--why", "QR-12"]) == 2
    assert "does not know the key" in capsys.readouterr().err
    assert mine.read_text(encoding="utf-8") == text
    (tmp_path / "approvals").mkdir()
    approvers = ROOT / "config" / "recipes" / "approvals" / "approvers.json"
    (tmp_path / "approvals" / "approvers.json").write_bytes(approvers.read_bytes())
    for status_word in ("under_qualification", "approved"):
        assert recipe.main(["approve", "my_wash.yaml", "--demonstration", "--why", "QR-12"]) == 0
        assert f"my_wash 0.1.0 is {status_word}" in capsys.readouterr().out

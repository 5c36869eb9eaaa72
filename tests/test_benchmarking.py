"""`pneumo benchmark`: which scripts run, on which folders, and that their figures are kept together."""

import ast
import json

import pytest
from conftest import ROOT

from pneumo_utils import cli
from pneumo_utils.cli.benchmarking import FILMS
from pneumo_utils.errors import PneumoError, UsageError

SCRIPT = """import json, pathlib, sys
words = sys.argv[1:]
assert words[-2] == "--json"
pathlib.Path(words[-1]).write_text(json.dumps({"words": words[:-2]}))
"""


@pytest.fixture
def scripts(folders):
    """A project with two scripts that say how they were called, and one that fails."""
    (folders.root / "benchmarks").mkdir()
    for name in ("training_speed", "hostile_files"):
        (folders.root / "benchmarks" / f"{name}.py").write_text(SCRIPT)
    (folders.root / "benchmarks" / "broken.py").write_text("raise SystemExit(3)")
    return folders


def run(*words) -> None:
    arguments = cli._make_parser().parse_args(["benchmark", *map(str, words)])
    arguments.run(arguments)


def test_each_script_gets_its_folder_and_the_figures_are_kept(scripts, tmp_path):
    run("training_speed", "--films", tmp_path)
    run("hostile_files")
    kept = json.loads((scripts.build / "benchmark.json").read_text())
    assert kept == {"training_speed": {"words": [str(tmp_path)]}, "hostile_files": {"words": []}}


def test_what_cannot_run_is_said(scripts, tmp_path):
    with pytest.raises(UsageError, match=r"no benchmark speed; expected broken, hostile_files, training"):
        run("speed")
    for words in ([], ["--films", tmp_path / "absent"]):
        with pytest.raises(UsageError, match="training_speed needs --films"):
            run("training_speed", *words)
    with pytest.raises(PneumoError, match=r"broken.py ended with exit code 3"):
        run("broken")


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_every_script_takes_what_the_command_hands_it(script):
    calls = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Call)]
    names = [
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
    ]
    assert "--json" in names
    wants_folder = [name for name in names if not name.startswith("-")] == ["folder"]
    assert wants_folder == (script.stem in FILMS)


def test_without_the_repository_there_is_nothing_to_run(folders):
    with pytest.raises(PneumoError, match="holds no script"):
        run()

"""The checks in the open, the start in a click and the hooks: what they name is there."""

import json
import re
import tomllib

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
WORKFLOWS = {
    path.stem: yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # "on" stays a word
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
CONTAINER = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
STEPS = [
    (name, job, step)
    for name, workflow in WORKFLOWS.items()
    for job in workflow["jobs"].values()
    for step in job["steps"]
]


def list_versions(job: dict, asked: str) -> list[str]:
    """The versions of Python that a step of a job asks for."""
    return job["strategy"]["matrix"]["python"] if asked.startswith("${{") else [asked]


def list_targets(command: str) -> set[str]:
    return set(" ".join(re.findall(r"\bmake ((?:[.\w/]+ ?)+)", command)).split())


def find_missing(command: str) -> set[str]:
    """The targets of make in a command that the Makefile lacks."""
    known = set(re.findall(r"(?m)^([\w.-]+):", MAKEFILE)) | {".venv/.ready"}
    return list_targets(command) - known


def test_there_are_these_workflows():
    assert set(WORKFLOWS) == {"checks", "weekly", "pages", "release"}
    assert all(workflow["permissions"]["contents"] in ("read", "write") for workflow in WORKFLOWS.values())


def test_every_target_exists():
    commands = [step["run"] for _, _, step in STEPS if "run" in step]
    commands += [CONTAINER["postCreateCommand"], *(hook["entry"] for hook in HOOKS)]
    assert [missing for command in commands if (missing := find_missing(command))] == []
    targets = set().union(*map(list_targets, commands))
    assert targets == {"lint", "types", "quick", "test", "slow", "book", "release", ".venv/.ready"}


def test_a_target_that_does_not_exist_is_found():
    assert find_missing("cd x && make lint gone && make quick") == {"gone"}


def test_pythons_agree_with_the_package():
    supported = SpecifierSet(PROJECT["requires-python"])
    asked = [
        version
        for _, job, step in STEPS
        if "setup-python" in step.get("uses", "")
        for version in list_versions(job, step["with"]["python-version"])
    ]
    image = CONTAINER["image"].rpartition(":")[2]
    assert [version for version in [*asked, image] if version not in supported] == []
    minors = [f"3.{minor}" for minor in range(30) if f"3.{minor}" in supported]
    assert WORKFLOWS["checks"]["jobs"]["quick"]["strategy"]["matrix"]["python"] == minors


def test_paths_exist():
    texts = [step.get("run", "") + json.dumps(step.get("with", {})) for _, _, step in STEPS]
    texts += [json.dumps(workflow.get("jobs")) for workflow in WORKFLOWS.values()]
    texts += [json.dumps(CONTAINER), *(hook["entry"] for hook in HOOKS)]
    paths = set(
        re.findall(r"(?:notebooks|tests|tools|pneumo_utils)(?:/[\w.]+)*|pyproject\.toml", " ".join(texts))
    )
    assert {"notebooks/01_data_exploration.ipynb", "notebooks/colab_versions.txt"} <= paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert WORKFLOWS["pages"]["jobs"]["publish"]["steps"][-2]["with"]["path"] == "build/book"


def test_windows_runs_what_the_targets_run():
    (windows,) = (step["run"] for _, _, step in STEPS if "== 'Windows'" in step.get("if", ""))
    (others,) = (step["run"] for _, _, step in STEPS if "!= 'Windows'" in step.get("if", ""))
    recipes = "".join(
        re.search(rf"(?m)^{target}: .*\n((?:\t.*\n)+)", MAKEFILE)[1] for target in list_targets(others)
    )
    spread = re.search(r"(?m)^SPREAD := (.+)\\\n(.+)", MAKEFILE)
    recipes = recipes.replace("$(SPREAD)", f"{spread[1]} {spread[2]}").replace("$(BIN)/", "")
    wanted = {command for line in recipes.splitlines() if (command := shorten(line))}
    assert wanted == {shorten(line) for line in re.split(r"&&|\n", windows)} - {"", "pip"}


def shorten(command: str) -> str:
    """The program or module that a line calls, with its options."""
    words = re.sub(r"python -m |OMP_NUM_THREADS=1 |\s+", " ", command).split()
    return "pip" if words[:1] == ["pip"] else " ".join(words)


def test_actions_are_pinned_and_only_github_s_own():
    used = {step["uses"] for _, _, step in STEPS if "uses" in step}
    assert used and all(re.fullmatch(r"actions/[\w-]+@v\d+", name) for name in used)


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_hooks_use_the_environment_of_make(hook):
    assert hook["language"] == "system" and hook["entry"].startswith(("make ", ".venv/bin/python -m "))


def test_colab_has_what_the_course_needs_or_is_told():
    versions = dict(
        line.split("==")
        for line in (ROOT / "notebooks" / "colab_versions.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
    brought = (ROOT / "notebooks" / "colab.txt").read_text(encoding="utf-8").splitlines()[1:]
    needs = map(Requirement, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["course"])
    needs = {need.name: need.specifier for need in needs if need.name != "jupyterlab"}  # Colab is its own
    assert set(needs) - set(versions) - set(brought) == set()
    assert set(brought) - set(needs) == {"psygnal", "flatbuffers"}  # of anywidget and onnxruntime
    assert [name for name in set(needs) & set(versions) if versions[name] not in needs[name]] == []

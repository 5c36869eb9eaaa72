"""One list of dependencies, and files that agree with it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from pneumo_utils.app.ray_engine import RAY_HINT
from pneumo_utils.models.backbone import LITE0_PACKAGE
from pneumo_utils.models.shipped import WEIGHTS

TOML = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = TOML["project"]
EXTRAS = PROJECT["optional-dependencies"]


def list_names(lines: list[str]) -> set[str]:
    return {re.split(r"[><=\[]", line)[0] for line in lines}


def test_conda_installs_the_project_itself_and_nothing_that_could_drift():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]
    assert packages == {"pip": ["-e .[dev]"]} and pip == "pip"
    version = tuple(map(int, python.removeprefix("python=").split(".")))
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    assert (3, int(low)) <= version < (3, int(high))
    assert "dev" in EXTRAS


def test_every_package_the_mission_names_is_listed():
    listed = list_names(EXTRAS["course"] + EXTRAS["dev"] + PROJECT["dependencies"])
    wanted = "torch torchvision jupyterlab ipywidgets matplotlib seaborn scikit-learn pillow nbval"
    assert set(wanted.split()) <= listed


def test_every_package_that_is_imported_is_listed():
    names = {"sklearn": "scikit-learn", "PIL": "pillow", "IPython": "jupyterlab"}
    with_others = {"nbformat": "jupyterlab", "nbclient": "jupyterlab", "traitlets": "ipywidgets"}
    listed = list_names(PROJECT["dependencies"] + EXTRAS["course"]) | {"nbconvert"}  # comes with jupyterlab
    extra = list_names(EXTRAS["export"] + EXTRAS["ray"])
    for path in (ROOT / "pneumo_utils").rglob("*.py"):
        for indent, name in re.findall(
            r"^( *)(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            if name not in sys.stdlib_module_names and name != "pneumo_utils":
                # What comes with an extra may be imported only inside a function that is called for it.
                known = listed | extra | {"google"} if indent else listed  # google.colab is there on Colab
                assert names.get(name, with_others.get(name, name)) in known, f"{path.name} imports {name}"


def test_extras_bring_what_their_hints_say_and_tests_need_them():
    assert EXTRAS["ray"][0].startswith("ray[data]>=") and "pneumo-utils[ray]" in RAY_HINT
    assert "pneumo-utils[course]" in EXTRAS["export"]
    assert "pneumo-utils[course,export,ray,book]" in EXTRAS["dev"]
    assert LITE0_PACKAGE.replace("_", "-") in list_names(EXTRAS["course"])


@pytest.mark.system
def test_models_and_the_mark_of_types_are_part_of_the_package_and_the_tools_are_not():
    # The build takes all of these folders but what git ignores, and nothing beside them.
    assert TOML["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["pneumo_utils"]
    assert ROOT / "pneumo_utils" in WEIGHTS.parents
    mark = ROOT / "pneumo_utils" / "py.typed"  # with it a type checker reads the types of what is installed
    assert mark.read_bytes() == b""
    files = [str(path) for path in (*WEIGHTS.iterdir(), mark)]
    ignored = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, check=False)
    assert {Path(file).suffix for file in files} == {".safetensors", ".json", ".md", ".onnx", ".typed"}
    assert ignored.returncode == 1, ignored.stdout  # none of them

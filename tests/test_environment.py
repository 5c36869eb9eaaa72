"""One list of dependencies, and files that agree with it."""

import re
import sys
import tomllib

import yaml
from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_conda_installs_the_project_itself_and_nothing_that_could_drift():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert packages == {"pip": ["-e .[dev]"]} and pip == "pip"
    version = tuple(map(int, python.removeprefix("python=").split(".")))
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    assert (3, int(low)) <= version < (3, int(high))
    assert "dev" in PROJECT["optional-dependencies"]


def test_every_package_the_mission_names_is_listed():
    listed = {re.split(r"[><=\[]", line)[0] for line in PROJECT["dependencies"]}
    listed |= {re.split(r"[><=\[]", line)[0] for line in PROJECT["optional-dependencies"]["dev"]}
    wanted = "torch torchvision jupyterlab ipywidgets matplotlib seaborn scikit-learn pillow nbval"
    assert set(wanted.split()) <= listed


def test_every_package_that_is_imported_is_listed():
    names = {"sklearn": "scikit-learn", "PIL": "pillow", "IPython": "jupyterlab"}
    with_others = {"scipy": "scikit-learn", "nbformat": "jupyterlab", "nbclient": "jupyterlab"}
    listed = {re.split(r"[><=\[]", line)[0] for line in PROJECT["dependencies"]}
    listed |= {"nbconvert"}  # comes with jupyterlab
    for path in (ROOT / "pneumo_utils").rglob("*.py"):
        for name in re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE):
            if name not in sys.stdlib_module_names and name != "pneumo_utils":
                assert names.get(name, with_others.get(name, name)) in listed, f"{path.name} imports {name}"


def test_the_readme_names_the_two_commands():
    readme = (ROOT / "README.md").read_text()
    assert "make run" in readme and "make test" in readme and "not for diagnosis" in readme

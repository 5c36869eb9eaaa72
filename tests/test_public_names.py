"""Lessons, their solutions and the pages name only what the package has, with arguments that it takes."""

import ast
import importlib
import inspect
import re

import nbformat
import pytest
from conftest import ROOT
from lessons import LESSONS, NOTEBOOKS, list_solutions

PAGES = ("README.md", "CONTRIBUTING.md")


def read_lesson(name: str) -> str:
    """The code of a lesson from its imports on, and the solutions of its exercises after it."""
    lesson = nbformat.read(NOTEBOOKS / name, as_version=4)
    code = [cell.source for cell in lesson.cells if cell.cell_type == "code"]
    return "\n".join(code[1:] + list_solutions(lesson))


def read_page(name: str) -> str:
    """The Python on a page."""
    return "\n".join(re.findall(r"(?s)```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8")))


def list_wrong_names(source: str) -> list[str]:
    """What code asks of `pneumo_utils` and does not get: modules, names in them, and arguments of calls."""
    tree, known, wrong = ast.parse(source), {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pneumo_utils":
            for alias in node.names:
                try:
                    known[alias.asname or alias.name] = import_name(node.module, alias.name)
                except (ImportError, AttributeError):
                    wrong.append(f"from {node.module} import {alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            holder = find(node.value, known)
            if holder is not None and not hasattr(holder, node.attr):
                wrong.append(ast.unparse(node))
        elif isinstance(node, ast.Call) and not takes(find(node.func, known), node):
            wrong.append(ast.unparse(node))
    return wrong


def import_name(module: str, name: str):
    """What `from module import name` gives."""
    found = importlib.import_module(module)
    return getattr(found, name) if hasattr(found, name) else importlib.import_module(f"{module}.{name}")


def find(node, known: dict):
    """The thing of the package that a dotted name leads to; None for anything else."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    holder = find(node.value, known) if isinstance(node, ast.Attribute) else None
    return None if holder is None else getattr(holder, node.attr, None)


def takes(function, call: ast.Call) -> bool:
    """Whether a function takes a call with so many arguments of these names; unpacked ones are not known."""
    if not callable(function):
        return True
    places = [a for a in call.args if not isinstance(a, ast.Starred)]
    names = {keyword.arg: keyword for keyword in call.keywords if keyword.arg is not None}
    is_whole = (len(places), len(names)) == (len(call.args), len(call.keywords))
    signature = inspect.signature(function)
    try:
        (signature.bind if is_whole else signature.bind_partial)(*places, **names)
    except TypeError:
        return False
    return True


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_and_its_solutions_name_what_the_package_has(name):
    source = read_lesson(name)
    assert source.count("pneumo_utils") >= 3
    assert list_wrong_names(source) == []


@pytest.mark.parametrize("name", PAGES)
def test_the_python_of_a_page_names_what_the_package_has(name):
    assert list_wrong_names(read_page(name)) == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("from pneumo_utils.data import made_up", "from pneumo_utils.data import made_up"),
        ("from pneumo_utils.made_up import it", "from pneumo_utils.made_up import it"),
        ("print(config.made_up)", "config.made_up"),
        ("config.made_up(1).more", "config.made_up"),
        ("config.TrainConfig.made_up", "config.TrainConfig.made_up"),
        ("config.TrainConfig(model='m', made_up=1)", "config.TrainConfig(model='m', made_up=1)"),
        ("config.TrainConfig()", "config.TrainConfig()"),
        ("config.TrainConfig(**settings)", None),
        ("super().__init__()", None),
        ("config.is_fast(1)", "config.is_fast(1)"),
        ("choose_data('auto', folders=None)", None),
        ("choose_data('auto', folder=None)", "choose_data('auto', folder=None)"),
    ],
)
def test_the_check_finds_what_is_made_up(line, wrong):
    imports = "from pneumo_utils import config\nfrom pneumo_utils.data.sources import choose_data\n"
    assert list_wrong_names(imports + line) == ([] if wrong is None else [wrong])

"""The rooms of the package: who imports whom, what an answer and the panel load, and how large it may be."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, make_chest_film
from PIL import Image

PACKAGE = ROOT / "pneumo_utils"
ROOMS = ("data", "models", "training", "evaluation", "plots", "report", "audit", "guard", "app", "cli")
"""In the order in which a film passes them; a room imports from those before it."""
FREE = {"config", "errors", "runtime"}
"""Modules that every room may import; `course` may import every room."""
PLOTTERS = {"plots", "audit/findings.py", "report", "cli"}
"""Who may import `plots`: all others work without a figure."""
MAX_FILES, MAX_LINES = 72, 9_700
"""Of the package, docstrings and blank lines included; lower them where that can be done."""
MAX_MODULES_OF_PANEL = 40


def list_modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def list_imports(path: Path) -> set[str]:
    """The modules of the project, and names in them, that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("pneumo_utils", "tools")}


def find_room(module: str) -> str:
    """The room of a dotted name, or the name of a module at the top."""
    return module.split(".")[1] if "." in module else "__init__"


def list_breaches(file: str, imports: set[str]) -> list[str]:
    """What a file of the package imports although its room does not come after the room of that."""
    room = file.split("/")[0]
    allowed = {*ROOMS[: ROOMS.index(room) + 1], *FREE, "__version__"}
    if not PLOTTERS & {room, file}:
        allowed.discard("plots")
    if file == "cli/data.py":
        allowed.add("course")
    return [name for name in sorted(imports) if find_room(name) not in allowed or name.startswith("tools")]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_no_room_after_it(room):
    files = {path.relative_to(PACKAGE).as_posix(): path for path in list_modules(PACKAGE / room)}
    breaches = {file: list_breaches(file, list_imports(path)) for file, path in files.items()}
    assert files and {file: names for file, names in breaches.items() if names} == {}


def test_a_breach_is_found(tmp_path):
    module = tmp_path / "made_up.py"
    late = "def late():\n    from pneumo_utils.training import fit\n"
    module.write_text(f"{late}import tools.ship, numpy, pneumo_utils.config\n", encoding="utf-8")
    imports = list_imports(module)
    assert imports == {"pneumo_utils.training.fit", "tools.ship", "pneumo_utils.config"}
    assert list_breaches("data/made_up.py", imports) == ["pneumo_utils.training.fit", "tools.ship"]
    assert list_breaches("audit/facts.py", {"pneumo_utils.plots.style"}) == ["pneumo_utils.plots.style"]
    assert list_breaches("audit/findings.py", {"pneumo_utils.plots.style"}) == []


def test_these_are_all_rooms_and_what_stands_beside_them_is_free():
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ROOMS)
    beside = {path.stem for path in PACKAGE.glob("*.py")}
    assert beside == FREE | {"course", "exercises", "__init__", "__main__"}
    for name in FREE:
        assert {find_room(module) for module in list_imports(PACKAGE / f"{name}.py")} <= FREE


def test_the_package_stays_small():
    paths = list_modules(PACKAGE)
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
    assert (len(paths) <= MAX_FILES, lines <= MAX_LINES) == (True, True), f"{len(paths)} files, {lines} lines"


def list_loaded(program: str, cwd: Path) -> set[str]:
    """All modules that a program has loaded at its end."""
    program += "\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, encoding="utf-8", check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def list_rooms(loaded: set[str]) -> set[str]:
    return {name.split(".")[1] for name in loaded if name.startswith("pneumo_utils.")}


@pytest.mark.system
def test_an_answer_of_a_model_that_ships_loads_no_torch_and_only_the_rooms_it_needs(tmp_path):
    Image.fromarray(make_chest_film(1)).save(tmp_path / "film.png")
    ask = 'from pneumo_utils.cli import main\nassert main(["inference", "film.png", "--shipped"]) == 0'
    loaded = list_loaded(ask, tmp_path)
    heavy = {
        "torch",
        "torchvision",
        "sklearn",
        "scipy",
        "matplotlib",
        "pandas",
        "jinja2",
        "onnx",
        "timm",
        "tools",
    }
    assert loaded & heavy == set()
    assert list_rooms(loaded) - FREE == {"data", "models", "guard", "app", "cli"}


@pytest.mark.system
def test_importing_the_panel_loads_few_modules_and_nothing_of_training(tmp_path):
    loaded = list_loaded("import pneumo_utils.app.panel", tmp_path)
    own = {name for name in loaded if name.split(".")[0] == "pneumo_utils"}
    assert len(own) <= MAX_MODULES_OF_PANEL, sorted(own)
    assert not {"training", "evaluation", "plots", "report", "audit", "course"} & list_rooms(loaded)
    assert "tools" not in loaded


@pytest.mark.system
def test_importing_the_package_loads_nothing_of_it(tmp_path):
    assert list_rooms(list_loaded("import pneumo_utils", tmp_path)) == set()

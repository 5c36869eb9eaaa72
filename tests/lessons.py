"""What the tests of the lessons share."""

import re
import subprocess
import tomllib
from pathlib import Path

from conftest import PATIENCE_S, ROOT

NOTEBOOKS = ROOT / "notebooks"
LESSONS = tuple(sorted(path.name for path in NOTEBOOKS.glob("0*.ipynb")))
MODELS = ("cnn_baseline", "resnet_finetune")
OPTIONS = ("--nbval-lax", "-x", "-q", "-p", "no:cacheprovider")
OPTIONS += (f"--nbval-cell-timeout={PATIENCE_S}", f"--nbval-kernel-startup-timeout={PATIENCE_S}")
SHORT_MODE = {"PNEUMO_FAST": "1", "PNEUMO_DATA": "synthetic"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ADDRESS = PROJECT["urls"]["Repository"]
"""Of the repository, as https://github.com/OWNER/NAME."""
SETUP = (NOTEBOOKS / "setup_cell.txt").read_text(encoding="utf-8").rstrip()
"""The third cell of every lesson."""


def make_badge(name: str) -> str:
    """The first line of a lesson, which opens it on Colab."""
    site = "https://colab.research.google.com"
    link = f"{site}/github/{ADDRESS.removeprefix('https://github.com/')}/blob/main/notebooks/{name}"
    return f"[![Open in Colab]({site}/assets/colab-badge.svg)]({link})"


def run_notebooks(python: str, paths: list[Path], *, environment: dict[str, str]) -> None:
    """Runs notebooks in order, each in a fresh kernel in its own folder; a failed cell fails the test."""
    words = [python, "-m", "pytest", *OPTIONS, *map(str, paths)]
    done = subprocess.run(words, cwd=paths[0].parent, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def list_missing(home: Path) -> list[str]:
    """What the lessons promise to leave in the project folder `home` and have not left."""
    promised = ["plots/roc.png", "build/results.json"]
    for model in MODELS:
        promised.append(f"checkpoints/best_model_{model}.pth")
        promised += [f"plots/{figure}_{model}.png" for figure in ("history", "confusion")]
        promised += [f"build/history_{model}.{suffix}" for suffix in ("json", "csv")]
    return [name for name in promised if not (home / name).is_file()]


def list_solutions(lesson) -> list[str]:
    """The code of the exercises' solutions, in order; those of the concept questions hold none."""
    text = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    return re.findall(r"(?s)```python\n(.*?)```", text.split("\n## Exercises\n")[-1])


def find_cell(lesson, tag: str):
    """The one code cell with a tag."""
    (cell,) = [cell for cell in lesson.cells if tag in cell.metadata.get("tags", [])]
    return cell


def run_taught(name: str, tag: str, names: dict) -> dict:
    """Executes the cell of a lesson that has the tag on a copy of these names; all names that it leaves."""
    import nbformat

    source = find_cell(nbformat.read(NOTEBOOKS / name, as_version=4), tag).source
    known = dict(names)
    exec(compile(source, f"{name}, {tag}", "exec"), known)
    return known


def write_lesson(folders, name: str, *sources: str, first: str = "# Title") -> Path:
    """A small notebook: one cell of Markdown, then code."""
    import nbformat

    path = folders.root / "notebooks" / name
    path.parent.mkdir(exist_ok=True)
    cells = [nbformat.v4.new_markdown_cell(first), *map(nbformat.v4.new_code_cell, sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path

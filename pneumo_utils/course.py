"""Runs the lessons top to bottom, each in a fresh kernel, and says how far it is."""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from pneumo_utils.config import Folders, default_folders
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.results import format_table, load_results
from pneumo_utils.runtime import require_writable

LISTING_STYLE = "<style>.highlight pre { font-family: monospace; font-size: 13px }</style>"


class LessonRunner(NotebookClient):
    """Executes a notebook and shows each cell as it starts and what it prints as it comes."""

    def announce(self, cell, cell_index: int) -> None:
        """Prints the lesson, the place in it and the first line of the cell."""
        if cell.cell_type == "code" and cell.source.strip():
            first = cell.source.strip().splitlines()[0][:70]
            lesson = self.resources["metadata"]["name"]
            print(f"[{lesson}] cell {cell_index + 1}/{len(self.nb.cells)}: {first}", flush=True)

    def process_message(self, msg, cell, cell_index):
        """Echoes streams, so that progress bars move on the terminal too."""
        if msg["msg_type"] == "stream":
            stream = sys.stderr if msg["content"]["name"] == "stderr" else sys.stdout
            print(msg["content"]["text"], end="", file=stream, flush=True)
        return super().process_message(msg, cell, cell_index)


def list_lessons(folders: Folders) -> list[Path]:
    """The notebooks in their order; a PneumoError where there are none, as outside the project's folder."""
    lessons = sorted((folders.root / "notebooks").glob("0*.ipynb"))
    if not lessons:
        raise PneumoError(f"{folders.root} has no notebooks; run this in the project's folder.")
    return lessons


def run_lesson(path: Path, target: Path) -> None:
    """Executes a notebook; a copy with its outputs goes to `target`, and as HTML beside it.

    A cell that fails is a PneumoError; the copy is written all the same.
    """
    notebook = nbformat.read(path, as_version=4)
    runner = LessonRunner(
        notebook,
        timeout=None,  # a cell may train for hours
        startup_timeout=300,  # a cold disk or a busy machine starts a kernel slowly
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent), "name": path.stem}},
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
    )
    runner.on_cell_start = runner.announce
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        runner.execute()
    except CellExecutionError as error:
        reason = f"{error.ename}: {error.evalue}"
        raise PneumoError(f"{path.name} stopped: {reason}. What was done is in {target}.") from error
    except DeadKernelError as error:
        raise PneumoError(f"{path.name} stopped: its kernel died, perhaps for want of memory.") from error
    finally:
        nbformat.write(notebook, target)
    _write_html(notebook, target.with_suffix(".html"))


def _write_html(notebook, path: Path) -> None:
    """A page for reading; standard error, red bands of progress bars, is taken out of the notebook."""
    from nbconvert import HTMLExporter

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    # With embed_images, nbconvert would close the folded solutions before their content.
    page, _ = HTMLExporter().from_notebook_node(notebook, resources={"metadata": {"name": path.stem}})
    page = page.replace("</head>", f"{LISTING_STYLE}</head>", 1)
    path.write_text(page, encoding="utf-8", newline="\n")


def run_course() -> dict[Path, float]:
    """Runs all lessons and prints the results; returns how long each took, seconds, by its copy."""
    folders, times_s = default_folders(), {}
    require_writable(folders.build, folders.checkpoints, folders.plots)
    for path in list_lessons(folders):
        target, started = folders.build / "notebooks" / path.name, time.perf_counter()
        run_lesson(path, target)
        times_s[target] = time.perf_counter() - started
        print(f"[{path.stem}] done in {times_s[target]:.0f} s\n", flush=True)
    print(format_table(load_results(folders.results)))
    minutes = sum(times_s.values()) / 60
    print(f"\n{len(times_s)} lessons in {minutes:.1f} minutes.")
    print("The executed lessons are in build/notebooks, the figures in plots. Open the course with: make lab")
    return times_s

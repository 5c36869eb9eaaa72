"""Runs the lessons and keeps their outputs in the repository: `python -m tools.store_lessons`."""

import argparse
import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
from PIL import Image

from pneumo_utils import cli
from pneumo_utils.config import Folders, default_folders
from pneumo_utils.course import run_course
from pneumo_utils.evaluation.results import load_results, save_result

STRIP = ["--keep-output", "--keep-count", "--keep-id", "--drop-output-type=stream:stderr"]
"""For nbstripout: outputs stay, what a machine says of itself goes."""


def store_outputs(times_s: dict[Path, float], folders: Folders) -> None:
    """Keeps a run: outputs in `notebooks/`, what was measured in `results/`.

    Args:
        times_s: The executed lessons and how long each took, seconds; this is written into them.
        folders: The project's.
    """
    for path, time_s in times_s.items():
        target = folders.root / "notebooks" / path.name
        notebook = nbformat.read(path, as_version=4)
        minutes = max(1, round(time_s / 60))
        unit = "minute" if minutes == 1 else "minutes"
        words = f"**Time** {minutes} {unit} on {os.cpu_count()} CPU cores, as measured."
        for cell in notebook.cells:
            cell.source = re.sub(r"^\*\*Time\*\* .*$", words, cell.source, flags=re.MULTILINE)
        _shrink_figures(notebook)
        nbformat.write(notebook, target)
        subprocess.run([sys.executable, "-m", "nbstripout", *STRIP, str(target)], check=True)
    for row in load_results(folders.results):
        save_result(row, folders.root / "results" / f"{row['data']}.json")


def _shrink_figures(notebook) -> None:
    """Stores figures once, and with 128 colours, which takes half of the room and looks the same."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            figure = output.get("data", {}).get("image/png")
            if figure is not None:
                output["data"].pop("text/html", None)  # the same figure again, from `plots.style.show_figure`
                picture = Image.open(io.BytesIO(base64.b64decode(figure))).convert("RGB")
                small = io.BytesIO()
                picture.quantize(128, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
                output["data"]["image/png"] = base64.b64encode(small.getvalue()).decode("ascii") + "\n"


def main(words: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="tools.store_lessons", description=__doc__)
    parser.set_defaults(run=lambda arguments: store_outputs(run_course(), default_folders()))
    return cli.run(parser, words)


if __name__ == "__main__":
    sys.exit(main())

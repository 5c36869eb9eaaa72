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
WIDGET = "application/vnd.jupyter.widget-view+json"
FALLBACK = "Run this cell: its buttons, sliders or pictures appear here."
"""Shown where no kernel runs, in place of a widget's Python object with the bytes of its films."""


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
        for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
            if WIDGET in output.get("data", {}):
                output["data"]["text/plain"] = FALLBACK
        nbformat.write(notebook, target)
        subprocess.run([sys.executable, "-m", "nbstripout", *STRIP, str(target)], check=True)
    for row in load_results(folders.results):
        save_result(row, folders.root / "results" / f"{row['data']}.json")


def _shrink_figures(notebook) -> None:
    """Stores figures in true colour, as PNG or, where that is smaller, films mostly, as JPEG.

    Each is kept as a picture, for GitHub, and as WebP in HTML with alt text, for JupyterLab and nbconvert.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            figure = data.pop("image/png", None)
            if figure is not None:
                picture = Image.open(io.BytesIO(base64.b64decode(figure))).convert("RGB")
                png, jpeg = _encode(picture, "PNG", optimize=True), _encode(picture, "JPEG", quality=85)
                kind, small = ("image/png", png) if len(png) <= 1.2 * len(jpeg) else ("image/jpeg", jpeg)
                data[kind] = small + "\n"
                output.metadata[kind] = output.metadata.pop("image/png", {})
                if "text/html" in data:
                    webp = _encode(picture, "WEBP", quality=80, lossless=kind == "image/png")
                    source = f'src="data:image/webp;base64,{webp}"'
                    data["text/html"] = re.sub('src="[^"]*"', source, data["text/html"])


def _encode(picture: Image.Image, form: str, **settings) -> str:
    """Base64 of a picture in a format of Pillow's."""
    stream = io.BytesIO()
    picture.save(stream, form, **settings)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def main(words: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="tools.store_lessons", description=__doc__)
    parser.set_defaults(run=lambda arguments: store_outputs(run_course(), default_folders()))
    return cli.run(parser, words)


if __name__ == "__main__":
    sys.exit(main())

"""What a run of the lessons leaves in the repository: outputs, times, small figures, results."""

import base64
import io
import os

import nbformat
import numpy as np
import pytest
from lessons import write_lesson
from PIL import Image

from pneumo_utils.evaluation.results import load_results, save_result
from tools import store_lessons

DRAW = """import base64, io
from IPython.display import display
from PIL import Image
stream = io.BytesIO()
Image.linear_gradient("L").convert("RGB").save(stream, "PNG")
data = base64.b64encode(stream.getvalue()).decode()
display({"image/png": data, "text/html": "<img>"}, raw=True)"""


@pytest.mark.system
def test_outputs_are_stored_without_stderr_and_figures_once_and_small(folders):
    path = write_lesson(
        folders, "01_a.ipynb", "import sys; print('out'); print('err', file=sys.stderr)", DRAW
    )
    assert store_lessons.main([]) == 0
    text, drawing = (cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    assert [output.name for output in text.outputs] == ["stdout"] and text.execution_count == 1
    (output,) = drawing.outputs
    assert set(output.data) == {"image/png"}
    figure = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    assert len(figure.getcolors()) <= 128
    difference = np.asarray(figure.convert("L")).astype(int) - np.asarray(Image.linear_gradient("L"))
    assert np.abs(difference).max() <= 2  # 256 levels by 128 colours
    page = (folders.build / "notebooks" / "01_a.html").read_text()
    assert "<pre>out\n</pre>" in page and "<pre>err\n</pre>" not in page


@pytest.mark.system
def test_the_measured_time_and_the_results_are_stored(folders):
    path = write_lesson(folders, "01_a.ipynb", "print(1)", first="**Time** {{TIME}}\n\nmore")
    save_result({"model": "m", "split": "test", "data": "synthetic"}, folders.results)
    for time_s, words in ((150.0, "2 minutes"), (20.0, "1 minute")):  # round half to even
        store_lessons.store_outputs({path: time_s}, folders)
        first = nbformat.read(path, as_version=4).cells[0].source
        assert first == f"**Time** {words} on {os.cpu_count()} CPU cores, as measured.\n\nmore"
    kept = load_results(folders.root / "results" / "synthetic.json")
    assert [row["model"] for row in kept] == ["m"]

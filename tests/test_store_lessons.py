"""What a run of the lessons leaves in the repository: outputs, times, small figures, results."""

import base64
import io
import os
import re

import nbformat
import numpy as np
import pytest
from lessons import write_lesson
from nbconvert import HTMLExporter
from PIL import Image

from pneumo_utils.evaluation.results import load_results, save_result
from tools import store_lessons

DRAW = """import base64, io
from IPython.display import display
from PIL import Image
gradient = Image.linear_gradient("L").resize((300, 300))
noise = Image.effect_noise((300, 300), 60)
for picture in (gradient.convert("RGB"), noise.convert("RGB")):
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    html = f'<img alt="a & b" width="200" src="data:image/png;base64,{data}">'
    facts = {"image/png": {"alt": "a & b", "width": 200}}
    display({"image/png": data, "text/html": html}, metadata=facts, raw=True)"""


@pytest.mark.system
def test_outputs_are_stored_without_stderr_and_figures_small_in_true_colour_with_their_alt_text(folders):
    path = write_lesson(
        folders, "01_a.ipynb", "import sys; print('out'); print('err', file=sys.stderr)", DRAW
    )
    assert store_lessons.main([]) == 0
    text, drawing = (cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    assert [output.name for output in text.outputs] == ["stdout"] and text.execution_count == 1
    for kind, output in zip(("image/png", "image/jpeg"), drawing.outputs, strict=True):
        assert set(output.data) == {kind, "text/html"}
        assert output.metadata == {kind: {"alt": "a & b", "width": 200}}
        form = '<img alt="a & b" width="200" src="data:image/webp;base64,([^"]*)">'
        html = re.fullmatch(form, output.data["text/html"])
        for stored in (output.data[kind], html[1]):
            assert Image.open(io.BytesIO(base64.b64decode(stored))).size == (300, 300)
    gradient = Image.open(io.BytesIO(base64.b64decode(drawing.outputs[0].data["image/png"])))
    assert np.array_equal(gradient.convert("L"), Image.linear_gradient("L").resize((300, 300)))
    page = (folders.build / "notebooks" / "01_a.html").read_text(encoding="utf-8")
    assert "<pre>out\n</pre>" in page and "<pre>err\n</pre>" not in page


@pytest.mark.system
def test_in_place_of_a_widget_its_stored_page_asks_to_run_the_cell(folders):
    show = (
        "import ipywidgets\nfrom IPython.display import display\ndisplay(ipywidgets.Image(value=b'pixels'))"
    )
    path = write_lesson(folders, "01_a.ipynb", show)
    assert store_lessons.main([]) == 0
    (output,) = nbformat.read(path, as_version=4).cells[1].outputs
    assert output.data["text/plain"] == store_lessons.FALLBACK and store_lessons.WIDGET in output.data
    page, _ = HTMLExporter().from_filename(str(path))  # as GitHub and readers without a kernel see it
    assert f"<pre>{store_lessons.FALLBACK}</pre>" in page.replace("\n</pre>", "</pre>")
    assert "pixels" not in page.split("<body", 1)[1].split('class="jp-OutputArea', 1)[1]


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

"""The upload panel: uploads as ipywidgets 7 and 8 hold them, its answers, and that it keeps no film."""

import contextlib
import copy
import io
import logging

import ipywidgets
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
import traitlets
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError
from PIL import Image

from pneumo_utils.config import TrainConfig
from pneumo_utils.data.image_io import IMAGE_SUFFIXES
from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.inference import widgets
from pneumo_utils.inference.predictor import Prediction, Predictor
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.registry import build_model

IS_VERSION_8 = not isinstance(ipywidgets.FileUpload().value, dict)
needs_8 = pytest.mark.skipif(not IS_VERSION_8, reason="uploads are simulated as ipywidgets 8 receives them")


class Upload7(ipywidgets.Widget):
    """Stands in for the FileUpload of ipywidgets 7: a dict by file name, rebuilt when a counter moves."""

    metadata = traitlets.List()
    data = traitlets.List()
    _counter = traitlets.Int()
    value = traitlets.Dict(read_only=True)

    @traitlets.observe("_counter")
    def _rebuild(self, _change):
        pairs = zip(self.metadata, self.data, strict=True)
        records = {meta["name"]: {"metadata": meta, "content": content} for meta, content in pairs}
        self.set_trait("value", records)


class RecordingOutput(ipywidgets.Output):
    """An output area that keeps what is printed inside it; without a kernel it would go to stdout."""

    def __enter__(self):
        self.stream = io.StringIO()
        self.redirection = contextlib.redirect_stdout(self.stream)
        self.redirection.__enter__()

    def __exit__(self, *error):
        self.redirection.__exit__(*error)
        self.text = getattr(self, "text", "") + self.stream.getvalue()

    def clear_output(self, *args, **kwargs):
        self.text = ""


def make_png(*, size: int = 160, seed: int = 0) -> bytes:
    """A PNG of grey noise, which the guard lets pass without a warning."""
    pixels = np.random.default_rng(seed).integers(30, 220, (size, size), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def send(upload, *files: tuple[str, bytes]) -> None:
    """Puts files into an upload widget the way the browser's message does; observers fire."""
    if isinstance(upload, Upload7):
        with upload.hold_trait_notifications():
            upload.metadata = [{"name": name, "size": len(content)} for name, content in files]
            upload.data = [content for _, content in files]
            upload._counter += len(files)
        return
    records = [
        {
            "name": name,
            "type": "image/png",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": 0,
        }
        for name, content in files
    ]
    upload.set_state({"error": "", "value": records})


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """An untrained model: what it answers does not matter here."""
    torch.manual_seed(0)
    config = TrainConfig(model="cnn_baseline", image_size=32)
    state = build_model("cnn_baseline").state_dict()
    return Predictor(Checkpoint(config=config, transform=EvalTransform(32), state=state, threshold=0.5))


@pytest.fixture
def shown(monkeypatch) -> list:
    """What was displayed."""
    things = []
    monkeypatch.setattr(widgets, "display", things.append)
    return things


@pytest.fixture(params=[pytest.param("8", marks=needs_8), "7"])
def upload(request):
    """An empty upload widget, of either form."""
    return widgets.make_upload() if request.param == "8" else Upload7()


@pytest.fixture
def build_panel(monkeypatch, upload, shown):
    """Builds a panel around the upload widget; returns its output area."""
    monkeypatch.setattr(widgets, "make_upload", lambda: upload)
    monkeypatch.setattr(widgets.widgets, "Output", RecordingOutput)
    return lambda answerer: widgets.build_upload_panel(answerer).children[2]


def test_the_button_takes_many_files_of_every_format_that_is_read():
    button = widgets.make_upload()
    assert set(button.accept.split(",")) == IMAGE_SUFFIXES
    assert button.multiple


def test_an_empty_upload_reads_as_no_files(upload):
    assert widgets.read_upload(upload) == []


def test_files_are_read_in_their_order_as_bytes(upload):
    send(upload, ("b.png", b"second letter"), ("a.png", b""), ("c.png", b"\x00\xff"))
    files = widgets.read_upload(upload)
    assert files == [("b.png", b"second letter"), ("a.png", b""), ("c.png", b"\x00\xff")]
    assert all(type(content) is bytes for _, content in files)


def test_clearing_takes_the_bytes_out(upload):
    send(upload, ("a.png", b"a patient's film"))
    widgets.clear_upload(upload)
    assert widgets.read_upload(upload) == []
    assert not upload.value and not getattr(upload, "data", None)


def test_the_same_file_can_be_uploaded_again_after_clearing(upload):
    seen = []
    upload.observe(lambda _: seen.append(len(widgets.read_upload(upload))), names="value")
    for _ in range(2):
        send(upload, ("a.png", b"content"))
        widgets.clear_upload(upload)
    assert seen == [1, 0, 1, 0]


def test_the_panel_answers_each_film_inside_its_output(build_panel, upload, predictor, shown, capsys):
    output = build_panel(predictor)
    send(upload, ("second.png", make_png(seed=1)), ("first.png", make_png(seed=2)))
    lines = output.text.splitlines()
    assert [line.split(":")[0] for line in lines] == ["second.png", "first.png"]
    assert all("P(pneumonia) = " in line and "threshold 0.500" in line for line in lines)
    assert [type(thing) for thing in shown] == [plt.Figure, plt.Figure]
    assert capsys.readouterr().out == ""
    assert plt.get_fignums() == []


def test_the_panel_gives_the_predictors_own_answer(build_panel, upload, predictor):
    content = make_png(seed=3)
    output = build_panel(predictor)
    send(upload, ("film.png", content))
    assert output.text.strip() == predictor.predict(content, name="film.png").describe()


def test_the_panel_keeps_no_film(build_panel, upload, predictor):
    build_panel(predictor)
    send(upload, ("a.png", make_png()))
    assert widgets.read_upload(upload) == []


def test_the_film_is_out_of_the_widget_before_the_model_runs(build_panel, upload):
    class Looker:
        def predict(self, content, *, name):
            self.left = widgets.read_upload(upload)
            return Prediction(
                name, "rejected", None, None, 0.5, None, "none", "unknown", [], "No reason.", 0.0
            )

    looker = Looker()
    build_panel(looker)
    send(upload, ("a.png", make_png()))
    assert looker.left == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The file is empty"),
        (b"<!doctype html><html></html>", "This is no JPEG, PNG"),
        (make_png()[:2000], "damaged, cut short"),
    ],
)
def test_what_cannot_be_read_gives_a_sentence(build_panel, upload, predictor, shown, content, reason):
    output = build_panel(predictor)
    send(upload, ("bad.png", content))
    assert output.text.startswith("bad.png: rejected. ")
    assert reason in output.text
    assert shown == []


def test_a_warning_of_the_guard_is_shown(build_panel, upload, predictor):
    output = build_panel(predictor)
    send(upload, ("tiny.png", make_png(size=40)))
    assert "Warning: The image is only 40 x 40 pixels" in output.text


def test_an_error_inside_is_said_and_logged_and_the_panel_lives_on(build_panel, upload, predictor, caplog):
    class Fragile:
        def predict(self, content, *, name):
            if name == "unlucky.png":
                raise RuntimeError("out of memory")
            return predictor.predict(content, name=name)

    output = build_panel(Fragile())
    with caplog.at_level(logging.ERROR):
        send(upload, ("unlucky.png", make_png()), ("lucky.png", make_png()))
    first, second = output.text.splitlines()
    assert first == "unlucky.png: something went wrong inside the program; please try another film."
    assert second.startswith("lucky.png: ") and "P(pneumonia)" in second
    assert "out of memory" in caplog.text and "unlucky.png" in caplog.text
    assert widgets.read_upload(upload) == []
    send(upload, ("later.png", make_png()))
    assert output.text.startswith("later.png: ")


def test_a_new_upload_replaces_the_answers_of_the_last(build_panel, upload, predictor):
    output = build_panel(predictor)
    send(upload, ("old.png", make_png()))
    send(upload, ("new.png", make_png()))
    assert "new.png" in output.text and "old.png" not in output.text


def test_the_panel_says_what_it_is_not_for(predictor):
    notice, button, output = widgets.build_upload_panel(predictor).children
    assert widgets.DISCLAIMER in notice.value and "never for diagnosis" in notice.value
    assert isinstance(button, ipywidgets.FileUpload)
    assert isinstance(output, ipywidgets.Output)


@pytest.mark.parametrize(("probability", "label"), [(0.2, "NORMAL"), (0.9, "PNEUMONIA")])
def test_the_figure_shows_prob_threshold_and_decision(probability, label):
    answer = Prediction("a.png", "ok", label, probability, 0.3, None, "none", "unknown", [], None, 0.0)
    figure = widgets.plot_prediction(make_png(), answer)
    film, bar = figure.axes
    assert film.images[0].get_array().shape == (160, 160)
    assert bar.patches[0].get_width() == probability
    assert list(bar.lines[0].get_xdata()) == [0.3, 0.3]
    assert label in bar.get_title() and f"{probability:.1%}" in bar.get_title()
    plt.close(figure)


IN_A_KERNEL = """
import io
import numpy as np
from PIL import Image
from pneumo_utils.config import TrainConfig
from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.inference import predictor, widgets
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.registry import build_model

config = TrainConfig(model="cnn_baseline", image_size=32)
state = build_model("cnn_baseline").state_dict()
trained = Checkpoint(config=config, transform=EvalTransform(32), state=state, threshold=0.5)
panel = widgets.build_upload_panel(predictor.Predictor(trained))
display(panel)
file = io.BytesIO()
Image.fromarray(np.arange(25600, dtype=np.uint32).reshape(160, 160).astype(np.uint8)).save(file, "PNG")
"""
UPLOAD = """
record = {"type": "image/png", "size": 1, "last_modified": 0}
panel.children[1].set_state({"error": "", "value": [
    record | {"name": "film.png", "content": memoryview(file.getvalue())},
    record | {"name": "page.png", "content": memoryview(b"<html>")},
]})
"""


def execute(notebook, *, attempts: int = 3):
    """Runs a notebook; again where the client, as happens, waits for a reply of a kernel that is idle."""
    for attempt in range(1, attempts + 1):
        fresh = copy.deepcopy(notebook)
        try:
            NotebookClient(fresh, timeout=90, startup_timeout=300, kernel_name="python3").execute()
            return fresh
        except CellTimeoutError:
            if attempt == attempts:
                raise


@needs_8
def test_in_a_kernel_the_answers_land_in_the_output_and_no_film_in_the_notebook():
    cells = [nbformat.v4.new_code_cell(source) for source in (IN_A_KERNEL, UPLOAD)]
    notebook = execute(nbformat.v4.new_notebook(cells=cells))
    (saved,) = notebook.metadata.widgets.values()
    states = saved["state"].values()
    (answers,) = [entry["state"]["outputs"] for entry in states if entry["model_name"] == "OutputModel"]
    text = "".join(part.get("text", "") for part in answers)
    assert text.startswith("film.png: ") and "page.png: rejected." in text
    assert [list(part["data"]) for part in answers if "data" in part] == [["text/plain", "image/png"]]
    (button,) = [entry for entry in states if entry["model_name"] == "FileUploadModel"]
    assert not button["state"].get("value") and not button.get("buffers")
    assert notebook.cells[1].outputs == []

"""Upload buttons, the widgets with a front of their own, and the models and films that the panel offers."""

import sys
import types

import numpy as np
import pytest
from conftest import make_checkpoint, make_folder
from uploading import drop, make_png, read_state, send

from pneumo_utils.app import widgets
from pneumo_utils.app.widgets import DropZone, FilmView, SaveButton, list_models, list_samples
from pneumo_utils.config import DEFAULT_MODEL
from pneumo_utils.data.images import IMAGE_SUFFIXES, load_image
from pneumo_utils.data.sources import DataChoice, load_split
from pneumo_utils.errors import PneumoError
from pneumo_utils.models.checkpoint import save_checkpoint
from pneumo_utils.models.shipped import list_shipped


@pytest.fixture
def upload():
    return widgets.make_upload()


def test_the_button_takes_many_files_of_every_format_that_is_read(upload):
    assert set(upload.accept.split(",")) == IMAGE_SUFFIXES
    assert upload.multiple


def test_an_empty_button_reads_as_no_files(upload):
    assert widgets.read_upload(upload) == []


def test_files_are_read_in_their_order_as_bytes(upload):
    send(upload, ("b.png", b"second letter"), ("a.png", b""), ("c.png", b"\x00\xff"))
    files = widgets.read_upload(upload)
    assert files == [("b.png", b"second letter"), ("a.png", b""), ("c.png", b"\x00\xff")]
    assert all(type(content) is bytes for _, content in files)


def test_clearing_takes_the_bytes_out(upload):
    send(upload, ("a.png", b"a patient's film"))
    assert "patient" in read_state(upload)
    widgets.clear_upload(upload)
    assert widgets.read_upload(upload) == []
    assert "patient" not in read_state(upload)


def test_arrivals_are_told_and_clearing_is_not(upload):
    seen = []

    def look():
        seen.append(widgets.read_upload(upload))
        widgets.clear_upload(upload)

    widgets.observe_upload(upload, look)
    for _ in range(2):  # the same file can come again
        send(upload, ("a.png", b"content"))
    assert seen == [[("a.png", b"content")]] * 2


def test_colabs_files_come_as_names_and_bytes_and_leave_no_copy(tmp_path, monkeypatch):
    assert not widgets.is_colab()
    colab = types.ModuleType("google.colab")

    def upload_files():
        (tmp_path / "film.png").write_bytes(b"content")  # as Colab does, beside what it returns
        return {"film.png": b"content"}

    colab.files = types.SimpleNamespace(upload=upload_files)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.chdir(tmp_path)
    assert widgets.is_colab()
    assert widgets.upload_on_colab() == [("film.png", b"content")]
    assert list(tmp_path.iterdir()) == []


def record(monkeypatch, widget) -> list:
    """What a widget sends from now on, as (message, buffers)."""
    sent = []
    monkeypatch.setattr(
        type(widget), "send", lambda self, content, buffers=None: sent.append((content, buffers))
    )
    return sent


def test_dropped_files_arrive_together_whole_and_in_order(monkeypatch):
    arrived = []
    zone = DropZone(arrived.append)
    sent = record(monkeypatch, zone)
    files = [("b.png", make_png()), ("empty.png", b""), ("a.png", b"x" * 1000)]
    drop(zone, *files)
    assert arrived == [files]
    num_pieces = -(-len(files[0][1]) // 1000) + 1
    # An answer to each message: three files, their pieces, the end.
    assert [message for message, _ in sent] == [{"kind": "next"}] * (3 + num_pieces + 1)


def test_a_drop_that_broke_off_leaves_nothing_behind():
    arrived = []
    zone = DropZone(arrived.append)
    zone._handle_custom_msg({"kind": "file", "name": "half.png", "is_first": True}, [])
    zone._handle_custom_msg({"kind": "piece"}, [memoryview(b"ha")])
    drop(zone, ("whole.png", b"whole"))
    assert arrived == [[("whole.png", b"whole")]]


def test_the_browser_is_answered_even_where_the_films_make_trouble(monkeypatch, caplog):
    def fail(films):
        raise RuntimeError("trouble")

    zone = DropZone(fail)
    sent = record(monkeypatch, zone)
    drop(zone, ("a.png", b"a"))
    assert len(sent) == 3  # a file, a piece and the end: else the page would wait for ever


def test_a_film_is_sent_when_shown_and_again_to_a_page_that_opens_later(monkeypatch):
    view = FilmView()
    sent = record(monkeypatch, view)
    view.show("a.png", b"film", b"map")
    view._handle_custom_msg({"kind": "ready"}, [])
    assert sent == [({"kind": "show", "name": "a.png"}, [b"film", b"map"])] * 2
    view.show("", None)
    assert sent[-1] == ({"kind": "show", "name": ""}, [])


def test_a_file_is_made_when_asked_for_and_a_failure_is_told(monkeypatch):
    made = iter([("out.csv", "text/csv", "é")])  # a second time fails
    button = SaveButton("Save", lambda: next(made))
    sent = record(monkeypatch, button)
    for _ in range(2):
        button._handle_custom_msg({"kind": "save"}, [])
    assert sent[0] == ({"kind": "file", "name": "out.csv", "mime": "text/csv"}, ["é".encode()])
    assert sent[1:] == [({"kind": "failed"}, [])]  # an answer all the same: the page waits for one


def test_no_byte_of_a_film_is_part_of_any_state():
    zone, view = DropZone(lambda films: None), FilmView()
    button = SaveButton("Save", lambda: ("page.html", "text/html", "a patient's film"))
    zone._handle_custom_msg({"kind": "file", "name": "a.png", "is_first": True}, [])
    zone._handle_custom_msg({"kind": "piece"}, [memoryview(b"a patient's film")])
    view.show("a.png", b"a patient's film", b"a patient's film")
    button._handle_custom_msg({"kind": "save"}, [])
    for widget in (zone, view, button):
        assert "patient" not in read_state(widget)


@pytest.mark.parametrize("kind", [DropZone, FilmView, SaveButton])
def test_what_the_browser_needs_is_in_the_package_and_loads_nothing_from_outside(kind):
    for text in (str(kind._esm), str(kind._css)):
        assert text and "http" not in text and "import " not in text
    assert "render" in str(kind._esm)


def test_ones_own_models_come_first(folders):
    shipped = [DEFAULT_MODEL, *(name for name in list_shipped() if name != DEFAULT_MODEL)]
    assert list(list_models(folders)) == shipped
    save_checkpoint(make_checkpoint(threshold=0.123), folders.checkpoint("cnn_baseline"))
    models = list_models(folders)
    assert list(models) == ["cnn_baseline (your own)", *shipped]
    assert models["cnn_baseline (your own)"]().threshold == 0.123
    assert models["cnn_baseline"]().source == "chestxray2017"


def test_a_damaged_model_is_offered_and_says_so_when_chosen(folders):
    path = folders.checkpoint("cnn_baseline")
    path.parent.mkdir()
    path.write_bytes(b"nonsense")
    with pytest.raises(PneumoError, match="cannot be read as a checkpoint"):
        list_models(folders)["cnn_baseline (your own)"]()


def test_samples_are_files_of_validation_films_of_both_classes(folders, tmp_path):
    choice = DataChoice("chestxray2017", make_folder(tmp_path / "films", num_train=40), "")
    samples = list_samples(choice, num_each=2)
    val = load_split(choice, "val", image_size=32, folders=folders)
    assert len(samples) == 4
    for name, path in samples.items():
        (place,) = np.flatnonzero(val.names == path.name)
        label = "PNEUMONIA" if val.labels[place] else "NORMAL"
        assert name == f"{path.name} ({label} in the data set)" and path.parent.name == label
        np.testing.assert_array_equal(load_image(path, image_size=32, preset=val.preset), val.images[place])


def test_without_films_the_samples_are_phantoms_that_are_called_so():
    samples = list_samples(DataChoice("synthetic", None, ""), num_each=1)
    assert list(samples) == ["a drawn phantom 1, NORMAL", "a drawn phantom 1, PNEUMONIA"]
    assert all(load_image(film).shape == (256, 256) for film in samples.values())

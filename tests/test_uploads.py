"""Upload buttons: their files as names and bytes, out again at once; Colab's own dialogue."""

import sys
import types

import pytest
from uploading import read_state, send

from pneumo_utils.app import widgets
from pneumo_utils.data.images import IMAGE_SUFFIXES


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

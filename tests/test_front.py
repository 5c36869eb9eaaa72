"""The widgets with a front of their own: what they make of messages, and that no byte is in their state."""

import pytest
from uploading import drop, make_png, read_state

from pneumo_utils.app import widgets
from pneumo_utils.app.widgets import DropZone, FilmView, SaveButton


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


def test_a_file_is_made_when_asked_for(monkeypatch):
    made = iter([("out.csv", "text/csv", b"1,2"), None])
    button = SaveButton("Save", lambda: next(made))
    sent = record(monkeypatch, button)
    for _ in range(2):
        button._handle_custom_msg({"kind": "save"}, [])
    assert sent == [({"kind": "file", "name": "out.csv", "mime": "text/csv"}, [b"1,2"])]


def test_no_byte_of_a_film_is_part_of_any_state():
    zone, view = DropZone(lambda films: None), FilmView()
    button = SaveButton("Save", lambda: ("page.html", "text/html", b"a patient's film"))
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
    assert widgets.DropZone._esm is not widgets.FilmView._esm

"""Three small widgets of our own: a place to drop films on, a film under its map, a button that saves.

Bytes travel in messages and are never part of a widget's state: whatever a notebook keeps of its widgets,
there is no film in it. And they travel in pieces, so that a server's limit on one message (10 MiB in
Jupyter) does not matter.
"""

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from pneumo_utils.data.image_io import IMAGE_SUFFIXES, MAX_BYTES

_FRONT = Path(__file__).parent / "front"


class DropZone(anywidget.AnyWidget):
    """An area that takes films by drag and drop or by a click.

    Args:
        on_films: Called with (name, content) of each file once all of a drop have arrived.
    """

    _esm = _FRONT / "drop_zone.js"
    _css = _FRONT / "front.css"
    accept = traitlets.Unicode(",".join(sorted(IMAGE_SUFFIXES))).tag(sync=True)
    max_bytes = traitlets.Int(MAX_BYTES).tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    def __init__(self, on_films: Callable[[list[tuple[str, bytes]]], None], **settings):
        super().__init__(**settings)
        self._on_films, self._films = on_films, []
        self.on_msg(self._receive)

    def _receive(self, _widget, message: dict, buffers: list) -> None:
        try:
            if message["kind"] == "file":
                if message["is_first"]:  # an earlier drop may have broken off
                    self._films = []
                self._films.append((str(message["name"]), bytearray()))
            elif message["kind"] == "piece":
                self._films[-1][1].extend(buffers[0])
            else:
                films, self._films = [(name, bytes(content)) for name, content in self._films], []
                self._on_films(films)
        finally:
            self.send({"kind": "next"})  # the browser waits for it, so that pieces do not pile up


class FilmView(anywidget.AnyWidget):
    """A film with its saliency map on top and a slider for the map's opacity."""

    _esm = _FRONT / "film_view.js"
    _css = _FRONT / "front.css"

    def __init__(self, **settings):
        super().__init__(**settings)
        self._shown = ({"kind": "show", "name": ""}, [])
        self.on_msg(lambda _widget, message, _buffers: self.send(*self._shown))  # a view has just appeared

    def show(self, name: str, film: bytes | None, saliency: bytes | None = None) -> None:
        """Shows a film.

        Args:
            name: Its name, for readers who do not see.
            film: The bytes of a JPEG or PNG file; None shows nothing.
            saliency: The bytes of a PNG file with transparency, stretched over the film.
        """
        self._shown = {"kind": "show", "name": name}, [part for part in (film, saliency) if part]
        self.send(*self._shown)


class SaveButton(anywidget.AnyWidget):
    """A button that has the browser save a file which is made when it is pressed.

    Args:
        label: On the button.
        make_file: Gives the file's name, its MIME type and its content; None saves nothing.
    """

    _esm = _FRONT / "save_button.js"
    _css = _FRONT / "front.css"
    label = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    def __init__(self, label: str, make_file: Callable[[], tuple[str, str, bytes] | None], **settings):
        super().__init__(label=label, **settings)
        self._make_file = make_file
        self.on_msg(self._save)

    def _save(self, _widget, _message: dict, _buffers: list) -> None:
        made = self._make_file()
        if made is not None:
            name, mime, content = made
            self.send({"kind": "file", "name": name, "mime": mime}, [content])

"""Widgets for uploads: drop zone, film view, save button, upload button of ipywidgets 7 and 8, samples."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets

from pneumo_utils.config import CLASS_NAMES, DEFAULT_MODEL, MAX_BYTES, Folders
from pneumo_utils.data.images import IMAGE_SUFFIXES
from pneumo_utils.data.sources import DataChoice, list_training_films
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.models.checkpoint import Checkpoint, load_checkpoint
from pneumo_utils.models.registry import MODELS
from pneumo_utils.models.shipped import list_shipped, load_shipped

PHANTOM_SIZE = 256  # pixels
_ACCEPT = ",".join(sorted(IMAGE_SUFFIXES))
_FRONT = Path(__file__).parent / "front"


def _read_front(*names: str) -> str:
    return "".join((_FRONT / name).read_text(encoding="utf-8") for name in names)


class _Front(anywidget.AnyWidget):
    """A widget with a front of its own; the page waits for one answer to each of its messages."""

    _css = _FRONT / "front.css"

    def __init__(self, **settings):
        super().__init__(**settings)
        self.on_msg(self._hear)

    def _hear(self, _widget, message: dict, buffers: list) -> None:
        answer: tuple[dict, list] = {"kind": "failed"}, []
        try:
            answer = self._answer(message, buffers)
        finally:
            self.send(*answer)


class DropZone(_Front):
    """An area for films, dropped or chosen: a drop at once, in pieces, as Jupyter loses large messages."""

    _esm = _read_front("line.js", "drop_zone.js")
    accept = traitlets.Unicode(_ACCEPT).tag(sync=True)
    max_bytes = traitlets.Int(MAX_BYTES).tag(sync=True)

    def __init__(self, on_films: Callable[[list[tuple[str, bytes]]], None], **settings):
        super().__init__(**settings)
        self._on_films = on_films
        self._films: list[tuple[str, bytearray]] = []

    def _answer(self, message: dict, buffers: list) -> tuple[dict, list]:
        if message["kind"] == "file":
            if message["is_first"]:  # an earlier drop may have broken off
                self._films = []
            self._films.append((str(message["name"]), bytearray()))
        elif message["kind"] == "piece":
            self._films[-1][1].extend(buffers[0])
        else:
            films, self._films = [(name, bytes(content)) for name, content in self._films], []
            self._on_films(films)
        return {"kind": "next"}, []


class FilmView(_Front):
    """A film with its saliency map on top and a slider for the map's opacity."""

    _esm = _read_front("film_view.js")
    _shown: tuple[dict, list] = {"kind": "show", "name": ""}, []

    def show(self, name: str, film: bytes | None, saliency: bytes | None = None) -> None:
        """Shows a film, the bytes of a JPEG or PNG file or None, and its map, a PNG, stretched over it."""
        self._shown = {"kind": "show", "name": name}, [part for part in (film, saliency) if part]
        self.send(*self._shown)

    def _answer(self, _message: dict, _buffers: list) -> tuple[dict, list]:
        return self._shown  # a view has just appeared


class SaveButton(_Front):
    """A button that makes a file (name, MIME type, text) and has the browser save it."""

    _esm = _read_front("line.js", "save_button.js")
    label = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    def __init__(self, label: str, make_file: Callable[[], tuple[str, str, str]], **settings):
        super().__init__(label=label, **settings)
        self._make_file = make_file

    def _answer(self, _message: dict, _buffers: list) -> tuple[dict, list]:
        name, mime, text = self._make_file()
        return {"kind": "file", "name": name, "mime": mime}, [text.encode("utf-8", "replace")]


def make_upload() -> widgets.FileUpload:
    """A button that takes one or many image files."""
    return widgets.FileUpload(accept=_ACCEPT, multiple=True, description="Choose films")


def observe_upload(upload: widgets.FileUpload, callback: Callable[[], None]) -> None:
    """Calls back when files have arrived; not when they are taken out again."""
    name = "_counter" if isinstance(upload.value, dict) else "value"
    upload.observe(lambda change: callback() if read_upload(upload) else None, names=name)


def read_upload(upload: widgets.FileUpload) -> list[tuple[str, bytes]]:
    """(name, content) of each file in an upload widget, in the order of the upload.

    Its value is a dict by name in ipywidgets 7 and a tuple of records in ipywidgets 8.
    """
    if isinstance(upload.value, dict):
        return [(name, bytes(record["content"])) for name, record in upload.value.items()]
    return [(record["name"], bytes(record["content"])) for record in upload.value]


def clear_upload(upload: widgets.FileUpload) -> None:
    """Takes the bytes out of the widget, so that no film is saved with a notebook."""
    if isinstance(upload.value, dict):
        with upload.hold_sync():
            upload.metadata, upload.data, upload._counter = [], [], 0
    else:
        upload.value = ()


def is_colab() -> bool:
    return "google.colab" in sys.modules


def upload_on_colab() -> list[tuple[str, bytes]]:
    """(name, content) of each file from Colab's own dialogue, which takes large files; leaves no copies."""
    from google.colab import files

    found = list(files.upload().items())
    for name, _ in found:
        Path(name).unlink(missing_ok=True)
    return found


def list_models(folders: Folders) -> Mapping[str, Callable[[], Checkpoint]]:
    """Models to choose from, each loaded when called: one's own, then those that come with the package."""
    own = {
        f"{name} (your own)": lambda name=name: load_checkpoint(folders.checkpoint(name), model_name=name)
        for name in MODELS
        if folders.checkpoint(name).is_file()
    }
    names = sorted(list_shipped(), key=lambda name: name != DEFAULT_MODEL)  # that first, then by name
    return own | {name: lambda name=name: load_shipped(name) for name in names}


def list_samples(choice: DataChoice, *, num_each: int = 2) -> dict[str, object]:
    """Films to try by name, paths or arrays: `num_each` of each class, validation films or phantoms."""
    if choice.source != "chestxray2017" or choice.folder is None:
        films = make_phantoms(8 * num_each, image_size=PHANTOM_SIZE, split="test")
        return {
            f"a drawn phantom {place + 1}, {name}": films.images[index]
            for label, name in enumerate(CLASS_NAMES)
            for place, index in enumerate(np.flatnonzero(films.labels == label)[:num_each])
        }
    films, patients = list_training_films(choice.folder)
    return {
        f"{film.path.name} ({name} in the data set)": film.path
        for label, name in enumerate(CLASS_NAMES)
        for film in [f for f in films if f.label == label and f.patient in patients][:num_each]
    }

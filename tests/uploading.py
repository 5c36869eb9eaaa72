"""Uploads as a browser sends them, to the upload button of ipywidgets 7 or 8 and to the drop zone."""

import io

import numpy as np
from conftest import make_checkpoint
from PIL import Image

from pneumo_utils.app.reader import FilmReader


def make_png(*, size: int = 160, seed: int = 0) -> bytes:
    """A PNG of grey noise."""
    pixels = np.random.default_rng(seed).integers(30, 220, (size, size), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def read_state(widget) -> str:
    """All that a widget's state holds, as text, its bytes included."""

    def read(value) -> str:
        if isinstance(value, dict):
            return "".join(map(read, (*value.keys(), *value.values())))
        if isinstance(value, list | tuple):
            return "".join(map(read, value))
        return bytes(value).decode("latin1") if isinstance(value, bytes | memoryview) else str(value)

    return read(widget.get_state())


def send(upload, *files: tuple[str, bytes]) -> None:
    """Puts files into an upload button the way the browser's message does; observers fire."""
    if isinstance(upload.value, dict):
        metadata = [
            {"name": name, "type": "image/png", "size": len(content), "lastModified": 0}
            for name, content in files
        ]
        data = [memoryview(content) for _, content in files]
        counter = upload._counter + len(files)
        upload.set_state({"_counter": counter, "error": "", "metadata": metadata, "data": data})
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


def drop(zone, *files: tuple[str, bytes], piece_bytes: int = 1000) -> None:
    """Drops files on a drop zone, in pieces."""
    for place, (name, content) in enumerate(files):
        zone._handle_custom_msg({"kind": "file", "name": name, "is_first": place == 0}, [])
        for start in range(0, len(content), piece_bytes):
            piece = memoryview(content[start : start + piece_bytes])
            zone._handle_custom_msg({"kind": "piece"}, [piece])
    zone._handle_custom_msg({"kind": "end"}, [])


def make_reader(**settings) -> FilmReader:
    """Two untrained models, "first" and "second"; as models of phantoms they take any picture for a film."""
    common = {"source": "synthetic", "screening_threshold": 0.25, "refer_limits": (0.4, 0.45)}
    models = {
        name: lambda seed=seed: make_checkpoint(seed=seed, **common)
        for seed, name in enumerate(("first", "second"))
    }
    return FilmReader(models, **settings)

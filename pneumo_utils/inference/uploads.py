"""Ways in which files reach a kernel: ipywidgets' upload button of versions 7 and 8, and Colab's own."""

import sys
from pathlib import Path

import ipywidgets as widgets

from pneumo_utils.data.image_io import IMAGE_SUFFIXES


def make_upload() -> widgets.FileUpload:
    """A button that takes one or many image files."""
    return widgets.FileUpload(
        accept=",".join(sorted(IMAGE_SUFFIXES)), multiple=True, description="Choose films"
    )


def observe_upload(upload: widgets.FileUpload, callback) -> None:
    """Calls back, without arguments, when files have arrived; not when they are taken out again."""
    name = "_counter" if isinstance(upload.value, dict) else "value"
    upload.observe(lambda change: callback() if read_upload(upload) else None, names=name)


def read_upload(upload: widgets.FileUpload) -> list[tuple[str, bytes]]:
    """The files in an upload widget, as names and bytes.

    Args:
        upload: Of ipywidgets 7, whose value is a dict by name, or 8, whose value is a tuple of records.

    Returns:
        One (name, content) a file, in the order of the upload.
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
    """Whether this runs on Google Colab."""
    return "google.colab" in sys.modules


def upload_on_colab() -> list[tuple[str, bytes]]:
    """Colab's own dialogue, through which large files arrive that its upload widget loses.

    Returns:
        One (name, content) a file; the copies that Colab leaves on its disk are removed.
    """
    from google.colab import files

    found = list(files.upload().items())
    for name, _ in found:
        Path(name).unlink(missing_ok=True)
    return found

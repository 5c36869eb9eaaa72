"""Jupyter's side: a server extension that keeps films out of notebooks, and the panel as a page."""

import os
import sys
from pathlib import Path

from pneumo_utils.config import Folders, default_folders
from pneumo_utils.data.formats import MAX_BYTES
from pneumo_utils.data.sources import choose_data
from pneumo_utils.errors import UsageError

MAX_MESSAGE_BYTES = 2 * MAX_BYTES
"""An upload button sends a file as one message; in base64 it is a third longer."""
_LIMIT = "websocket_max_message_size"


def drop_widget_state(model: dict, **_) -> None:
    """Takes the state of widgets out of a notebook of the course that is about to be saved.

    Whatever the reader's own settings say; notebooks that do not use `pneumo_utils` stay as they are.

    Args:
        model: Of Jupyter's contents API.
    """
    content = model.get("content")
    if model["type"] != "notebook" or not content:
        return
    if any("pneumo_utils" in cell["source"] for cell in content["cells"] if cell["cell_type"] == "code"):
        content["metadata"].pop("widgets", None)


def let_large_films_through(settings: dict) -> None:
    """Lifts a server's limit on one message to `MAX_MESSAGE_BYTES`.

    Tornado's own limit is 10 MiB, beyond which the connection ends without a word.

    Args:
        settings: Of the server's Tornado application; a limit that is higher already stays.
    """
    settings[_LIMIT] = max(MAX_MESSAGE_BYTES, settings.get(_LIMIT, 0))


def _jupyter_server_extension_points() -> list[dict]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server) -> None:
    server.contents_manager.register_pre_save_hook(drop_widget_state)
    let_large_films_through(server.web_app.settings)


CELL = """from IPython.display import display
from pneumo_utils.app.jupyter import build_app_panel
display(build_app_panel().box)"""


def build_app_panel(folders: Folders | None = None):
    """The panel with all models and a few samples.

    Args:
        folders: Where films and checkpoints lie; the project's own if None.

    Returns:
        A `FilmPanel`.
    """
    from pneumo_utils.app.panel import FilmPanel
    from pneumo_utils.app.reader import FilmReader
    from pneumo_utils.app.widgets import list_models, list_samples

    folders = folders or default_folders()
    has_films = (folders.data / "chest_xray").is_dir() or os.environ.get("PNEUMO_DATA")
    choice = choose_data("auto" if has_films else "synthetic", folders=folders)  # an app downloads nothing
    return FilmPanel(FilmReader(list_models(folders)), samples=list_samples(choice))


def write_app_notebook(folder: Path) -> Path:
    """Writes the notebook that Voila shows; returns its path."""
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL, id="panel")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "read_films.ipynb"
    nbformat.write(notebook, path)
    return path


def make_server_command(notebook: Path, *, port: int, open_browser: bool) -> list[str]:
    """The words that start Voila for this computer alone.

    Args:
        notebook: From `write_app_notebook`.
        port: 1 to 65535.
        open_browser: Whether to open the page.
    """
    limits = {}
    let_large_films_through(limits)
    words = [sys.executable, "-m", "voila", str(notebook), f"--port={port}", "--Voila.ip=127.0.0.1"]
    words += [f"--Voila.tornado_settings={limits}", "--theme=light"]
    return words if open_browser else [*words, "--no-browser"]


def serve(*, port: int, open_browser: bool) -> None:
    """Serves the panel until it is stopped; this process becomes the server.

    Raises:
        UsageError: Voila is not installed.
    """
    from importlib.util import find_spec

    if find_spec("voila") is None:
        raise UsageError('The page needs Voila; expected it to be installed: pip install "voila>=0.5".')
    notebook = write_app_notebook(default_folders().build / "app")
    words = make_server_command(notebook, port=port, open_browser=open_browser)
    os.execv(words[0], words)

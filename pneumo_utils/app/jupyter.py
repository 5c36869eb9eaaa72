"""Jupyter's side: a server extension that keeps films out of notebooks, and the panel as a page.

Every Jupyter server of the environment imports this module, so what is heavy is imported where it is used.
"""

import os
import sys

from pneumo_utils.config import MAX_BYTES, Folders, default_folders
from pneumo_utils.errors import UsageError

MAX_MESSAGE_BYTES = 2 * MAX_BYTES  # an upload button sends a file as one message, in base64
_LIMIT = "websocket_max_message_size"


def drop_widget_state(model: dict, **_) -> None:
    """Takes the state of widgets out of a notebook that uses `pneumo_utils` and is about to be saved."""
    content = model.get("content")
    if model["type"] != "notebook" or not content:
        return
    if any("pneumo_utils" in cell["source"] for cell in content["cells"] if cell["cell_type"] == "code"):
        content["metadata"].pop("widgets", None)


def let_large_films_through(settings: dict) -> None:
    """Lifts Tornado's limit on a message, 10 MiB, beyond which the connection ends without a word."""
    settings[_LIMIT] = max(MAX_MESSAGE_BYTES, settings.get(_LIMIT, 0))


def _jupyter_server_extension_points() -> list[dict]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server) -> None:
    server.contents_manager.register_pre_save_hook(drop_widget_state)
    let_large_films_through(server.web_app.settings)


def build_app_panel(folders: Folders | None = None):
    """The panel with all models and a few samples, a `FilmPanel`, over the project's own folders if None."""
    from pneumo_utils.app.panel import FilmPanel
    from pneumo_utils.app.reader import FilmReader
    from pneumo_utils.app.widgets import list_models, list_samples
    from pneumo_utils.data.sources import choose_data

    folders = folders or default_folders()
    has_films = (folders.data / "chest_xray").is_dir() or os.environ.get("PNEUMO_DATA")
    choice = choose_data("auto" if has_films else "synthetic", folders=folders)  # an app downloads nothing
    return FilmPanel(FilmReader(list_models(folders)), samples=list_samples(choice))


CELL = """from IPython.display import display
from pneumo_utils.app.jupyter import build_app_panel
display(build_app_panel().box)"""


def serve(*, port: int, open_browser: bool) -> None:
    """Serves the panel on this computer alone until it is stopped; this process becomes Voila or waits."""
    import subprocess
    from importlib.util import find_spec

    import nbformat

    if find_spec("voila") is None:
        raise UsageError('The page needs Voila; expected it to be installed: pip install "voila>=0.5".')
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL, id="panel")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = default_folders().build / "app" / "read_films.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    limits: dict = {}
    let_large_films_through(limits)
    words = [sys.executable, "-m", "voila", str(path), f"--port={port}", "--Voila.ip=127.0.0.1"]
    words += [f"--Voila.tornado_settings={limits}", "--theme=light"]
    words += [] if open_browser else ["--no-browser"]
    if sys.platform == "win32":  # there execv does not wait, and cuts words at their spaces
        sys.exit(subprocess.call(words))
    os.execv(words[0], words)

"""What Jupyter servers of this environment do for the course once the package is installed.

`pneumo_utils.json` beside this file is installed into `etc/jupyter/jupyter_server_config.d`, where servers
find which extensions to load.
"""

from pneumo_utils.data.limits import MAX_BYTES

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

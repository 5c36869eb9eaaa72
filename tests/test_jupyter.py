"""What the course asks of a Jupyter server: no state of widgets in its notebooks, large films let in."""

import json
import subprocess
import sys
from importlib.metadata import distribution

import nbformat
import pytest

from pneumo_utils.app.jupyter import drop_widget_state, let_large_films_through
from pneumo_utils.data.images import MAX_BYTES


def make_model(*sources: str) -> dict:
    """A notebook with a film in its widgets' state, as Jupyter's contents API hands it over."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    metadata = {"widgets": {"state": "a film"}, "title": "05"}
    return {"type": "notebook", "content": nbformat.v4.new_notebook(cells=cells, metadata=metadata)}


def test_a_notebook_of_the_course_is_saved_without_the_state_of_widgets():
    model = make_model("import sys", "from pneumo_utils import config")
    drop_widget_state(model, path="05.ipynb", contents_manager=None)
    assert model["content"]["metadata"] == {"title": "05"}


def test_other_notebooks_stay_as_they_are():
    model = make_model("import sys")
    model["content"]["cells"].append(nbformat.v4.new_markdown_cell("`pneumo_utils` is good"))
    before = json.dumps(model)
    drop_widget_state(model, path="mine.ipynb", contents_manager=None)
    assert json.dumps(model) == before


@pytest.mark.parametrize("model", [{"type": "file", "content": "pneumo_utils"}, {"type": "notebook"}])
def test_what_is_no_notebook_is_left_alone(model):
    before = dict(model)
    drop_widget_state(model)
    assert model == before


def test_the_limit_on_a_message_is_lifted_and_never_lowered():
    settings = {"debug": True}
    let_large_films_through(settings)
    limit = settings["websocket_max_message_size"]
    assert settings["debug"] and limit >= MAX_BYTES * 4 / 3  # as long as the largest film in base64
    settings = {"websocket_max_message_size": limit + 1}
    let_large_films_through(settings)
    assert settings == {"websocket_max_message_size": limit + 1}


def test_the_package_is_installed_with_the_file_that_servers_look_for():
    files = [file for file in distribution("pneumo-utils").files if file.name == "pneumo_utils.json"]
    assert any("etc/jupyter/jupyter_server_config.d" in file.as_posix() for file in files)
    installed = json.loads(files[0].read_text(encoding="utf-8"))
    assert installed["ServerApp"]["jpserver_extensions"] == {"pneumo_utils.app.jupyter": True}


@pytest.mark.system
def test_a_server_that_starts_imports_next_to_nothing_of_the_course():
    program = """if True:
        import sys
        before = set(sys.modules)
        import pneumo_utils.app.jupyter
        print(*(name for name in set(sys.modules) - before if name.startswith(("pneumo_utils", "numpy"))))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    parts = ("", ".app", ".app.jupyter", ".config", ".errors")
    assert set(done.stdout.split()) == {f"pneumo_utils{part}" for part in parts}

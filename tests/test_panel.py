"""The upload panel: every way in, every choice, what is shown, and that it lives on and keeps no film."""

import csv
import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest
from conftest import COLAB_WIDGETS, ROOT, make_film
from PIL import Image
from uploading import drop, make_png, make_reader, read_state, send

from pneumo_utils.app import panel as panel_controls
from pneumo_utils.app import widgets
from pneumo_utils.app.cards import DISCLAIMER
from pneumo_utils.app.panel import INSIDE_ERROR, OWN_POINT, FilmPanel
from pneumo_utils.errors import UsageError


@pytest.fixture
def panel():
    return FilmPanel(make_reader(), samples={"a drawing": make_film(5, shape=(200, 200))})


@pytest.fixture
def controls(panel):
    return panel.controls


def get_names(panel) -> list[str]:
    return [reading.name for reading in panel.reader.readings]


def is_shown(part) -> bool:
    return part.layout.display != "none"


# --- ways in ------------------------------------------------------------------------------------------------


def test_an_empty_panel_says_what_it_is_not_for_and_shows_no_answer(panel, controls):
    assert DISCLAIMER in panel.box.children[0].value
    assert not is_shown(controls.answers) and controls.status.value == ""
    assert controls.progress.layout.visibility == "hidden"


def test_an_uploaded_film_is_answered_and_taken_out_of_the_button(panel, controls):
    content = make_png(seed=3)
    send(controls.upload, ("film.png", content))
    assert get_names(panel) == ["film.png"]
    expected = panel.reader.predictor.predict(content, name="film.png")
    assert f"<b>{expected.probability:.1%}</b>" in controls.card.value
    assert is_shown(controls.answers) and not is_shown(controls.table) and not is_shown(controls.chosen)
    assert widgets.read_upload(controls.upload) == []


def test_the_film_is_out_of_the_button_before_the_model_runs(panel, controls, monkeypatch):
    left = []
    inner = panel.reader.read
    monkeypatch.setattr(
        panel.reader, "read", lambda *film: left.append(widgets.read_upload(controls.upload)) or inner(*film)
    )
    send(controls.upload, ("a.png", make_png()))
    assert left == [[]]


def test_several_dropped_films_get_a_table_and_can_be_looked_at(panel, controls):
    films = [("b.png", make_png(seed=1)), ("page.png", b"<html>"), ("a.png", make_png(seed=2))]
    drop(controls.drop_zone, *films)
    assert get_names(panel) == ["b.png", "page.png", "a.png"]
    assert is_shown(controls.table) and is_shown(controls.chosen)
    assert [controls.table.value.count(f"{n}. ") for n in (1, 2, 3)] == [1, 1, 1]
    assert controls.chosen.value == 0 and "b.png" in controls.card.value
    controls.chosen.value = 1
    assert "page.png" in controls.card.value and "Rejected" in controls.card.value


def test_later_films_are_added_and_the_first_of_them_is_shown(panel, controls):
    drop(controls.drop_zone, ("a.png", make_png(seed=1)))
    drop(controls.drop_zone, ("a.png", make_png(seed=2)), ("c.png", make_png(seed=3)))
    assert get_names(panel) == ["a.png", "a.png", "c.png"] and controls.chosen.value == 1


def test_a_path_names_a_film_or_a_folder(panel, controls, tmp_path):
    for name in ("b.png", "a.png"):
        (tmp_path / name).write_bytes(make_png())
    controls.path.value = f"  {tmp_path / 'b.png'} "
    controls.read_path.click()
    controls.path.value = f'"{tmp_path}"'  # as Windows copies it
    controls.read_path.click()
    assert get_names(panel) == ["b.png", "a.png", "b.png"]


@pytest.mark.parametrize(("text", "reason"), [("", "No path was given"), ("/no/where.png", "is not there")])
def test_a_path_that_leads_nowhere_gives_a_sentence(panel, controls, text, reason):
    controls.path.value = text
    controls.read_path.click()
    assert reason in controls.status.value and get_names(panel) == []


def test_of_a_large_folder_the_first_films_are_read_and_that_is_said(tmp_path):
    panel = FilmPanel(make_reader(max_films=2))
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(make_png())
    panel.controls.path.value = str(tmp_path)
    panel.controls.read_path.click()
    assert get_names(panel) == ["a.png", "b.png"]
    assert "The first 2 of 3 files" in panel.controls.status.value


def test_a_sample_can_be_taken_again_and_again(panel, controls):
    for _ in range(2):
        controls.sample.value = "a drawing"
    assert get_names(panel) == ["a drawing"] * 2 and controls.sample.index == 0  # "or a sample ..."


def test_no_list_is_shown_empty(controls):
    """A value of None would leave the index to chance: `ipywidgets` takes None for "nothing chosen"."""
    assert controls.sample.value is not None and controls.sample.index == 0


def test_without_samples_there_is_nothing_to_choose_them_with():
    panel = FilmPanel(make_reader())
    assert panel.controls.sample not in panel.box.children[2].children


def test_colabs_upload_is_offered_on_colab_alone(monkeypatch, controls, panel):
    assert controls.colab not in panel.box.children[2].children
    monkeypatch.setattr(panel_controls.uploads, "is_colab", lambda: True)
    monkeypatch.setattr(widgets, "upload_on_colab", lambda: [("film.png", make_png())])
    on_colab = FilmPanel(make_reader())
    assert on_colab.controls.colab in on_colab.box.children[2].children
    on_colab.controls.colab.click()
    assert get_names(on_colab) == ["film.png"]


# --- choices ------------------------------------------------------------------------------------------------


def test_the_slider_decides_anew_and_the_points_move_it(panel, controls):
    drop(controls.drop_zone, ("a.png", make_png(seed=1)), ("b.png", make_png(seed=2)))
    probs = [reading.prediction.probability for reading in panel.reader.readings]
    assert (controls.point.value, controls.threshold.value) == ("balanced", 0.5)
    controls.threshold.value = 0.123
    assert controls.point.value == OWN_POINT
    assert [r.prediction.threshold for r in panel.reader.readings] == [0.123] * 2
    assert "the threshold of 12.3%" in controls.card.value
    controls.point.value = "screening"
    assert controls.threshold.value == 0.25 and panel.reader.threshold == 0.25
    controls.point.value = OWN_POINT
    assert panel.reader.threshold == 0.25  # nothing to move to
    assert [reading.prediction.probability for reading in panel.reader.readings] == probs


def test_another_model_answers_for_all_films_and_the_shown_one_stays(panel, controls):
    drop(controls.drop_zone, ("a.png", make_png(seed=1)), ("b.png", make_png(seed=2)))
    controls.chosen.value = 1
    controls.threshold.value = 0.9
    before = [reading.prediction.probability for reading in panel.reader.readings]
    controls.model.value = "second"
    after = [reading.prediction.probability for reading in panel.reader.readings]
    assert panel.reader.model_name == "second" and before != after
    assert controls.chosen.value == 1 and f"<b>{after[1]:.1%}</b>" in controls.card.value
    assert (controls.point.value, controls.threshold.value) == ("balanced", 0.5)


def test_a_model_that_cannot_be_loaded_gives_a_sentence_and_the_old_one_stays(panel, controls):
    def fail():
        raise UsageError("It needs a package that is not installed.")

    panel.reader.models["second"] = fail
    controls.model.value = "second"
    assert "It needs a package" in controls.status.value
    assert controls.model.value == "first" == panel.reader.model_name
    send(controls.upload, ("a.png", make_png()))
    assert get_names(panel) == ["a.png"] and controls.status.value == ""


def test_clear_lets_all_films_go(panel, controls):
    drop(controls.drop_zone, ("a.png", make_png()))
    controls.clear.click()
    assert get_names(panel) == [] and not is_shown(controls.answers)
    assert controls.card.value == "" and "a.png" not in controls.table.value


# --- while it works, and when it fails ----------------------------------------------------------------------


def test_controls_are_off_and_progress_shows_while_it_works(panel, controls, monkeypatch):
    seen = []
    inner = panel.reader.read

    def read(*film):
        off = [controls.upload, controls.sample, controls.model, controls.threshold, controls.clear]
        seen.append((all(part.disabled for part in off), controls.progress.value, controls.progress.max))
        assert controls.progress.layout.visibility == "visible"
        return inner(*film)

    monkeypatch.setattr(panel.reader, "read", read)
    drop(controls.drop_zone, ("a.png", make_png()), ("b.png", b""), ("c.png", make_png()))
    assert seen == [(True, 0, 3), (True, 1, 3), (True, 2, 3)]
    assert not any(part.disabled for part in (controls.upload, controls.sample, controls.model))
    assert controls.progress.layout.visibility == "hidden"


def test_what_comes_from_another_thread_while_it_works_is_taken_afterwards(panel, controls, monkeypatch):
    """In JupyterLab a cell may give films while someone drops others: widgets have a thread of their own."""
    is_coming, inner = Event(), panel.reader.read

    def come():
        is_coming.set()
        drop(controls.drop_zone, ("dropped.png", make_png(seed=2)))

    other = Thread(target=come)

    def read(*film):
        if not is_coming.is_set():
            other.start()
            is_coming.wait()
        return inner(*film)

    monkeypatch.setattr(panel.reader, "read", read)
    panel.take_films([(f"{name}.png", make_png(seed=1)) for name in "abc"])
    other.join()
    assert get_names(panel) == ["a.png", "b.png", "c.png", "dropped.png"] and not controls.upload.disabled


def test_a_film_that_fails_inside_is_said_and_logged_and_the_others_are_answered(
    panel, controls, monkeypatch, caplog, capsys
):
    inner = panel.reader.read

    def read(name, source):
        if name == "<b>unlucky.png":
            raise RuntimeError("out of memory")
        return inner(name, source)

    monkeypatch.setattr(panel.reader, "read", read)
    with caplog.at_level(logging.ERROR):
        send(controls.upload, ("<b>unlucky.png", make_png()), ("lucky.png", make_png()))
    assert f"&lt;b&gt;unlucky.png: {INSIDE_ERROR}" in controls.status.value
    assert get_names(panel) == ["lucky.png"] and "lucky.png" in controls.card.value
    assert "out of memory" in caplog.text
    assert widgets.read_upload(controls.upload) == []
    send(controls.upload, ("later.png", make_png()))
    assert get_names(panel) == ["lucky.png", "later.png"] and controls.status.value == ""
    assert capsys.readouterr().out == ""


def test_a_failure_of_the_panel_itself_leaves_it_alive(panel, controls, monkeypatch, caplog):
    def fail(reading):
        raise RuntimeError("no map")

    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
        broken.setattr(panel.reader, "explain", fail)
        send(controls.upload, ("a.png", make_png()))
    assert "Something went wrong" in controls.status.value and "no map" in caplog.text
    assert not controls.upload.disabled
    send(controls.upload, ("b.png", make_png()))
    assert controls.status.value == "" and get_names(panel)[-1] == "b.png"


# --- what is kept and saved ---------------------------------------------------------------------------------


def test_no_widget_holds_a_byte_of_a_film(panel, controls):
    content = make_png(size=320) + b"a patient's film"  # what comes after the end of a PNG is not read
    drop(controls.drop_zone, ("a.png", content))
    send(controls.upload, ("b.png", content))
    controls.chosen.value = 1
    panel._make_page_file()
    states = {name: read_state(part) for name, part in vars(controls).items() if hasattr(part, "get_state")}
    assert {"card", "table", "film_view", "drop_zone", "upload"} <= set(states)
    for name, state in states.items():
        assert "patient" not in state and "base64" not in state, name
        assert len(state) < 20_000, name  # 320 x 320 pixels of noise are 100,000 bytes


def test_the_table_and_the_page_can_be_saved(panel, controls):
    drop(controls.drop_zone, ("a.film.png", make_png(seed=1)), ("page", b"<html>"))
    name, mime, content = panel._make_table_file()
    rows = list(csv.DictReader(io.StringIO(content)))
    assert (name, mime) == ("answers.csv", "text/csv") and [r["path"] for r in rows] == ["a.film.png", "page"]
    name, mime, content = panel._make_page_file()
    assert (name, mime) == ("a.film.html", "text/html") and content.count("data:image/jpeg") == 2
    controls.chosen.value = 1
    name, _, content = panel._make_page_file()
    assert name == "page.html" and "Rejected" in content


def test_the_shown_film_and_its_map_are_sent_to_the_browser(panel, controls, monkeypatch):
    shown = []
    monkeypatch.setattr(type(controls.film_view), "show", lambda self, *parts: shown.append(parts))
    drop(controls.drop_zone, ("a.png", make_png()))
    assert [name for name, *_ in shown] == ["a.png", "a.png"]  # at once, and again with its map
    (_, film), (_, same, saliency) = shown
    assert film == same and Image.open(io.BytesIO(film)).size == (160, 160)
    assert Image.open(io.BytesIO(saliency)).size == (32, 32)
    controls.threshold.value = 0.9
    assert len(shown) == 3  # the map is there already


# --- around it ----------------------------------------------------------------------------------------------


@pytest.mark.system
def test_panel_and_widgets_work_under_colabs_ipywidgets_as_well(colab_widgets):
    environment = os.environ | {"PYTHONPATH": str(colab_widgets)}
    words = [sys.executable, "-W", "ignore::DeprecationWarning"]
    ask = [*words, "-c", "import ipywidgets; print(ipywidgets.__version__)"]
    shown = subprocess.run(ask, env=environment, capture_output=True, encoding="utf-8")
    assert shown.stdout.strip() == COLAB_WIDGETS
    paths = [str(Path(__file__).parent / name) for name in ("test_widgets.py", "test_panel.py")]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:warnings", "-m", "not system"]
    done = subprocess.run(
        [*words, "-m", "pytest", *options, *paths],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-5000:]

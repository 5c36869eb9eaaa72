"""The lines that lesson 05 writes itself: an answer, an upload, a reader's calls, the interval of a score."""

import html
import math
from dataclasses import replace
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
import torch
from conftest import make_lively_checkpoint
from IPython.display import Markdown
from lessons import run_taught
from statsmodels.stats.proportion import proportion_confint
from uploading import make_png, read_state, send

from pneumo_utils import config
from pneumo_utils.app import predictor, reader, widgets
from pneumo_utils.config import EvalTransform
from pneumo_utils.data import images
from pneumo_utils.data.synthetic import make_phantoms

LESSON = "05_interactive_inference.ipynb"
MODULES = {"config": config, "images": images, "math": math, "np": np, "reader": reader, "torch": torch}


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("preset", config.PRESETS)
def test_six_steps_give_the_answer_of_the_predictor(preset, flip):
    """Phantoms of 48 px for a network of 32: they are read, squashed, normalised and judged."""
    settings = {"transform": EvalTransform(32, name=preset), "flip_average": flip, "temperature": 1.7}
    films = make_phantoms(8, image_size=48).images
    trained = make_lively_checkpoint(source="synthetic", **settings)
    found = [predictor.Predictor(trained).predict(film).probability for film in films]
    trained = replace(trained, threshold=float(np.median(found)))  # so that either word is said
    names = MODULES | {"trained": trained, "network": trained.build_model()}
    answer = run_taught(LESSON, "taught-answer", names)["answer"]

    package = predictor.Predictor(trained)
    for film in films:
        expected = package.predict(film)
        label, probability = answer(film)
        assert label == expected.label and abs(probability - expected.probability) < 1e-6
    assert {answer(film)[0] for film in films} == set(config.CLASS_NAMES)


def upload_in_the_lesson(*files: tuple[str, bytes]):
    """Puts files into the lesson's button; what the package answers, the board and the button."""
    answerer = predictor.Predictor(make_lively_checkpoint(source="synthetic"))
    names = {"widgets": ipywidgets, "uploads": widgets, "html": html, "answerer": answerer}
    left = run_taught(LESSON, "taught-upload", names | {"display": lambda box: None})
    assert left["board"].value == "No film yet."
    send(left["upload"], *files)
    return answerer, left["board"].value, left["upload"]


def test_an_upload_is_answered_below_the_button_and_taken_out_of_it():
    files = [("one.png", make_png(seed=1)), ("two.png", make_png(seed=2)), ("saved.jpeg", b"<html></html>")]
    answerer, board, upload = upload_in_the_lesson(*files)
    lines = [html.unescape(line) for line in board.split("<br>")]
    assert lines == [answerer.predict(content, name=name).describe() for name, content in files]
    assert "P(pneumonia) = " in lines[0] and "saved.jpeg: rejected." in lines[2]
    assert widgets.read_upload(upload) == [] and "<html>" not in read_state(upload)


def test_the_name_of_an_upload_is_text():
    _, board, _ = upload_in_the_lesson(("<img src=x onerror=alert(1)>.png", make_png()))
    assert "<img" not in board and "&lt;img src=x" in board


def read_films(presses: list[int], labels: list[int]) -> dict:
    """The reading of section 5 with buttons pressed in turn, 0 for NORMAL; what its cell leaves."""
    films = make_phantoms(8, image_size=32).images
    boxes = []
    names = MODULES | {
        "widgets": ipywidgets,
        "display": boxes.append,
        "find_file": lambda index: films[index],
    }
    names |= {"quiz": np.arange(len(labels)), "warm_up": np.array([0])}
    names |= {"val": SimpleNamespace(labels=np.array(labels))}
    left = run_taught(LESSON, "taught-reading", names)
    row = boxes[0].children[1].children
    assert [button.description for button in row] == list(config.CLASS_NAMES)
    for label in presses:
        row[label].click()
    return left


def test_each_press_is_a_call_and_shows_the_next_film_until_all_are_read():
    left = read_films([], [0, 1, 1])
    assert left["calls"] == [] and left["note"].value == "0 of 3 films read"
    first = left["shown"].value
    left = read_films([1], [0, 1, 1])
    assert left["shown"].value not in (first, b"") and left["note"].value == "1 of 3 films read"
    left = read_films([1, 1, 0, 1, 0], [0, 1, 1])  # two presses too many
    assert left["calls"] == [1, 1, 0] and left["note"].value == "3 of 3 films read"


@pytest.mark.parametrize(("right", "number"), [(17, 20), (20, 20), (0, 7), (126, 140)])
def test_the_interval_is_wilsons(right, number):
    find_interval = run_taught(LESSON, "taught-interval", MODULES)["find_interval"]
    expected = proportion_confint(right, number, alpha=0.05, method="wilson")
    np.testing.assert_allclose(find_interval(right, number), expected, atol=1e-6)


def score(calls: list[int]) -> dict:
    """Section 5's score of four films, two of each class; the model is wrong on the last."""
    known = {"calls": calls, "quiz": np.arange(4), "val": SimpleNamespace(labels=np.array([0, 0, 1, 1]))}
    known["judged"] = SimpleNamespace(probs=np.array([0.1, 0.2, 0.9, 0.3]))
    known |= {"trained": SimpleNamespace(threshold=0.5)}
    known |= run_taught(LESSON, "taught-interval", MODULES)
    return run_taught(LESSON, "taught-score", known)


def test_nobody_but_a_coin_is_scored_before_all_films_are_read(capsys):
    score([0, 0, 1])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("a coin: ")


def test_reader_and_model_are_scored_with_intervals_and_compared_film_by_film(capsys):
    score([1, 0, 0, 1])  # a false alarm, a miss
    _, you, model, only = capsys.readouterr().out.splitlines()
    low, high = proportion_confint(2, 4, method="wilson")
    assert you == f"you: 2 of 4 right, 95 % interval {low:.0%} to {high:.0%}; 1 missed, 1 false alarms"
    assert model.startswith("the model: 3 of 4 right") and model.endswith("; 1 missed, 0 false alarms")
    assert only == "only you right: 1 films; only the model right: 2"


def count_the_band(limits: tuple[float, float]) -> str:
    """What section 3 says of two films, at .1 and .9."""
    shown = []
    known = {"judged": SimpleNamespace(probs=np.array([0.1, 0.9]), labels=np.array([0, 1]))}
    known |= {"trained": SimpleNamespace(threshold=0.5, refer_limits=None), "np": np}
    known |= {"display": shown.append, "Markdown": Markdown}
    known["predict"] = SimpleNamespace(find_refer_range=lambda *settings: limits)
    run_taught(LESSON, "taught-band", known)
    return shown[0].data


def test_the_band_is_counted_also_where_no_film_goes_to_a_person():
    text = count_the_band((0.4, 0.6))
    assert "0.0% of validation films" in text
    assert "wrong for (no films) of these and for 0.0% of the others; without a band it is wrong" in text
    assert "Of the referred films (no films) are labelled PNEUMONIA" in text
    text = count_the_band((0.1, 0.5))  # both ends go to a person
    assert "50.0% of validation films" in text and "wrong for 0.0% of these" in text

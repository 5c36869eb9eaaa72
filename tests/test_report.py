"""The report of a model: all sections are there, say what the figures say, and survive what is undefined."""

import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_checkpoint
from jinja2 import UndefinedError

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.evaluation.decisions import find_points
from pneumo_utils.evaluation.evaluate import evaluate, predict_dataset
from pneumo_utils.evaluation.metrics import Predictions, choose_worst
from pneumo_utils.report.evaluation import build_report
from pneumo_utils.report.html import film_to_html, make_environment, render, save_page

pytestmark = pytest.mark.long

HEADINGS = (
    "In short",
    "Figures",
    "Curves",
    "What an answer is worth elsewhere",
    "Operating points",
    "Films for a person",
    "Every threshold",
    "Other models on the same films",
    "Worst errors",
    "Parts of these films",
    "Worse films",
    "Does it look at lungs?",
)


@pytest.fixture(scope="module")
def films():
    return make_phantoms(24, image_size=32, split="test")


def report(films, **more):
    """The page, the row and the predictions behind it."""
    checkpoint = make_checkpoint()
    row, predictions = evaluate(checkpoint, films)
    return build_report(checkpoint, films, row, predictions, **more), row, predictions


@pytest.fixture(scope="module")
def page(films):
    checkpoint, rival = make_checkpoint(), make_checkpoint(seed=1)
    val = make_phantoms(30, image_size=32)
    validation = predict_dataset(checkpoint, val)
    html, row, _ = report(
        films,
        validation=validation,
        points=find_points(checkpoint, val),
        rivals={"another": (predict_dataset(rival, films), 0.5)},
        warnings={"NORMAL/<1>.png": "The image is only 32 x 32 pixels."},
    )
    return html, row


def test_every_section_is_there_and_nothing_comes_from_outside(page):
    html, _ = page
    assert re.findall("<h2>(.*?)</h2>", html) == list(HEADINGS)
    sources = re.findall(r'src="([^"]{0,30})', html)
    assert len(sources) >= 11 and all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?://|@import|url\(|<script", html)
    assert html.count("alt=") == len(sources)
    assert "For teaching, not for diagnosis." in html and "SYNTHETIC" in html


def test_one_film_of_a_class_is_too_few_to_compare_models_and_the_page_is_there(films):
    few = films.select(
        np.flatnonzero(films.labels)[:6].tolist() + np.flatnonzero(films.labels == 0)[:1].tolist()
    )
    said = predict_dataset(make_checkpoint(seed=1), few)
    html, *_ = report(few, rivals={"another": (said, 0.5)})
    assert "another" in html and "minus" not in html


def test_the_page_says_the_figures_of_the_row(page):
    html, row = page
    assert f"At the threshold {row['threshold']:.3f}" in html
    low, high = row["intervals"]["auroc"]
    assert f"auroc {row['auroc']:.3f} ({low:.3f} to {high:.3f})" in html
    for metric in ("brier", "ece", "npv", "auprc"):
        shown = "undefined" if row[metric] is None else f"{row[metric]:.3f}"
        assert f"<tr><th>{metric}</th><td>{shown}" in html
    assert "cnn_baseline" in html and "another" in html


def test_names_of_files_are_text(page):
    assert "NORMAL/&lt;1&gt;.png" in page[0] and "<1>" not in page[0]
    assert "1 of 24 films differ from the training films" in page[0]


def test_what_needs_validation_films_says_so_where_there_are_none(films):
    html, _, _ = report(films)
    assert html.count("never on the films that are judged") == 2
    assert "Other models on the same films" not in html


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_reported_with_its_reasons(films, label):
    html, _, _ = report(films.select(films.labels == label))
    assert "auroc undefined" in html and f"no film is {('PNEUMONIA', 'NORMAL')[label]}" in html
    assert "nan" not in re.sub(r'src="[^"]*"', "", html).lower()


def test_one_patient_has_no_intervals(films):
    html, _, _ = report(replace(films, patients=np.full(len(films), "p")))
    assert "there are no intervals" in html and not re.search(r"\d \(0\.\d+ to ", html)


def test_one_film_is_enough(films):
    assert "In short" in report(films.select([0]))[0]


def test_the_worst_errors_come_worst_first():
    names = np.arange(24).astype(str)
    p = Predictions(np.array([0, 0, 1, 1] * 6), np.array([0.9, 0.6, 0.2, 0.8] * 6), names, names)
    # Wrong at 0.5: .9 and .6 of a normal film, .2 of an ill one; off by .9, .6 and .8.
    worst = choose_worst(p, threshold=0.5, count=13)
    assert np.abs(p.probs - p.labels)[worst] == pytest.approx([0.9] * 6 + [0.8] * 6 + [0.6])
    assert choose_worst(p, threshold=0.5, count=2).tolist() == [0, 4]
    assert choose_worst(replace(p, probs=p.labels.astype(float)), threshold=0.5, count=5).tolist() == []


def test_a_page_is_written_and_its_folder_made(tmp_path):
    save_page("<p>Ä</p>", tmp_path / "new" / "deep" / "page.html")
    assert (tmp_path / "new" / "deep" / "page.html").read_text(encoding="utf-8") == "<p>Ä</p>"


def test_text_is_escaped_and_a_name_that_is_missing_is_an_error():
    page = render("page.html", title="a < b", subtitle="c & d.")
    for text in ("<title>a &lt; b</title>", "c &amp; d."):
        assert text in page
    with pytest.raises(UndefinedError, match="subtitle"):
        render("page.html", title="a")


def test_long_lists_are_cut_and_say_so():
    folded = make_environment().get_template("parts.html").module.folded
    text = folded("names", [f"film {i}" for i in range(1000)])
    assert "<summary>names (1,000)</summary>" in text and text.count("<li>") == 31 and "and 970 more" in text
    assert folded("names", []).strip() == ""


def test_a_film_is_shown_with_its_caption_and_frames():
    film = np.zeros((60, 60), np.uint8)
    plain, framed = (film_to_html(film, "a < b", boxes=boxes) for boxes in ((), [(20, 20, 30, 30)]))
    assert "<figcaption>a &lt; b</figcaption>" in plain and plain != framed

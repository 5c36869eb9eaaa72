"""The report of a model: all sections are there, say what the figures say, and survive what is undefined."""

import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_checkpoint

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.evaluation.decisions import find_points
from pneumo_utils.evaluation.evaluate import evaluate, predict_dataset
from pneumo_utils.evaluation.metrics import choose_worst
from pneumo_utils.report.evaluation import SECTIONS, Material, build_report, save_report


@pytest.fixture(scope="module")
def films():
    return make_phantoms(24, image_size=32, split="test")


def judge(films, **more):
    checkpoint = make_checkpoint()
    row, predictions = evaluate(checkpoint, films)
    return Material(checkpoint, films, row, predictions, **more)


@pytest.fixture(scope="module")
def page(films, tmp_path_factory):
    checkpoint, rival = make_checkpoint(), make_checkpoint(seed=1)
    val = make_phantoms(30, image_size=32)
    material = judge(
        films,
        validation=predict_dataset(checkpoint, val),
        points=find_points(checkpoint, val),
        rivals={"another": (predict_dataset(rival, films), 0.5)},
        warnings={"NORMAL/<1>.png": "The image is only 32 x 32 pixels."},
    )
    path = tmp_path_factory.mktemp("new") / "deep" / "report.html"
    save_report(material, path)
    return path.read_text(encoding="utf-8"), material


def test_every_section_is_there_and_nothing_comes_from_outside(page):
    html, _ = page
    for heading in ("In short", *SECTIONS):
        assert f"<h2>{heading}</h2>" in html, heading
    sources = re.findall(r'src="([^"]{0,30})', html)
    assert len(sources) >= 11 and all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?://|@import|url\(|<script", html)
    assert html.count("alt=") == len(sources)
    assert "For teaching, not for diagnosis." in html and "SYNTHETIC" in html


def test_the_page_says_the_figures_of_the_row(page):
    html, material = page
    row = material.row
    assert f"At the threshold {row['threshold']:.3f}" in html
    low, high = row["intervals"]["auroc"]
    assert f"auroc {row['auroc']:.3f} ({low:.3f} to {high:.3f})" in html
    for metric in ("brier", "ece", "npv", "auprc"):
        shown = "undefined" if row[metric] is None else f"{row[metric]:.3f}"
        assert f"<tr><th>{metric}</th><td>{shown}</td>" in html
    assert "cnn_baseline" in html and "another" in html


def test_names_of_files_are_text(page):
    assert "NORMAL/&lt;1&gt;.png" in page[0] and "<1>" not in page[0]
    assert "1 of 24 films differ from the training films" in page[0]


def test_what_needs_validation_films_says_so_where_there_are_none(films):
    html = build_report(judge(films))
    assert html.count("never on the films that are judged") == 2
    assert "Other models on the same films" not in html


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_reported_with_its_reasons(films, label):
    html = build_report(judge(films.select(films.labels == label)))
    assert "auroc undefined" in html and f"no film is {('PNEUMONIA', 'NORMAL')[label]}" in html
    assert "nan" not in re.sub(r'src="[^"]*"', "", html).lower()


def test_one_patient_has_no_intervals(films):
    html = build_report(judge(replace(films, patients=np.full(len(films), "p"))))
    assert "<td>no interval</td>" in html and not re.search(r"\d \(0\.\d+ to ", html)


def test_one_film_is_enough(films):
    assert "In short" in build_report(judge(films.select([0])))


def test_the_worst_errors_come_worst_first(films):
    material = judge(films)
    p = replace(
        material.predictions, labels=np.array([0, 0, 1, 1] * 6), probs=np.array([0.9, 0.6, 0.2, 0.8] * 6)
    )
    # Wrong at 0.5: .9 and .6 of a normal film, .2 of an ill one; off by .9, .6 and .8.
    worst = choose_worst(p, threshold=0.5, count=13)
    assert np.abs(p.probs - p.labels)[worst] == pytest.approx([0.9] * 6 + [0.8] * 6 + [0.6])
    assert choose_worst(p, threshold=0.5, count=2).tolist() == [0, 4]
    assert choose_worst(replace(p, probs=p.labels.astype(float)), threshold=0.5, count=5).tolist() == []

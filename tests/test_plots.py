"""Figures: what they show, and that phantoms are marked in each."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import read_texts

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.evaluation.compare import compare_all
from pneumo_utils.evaluation.metrics import Predictions
from pneumo_utils.evaluation.results import Summary, get_figures
from pneumo_utils.plots.evaluation import (
    plot_comparisons,
    plot_confusion,
    plot_decision_curve,
    plot_precision_recall,
    plot_probs,
    plot_refer_bands,
    plot_reliability,
    plot_roc,
)
from pneumo_utils.plots.films import (
    plot_class_counts,
    plot_intensities,
    plot_shortcuts,
    show_films,
    show_pictures,
)
from pneumo_utils.plots.style import save_figure
from pneumo_utils.plots.training import plot_ablation, plot_history, plot_lr_curve
from pneumo_utils.training.lr_finder import LrCurve
from pneumo_utils.training.resume import EpochRecord
from pneumo_utils.training.thresholds import ReferBand

pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture(scope="module")
def films():
    return make_phantoms(20, image_size=32)


@pytest.fixture(scope="module")
def predictions():
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    probs = np.array([0.1, 0.2, 0.7, 0.3, 0.8, 0.9, 0.95])
    names = np.array(list("abcdefg"))
    return Predictions(labels, probs, names, names)


CURVE = LrCurve(np.array([1e-5, 1e-3, 1e-1, 1.0]), np.array([0.7, 0.6, 0.2, 0.9]), 1e-3)
HISTORY = [EpochRecord(i, "all", 0.1, 0.7, 0.6, 0.8 + i / 100, 0.75, i == 2, 1.0) for i in (1, 2, 3)]


def make_comparisons(predictions):
    """The model against itself and against one that ranks the other way round."""
    models = {
        "m": predictions,
        "same": predictions,
        "reverse": replace(predictions, probs=1 - predictions.probs),
    }
    return compare_all(models, thresholds=dict.fromkeys(models, 0.5), num_draws=50)


def make_figures(films, predictions, synthetic):
    shared = {"title": "t", "synthetic": synthetic}
    return {
        "history": plot_history(HISTORY, **shared),
        "lr": plot_lr_curve(CURVE, **shared),
        "confusion": plot_confusion(predictions, threshold=0.5, **shared),
        "probs": plot_probs(predictions, threshold=0.5, **shared),
        "refer": plot_refer_bands([ReferBand(0.1, True, (0.5, 0.5))], predictions, **shared),
        "precision": plot_precision_recall({"m": predictions}, **shared),
        "reliability": plot_reliability({"m": predictions}, **shared),
        "decision": plot_decision_curve({"m": predictions}, **shared),
        "comparisons": plot_comparisons(make_comparisons(predictions), **shared),
        "roc": plot_roc({"m": predictions}, thresholds={"m": 0.5}, **shared),
    }


def test_phantoms_are_marked_in_every_figure_and_real_films_in_none(films, predictions):
    for name, figure in make_figures(films, predictions, True).items():
        assert "SYNTHETIC" in read_texts(figure), name
    for name, figure in make_figures(films, predictions, False).items():
        assert "SYNTHETIC" not in read_texts(figure), name
    for figure in (
        show_films(films, [0, 1]),
        show_pictures({"a": films.images[0]}, synthetic=True),
        plot_class_counts([films]),
        plot_intensities(films),
    ):
        assert "SYNTHETIC" in read_texts(figure)


def test_the_confusion_matrix_shows_counts_and_shares(predictions):
    texts = read_texts(plot_confusion(predictions, threshold=0.5, title="t"))
    # 2 of 3 normal films lie below 0.5 and 3 of 4 with pneumonia above.
    for expected in ("2\n66.7%", "1\n33.3%", "1\n25.0%", "3\n75.0%"):
        assert expected in texts


def test_the_roc_curve_is_marked_at_the_threshold(predictions):
    axis = plot_roc({"m": predictions}, thresholds={"m": 0.5}, title="t").axes[0]
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert dots[0].get_xdata()[0] == pytest.approx(1 / 3)
    assert dots[0].get_ydata()[0] == pytest.approx(3 / 4)
    # Of the 3 x 4 pairs of a normal film and one with pneumonia only (.7, .3) is ranked wrongly.
    assert f"AUROC {11 / 12:.3f}" in read_texts(axis.figure)


def test_the_roc_curve_of_one_patient_has_no_band(predictions):
    alone = replace(predictions, patients=np.full(7, "p"))
    shaded = [
        len(plot_roc({"m": p}, thresholds={"m": 0.5}, title="t").axes[0].collections)
        for p in (predictions, alone)
    ]
    assert shaded == [1, 0]


def test_precision_is_drawn_over_recall(predictions):
    axis = plot_precision_recall({"m": predictions}, title="t").axes[0]
    curve, chance = axis.lines
    # From the top: ill, ill, ill, well, ill. Three of four are found with no false alarm, all four with one.
    precision = dict(zip(np.round(curve.get_xdata(), 2), curve.get_ydata(), strict=True))
    assert precision[0.5] == precision[0.75] == 1 and precision[0.76] == precision[1.0] == pytest.approx(
        4 / 5
    )
    assert chance.get_ydata()[0] == pytest.approx(4 / 7)
    assert "57% of the films are ill" in read_texts(axis.figure)


def test_the_reliability_diagram_shows_what_was_said_and_what_was_so(predictions):
    axis = plot_reliability({"m": predictions}, title="t").axes[0]
    said, so = axis.lines[1].get_data()  # fewer films than bins: each film is a bin of its own
    np.testing.assert_allclose(said, [0.1, 0.2, 0.3, 0.7, 0.8, 0.9, 0.95])
    np.testing.assert_array_equal(so, [0, 0, 1, 0, 1, 1, 1])


def test_the_decision_curve_shows_the_net_benefit(predictions):
    model, treat_all, none = plot_decision_curve({"m": predictions}, title="t").axes[0].lines
    # At 0.5 a needless treatment costs as much as a found pneumonia brings: 3 found, 1 alarm, 7 films.
    assert model.get_ydata()[49] == pytest.approx((3 - 1) / 7)
    assert treat_all.get_ydata()[49] == pytest.approx((4 - 3) / 7)
    assert set(none.get_ydata()) == {0}


def test_differences_of_models_are_told_apart_from_none(predictions):
    axis = plot_comparisons(make_comparisons(predictions), title="t").axes[0]
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels[:2] == ["auroc: same\nminus m", "auroc: reverse\nminus m"] and len(labels) == 6
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert dots[0].get_xdata()[0] == 0  # a model and itself
    assert dots[1].get_xdata()[0] == pytest.approx(1 / 12 - 11 / 12)


def test_the_history_marks_the_epoch_that_is_kept():
    assert "kept: epoch 2" in read_texts(plot_history(HISTORY, title="t"))


def test_a_sheet_shows_every_film_with_its_class(films):
    figure = show_films(films, [3, 4, 5], columns=2)
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert len(shown) == 3 and np.array_equal(shown[0], films.images[3])


def test_shortcuts_are_drawn_with_their_intervals_and_undefined_ones_left_out():
    scores = {
        "aspect": {"auroc": 0.8, "interval": (0.7, 0.9), "reason": ""},
        "colour mode": {"auroc": None, "interval": None, "reason": "It is the same for all films."},
    }
    axis = plot_shortcuts({"scores": scores}, title="t").axes[0]
    interval, dot, chance = axis.lines
    assert list(interval.get_xdata()) == [0.7, 0.9] and list(dot.get_xdata()) == [0.8]
    assert list(chance.get_xdata()) == [0.5, 0.5]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["aspect"]


def test_a_figure_is_written_as_png(tmp_path):
    path = save_figure(plot_history(HISTORY, title="t"), tmp_path / "new" / "f.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_curve_of_rates_is_drawn_over_a_logarithmic_axis_with_its_suggestion():
    axis = plot_lr_curve(CURVE, title="t").axes[0]
    curve, mark = axis.lines
    assert axis.get_xscale() == "log"
    assert np.array_equal(curve.get_xdata(), CURVE.lrs) and np.array_equal(curve.get_ydata(), CURVE.losses)
    assert list(mark.get_xdata()) == [1e-3, 1e-3] and "steepest at 1.0e-03" in read_texts(axis.figure)


def make_summary(row: str, aurocs: list[tuple[float, float, float]]) -> Summary:
    """Seeds with their AUROC on validation, stressed validation and test."""
    screening = {"sensitivity": 1.0, "specificity": 0.5}
    rest = {"accuracy": 0.9, "screening": screening, "stretch_auroc_loss": {"wider": 0.0}}
    records = tuple(
        {"val": {"auroc": val, "stress_auroc": stress, "accuracy": 0.9}, "test": {"auroc": test} | rest}
        for val, stress, test in aurocs
    )
    figures = [get_figures(record) for record in records]
    mean = {name: sum(figure[name] for figure in figures) / len(figures) for name in figures[0]}
    return Summary(row, tuple(range(len(records))), mean, dict.fromkeys(mean, 0.0), records)


def test_the_ablation_shows_a_dot_a_seed_and_a_bar_for_the_mean():
    summaries = [
        make_summary("first", [(0.99, 0.95, 0.96), (0.97, 0.91, 0.94)]),
        make_summary("second", [(0.90, 0.80, 0.85)]),
    ]
    axis = plot_ablation(summaries, title="seeds").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["first", "second"]
    assert axis.yaxis_inverted()  # the first row is on top
    drawn = [[tuple(np.round(place, 3)) for place in part.get_offsets()] for part in axis.collections]
    # For each kind of film the bars of both rows, then the dots of each row.
    for offset, bars, first, second in zip(
        (-0.22, 0, 0.22), drawn[::3], drawn[1::3], drawn[2::3], strict=True
    ):
        assert {y for _, y in bars} == {offset, round(1 + offset, 3)}
        assert {y for _, y in first} == {offset} and {y for _, y in second} == {round(1 + offset, 3)}
    expected = [[0.98, 0.90], [0.99, 0.97], [0.90], [0.93, 0.80], [0.95, 0.91], [0.80]]
    expected += [[0.95, 0.85], [0.96, 0.94], [0.85]]
    assert [[x for x, _ in part] for part in drawn] == expected
    texts = read_texts(axis.figure)
    assert all(word in texts for word in ("validation", "stressed validation", "official test", "AUROC"))


def test_refer_bands_show_where_a_film_goes_to_a_person():
    both, none = (ReferBand(alpha, True, limits) for alpha, limits in ((0.01, (0.7, 0.6)), (0.2, (0.2, 0.3))))
    labels, probs = np.array([0, 0, 1, 1]), np.array([0.05, 0.45, 0.55, 0.95])
    said = Predictions(labels, probs, *[np.arange(4).astype(str)] * 2)
    figure = plot_refer_bands([both, none], said, title="test")
    # NORMAL up to its limit, PNEUMONIA from 1 minus its own: both from 0.4 to 0.7, neither from 0.2 to 0.7.
    for axis, (low, high), kind in zip(figure.axes, ((0.4, 0.7), (0.2, 0.7)), ("both", "no"), strict=True):
        (span,) = [patch for patch in axis.patches if patch.get_label() == "to a person"]
        assert (span.get_x(), span.get_x() + span.get_width()) == pytest.approx((low, high))
        assert f"{low:.3f} to {high:.3f}" in axis.get_title() and f"{kind} class" in axis.get_title()
        heights = [patch.get_height() for patch in axis.patches if patch is not span]
        assert sum(heights) == 4
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*CLASS_NAMES, "to a person"]


def test_pictures_keep_their_shape_and_have_their_titles():
    pictures = {"wide": np.zeros((20, 40), np.uint8), "high": np.full((30, 20), 255, np.uint8)}
    figure = show_pictures(pictures)
    assert [axis.get_title() for axis in figure.axes] == ["wide", "high"]
    assert "SYNTHETIC" not in read_texts(figure)
    for axis, picture in zip(figure.axes, pictures.values(), strict=True):
        assert (axis.images[0].get_array() == picture).all() and axis.images[0].get_clim() == (0, 255)

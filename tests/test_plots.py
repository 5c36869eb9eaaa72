"""Figures: what they show, and that phantoms are marked in each."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.evaluation import plots
from pneumo_utils.evaluation.metrics import Predictions
from pneumo_utils.training.history import EpochRecord


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def films():
    return make_phantoms(20, image_size=32)


@pytest.fixture(scope="module")
def predictions():
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    probs = np.array([0.1, 0.2, 0.7, 0.3, 0.8, 0.9, 0.95])
    names = np.array(list("abcdefg"))
    return Predictions(labels, probs, names, names)


HISTORY = [EpochRecord(i, "all", 0.1, 0.7, 0.6, 0.8 + i / 100, 0.75, i == 2, 1.0) for i in (1, 2, 3)]


def read_texts(figure) -> str:
    found = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    return "\n".join(found)


def make_figures(films, predictions, synthetic):
    shared = {"title": "t", "synthetic": synthetic}
    return {
        "history": plots.plot_history(HISTORY, **shared),
        "confusion": plots.plot_confusion(predictions, threshold=0.5, **shared),
        "probs": plots.plot_probs(predictions, threshold=0.5, **shared),
        "roc": plots.plot_roc({"m": predictions}, thresholds={"m": 0.5}, **shared),
    }


def test_phantoms_are_marked_in_every_figure_and_real_films_in_none(films, predictions):
    for name, figure in make_figures(films, predictions, True).items():
        assert "SYNTHETIC" in read_texts(figure), name
    for name, figure in make_figures(films, predictions, False).items():
        assert "SYNTHETIC" not in read_texts(figure), name
    for figure in (
        plots.show_films(films, [0, 1]),
        plots.plot_class_counts([films]),
        plots.plot_intensities(films),
    ):
        assert "SYNTHETIC" in read_texts(figure)


def test_the_confusion_matrix_shows_counts_and_shares(predictions):
    texts = read_texts(plots.plot_confusion(predictions, threshold=0.5, title="t"))
    # 2 of 3 normal films lie below 0.5 and 3 of 4 with pneumonia above.
    for expected in ("2\n66.7%", "1\n33.3%", "1\n25.0%", "3\n75.0%"):
        assert expected in texts


def test_the_roc_curve_is_marked_at_the_threshold(predictions):
    axis = plots.plot_roc({"m": predictions}, thresholds={"m": 0.5}, title="t").axes[0]
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert dots[0].get_xdata()[0] == pytest.approx(1 / 3)
    assert dots[0].get_ydata()[0] == pytest.approx(3 / 4)
    # Of the 3 x 4 pairs of a normal film and one with pneumonia only (.7, .3) is ranked wrongly.
    assert f"AUROC {11 / 12:.3f}" in read_texts(axis.figure)


def test_the_history_marks_the_epoch_that_is_kept():
    assert "kept: epoch 2" in read_texts(plots.plot_history(HISTORY, title="t"))


def test_a_sheet_shows_every_film_with_its_class(films):
    figure = plots.show_films(films, [3, 4, 5], columns=2)
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert len(shown) == 3 and np.array_equal(shown[0], films.images[3])


def test_a_figure_is_written_as_png(tmp_path):
    path = plots.save_figure(plots.plot_history(HISTORY, title="t"), tmp_path / "new" / "f.png")
    assert path.read_bytes().startswith(b"\x89PNG")

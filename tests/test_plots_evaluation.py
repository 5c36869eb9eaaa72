"""Figures of an evaluation: what is drawn where."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import read_texts

from pneumo_utils.config import CLASS_COLOURS
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.compare import compare_all
from pneumo_utils.evaluation.metrics import Predictions
from pneumo_utils.evaluation.robustness import CORRUPTIONS, corrupt_films
from pneumo_utils.plots.evaluation import (
    plot_comparisons,
    plot_confusion,
    plot_corruption_curves,
    plot_corruptions,
    plot_decision_curve,
    plot_positions,
    plot_precision_recall,
    plot_reliability,
    plot_roc,
    plot_subgroups,
)
from pneumo_utils.plots.style import MODEL_COLOURS

pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture(scope="module")
def predictions():
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    probs = np.array([0.1, 0.2, 0.7, 0.3, 0.8, 0.9, 0.95])
    names = np.array(list("abcdefg"))
    return Predictions(labels, probs, names, names)


def test_the_confusion_matrix_shows_counts_and_shares(predictions):
    figure = plot_confusion(predictions, threshold=0.5, title="t")
    texts, axis = read_texts(figure), figure.axes[0]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("prediction (threshold 0.500)", "label")
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
    assert precision[0.5] == precision[0.75] == 1 and precision[1.0] == pytest.approx(4 / 5)
    assert chance.get_ydata()[0] == pytest.approx(4 / 7)
    assert "chance: 57% are PNEUMONIA" in read_texts(axis.figure)


def test_the_reliability_diagram_shows_what_was_said_and_what_was_so(predictions):
    axis = plot_reliability({"m": predictions}, title="t").axes[0]
    said, so = axis.lines[1].get_data()  # fewer films than bins: each film is a bin of its own
    np.testing.assert_allclose(said, [0.1, 0.2, 0.3, 0.7, 0.8, 0.9, 0.95])
    np.testing.assert_array_equal(so, [0, 0, 1, 0, 1, 1, 1])
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted P(pneumonia)", "observed share of PNEUMONIA")


def test_the_decision_curve_shows_the_net_benefit(predictions):
    model, treat_all, none = plot_decision_curve({"m": predictions}, title="t").axes[0].lines
    # At 0.5 a needless treatment costs as much as a found pneumonia brings: 3 found, 1 alarm, 7 films.
    assert model.get_ydata()[49] == pytest.approx((3 - 1) / 7)
    assert treat_all.get_ydata()[49] == pytest.approx((4 - 3) / 7)
    assert set(none.get_ydata()) == {0}


def make_comparisons(predictions):
    """The model against itself and against one that ranks the other way round."""
    models = {
        "m": predictions,
        "same": predictions,
        "reverse": replace(predictions, probs=1 - predictions.probs),
    }
    return compare_all(models, thresholds=dict.fromkeys(models, 0.5), num_draws=50)


def test_differences_of_models_are_told_apart_from_none(predictions):
    axis = plot_comparisons(make_comparisons(predictions), title="t").axes[0]
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels[:2] == ["auroc: same\nminus m", "auroc: reverse\nminus m"] and len(labels) == 6
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert dots[0].get_xdata()[0] == 0  # a model and itself
    assert dots[1].get_xdata()[0] == pytest.approx(1 / 12 - 11 / 12)


def test_positions_tell_the_ranking_from_the_place_of_the_threshold():
    names = np.array(list("abcde"))
    films = Predictions(np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.3, 0.2, 0.4, 0.45]), names, names)
    axis = plot_positions({"plain": films}, threshold=0.5, title="t").axes[0]
    # Of 3 x 2 pairs (.2, .3) alone is ranked wrongly. At 0.5 all are called normal, and 2 of 5 are. Called
    # pneumonia from .4 on, or from .2 on, one film is wrong.
    assert axis.get_title() == f"plain: AUROC {5 / 6:.2f}\naccuracy 40%, at the best threshold 80%"
    assert list(axis.lines[0].get_xdata()) == [0.5, 0.5]
    assert sum(bar.get_height() for bar in axis.patches) == 5


def make_curves(start: float, *, names=CORRUPTIONS, severities=(1, 3, 5)) -> dict[str, list[dict]]:
    """Each figure falls by 0.1 a step; the specificity lies 0.2 below the AUROC."""
    curves = {}
    for name in names:
        points = [(0, None)] + [(s, CORRUPTIONS[name].strengths[s - 1]) for s in severities]
        curves[name] = [
            {
                "severity": s,
                "strength": x,
                "auroc": start - i / 10,
                "sensitivity": None,
                "specificity": start - 0.2 - i / 10,
            }
            for i, (s, x) in enumerate(points)
        ]
    return curves


def test_each_corruption_has_a_panel_with_a_line_for_each_model():
    curves = {"first": make_curves(0.9), "second": make_curves(0.8)}
    for row in curves["first"]["inverted"]:
        row["auroc"] -= 0.4  # what one panel needs is the scale of all
    figure = plot_corruption_curves(curves, title="t")
    assert len(figure.axes) == 9
    for axis, (name, corruption) in zip(figure.axes, CORRUPTIONS.items(), strict=True):
        assert axis.get_title() == name and axis.get_xlabel() == corruption.unit
        for line, start, colour in zip(axis.lines, (0.9, 0.8), MODEL_COLOURS, strict=False):
            assert list(line.get_xdata()) == [0, 1, 3, 5] and line.get_color() == colour
            drop = 0.4 if (start, name) == (0.9, "inverted") else 0
            expected = [start - drop - step / 10 for step in range(4)]
            assert list(line.get_ydata()) == pytest.approx(expected)
        one, _, three, _, five = corruption.strengths
        ticks = [tick.get_text() for tick in axis.get_xticklabels()]
        assert ticks == ["0\nas is", f"1\n{one:g}", f"3\n{three:g}", f"5\n{five:g}"]
    assert len({axis.get_ylim() for axis in figure.axes}) == 1  # one scale for all
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["first", "second"]
    assert figure.axes[0].get_ylabel() == "AUROC"


def test_another_figure_can_be_asked_for_and_what_is_undefined_leaves_a_gap():
    curves = {"m": make_curves(0.9, names=["blur"])}
    figure = plot_corruption_curves(curves, title="t", metric="specificity")
    assert figure.axes[0].lines[0].get_ydata()[0] == pytest.approx(0.7)
    assert figure.axes[0].get_ylabel() == "specificity"
    assert [axis.axison for axis in figure.axes] == [True, False, False]  # no empty frames
    figure = plot_corruption_curves(curves, title="t", metric="sensitivity")
    assert np.isnan(figure.axes[0].lines[0].get_ydata().astype(float)).all()


@pytest.mark.parametrize(
    ("curves", "metric", "said"),
    [
        ({}, "auroc", "are empty"),
        ({"a": {}}, "auroc", "are empty"),
        ({"a": make_curves(0.9), "b": make_curves(0.9, names=["blur"])}, "auroc", "differ in corruptions"),
        ({"a": make_curves(0.9), "b": make_curves(0.9, severities=(1, 2, 3))}, "auroc", "severities"),
        ({"a": make_curves(0.9)}, "f1", "'f1'; expected one of auroc"),
    ],
)
def test_curves_that_cannot_be_drawn_together_are_refused(curves, metric, said):
    with pytest.raises(UsageError, match=said):
        plot_corruption_curves(curves, title="t", metric=metric)
    assert not plt.get_fignums()  # no half-made figure is left


def test_the_sheet_shows_the_film_under_each_corruption():
    films = make_phantoms(8, image_size=32)
    figure = plot_corruptions(films, 3)
    axes = np.array(figure.axes).reshape(4, 9)
    assert [axis.get_title() for axis in axes[0]] == list(CORRUPTIONS)
    assert [axis.get_ylabel() for axis in axes[:, 0]] == [
        "as it is",
        "severity 1",
        "severity 3",
        "severity 5",
    ]
    for row, severity in zip(axes, (0, 1, 3, 5), strict=True):
        for axis, (name, corruption) in zip(row, CORRUPTIONS.items(), strict=True):
            expected = films.images[[3]]
            if severity:
                expected = corrupt_films(expected, name, severity=severity)
                assert axis.get_xlabel() == f"{corruption.strengths[severity - 1]:g}"
            assert np.array_equal(axis.images[0].get_array(), expected[0]), (name, severity)
            # Else a lost contrast would be shown as if it were there.
            assert axis.images[0].get_clim() == (0, 255)
    assert "SYNTHETIC" in read_texts(figure)


def make_row(grouping, part, sensitivity, specificity, intervals):
    shares = {"sensitivity": sensitivity, "specificity": specificity}
    intervals = dict(zip(shares, intervals, strict=True))
    return {"grouping": grouping, "part": part, "n": 40, "num_patients": 30, **shares, "intervals": intervals}


ROWS = [
    make_row("subtype", "viral", 0.8, None, [(0.7, 0.9), (None, None)]),
    make_row("brightness", "dark", 0.6, 0.5, [(0.4, 0.75), (None, None)]),
]


def test_parts_have_a_dot_for_each_figure_and_a_bar_for_its_interval():
    axis = plot_subgroups(ROWS, title="t").axes[0]
    drawn = [line for line in axis.lines if len(line.get_xdata())]
    dots = {line.get_xdata()[0]: line for line in drawn if line.get_marker() in "os"}
    bars = sorted(tuple(line.get_xdata()) for line in drawn if line.get_marker() == "None")
    assert sorted(dots) == [0.5, 0.6, 0.8] and bars == [(0.4, 0.75), (0.7, 0.9)]
    normal, ill = CLASS_COLOURS
    assert [dots[share].get_color() for share in (0.8, 0.6, 0.5)] == [ill, ill, normal]
    # Without an interval it is hollow: one patient tells nothing of others.
    assert [dots[share].get_fillstyle() for share in (0.8, 0.6, 0.5)] == ["full", "full", "none"]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["subtype: viral (n = 40)", "brightness: dark (n = 40)"]
    # Each dot lies beside the line of its part, and the first part is on top.
    assert np.round([dots[share].get_ydata()[0] for share in (0.8, 0.6, 0.5)]).tolist() == [0, 2, 2]
    assert list(axis.get_yticks()) == [0, 2] and axis.yaxis_inverted()

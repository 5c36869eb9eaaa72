"""Figures of robustness: what is drawn where, and that phantoms are marked."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import read_texts

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.robustness import CORRUPTIONS, corrupt_films
from pneumo_utils.plots.robustness import plot_corruption_curves, plot_corruptions, plot_subgroups
from pneumo_utils.plots.style import COLOURS

pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture(scope="module")
def films():
    return make_phantoms(8, image_size=32)


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
        for line, start, colour in zip(axis.lines, (0.9, 0.8), COLOURS, strict=False):
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
        ({}, "auroc", "0 models; expected 1 to 6"),
        ({str(i): make_curves(0.9) for i in range(7)}, "auroc", "7 models"),
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


def test_the_sheet_shows_the_film_under_each_corruption(films):
    figure = plot_corruptions(films, 3, seed=2)
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
                expected = corrupt_films(expected, name, severity=severity, seed=2)
                assert axis.get_xlabel() == f"{corruption.strengths[severity - 1]:g}"
            assert np.array_equal(axis.images[0].get_array(), expected[0]), (name, severity)
            assert axis.images[0].get_clim() == (
                0,
                255,
            )  # else a lost contrast would be shown as if it were there
    assert "SYNTHETIC" in read_texts(figure)


def test_a_sheet_of_an_unknown_corruption_or_severity_is_refused(films):
    for settings, said in (
        ({"names": ["fog"]}, "fog"),
        ({"severities": [6]}, "is 6"),
        ({"severities": [-1]}, "-1"),
    ):
        with pytest.raises(UsageError, match=said):
            plot_corruptions(films, 0, **settings)
    assert not plt.get_fignums()


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
    ill, normal = COLOURS[1], COLOURS[0]
    assert [dots[share].get_color() for share in (0.8, 0.6, 0.5)] == [ill, ill, normal]
    # Without an interval it is hollow: one patient tells nothing of others.
    assert [dots[share].get_fillstyle() for share in (0.8, 0.6, 0.5)] == ["full", "full", "none"]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["subtype: viral (n = 40)", "brightness: dark (n = 40)"]
    # Each dot lies beside the line of its part, and the first part is on top.
    assert np.round([dots[share].get_ydata()[0] for share in (0.8, 0.6, 0.5)]).tolist() == [0, 2, 2]
    assert list(axis.get_yticks()) == [0, 2] and axis.yaxis_inverted()


def test_phantoms_are_marked_and_real_films_are_not():
    curves = {"m": make_curves(0.9)}
    for synthetic in (True, False):
        figures = (
            plot_corruption_curves(curves, title="t", synthetic=synthetic),
            plot_subgroups(ROWS, title="t", synthetic=synthetic),
        )
        assert all(("SYNTHETIC: t" in read_texts(figure)) == synthetic for figure in figures)

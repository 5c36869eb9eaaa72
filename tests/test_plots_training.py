"""Figures of a training and of recipes: what is drawn where."""

import numpy as np
import pytest
from conftest import read_texts

from pneumo_utils.evaluation.results import Summary, get_figures
from pneumo_utils.plots.training import (
    plot_ablation,
    plot_history,
    plot_losses,
    plot_lr_curve,
    plot_lr_schedule,
)
from pneumo_utils.training.lr_finder import LrCurve
from pneumo_utils.training.resume import EpochRecord

pytestmark = pytest.mark.usefixtures("closed_figures")


CURVE = LrCurve(np.array([1e-5, 1e-3, 1e-1, 1.0]), np.array([0.7, 0.6, 0.2, 0.9]), 1e-3)
HISTORY = [EpochRecord(i, "all", 0.1, 0.7, 0.6, 0.8 + i / 100, 0.75, i == 2, 1.0) for i in (1, 2, 3)]


LOSSES = {
    "bare": {"train": np.array([0.7, 0.1]), "val": np.array([0.7, 0.9])},
    "cured": {"train": np.array([0.5])},
}


def test_the_history_marks_the_epoch_that_is_kept():
    assert "kept: epoch 2" in read_texts(plot_history(HISTORY, title="t"))


def test_the_curve_of_rates_is_drawn_over_a_logarithmic_axis_with_its_suggestion():
    axis = plot_lr_curve(CURVE, title="t").axes[0]
    curve, mark = axis.lines
    assert axis.get_xscale() == "log"
    assert np.array_equal(curve.get_xdata(), CURVE.lrs) and np.array_equal(curve.get_ydata(), CURVE.losses)
    assert list(mark.get_xdata()) == [1e-3, 1e-3] and "steepest at 1.0e-03" in read_texts(axis.figure)


def test_the_schedule_shows_the_head_and_a_lowest_block_with_another_rate():
    rates = np.array([[1.0, 2.0], [2.0, 4.0], [1.0, 2.0], [0.5, 1.0]])
    axis = plot_lr_schedule(rates, num_epochs=2, title="t").axes[0]
    head, lowest = axis.lines
    np.testing.assert_allclose(head.get_xdata(), [0.5, 1, 1.5, 2])  # four steps are two epochs
    assert list(head.get_ydata()) == [2, 4, 2, 1] and list(lowest.get_ydata()) == [1, 2, 1, 0.5]
    alike = plot_lr_schedule(rates[:, [1, 1]], num_epochs=2, title="t").axes[0]
    assert len(alike.lines) == 1 and alike.get_legend() is None


def test_losses_are_drawn_by_epoch_on_one_scale():
    first, second = plot_losses(LOSSES, title="t").axes
    train, val = first.lines
    assert list(train.get_xdata()) == [1, 2] and list(train.get_ydata()) == [0.7, 0.1]
    assert list(val.get_ydata()) == [0.7, 0.9] and list(second.lines[0].get_ydata()) == [0.5]
    assert first.get_ylim() == second.get_ylim() and first.get_ylim()[0] == 0
    assert first.get_title() == "bare" and "val" in read_texts(first.figure)


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

"""Figures of a training: what is drawn where."""

import numpy as np
import pytest
from conftest import read_texts

from pneumo_utils.plots.training import (
    plot_history,
    plot_lr_curve,
    plot_lr_schedule,
)
from pneumo_utils.training.lr_finder import LrCurve
from pneumo_utils.training.resume import EpochRecord

pytestmark = pytest.mark.usefixtures("closed_figures")


CURVE = LrCurve(np.array([1e-5, 1e-3, 1e-1, 1.0]), np.array([0.7, 0.6, 0.2, 0.9]), 1e-3)
HISTORY = [EpochRecord(i, "all", 0.1, 0.7, 0.6, 0.8 + i / 100, 0.75, i == 2, 1.0) for i in (1, 2, 3)]


def test_the_history_marks_the_epoch_that_is_kept():
    assert "kept: epoch 2" in read_texts(plot_history(HISTORY, title="t"))


@pytest.mark.parametrize("kept", [2, 9, 14])
def test_the_legend_of_the_history_lies_on_no_line(kept):
    auroc = [1 - 0.2 / epoch for epoch in range(1, 15)]
    history = [
        EpochRecord(n, "all", 0.5 / n, 0.3 / n, 0.99, value, value, n == kept, 1.0)
        for n, value in enumerate(auroc, start=1)
    ]
    figure = plot_history(history, title="t")
    figure.canvas.draw()
    for axis in figure.axes:
        box = axis.get_legend().get_window_extent()
        paths = [line.get_transform().transform_path(line.get_path()) for line in axis.lines]
        assert not any(path.intersects_bbox(box, filled=False) for path in paths)
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1 and box.y0 >= 0


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

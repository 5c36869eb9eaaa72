"""Figures of a network from inside and of its training: what is drawn where, and the mark of phantoms."""

import numpy as np
import pytest
import torch
from conftest import read_texts
from matplotlib.patches import Rectangle

from pneumo_utils.evaluation.metrics import Predictions
from pneumo_utils.models.cnn import ReceptiveField
from pneumo_utils.plots.evaluation import plot_positions
from pneumo_utils.plots.films import plot_channels, show_receptive_field
from pneumo_utils.plots.style import COLOURS
from pneumo_utils.plots.training import plot_losses, plot_lr_schedule

pytestmark = pytest.mark.usefixtures("closed_figures")

FIELDS = {
    "2 blocks": ReceptiveField(7, (8, 8), np.eye(16)),
    "4 blocks": ReceptiveField(19, (8, 8), np.ones((16, 16))),
}
LOSSES = {
    "bare": {"train": np.array([0.7, 0.1]), "val": np.array([0.7, 0.9])},
    "cured": {"train": np.array([0.5])},
}
NAMES = np.array(list("abcde"))
FILMS = Predictions(np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.3, 0.2, 0.4, 0.45]), NAMES, NAMES)


@pytest.mark.parametrize("synthetic", [True, False])
def test_phantoms_are_marked(synthetic):
    shared = {"title": "t", "synthetic": synthetic}
    for figure in (
        show_receptive_field(torch.zeros(16, 16), FIELDS, **shared),
        plot_channels({"before": torch.zeros(2, 3, 4, 4)}, **shared),
        plot_losses(LOSSES, **shared),
        plot_positions({"plain": FILMS}, threshold=0.5, **shared),
    ):
        assert ("SYNTHETIC" in read_texts(figure)) == synthetic


def test_each_depth_has_its_square_about_the_same_pixel():
    figure = show_receptive_field(torch.zeros(16, 16), FIELDS, title="t")
    boxes = [next(p for p in axis.patches if isinstance(p, Rectangle)) for axis in figure.axes]
    # Pixel 8 lies in the middle of 7 pixels from 4.5 and of 19 from -1.5.
    assert [(box.get_x(), box.get_y(), box.get_width()) for box in boxes] == [(4.5, 4.5, 7), (-1.5, -1.5, 19)]
    assert figure.axes[1].get_xlim() == (-0.5, 15.5)  # a square larger than the film does not shrink it
    assert "2 blocks\n7 x 7 pixels" in read_texts(figure)
    assert np.array_equal(figure.axes[0].images[1].get_array(), np.eye(16))


def test_each_channel_has_a_box_about_its_median():
    values = torch.zeros(2, 3, 1, 2)  # two films of two pixels, three channels
    values[:, 1] = 5
    values[:, 2, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    axis = plot_channels({"before": values}, title="t").axes[0]
    medians = [line.get_ydata()[0] for line in axis.lines if line.get_color() == COLOURS[1]]
    assert medians == [0, 5, 2.5]


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


def test_positions_tell_the_ranking_from_the_place_of_the_threshold():
    axis = plot_positions({"plain": FILMS}, threshold=0.5, title="t").axes[0]
    # Of 3 x 2 pairs (.2, .3) alone is ranked wrongly. At 0.5 all are called normal, and 2 of 5 are. Called
    # pneumonia from .4 on, or from .2 on, one film is wrong.
    assert axis.get_title() == f"plain: AUROC {5 / 6:.2f}\naccuracy 40%, at the best threshold 80%"
    assert list(axis.lines[0].get_xdata()) == [0.5, 0.5]
    assert sum(bar.get_height() for bar in axis.patches) == 5

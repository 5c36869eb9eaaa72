"""Figures of films and data: the right films and maps in the right places, and what the lines stand for."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from conftest import read_texts
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from pneumo_utils.config import CLASS_COLOURS
from pneumo_utils.data.augmentation import make_lung_mask
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.models.cnn import ReceptiveField
from pneumo_utils.plots.films import (
    COLOUR_MAP,
    OPACITY,
    plot_channels,
    plot_class_counts,
    plot_intensities,
    plot_shortcuts,
    show_films,
    show_pictures,
    show_receptive_field,
    show_saliency,
)

pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture(scope="module")
def films():
    return make_phantoms(8, image_size=32)


@pytest.fixture(scope="module")
def saliency():
    return np.random.default_rng(0).random((3, 32, 32), dtype=np.float32)


def test_films_tell_themselves_that_they_are_phantoms(films, saliency):
    real = replace(films, source="folder")
    for shown, is_marked in ((films, True), (real, False)):
        figures = [show_films(shown, [0, 1]), show_saliency(shown, [0, 1, 2], saliency)]
        figures += [plot_class_counts([shown]), plot_intensities(shown)]
        assert all(("SYNTHETIC" in read_texts(figure)) == is_marked for figure in figures)


def test_a_sheet_shows_every_film_with_its_class(films):
    figure = show_films(films, [3, 4, 5], columns=2)
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert len(shown) == 3 and np.array_equal(shown[0], films.images[3])


def test_pictures_keep_their_shape_and_have_their_titles():
    pictures = {"wide": np.zeros((20, 40), np.uint8), "high": np.full((30, 20), 255, np.uint8)}
    figure = show_pictures(pictures)
    assert [axis.get_title() for axis in figure.axes] == ["wide", "high"]
    assert "SYNTHETIC" not in read_texts(figure)
    for axis, picture in zip(figure.axes, pictures.values(), strict=True):
        assert (axis.images[0].get_array() == picture).all() and axis.images[0].get_clim() == (0, 255)


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


def list_sheet(figure) -> list:
    """The axes of the sheet, from the top left; not that of the colour scale."""
    return [axis for axis in figure.axes if axis.get_subplotspec() is not None]


def test_each_film_stands_beside_its_map(films, saliency):
    index = [5, 0, 3, 1]
    saliency = np.concatenate([saliency, saliency[:1]])
    axes = list_sheet(show_saliency(films, index, saliency))
    assert len(axes) == 8  # two rows of two pairs
    for position, film in enumerate(index):
        plain, under = axes[2 * position], axes[2 * position + 1]
        assert len(plain.images) == 1 and np.array_equal(plain.images[0].get_array(), films.images[film])
        below, above = under.images
        assert np.array_equal(below.get_array(), films.images[film])
        assert np.array_equal(above.get_array(), saliency[position]) and above.get_clim() == (0, 1)
        assert above.get_cmap().name == COLOUR_MAP
        np.testing.assert_allclose(above.get_alpha(), OPACITY * saliency[position])
        assert plain.get_title(loc="left") == ("NORMAL", "PNEUMONIA")[films.labels[film]]
        (title,) = (text for text in plain.findobj(matplotlib.text.Text) if text.get_text())
        assert to_rgb(title.get_color()) == to_rgb(CLASS_COLOURS[films.labels[film]])


def test_the_outline_is_that_of_the_rough_lung_field(films, saliency):
    axes = list_sheet(show_saliency(films, [1, 2, 3], saliency))[:6]  # the other two places are free
    assert not any(axis.collections for axis in axes[::2])
    mask = make_lung_mask(32)
    inside = np.pad(mask, 1)
    # A line at the level 0.5 goes half-way between pixels that differ: through no pixel's middle, and each
    # point of it lies beside a pixel of the field.
    for axis in axes[1::2]:
        (line,) = axis.collections
        points = np.concatenate([path.vertices for path in line.get_paths()])
        assert len(points) > 40
        for x, y in points:
            around = inside[int(np.floor(y)) + 1 :, int(np.floor(x)) + 1 :][:2, :2]
            assert around.any() and not around.all()


def test_a_gallery_has_its_own_titles(films, saliency):
    text = read_texts(show_saliency(films, [0, 1, 2], saliency, titles=["one", "two", "three"]))
    assert all(title in text for title in ("one", "two", "three", "speaks for PNEUMONIA"))
    assert "NORMAL" not in text and text.count("PNEUMONIA") == 1


@pytest.mark.parametrize("shape", [(2, 32, 32), (8, 32, 32), (3, 16, 16), (32, 32)])
def test_maps_that_do_not_fit_the_films_are_refused(films, shape):
    with pytest.raises(ValueError, match=r"expected \(3, 32, 32\)"):
        show_saliency(films, [0, 1, 2], np.zeros(shape))


FIELDS = {
    "2 blocks": ReceptiveField(7, (8, 8), np.eye(16)),
    "4 blocks": ReceptiveField(19, (8, 8), np.ones((16, 16))),
}


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
    medians = [line.get_ydata()[0] for line in axis.lines if line.get_color() == "0.1"]
    assert medians == [0, 5, 2.5]

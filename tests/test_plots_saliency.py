"""Figures of saliency: the right films and maps in the right places, and what the lines stand for."""

import matplotlib
import numpy as np
import pytest
from conftest import read_texts
from matplotlib.colors import to_rgb

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.evaluation.saliency import make_lung_mask
from pneumo_utils.plots.films import COLOUR_MAP, OPACITY, plot_lung_share, show_saliency
from pneumo_utils.plots.style import COLOURS

pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture(scope="module")
def films():
    return make_phantoms(8, image_size=32)


@pytest.fixture(scope="module")
def saliency():
    return np.random.default_rng(0).random((3, 32, 32), dtype=np.float32)


def list_sheet(figure) -> list:
    """The axes of the sheet, from the top left; not that of the colour scale."""
    return [axis for axis in figure.axes if axis.get_subplotspec() is not None]


def test_each_film_stands_beside_its_map(films, saliency):
    axes = list_sheet(show_saliency(films, [5, 0, 3], saliency, columns=2))
    assert len(axes) == 8  # two rows of two pairs, the last one empty
    for position, film in enumerate((5, 0, 3)):
        plain, under = axes[2 * position], axes[2 * position + 1]
        assert len(plain.images) == 1 and np.array_equal(plain.images[0].get_array(), films.images[film])
        below, above = under.images
        assert np.array_equal(below.get_array(), films.images[film])
        assert np.array_equal(above.get_array(), saliency[position]) and above.get_clim() == (0, 1)
        assert above.get_cmap().name == COLOUR_MAP
        np.testing.assert_allclose(above.get_alpha(), OPACITY * saliency[position])
        assert plain.get_title(loc="left") == ("NORMAL", "PNEUMONIA")[films.labels[film]]
        (title,) = (text for text in plain.findobj(matplotlib.text.Text) if text.get_text())
        assert to_rgb(title.get_color()) == to_rgb(COLOURS[films.labels[film]])
    assert not any(axis.images or axis.get_title(loc="left") for axis in axes[6:])


def test_the_outline_is_that_of_the_rough_lung_field(films, saliency):
    with_outline, without = (
        list_sheet(show_saliency(films, [1, 2, 3], saliency, outline=outline)) for outline in (True, False)
    )
    assert not any(axis.collections for axis in [*without, *with_outline[::2]])
    mask = make_lung_mask(32)
    inside = np.pad(mask, 1)
    # A line at the level 0.5 goes half-way between pixels that differ: through no pixel's middle, and each
    # point of it lies beside a pixel of the field.
    for axis in with_outline[1::2]:
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
    assert "speaks for NORMAL" in read_texts(show_saliency(films, [0, 1, 2], saliency, label=0))


@pytest.mark.parametrize("shape", [(2, 32, 32), (8, 32, 32), (3, 16, 16), (32, 32)])
def test_maps_that_do_not_fit_the_films_are_refused(films, shape):
    with pytest.raises(ValueError, match=r"expected \(3, 32, 32\)"):
        show_saliency(films, [0, 1, 2], np.zeros(shape))


SHARES = {
    "NORMAL": np.array([0.2, np.nan, 0.4, 0.9]),
    "PNEUMONIA": np.array([0.5, 0.6]),
    "none": np.array([np.nan]),
}


def test_the_lung_share_shows_a_dot_a_film_and_the_median():
    axis = plot_lung_share(SHARES, even_share=0.45, title="t").axes[0]
    dots = [np.asarray(part.get_offsets()) for part in axis.collections]
    assert [sorted(part[:, 0]) for part in dots] == [[0.2, 0.4, 0.9], [0.5, 0.6], []]
    for row, part in enumerate(dots):
        assert (np.abs(part[:, 1] - row) <= 0.25).all()
    *medians, even = axis.lines
    assert [line.get_xdata()[0] for line in medians] == pytest.approx([0.4, 0.55])
    assert list(even.get_xdata()) == [0.45, 0.45] and "an even map: 0.45" in read_texts(axis.figure)
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == [
        "NORMAL\n3 films, 1 without a map",
        "PNEUMONIA\n2 films",
        "none\n0 films, 1 without a map",
    ]
    assert axis.yaxis_inverted() and axis.get_xlim() == (0, 1)


def test_many_rows_take_the_colours_in_turn():
    shares = {f"model {i}": np.array([0.5]) for i in range(8)}
    axis = plot_lung_share(shares, even_share=0.45, title="t").axes[0]
    colours = [tuple(part.get_facecolor()[0][:3]) for part in axis.collections]
    assert len(set(colours)) == 6 and colours[6:] == colours[:2]


def test_phantoms_are_marked(films, saliency):
    assert "SYNTHETIC" in read_texts(show_saliency(films, [0, 1, 2], saliency))
    assert "SYNTHETIC" in read_texts(plot_lung_share(SHARES, even_share=0.45, title="t", synthetic=True))
    assert "SYNTHETIC" not in read_texts(plot_lung_share(SHARES, even_share=0.45, title="t"))

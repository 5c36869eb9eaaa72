"""The lung mask: expected areas and places come from the geometry of two ellipses."""

import math

import numpy as np
import pytest

from pneumo_utils.evaluation.saliency import CENTRE, HALF_AXES, make_lung_mask


def test_two_whole_ellipses_side_by_side():
    mask = make_lung_mask(500)
    assert mask.shape == (500, 500) and mask.dtype == bool
    # Neither is cut off nor do they overlap, so the share is twice pi times both half axes.
    assert mask.mean() == pytest.approx(2 * math.pi * HALF_AXES[0] * HALF_AXES[1], abs=0.001)
    np.testing.assert_array_equal(mask, mask[:, ::-1])
    rows, columns = np.nonzero(mask[:, :250])
    assert (columns.mean() / 500, rows.mean() / 500) == pytest.approx(CENTRE, abs=0.002)


def test_the_tops_lean_towards_the_spine():
    left = make_lung_mask(200)[:, :100]
    top, bottom = np.nonzero(left[40])[0].mean(), np.nonzero(left[160])[0].mean()
    # 120 rows at a lean of 12 degrees: about 120 * tan(12°) = 25.5 columns along the long axis.
    assert 15 < top - bottom < 30


def test_corners_and_spine_stay_uncovered():
    mask = make_lung_mask(100)
    assert not mask[:, 49:51].any() and not mask[:9].any() and not mask[-11:].any()


def test_the_mask_means_the_same_at_any_size():
    coarse, fine = make_lung_mask(32), make_lung_mask(256)
    # Each coarse pixel is the middle of 8 x 8 fine ones: they may differ along the outline only.
    shares = fine.reshape(32, 8, 32, 8).mean((1, 3))
    assert (shares[coarse] > 0.3).all() and (shares[~coarse] < 0.7).all()


@pytest.mark.parametrize("size", [0, -3])
def test_a_size_below_one_is_refused(size):
    with pytest.raises(ValueError, match=f"size is {size}"):
        make_lung_mask(size)

"""Whatever is given to `load_image`, it gives the right pixels or one sentence, and says nothing else."""

import logging
import warnings

import numpy as np
import pytest
from odd_files import KINDS

from pneumo_utils.data.images import load_image
from pneumo_utils.errors import ImageError


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_read_rightly_or_refused_in_a_sentence(kind, tmp_path, capfd, caplog):
    source = kind.make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    caplog.set_level(logging.DEBUG)
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if kind.expected is None:
            with pytest.raises(ImageError) as caught:
                load_image(source)
            message = str(caught.value)
            assert message.endswith(".") and message.isprintable() and len(message) < 160
        else:
            pixels = load_image(source)
            assert pixels.dtype == np.uint8
            if isinstance(kind.expected, tuple):
                assert pixels.shape == kind.expected
            else:
                assert pixels.shape == kind.expected.shape
                assert np.abs(pixels.astype(int) - kind.expected).max() <= kind.tolerance
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert sorted(tmp_path.rglob("*")) == before


def test_no_two_kinds_have_one_name_and_both_sorts_are_there():
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert {kind.expected is None for kind in KINDS} == {True, False}

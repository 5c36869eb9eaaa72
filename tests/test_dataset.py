"""`XrayDataset`: what it holds together and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError


@pytest.fixture(scope="module")
def dataset():
    return make_phantoms(12, image_size=32)


def test_select_keeps_columns_together(dataset):
    index = np.array([7, 2, 2])
    chosen = dataset.select(index, split="val")
    assert chosen.split == "val" and len(chosen) == 3
    for name in ("images", "labels", "patients", "subtypes", "names"):
        assert np.array_equal(getattr(chosen, name), getattr(dataset, name)[index])


def test_class_counts(dataset):
    assert dataset.class_counts() == {
        "NORMAL": int(np.sum(dataset.labels == 0)),
        "PNEUMONIA": int(np.sum(dataset.labels == 1)),
    }


@pytest.mark.parametrize("column", ["images", "labels", "patients", "names"])
def test_the_fingerprint_sees_every_column(dataset, column):
    changed = getattr(dataset, column).copy()
    changed[3] = changed[3] ^ 1 if column in ("images", "labels") else "someone"
    assert replace(dataset, **{column: changed}).fingerprint() != dataset.fingerprint()


def test_the_same_films_have_the_same_fingerprint(dataset):
    assert dataset.select(np.arange(len(dataset))).fingerprint() == dataset.fingerprint()


@pytest.mark.parametrize("label", [0, 1])
def test_a_missing_class_is_named(dataset, label):
    one_class = dataset.select(dataset.labels == label)
    with pytest.raises(PneumoError, match=("PNEUMONIA", "NORMAL")[label]):
        one_class.require_both_classes()


def test_columns_of_other_lengths_are_refused(dataset):
    with pytest.raises(ValueError, match="labels"):
        replace(dataset, labels=dataset.labels[:-1])


def test_other_pixel_types_are_refused(dataset):
    with pytest.raises(ValueError, match="float64"):
        replace(dataset, images=dataset.images.astype(float))

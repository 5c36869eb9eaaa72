"""Validation: by patient, stratified, the same whatever the order of the listing."""

import numpy as np
import pytest

from pneumo_utils.data.splits import choose_films, make_validation_split
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError


@pytest.fixture(scope="module")
def dataset():
    return make_phantoms(600, image_size=32)


def test_no_patient_stands_on_both_sides_and_no_film_is_lost(dataset):
    train, val = make_validation_split(dataset)
    assert not set(train.patients) & set(val.patients)
    assert sorted([*train.names, *val.names]) == sorted(dataset.names)
    assert (train.split, val.split) == ("train", "val")


def test_both_sides_have_the_same_share_of_pneumonia(dataset):
    train, val = make_validation_split(dataset)
    assert val.labels.mean() == pytest.approx(train.labels.mean(), abs=0.05)
    assert len(val) / len(dataset) == pytest.approx(1 / 7, abs=0.02)  # 0.15 is nearest to one in seven


def test_the_order_of_the_listing_does_not_matter(dataset):
    shuffled = dataset.select(np.random.default_rng(1).permutation(len(dataset)))
    assert list(make_validation_split(dataset)[1].names) == list(make_validation_split(shuffled)[1].names)


def test_too_few_patients_are_refused(dataset):
    few = np.concatenate([np.flatnonzero(dataset.labels == label)[:2] for label in (0, 1)])
    with pytest.raises(PneumoError, match="cannot be split"):
        make_validation_split(dataset.select(few))


def test_choose_films_keeps_proportion_and_order():
    labels = np.repeat([0, 1], [100, 300])
    chosen = choose_films(labels, 40)
    assert len(chosen) == 40 and labels[chosen].sum() == 30
    assert np.all(np.diff(chosen) > 0)


@pytest.mark.parametrize("max_films", [None, 4, 5])
def test_choose_films_keeps_a_small_set_whole(max_films):
    assert list(choose_films(np.array([0, 1, 1, 0]), max_films)) == [0, 1, 2, 3]

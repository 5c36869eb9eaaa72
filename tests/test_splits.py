"""Validation: by patient, stratified, the same whatever the order of the listing."""

import numpy as np
import pytest
from conftest import REAL_FILMS
from sklearn.model_selection import StratifiedGroupKFold

from pneumo_utils.data.folders import list_films
from pneumo_utils.data.splits import (
    OF_CHESTXRAY2017,
    choose_films,
    choose_patients,
    make_validation_split,
)
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


KNOWN = sorted(OF_CHESTXRAY2017.read_text(encoding="utf-8").split())
OTHERS = [f"person9{number:04d}" for number in range(1000)]


def make_columns(patients: list[str]) -> list[np.ndarray]:
    """Names, labels and patients of three films each, by patterns of ChestXRay2017."""
    rows = [(f"{p}_{film}.jpeg", int(p.startswith("person")), p) for p in patients for film in range(3)]
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_patients_of_chestxray2017_stay_where_they_are_whatever_else_is_there():
    whole = make_columns(KNOWN + OTHERS)
    assert choose_patients(*whole) == set(KNOWN)
    for lost in (1, 500, len(whole[0]) // 3):
        kept = np.sort(np.random.default_rng(lost).permutation(len(whole[0]))[lost:])
        assert choose_patients(*(column[kept] for column in whole)) == set(KNOWN)
    assert choose_patients(*make_columns([*KNOWN, *OTHERS, "IM-9999", "person99999"])) == set(KNOWN)


def test_other_films_that_share_a_few_of_those_names_are_split_by_lot():
    few = make_columns(KNOWN[:30] + KNOWN[-30:])
    chosen = choose_patients(*few)
    assert 0 < len(chosen) < 20 and chosen < set(few[2])


@pytest.mark.skipif(not REAL_FILMS.is_dir(), reason="needs the real films")
def test_the_patients_that_are_written_down_are_those_of_the_lot_on_the_5216_films():
    films = list_films(REAL_FILMS, "train")
    columns = zip(*((film.path.name, film.label, film.patient) for film in films), strict=True)
    names, labels, patients = map(np.array, columns)
    order = np.argsort(names, kind="stable")
    folds = StratifiedGroupKFold(7, shuffle=True, random_state=0)
    _, val = next(folds.split(names, labels[order], patients[order]))
    assert set(patients[order][val]) == set(KNOWN) == choose_patients(names, labels, patients)


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

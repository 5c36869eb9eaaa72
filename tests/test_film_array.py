"""Films in memory and films mapped from a file: the same numbers, and nothing copied that need not be."""

import zipfile

import numpy as np
import pytest

from pneumo_utils.data import dataset
from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.dataset import COLUMNS, load_cached, load_films, make_films, take_films
from pneumo_utils.data.splits import make_validation_split
from pneumo_utils.data.synthetic import make_phantoms

FILMS = np.random.default_rng(0).integers(0, 256, (700, 16, 16), dtype=np.uint8)


@pytest.fixture
def few_fit_in_memory(monkeypatch):
    monkeypatch.setattr(dataset, "MAX_IN_MEMORY", 1000)


@pytest.fixture
def mapped(few_fit_in_memory):
    films = make_films(*FILMS.shape)
    films[:] = FILMS
    return films


def test_many_films_lie_in_a_file_and_few_in_memory(few_fit_in_memory):
    assert not isinstance(make_films(10, 10, 10), np.memmap)
    many = make_films(11, 10, 10)
    assert isinstance(many, np.memmap) and many.shape == (11, 10, 10) and many.dtype == np.uint8


INDICES = {
    "a slice": slice(20, 320),
    "consecutive": np.arange(20, 320),
    "a mask": np.isin(np.arange(700), np.arange(20, 320)),
    "every second": np.arange(0, 700, 2),
    "in another order": np.arange(700)[::-1],
    "one twice": np.array([3, 3]),
    "a list": [5],
    "none": np.array([], np.int64),
}


@pytest.mark.parametrize("name", INDICES)
def test_the_films_taken_are_those_asked_for(mapped, name):
    index = INDICES[name]
    taken = take_films(mapped, index)
    np.testing.assert_array_equal(taken, FILMS[index])
    is_view = name in ("a slice", "consecutive", "a mask", "a list")
    assert np.shares_memory(taken, mapped) == is_view
    assert not np.shares_memory(take_films(FILMS, INDICES["consecutive"]), FILMS)  # in memory, a copy


def test_a_large_choice_of_mapped_films_lies_in_a_file_too(mapped):
    assert isinstance(take_films(mapped, np.arange(0, 700, 2)), np.memmap)


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "films.npz", about="films", images=FILMS, others=FILMS[:2])
    return tmp_path / "films.npz"


def test_films_are_mapped_from_where_they_lie_in_the_file(path, few_fit_in_memory):
    with np.load(path) as file:
        films, others = (load_films(file, name, path=path) for name in ("images", "others"))
    assert isinstance(films, np.memmap) and not isinstance(others, np.memmap)
    np.testing.assert_array_equal(films, FILMS)
    np.testing.assert_array_equal(others, FILMS[:2])
    films[:] = 0  # reaches no file
    with np.load(path) as file:
        np.testing.assert_array_equal(file["images"], FILMS)


def test_a_flipped_bit_in_mapped_films_is_found(path, few_fit_in_memory):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with np.load(path) as file, pytest.raises(zipfile.BadZipFile, match="CRC"):
        load_films(file, "images", path=path)


def test_films_that_were_packed_or_are_no_films_are_refused(tmp_path, few_fit_in_memory):
    for save, array in ((np.savez_compressed, FILMS), (np.savez, FILMS.astype(float))):
        save(tmp_path / "films.npz", images=array)
        with np.load(tmp_path / "films.npz") as file, pytest.raises(ValueError, match="expected films"):
            load_films(file, "images", path=tmp_path / "films.npz")


def test_a_set_too_large_for_memory_is_built_kept_split_and_stressed_like_a_small_one(tmp_path, monkeypatch):
    small = make_phantoms(60, image_size=32)
    train, val = make_validation_split(small)
    stressed = make_stress_films(val)
    monkeypatch.setattr(dataset, "MAX_IN_MEMORY", 1000)
    names = [*train.names, *val.names]
    order = [list(small.names).index(name) for name in names]
    for _ in range(2):  # built, then read
        large = load_cached(tmp_path / "a.npz", key={}, build=lambda: small.select(order))
        assert isinstance(large.images, np.memmap)
        parts = make_validation_split(large)
        for part, expected in zip(parts, (train, val), strict=True):
            assert part.fingerprint() == expected.fingerprint() and part.split == expected.split
            assert np.shares_memory(part.images, large.images)
    views = make_stress_films(parts[1])
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(views, column), getattr(stressed, column))

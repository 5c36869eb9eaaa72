"""`XrayDataset`: what it holds together and refuses, mapped from a file or not, and its cache."""

from dataclasses import replace

import numpy as np
import pytest

from pneumo_utils.data import dataset as dataset_module
from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.dataset import COLUMNS, load_cached, make_films, take_films
from pneumo_utils.data.splits import make_validation_split
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
    with pytest.raises(PneumoError, match=("and 0 PNEUMONIA", "got 0 NORMAL")[label]):
        one_class.require_both_classes()


def test_columns_of_other_lengths_are_refused(dataset):
    with pytest.raises(ValueError, match="labels"):
        replace(dataset, labels=dataset.labels[:-1])


def test_other_pixel_types_are_refused(dataset):
    with pytest.raises(ValueError, match="float64"):
        replace(dataset, images=dataset.images.astype(float))


FILMS = np.random.default_rng(0).integers(0, 256, (700, 16, 16), dtype=np.uint8)


@pytest.fixture
def few_fit_in_memory(monkeypatch):
    monkeypatch.setattr(dataset_module, "MAX_IN_MEMORY", 1000)


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


def test_a_set_too_large_for_memory_is_built_kept_split_and_stressed_like_a_small_one(tmp_path, monkeypatch):
    small = make_phantoms(60, image_size=32)
    train, val = make_validation_split(small)
    stressed = make_stress_films(val)
    monkeypatch.setattr(dataset_module, "MAX_IN_MEMORY", 1000)
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
    for column in ("images", *COLUMNS):
        np.testing.assert_array_equal(getattr(views, column), getattr(stressed, column))


@pytest.fixture
def builder():
    class Builder:
        calls = 0
        dataset = make_phantoms(8, image_size=32)

        def __call__(self):
            self.calls += 1
            return self.dataset

    return Builder()


def test_the_second_load_builds_nothing_and_gives_the_same(tmp_path, builder):
    path = tmp_path / "made" / "films.npz"
    first = load_cached(path, key={"size": 1}, build=builder)
    second = load_cached(path, key={"size": 1}, build=builder)
    assert builder.calls == 1
    assert second.fingerprint() == first.fingerprint()
    assert (second.source, second.split, second.skipped) == (first.source, first.split, first.skipped)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "films.npy",
        "films.npz",
    ]  # no temporary file is left


def test_another_key_rebuilds(tmp_path, builder):
    load_cached(tmp_path / "a.npz", key={"size": 1}, build=builder)
    load_cached(tmp_path / "a.npz", key={"size": 2}, build=builder)
    assert builder.calls == 2


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign", "absent"])
def test_a_torn_file_is_rebuilt_and_then_whole(tmp_path, builder, monkeypatch, damage, suffix, is_mapped):
    if is_mapped:
        monkeypatch.setattr(dataset_module, "MAX_IN_MEMORY", 1000)
    path = tmp_path / "a.npz"
    load_cached(path, key={}, build=builder)
    torn = path.with_suffix(suffix)
    content = bytearray(torn.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 3] ^= 0xFF  # the checksum of the zip or of the pixels tells
    else:
        content = b"" if damage == "empty" else b"something else"
    torn.write_bytes(bytes(content))
    if damage == "absent":
        torn.unlink()
    assert load_cached(path, key={}, build=builder).fingerprint() == builder.dataset.fingerprint()
    assert builder.calls == 2
    load_cached(path, key={}, build=builder)
    assert builder.calls == 2


def test_a_place_that_cannot_be_written_costs_nothing_but_time(tmp_path, builder):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    dataset = load_cached(tmp_path / "file" / "a.npz", key={}, build=builder)
    assert np.array_equal(dataset.images, builder.dataset.images)


def test_what_is_written_to_mapped_images_reaches_no_file(tmp_path, builder, few_fit_in_memory):
    for _ in range(2):
        images = load_cached(tmp_path / "a.npz", key={}, build=builder).images
        assert isinstance(images, np.memmap)
        np.testing.assert_array_equal(images, builder.dataset.images)
        images[:] = 0
    assert builder.calls == 1

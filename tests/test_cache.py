"""The cache: used when valid, rebuilt when stale or torn, never in the way."""

import numpy as np
import pytest

from pneumo_utils.data.dataset import load_cached
from pneumo_utils.data.synthetic import make_phantoms


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
    assert [p.name for p in path.parent.iterdir()] == ["films.npz"]  # no temporary file is left


def test_another_key_rebuilds(tmp_path, builder):
    load_cached(tmp_path / "a.npz", key={"size": 1}, build=builder)
    load_cached(tmp_path / "a.npz", key={"size": 2}, build=builder)
    assert builder.calls == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_a_torn_file_is_rebuilt_and_then_whole(tmp_path, builder, damage):
    path = tmp_path / "a.npz"
    load_cached(path, key={}, build=builder)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 3] ^= 0xFF  # inside the pixels, which the zip's checksum covers
    else:
        content = b"" if damage == "empty" else b"not a zip at all"
    path.write_bytes(bytes(content))
    assert load_cached(path, key={}, build=builder).fingerprint() == builder.dataset.fingerprint()
    assert builder.calls == 2
    load_cached(path, key={}, build=builder)
    assert builder.calls == 2


def test_a_place_that_cannot_be_written_costs_nothing_but_time(tmp_path, builder):
    (tmp_path / "file").write_text("in the way")
    dataset = load_cached(tmp_path / "file" / "a.npz", key={}, build=builder)
    assert np.array_equal(dataset.images, builder.dataset.images)

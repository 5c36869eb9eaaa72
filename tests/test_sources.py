"""Which data is taken, and what comes of it."""

import threading
from types import SimpleNamespace

import medmnist
import numpy as np
import pytest
from conftest import make_folder

from pneumo_utils import cli
from pneumo_utils.config import FAST_MAX_FILMS
from pneumo_utils.data import sources
from pneumo_utils.data.sources import choose_data, list_training_films, load_split
from pneumo_utils.errors import PneumoError, UsageError


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(sources, "is_reachable", lambda: False)


def put_pneumoniamnist(folder, size=64):
    """A small file in the form of MedMNIST's."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 30), ("val", 10), ("test", 12)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, size, size), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2)[:, None].astype(np.uint8)
    path = folder / ("pneumoniamnist.npz" if size == 28 else f"pneumoniamnist_{size}.npz")
    np.savez(path, **arrays)
    return arrays


def test_without_films_and_network_phantoms_are_taken_and_it_is_said(folders, no_network):
    choice = choose_data(folders=folders)
    assert choice.source == "synthetic"
    assert "SYNTHETIC" in choice.sentence and "pneumo data download" in choice.sentence


def test_the_order_of_preference(folders, no_network, monkeypatch, tmp_path):
    put_pneumoniamnist(folders.data / "medmnist")
    assert choose_data(folders=folders).source == "pneumoniamnist"
    make_folder(folders.data / "chest_xray")
    assert choose_data(folders=folders).source == "chestxray2017"
    monkeypatch.setenv("PNEUMO_DATA", "synthetic")
    assert choose_data(folders=folders).source == "synthetic"
    elsewhere = make_folder(tmp_path / "elsewhere")
    monkeypatch.setenv("PNEUMO_DATA", str(elsewhere))
    assert choose_data(folders=folders).folder == elsewhere
    assert choose_data("pneumoniamnist", folders=folders).source == "pneumoniamnist"


def test_a_relative_folder_is_found_from_the_projects_root(folders, monkeypatch, tmp_path):
    make_folder(folders.root / "films")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert choose_data("films", folders=folders).folder == folders.root / "films"


@pytest.mark.parametrize("named", ["environment", "argument"])
def test_a_folder_that_was_named_and_is_missing_is_an_error(folders, monkeypatch, named):
    monkeypatch.setenv("PNEUMO_DATA", "nowhere" if named == "environment" else "")
    with pytest.raises(PneumoError, match="nowhere"):
        choose_data("auto" if named == "environment" else "nowhere", folders=folders)


def test_a_server_that_does_not_answer_is_given_up_soon(monkeypatch):
    monkeypatch.setattr(sources, "PROBE_TIMEOUT_S", 0.2)
    given_up, late = threading.Event(), SimpleNamespace(ok=True)
    monkeypatch.setattr("requests.head", lambda *a, **k: given_up.wait() and late)
    assert sources.is_reachable() is False
    given_up.set()


@pytest.mark.parametrize("has_gpu, size", [(False, 128), (True, 224)])
def test_with_a_network_pneumoniamnist_is_downloaded(folders, monkeypatch, has_gpu, size):
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    monkeypatch.setattr(sources, "is_reachable", lambda: True)
    asked = []

    def pretend(split, download, size, root):
        asked.append((split, download, size))
        put_pneumoniamnist(folders.data / "medmnist", size)

    monkeypatch.setattr(medmnist, "PneumoniaMNIST", pretend)
    choice = choose_data(folders=folders)
    assert choice.source == "pneumoniamnist" and asked == [("train", True, size)]


def test_a_download_that_fails_falls_back_to_phantoms(folders, monkeypatch):
    monkeypatch.setattr(sources, "is_reachable", lambda: True)

    def fail(**settings):
        raise RuntimeError("refused")

    monkeypatch.setattr(medmnist, "PneumoniaMNIST", fail)
    assert choose_data(folders=folders).source == "synthetic"
    with pytest.raises(PneumoError, match="Zenodo"):
        load_split(choose_data("pneumoniamnist", folders=folders), "train", image_size=64, folders=folders)


def test_medmnist_keeps_the_checksums_that_are_published():
    info = medmnist.INFO["pneumoniamnist"]
    assert info["MD5"] == "28209eda62fecd6e6a2d98b1501bb15f"
    assert info["MD5_64"] == "8f4eceb4ccffa70c672198ea285246c6"
    assert info["MD5_128"] == "05b46931834c231683c68f40c47b2971"
    assert info["MD5_224"] == "d6a3c71de1b945ea11211b03746c1fe1"


def test_pneumoniamnist_becomes_the_same_table(folders):
    arrays = put_pneumoniamnist(folders.data / "medmnist")
    choice = choose_data("pneumoniamnist", folders=folders)
    dataset = load_split(choice, "val", image_size=64, preset="grey", folders=folders)
    assert np.array_equal(dataset.images, arrays["val_images"])
    assert list(dataset.labels) == list(arrays["val_labels"].ravel())
    assert len(set(dataset.patients)) == 10 and dataset.split == "val"
    assert load_split(choice, "val", image_size=32, folders=folders).images.shape == (10, 32, 32)


@pytest.mark.parametrize(("split", "is_warned"), [("val", True), ("test", False)])
def test_a_model_of_the_whole_set_is_judged_on_the_small_one_with_a_word_of_caution(
    folders, capsys, split, is_warned
):
    put_pneumoniamnist(folders.data / "medmnist", size=128)
    words = f"eval --model cnn_baseline --shipped --data pneumoniamnist --split {split}"
    assert cli.main(words.split()) == 0
    assert ("may have learnt from these" in capsys.readouterr().err) is is_warned


def test_a_torn_pneumoniamnist_is_named(folders):
    put_pneumoniamnist(folders.data / "medmnist")
    path = folders.data / "medmnist" / "pneumoniamnist_64.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(PneumoError, match=r"pneumoniamnist_64\.npz is damaged"):
        load_split(choose_data("pneumoniamnist", folders=folders), "val", image_size=64, folders=folders)


def test_train_and_validation_come_from_the_official_train_split(folders, film_folder):
    choice = choose_data(str(film_folder), folders=folders)
    train, val, test = (
        load_split(choice, s, image_size=32, folders=folders) for s in ("train", "val", "test")
    )
    assert (len(train) + len(val), len(test)) == (24, 8)
    assert not set(train.patients) & set(val.patients)
    assert (train.split, val.split, test.split) == ("train", "val", "test")


def test_a_damaged_film_moves_no_other_one_across(folders, film_folder):
    choice = choose_data(str(film_folder), folders=folders)
    _, before = list_training_films(film_folder)
    path = next(film.path for film in list_training_films(film_folder)[0] if film.patient not in before)
    path.write_bytes(path.read_bytes()[:300])
    sides = {s: load_split(choice, s, image_size=32, folders=folders) for s in ("train", "val")}
    assert sides["train"].skipped == (path.name,)
    assert set(sides["val"].patients) == before and not set(sides["train"].patients) & before


def test_films_are_decoded_once(folders, film_folder, monkeypatch):
    choice = choose_data(str(film_folder), folders=folders)
    first = load_split(choice, "train", image_size=32, folders=folders)
    monkeypatch.setattr(sources, "read_films", None)  # reading again would fail
    assert load_split(choice, "train", image_size=32, folders=folders).fingerprint() == first.fingerprint()


def test_a_changed_film_is_noticed(folders, film_folder):
    choice = choose_data(str(film_folder), folders=folders)
    before = load_split(choice, "test", image_size=32, folders=folders)
    path = film_folder / "test" / "NORMAL" / "IM-0000-0001.jpeg"
    path.write_bytes((film_folder / "test" / "NORMAL" / "IM-0001-0001.jpeg").read_bytes() + b"\0")
    assert load_split(choice, "test", image_size=32, folders=folders).fingerprint() != before.fingerprint()


def test_the_short_mode_takes_few_films(folders, monkeypatch):
    monkeypatch.setenv("PNEUMO_FAST", "1")
    choice = choose_data("synthetic", folders=folders)
    total = sum(len(load_split(choice, s, image_size=32, folders=folders)) for s in ("train", "val"))
    assert total == FAST_MAX_FILMS


def test_an_unknown_split_is_refused(folders):
    with pytest.raises(UsageError, match="holdout"):
        load_split(choose_data("synthetic", folders=folders), "holdout", image_size=32, folders=folders)

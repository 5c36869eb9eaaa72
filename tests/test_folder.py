"""The folder reader: layouts, names, junk and damage."""

import shutil

import numpy as np
import pytest
from conftest import make_film, make_folder
from PIL import Image

from pneumo_utils.data.folders import find_dataset_folder, list_films, parse_name, read_films
from pneumo_utils.errors import PneumoError


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [
        ("person12_bacteria_34.jpeg", 1, ("person12", "bacterial")),
        ("person12_virus_5.jpeg", 1, ("person12", "viral")),
        ("IM-0115-0001.jpeg", 0, ("IM-0115", "normal")),
        ("IM-0115-0001-0002.jpeg", 0, ("IM-0115", "normal")),
        ("NORMAL2-IM-0115-0001.jpeg", 0, ("NORMAL2-IM-0115", "normal")),
        ("film.png", 1, ("film.png", "unknown")),
    ],
)
def test_names_tell_patient_and_subtype(name, label, expected):
    assert parse_name(name, label) == expected


def test_the_listing_is_sorted_and_complete(film_folder):
    films = list_films(film_folder, "train")
    assert [f.path.name for f in films] == sorted(f.path.name for f in films)
    assert len(films) == 24 and sum(f.label for f in films) == 12


def test_the_folder_above_and_kaggles_nested_copy_give_the_same_films(film_folder):
    shutil.copytree(film_folder, film_folder / "chest_xray")  # the duplicate tree of the mirror
    assert find_dataset_folder(film_folder.parent) == film_folder
    assert len(list_films(find_dataset_folder(film_folder), "train")) == 24


def test_kaggles_val_is_joined_to_train(film_folder):
    part = film_folder / "val" / "PNEUMONIA"
    part.mkdir(parents=True)
    Image.fromarray(make_film(5)).save(part / "person1946_bacteria_4874.jpeg")
    assert "person1946_bacteria_4874.jpeg" in {f.path.name for f in list_films(film_folder, "train")}
    assert len(list_films(film_folder, "test")) == 8


def test_junk_is_left_out_and_other_spellings_are_read(film_folder):
    part = film_folder / "train" / "NORMAL"
    (part / ".DS_Store").write_bytes(b"x")
    (part / "._IM-0001-0001.jpeg").write_bytes(b"x")
    (part / "notes.txt").write_text("x")
    (part / "deeper").mkdir()
    (film_folder / "__MACOSX" / "train" / "NORMAL").mkdir(parents=True)
    Image.fromarray(make_film(6)).save(part / "IM-9000-0001.JPG", format="JPEG")
    Image.fromarray(make_film(7)).convert("RGB").save(part / "IM-9001-0001.png")
    names = {f.path.name for f in list_films(film_folder, "train") if f.label == 0}
    assert len(names) == 14 and {"IM-9000-0001.JPG", "IM-9001-0001.png"} <= names


def test_a_folder_that_is_missing_or_of_another_layout_is_named(tmp_path):
    with pytest.raises(PneumoError, match=r"nowhere is not a folder.*pneumo data download"):
        find_dataset_folder(tmp_path / "nowhere")
    with pytest.raises(PneumoError, match="no train and test"):
        find_dataset_folder(tmp_path)


@pytest.mark.parametrize("remove", ["empty", "absent"])
def test_a_class_without_films_is_named(film_folder, remove):
    part = film_folder / "train" / "NORMAL"
    shutil.rmtree(part)
    if remove == "empty":
        part.mkdir()
    with pytest.raises(PneumoError, match="NORMAL holds no film"):
        list_films(film_folder, "train")


def test_films_are_decoded_into_one_table(film_folder):
    films = list_films(film_folder, "train")
    dataset = read_films(films, image_size=32, split="train", max_films=None)
    assert dataset.images.shape == (24, 32, 32) and dataset.images.dtype == np.uint8
    assert list(dataset.names) == [f.path.name for f in films]
    assert list(dataset.labels) == [f.label for f in films]
    # Bright noise was written for PNEUMONIA, 100 levels above NORMAL.
    gap = dataset.images[dataset.labels == 1].mean() - dataset.images[dataset.labels == 0].mean()
    assert gap == pytest.approx(100, abs=5)


def test_a_damaged_film_is_named_and_left_out(tmp_path):
    folder = make_folder(tmp_path / "f", num_train=20)
    broken = folder / "train" / "NORMAL" / "IM-0003-0001.jpeg"
    broken.write_bytes(broken.read_bytes()[:300])
    dataset = read_films(list_films(folder, "train"), image_size=32, split="train", max_films=None)
    assert dataset.skipped == ("IM-0003-0001.jpeg",)
    assert len(dataset) == 39 and "IM-0003-0001.jpeg" not in dataset.names


def test_more_than_five_percent_damage_stops_the_run(tmp_path):
    folder = make_folder(tmp_path / "f", num_train=20)
    for i in range(3):  # 3 of 40 is 7.5 %
        (folder / "train" / "NORMAL" / f"IM-{i:04d}-0001.jpeg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(PneumoError, match=r"3 of 40 films cannot be read.*IM-0000-0001"):
        read_films(list_films(folder, "train"), image_size=32, split="train", max_films=None)

"""Folders of films from elsewhere: two class folders, no splits."""

import numpy as np
import pytest
from conftest import make_film
from PIL import Image

from pneumo_utils.data.folders import find_class_folders, list_class_films
from pneumo_utils.data.sources import choose_data, load_split
from pneumo_utils.errors import PneumoError, UsageError


def write(folder, *places):
    for seed, place in enumerate(places):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_film(seed, shape=(40 + seed, 48))).save(path)
    return folder


def test_names_and_folders_tell_the_patients(tmp_path):
    write(tmp_path, "NORMAL/1.png", "PNEUMONIA/1.png", "NORMAL/p7/a.png", "PNEUMONIA/p7/sub/b.png",
          "PNEUMONIA/person12_virus_5.jpeg")  # fmt: skip
    films = {film.path.relative_to(tmp_path).as_posix(): film for film in list_class_films(tmp_path)}
    assert {place: film.patient for place, film in films.items()} == {
        "NORMAL/1.png": "NORMAL/1.png",
        "PNEUMONIA/1.png": "PNEUMONIA/1.png",
        "NORMAL/p7/a.png": "p7",
        "PNEUMONIA/p7/sub/b.png": "p7",
        "PNEUMONIA/person12_virus_5.jpeg": "person12",
    }
    assert films["PNEUMONIA/person12_virus_5.jpeg"].subtype == "viral"
    assert [film.label for film in films.values()] == [0, 0, 1, 1, 1]


def test_small_letters_and_junk(tmp_path):
    write(tmp_path, "normal/a.png", "Pneumonia/b.JPG", "normal/.hidden.png", "__MACOSX/NORMAL/a.png")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read.txt").write_text("x")
    assert set(find_class_folders(tmp_path)) == {"NORMAL", "PNEUMONIA"}
    assert [film.path.name for film in list_class_films(tmp_path)] == ["a.png", "b.JPG"]


def test_a_third_class_is_refused(tmp_path):
    write(tmp_path, "NORMAL/a.png", "PNEUMONIA/b.png", "COVID/c.png")
    with pytest.raises(PneumoError, match=r"other classes: COVID; expected NORMAL and PNEUMONIA only"):
        list_class_films(tmp_path)


def test_class_folders_without_films_are_refused(tmp_path):
    (tmp_path / "NORMAL").mkdir()
    (tmp_path / "PNEUMONIA").mkdir()
    with pytest.raises(PneumoError, match="hold no film; expected image files"):
        list_class_films(tmp_path)


def test_the_films_are_a_test_split_with_their_sizes(folders, tmp_path):
    write(tmp_path / "clinic", "NORMAL/a.png", "PNEUMONIA/b.png", "PNEUMONIA/c.png")
    choice = choose_data(str(tmp_path / "clinic"), folders=folders)
    for _ in range(2):  # decoded, then from the cache
        films = load_split(choice, "test", image_size=32, folders=folders)
        assert (films.source, films.split) == ("folder clinic", "test")
        np.testing.assert_array_equal(films.labels, [0, 1, 1])
        np.testing.assert_array_equal(films.sizes, [[40, 48], [41, 48], [42, 48]])
    np.testing.assert_array_equal(films.select([2]).sizes, [[42, 48]])
    for split in ("train", "val"):
        with pytest.raises(UsageError, match=rf"clinic has no {split} split.*--split test"):
            load_split(choice, split, image_size=32, folders=folders)


def test_two_folders_of_one_name_do_not_share_a_cache(folders, tmp_path):
    write(tmp_path / "a" / "films", "NORMAL/1.png", "PNEUMONIA/2.png")
    write(tmp_path / "b" / "films", "PNEUMONIA/1.png")
    counts = []
    for parent in ("a", "b", "a"):
        choice = choose_data(str(tmp_path / parent / "films"), folders=folders)
        counts.append(load_split(choice, "test", image_size=32, folders=folders).class_counts())
    assert counts[0] == counts[2] == {"NORMAL": 1, "PNEUMONIA": 1}
    assert counts[1] == {"NORMAL": 0, "PNEUMONIA": 1}  # one class may be judged as well


def test_a_folder_with_splits_is_still_the_course_s_own_layout(film_folder, folders):
    write(film_folder, "NORMAL/stray.png")
    assert choose_data(str(film_folder), folders=folders).source == "chestxray2017"

"""Identical films, near-duplicates, and the groups they make."""

import io

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from test_audit import make_blobs, titles, write

from pneumo_utils.audit.checks import summarise
from pneumo_utils.audit.facts import read_facts
from pneumo_utils.audit.repeats import MAX_DISTANCE, MIN_CORRELATION, find_near, make_groups


def near_names(root) -> set[frozenset[str]]:
    films = read_facts(root).readable
    return {
        frozenset(films[i].file.path.stem for i in (pair.first, pair.second)) for pair in find_near(films)
    }


def test_identical_films_are_counted_within_and_across_borders(tmp_path):
    places = {
        "train/NORMAL/IM-0001-0001.png": 1,
        "train/NORMAL/IM-0001-0002.bmp": 1,  # the same pixels in another format
        "train/NORMAL/IM-0002-0001.tiff": 1,  # and under another patient
        "train/PNEUMONIA/person1_virus_1.png": 2,
        "train/PNEUMONIA/person1_virus_2.png": 2,
        "test/NORMAL/IM-0009-0001.png": 3,
        "test/PNEUMONIA/person9_virus_9.png": 3,  # both labels
        "train/NORMAL/IM-0005-0001.png": 4,
        "test/NORMAL/IM-0005-0002.png": 4,  # in two splits
        "train/NORMAL/IM-0006-0001.png": 6,
        "test/NORMAL/IM-0006-0002.png": 6,  # once more
        "train/PNEUMONIA/alone.png": 5,
    }
    for place, seed in places.items():
        write(tmp_path, place, seed)
    summary = summarise(read_facts(tmp_path))
    found = summary["duplicates"]["identical"]
    assert found["groups"] == 5 and found["films"] == 3 + 2 + 2 + 2 + 2
    assert found["within_split"] == {"train": 2, "test": 1}
    assert (found["across_splits"], found["across_classes"], found["across_patients"]) == (2, 1, 2)
    # The one group that crosses no border comes last.
    assert found["names"][-1] == [f"train/PNEUMONIA/person1_virus_{i}.png" for i in (1, 2)]
    assert summary["counts"]["train"]["different"] == 8 - 2 - 1  # three are one, two are one
    assert summary["duplicates"]["near"]["pairs"] == 0  # identical ones are not told twice
    serious = titles(summary, "serious")
    assert "1 group of identical films with both labels" in serious
    assert "2 groups of identical films in more than one split" in serious


def test_foreign_names_of_identical_films_are_not_taken_for_patients(tmp_path):
    for name in ("a", "b"):
        write(tmp_path, f"NORMAL/{name}.png", 1)
    assert summarise(read_facts(tmp_path))["duplicates"]["identical"]["across_patients"] == 0


def resave(picture):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=30)
    return Image.open(stream)


def label(picture):
    changed = picture.copy()
    ImageDraw.Draw(changed).text((4, 4), "PORTABLE 12:30", fill=255)
    return changed


CHANGES = {
    "resaved": resave,
    "halved": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "stretched": lambda picture: picture.resize((picture.width, picture.height * 3 // 2)),
    "brighter": lambda picture: picture.point(lambda level: 0.7 * level + 60),
    "gamma": lambda picture: picture.point([round(255 * (level / 255) ** 1.3) for level in range(256)]),
    "labelled": label,
    "cropped": lambda picture: picture.crop((3, 3, picture.width - 3, picture.height - 3)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found_and_other_films_are_not(tmp_path, name):
    original = Image.fromarray(make_blobs(0, height=400, width=400))
    write(tmp_path, "NORMAL/original.png", original)
    write(tmp_path, "NORMAL/changed.png", CHANGES[name](original))
    for seed in range(1, 8):
        write(tmp_path, f"NORMAL/other{seed}.png", seed)
    assert near_names(tmp_path) == {frozenset({"original", "changed"})}


def test_distance_and_correlation_are_those_of_the_libraries(tmp_path):
    original = Image.fromarray(make_blobs(0, height=256, width=256))
    thumbnails = [original.resize((64, 64), Image.Resampling.BILINEAR)]
    thumbnails.append(thumbnails[0].point([round(255 * (level / 255) ** 1.4) for level in range(256)]))
    for number, thumbnail in enumerate(thumbnails):
        # Enlarged by repeating pixels, so that the audit's own thumbnail is the same again.
        write(tmp_path, f"NORMAL/{number}.png", np.asarray(thumbnail).repeat(4, 0).repeat(4, 1))
    films = read_facts(tmp_path).readable
    (pair,) = find_near(films)
    first, second = (Image.fromarray(film.picture.thumbnail) for film in films)
    assert pair.distance == imagehash.phash(first) - imagehash.phash(second)
    details = [np.asarray(p, float) - gaussian_filter(np.asarray(p, float), 3) for p in (first, second)]
    expected = np.corrcoef(details[0].ravel(), details[1].ravel())[0, 1]
    assert pair.correlation == pytest.approx(expected, abs=1e-4)
    assert MIN_CORRELATION <= pair.correlation < 0.9999 and pair.distance <= MAX_DISTANCE


def test_near_copies_are_counted_across_borders(tmp_path):
    original = Image.fromarray(make_blobs(0, height=300, width=300))
    write(tmp_path, "train/NORMAL/a.png", original)
    write(tmp_path, "test/NORMAL/b.png", resave(original))
    write(tmp_path, "train/PNEUMONIA/c.png", CHANGES["halved"](original))
    summary = summarise(read_facts(tmp_path))
    near = summary["duplicates"]["near"]
    # All three pairs: a with b across splits, a with c across classes, b with c across both.
    assert (near["pairs"], near["across_splits"], near["across_classes"]) == (3, 2, 2)
    assert "3 pairs of films nearly the same, 2 across splits" in titles(summary, "serious")


def test_empty_films_are_not_said_to_look_alike(tmp_path):
    for level in (0, 100, 101, 255):
        write(tmp_path, f"NORMAL/{level}.png", np.full((200, 200), level, np.uint8))
    assert near_names(tmp_path) == set()


def test_links_of_links_make_one_group():
    groups = make_groups(6, [(0, 3), (3, 5), (1, 2)])
    assert groups[0] == groups[3] == groups[5] and groups[1] == groups[2]
    assert len({groups[0], groups[1], groups[4]}) == 3
    assert len(set(make_groups(3, []))) == 3

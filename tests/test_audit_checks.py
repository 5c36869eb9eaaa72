"""The figures of an audit and what they mean: counts, patients, repeats, classes, odd files, findings.

Folders are made up, so that each expected figure can be counted by hand in the test.
"""

import io
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from audit_films import make_blobs, titles, write
from conftest import REAL_FILMS
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from pneumo_utils.audit.checks import MAX_DISTANCE, MIN_CORRELATION, describe_values, find_near, summarise
from pneumo_utils.audit.facts import read_facts
from pneumo_utils.data import images

ORIGINALS = REAL_FILMS.parent / "chest_xray_original_sample"


# --- counts, classes and patients -------------------------------------------------------------------------


def test_films_are_counted_by_split_class_and_subtype(tmp_path):
    for seed, place in enumerate(
        [
            "train/NORMAL/IM-0001-0001.png",
            "train/PNEUMONIA/person1_bacteria_1.png",
            "train/PNEUMONIA/person1_bacteria_2.png",
            "train/PNEUMONIA/person2_virus_3.png",
            "train/PNEUMONIA/film.png",
            "test/NORMAL/NORMAL2-IM-0001-0001.png",
        ]
    ):
        write(tmp_path, place, seed)
    summary = summarise(read_facts(tmp_path))
    assert summary["counts"]["train"] == {
        "films": 5,
        "readable": 5,
        "different": 5,
        "classes": {"NORMAL": 1, "PNEUMONIA": 4},
        "subtypes": {"bacterial": 2, "normal": 1, "unknown": 1, "viral": 1},
    }
    assert summary["counts"]["test"]["classes"] == {"NORMAL": 1, "PNEUMONIA": 0}
    assert "no film of class PNEUMONIA in test" in titles(summary, "serious")


def test_classes_are_described_in_plain_arithmetic(tmp_path):
    write(tmp_path, "NORMAL/a.png", np.full((200, 300), 100, np.uint8))  # aspect 1.5
    write(tmp_path, "NORMAL/b.png", np.full((400, 400), 140, np.uint8))  # aspect 1
    colour = Image.fromarray(np.full((200, 200), 50, np.uint8)).convert("RGB")
    write(tmp_path, "PNEUMONIA/c.jpeg", colour, progressive=True)
    normal, pneumonia = summarise(read_facts(tmp_path))["classes"].values()
    assert normal["width"] == {"mean": 350, "std": 50, "min": 300, "median": 350, "max": 400}
    assert normal["aspect"]["mean"] == 1.25 and normal["mean_intensity"]["mean"] == 120
    assert normal["modes"] == {"L": 2} and normal["jpeg_quality"] is None and normal["progressive"] == 0
    sizes = [(tmp_path / "NORMAL" / name).stat().st_size for name in ("a.png", "b.png")]
    assert normal["kilobytes"]["mean"] == pytest.approx(sum(sizes) / 2000)
    assert pneumonia["modes"] == {"RGB": 1} and pneumonia["formats"] == {"JPEG": 1}
    assert pneumonia["jpeg_quality"]["mean"] == 75 and pneumonia["progressive"] == 1
    assert describe_values(pd.Series([], dtype=float)) is None


def test_one_class_only_is_a_finding_and_no_figure_is_made_up(tmp_path):
    for seed in range(3):
        write(tmp_path, f"NORMAL/{seed}.png", seed)
    summary = summarise(read_facts(tmp_path))
    assert "no film of class PNEUMONIA." in titles(summary, "serious")
    assert summary["classes"]["PNEUMONIA"]["width"] is None
    scores = summary["shortcuts"]["scores"]
    assert all(score["auroc"] is None and score["reason"] for score in scores.values())
    assert "3 patients of NORMAL and 0 of PNEUMONIA" in scores["whole film"]["reason"]


def test_patients_are_compared_under_both_keys(tmp_path):
    for seed, place in enumerate(
        [
            "train/PNEUMONIA/person1_bacteria_1.png",
            "train/PNEUMONIA/person2_bacteria_2.png",
            "train/PNEUMONIA/person3_virus_3.png",
            "train/NORMAL/IM-0001-0001.png",
            "val/NORMAL/IM-0002-0001.png",
            "test/PNEUMONIA/person1_virus_4.png",  # the number of a bacterial film in train
            "test/PNEUMONIA/person3_virus_5.png",  # number and pathogen of a film in train
            "test/NORMAL/NORMAL2-IM-0001-0001.png",  # another series: not IM-0001
            "test/NORMAL/IM-0002-0002.png",  # in val too
        ]
    ):
        write(tmp_path, place, seed)
    summary = summarise(read_facts(tmp_path))
    coarse, fine = summary["patients"]["coarse"], summary["patients"]["fine"]
    assert coarse["num_patients"] == fine["num_patients"] == {"train": 4, "val": 1, "test": 4}
    assert coarse["shared"]["train/test"]["patients"] == ["person1", "person3"]
    assert coarse["shared"]["train/test"]["classes"] == ["PNEUMONIA"]
    assert fine["shared"]["train/test"]["patients"] == ["person3 viral"]
    assert fine["shared"]["val/test"]["patients"] == ["IM-0002"]
    assert coarse["shared"]["train/val"]["count"] == 0
    assert "1 patient with films in both train and test" in titles(summary, "serious")
    assert "No patient is in both train and val" in titles(summary, "fine")


def test_a_number_with_another_pathogen_is_for_a_person_to_judge(tmp_path):
    write(tmp_path, "train/PNEUMONIA/person1_bacteria_1.png", 0)
    write(tmp_path, "test/PNEUMONIA/person1_virus_4.png", 1)
    summary = summarise(read_facts(tmp_path))
    assert "1 patient number in both train and test, none with the same pathogen" in titles(summary, "look")


def test_names_of_another_hospital_tell_no_patient(tmp_path):
    write(tmp_path, "train/NORMAL/0001.png", 0)
    write(tmp_path, "test/NORMAL/0001.png", 1)  # the same name is not the same patient
    summary = summarise(read_facts(tmp_path))
    assert summary["patients"]["coarse"] is None and summary["patients"]["named_films"] == 0
    assert "No file name" in summary["patients"]["reason"]
    assert "Nobody can say" in titles(summary, "look")


def test_some_names_that_tell_no_patient_are_counted(tmp_path):
    write(tmp_path, "train/NORMAL/IM-0001-0001.png", 0)
    write(tmp_path, "test/NORMAL/film.png", 1)
    summary = summarise(read_facts(tmp_path))
    assert summary["patients"]["named_films"] == 1
    assert "The names of 1 film of 2 tell no patient" in titles(summary, "look")


# --- repeats ----------------------------------------------------------------------------------------------


def near_names(root) -> set[frozenset[str]]:
    films = read_facts(root).readable
    stems = films["path"].map(lambda path: path.stem)
    return {frozenset(stems[[pair.first, pair.second]]) for pair in find_near(films).itertuples()}


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
    (tmp_path / "NORMAL/damaged.png").write_bytes(
        b"x"
    )  # what is missing of it must not blur the others' hashes
    films = read_facts(tmp_path).readable
    (pair,) = find_near(films).itertuples()
    first, second = map(Image.fromarray, films["thumbnail"])
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


# --- files ------------------------------------------------------------------------------------------------


def test_damaged_files_are_counted_with_their_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 100_000)
    good = write(tmp_path, "NORMAL/good.jpeg", 0)
    part = good.parent
    (part / "cut.jpeg").write_bytes(good.read_bytes()[:700])
    (part / "empty.png").write_bytes(b"")
    (part / "page.png").write_bytes(b"<html></html>")
    (part / "large.png").write_bytes(bytes(100_001))
    write(tmp_path, "NORMAL/tiny.png", np.zeros((8, 8), np.uint8))
    write(tmp_path, "PNEUMONIA/good.png", 1)
    summary = summarise(read_facts(tmp_path))
    assert summary["num_films"] == 7 and summary["num_readable"] == 2
    reasons = {names[0]: reason for reason, names in summary["files"]["damaged"].items()}
    expected = {"cut": "cut short", "empty": "empty", "page": "no JPEG", "large": "100,001 bytes"}
    expected |= {"tiny": "8 x 8 pixels"}
    for name, words in expected.items():
        (reason,) = (r for path, r in reasons.items() if Path(path).stem == name)
        assert words in reason
    assert summary["counts"]["all"]["films"] == 7 and summary["counts"]["all"]["readable"] == 2
    assert "5 files cannot be read" in titles(summary, "look")


def test_odd_files_are_named_with_their_reason(tmp_path):
    write(tmp_path, "NORMAL/fine.png", 0)
    write(tmp_path, "PNEUMONIA/fine.jpg", 1)
    write(tmp_path, "NORMAL/person7_virus_9.png", 2)
    write(tmp_path, "PNEUMONIA/IM-0007-0001.png", 3)
    write(tmp_path, "NORMAL/other.jpeg", make_blobs(4), format="PNG")
    write(tmp_path, "NORMAL/grey.png", np.full((200, 200), 90, np.uint8))
    write(tmp_path, "NORMAL/small.png", make_blobs(5, height=127, width=130))
    write(tmp_path, "NORMAL/strip.png", make_blobs(6, height=130, width=326))
    assert summarise(read_facts(tmp_path))["files"]["suspicious"] == {
        "named as the other class": ["NORMAL/person7_virus_9.png", "PNEUMONIA/IM-0007-0001.png"],
        "PNG inside, another kind by its name": ["NORMAL/other.jpeg"],
        "nearly all of one grey level": ["NORMAL/grey.png"],
        "short side below 128 pixels": ["NORMAL/small.png"],
        "width over height outside 0.5 to 2.5": ["NORMAL/strip.png"],  # 326 / 130 = 2.51
    }


# --- real films -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not ORIGINALS.is_dir(), reason="needs the sample of original films")
def test_the_original_films_give_their_label_away():
    summary = summarise(read_facts(ORIGINALS))
    for name, described in summary["classes"].items():
        paths = sorted((ORIGINALS / name).glob("*.jpeg"))
        sizes = np.array([Image.open(path).size for path in paths])
        assert described["films"] == len(paths) == 60
        assert described["width"]["mean"] == pytest.approx(sizes[:, 0].mean())
        assert described["height"]["mean"] == pytest.approx(sizes[:, 1].mean())
        assert described["aspect"]["mean"] == pytest.approx((sizes[:, 0] / sizes[:, 1]).mean())
        assert described["modes"].get("RGB", 0) == sum(Image.open(path).mode == "RGB" for path in paths)
    normal, pneumonia = summary["classes"].values()
    assert normal["jpeg_quality"]["median"] >= 95 and pneumonia["jpeg_quality"]["median"] == 75
    assert normal["aspect"]["mean"] < 1.35 < pneumonia["aspect"]["mean"]
    scores = summary["shortcuts"]["scores"]
    assert scores["compression"]["auroc"] > 0.95 and scores["size"]["auroc"] > 0.75
    assert "AUROC 1.00" in titles(summary, "serious")


@pytest.mark.slow
@pytest.mark.skipif(not REAL_FILMS.is_dir(), reason="needs the real films")
def test_the_known_facts_of_the_real_films_are_found():
    """The figures of the README beside the films, counted there by other means."""
    summary = summarise(read_facts(REAL_FILMS))
    train, test = summary["counts"]["train"], summary["counts"]["test"]
    assert train["classes"] == {"NORMAL": 1341, "PNEUMONIA": 3875}
    assert test["classes"] == {"NORMAL": 234, "PNEUMONIA": 390} and test["different"] == 618
    assert train["subtypes"] == {"normal": 1341, "bacterial": 2530, "viral": 1345}
    assert test["subtypes"] == {"normal": 234, "bacterial": 242, "viral": 148}
    identical = summary["duplicates"]["identical"]
    assert (identical["groups"], identical["across_splits"], identical["within_split"]["test"]) == (30, 0, 6)
    coarse, fine = (summary["patients"][key] for key in ("coarse", "fine"))
    assert coarse["num_patients"] == {"train": 2846, "test": 427}
    assert coarse["shared"]["train/test"]["count"] == 170
    assert coarse["shared"]["train/test"]["classes"] == ["PNEUMONIA"]
    assert fine["shared"]["train/test"]["count"] == 0
    assert summary["duplicates"]["near"]["pairs"] < 5  # the reader is not drowned
    assert summary["files"] == {"damaged": {}, "suspicious": {}, "not_read": {}}
    scores = summary["shortcuts"]["scores"]
    assert scores["size"]["auroc"] is None and scores["aspect"]["auroc"] is None  # squashed: all alike
    assert scores["lungs covered"]["auroc"] > 0.95
    assert min(c["with_marks"] / c["films"] for c in summary["classes"].values()) > 0.6

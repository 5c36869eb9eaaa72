"""The audit's listing, the facts of each file, the counts and the patients.

Folders are made up, so that each expected figure can be counted by hand in the test.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import REAL_FILMS
from PIL import Image

from pneumo_utils.audit import checks
from pneumo_utils.audit.checks import make_findings, summarise
from pneumo_utils.audit.facts import measure_picture, read_facts
from pneumo_utils.data import images

ORIGINALS = REAL_FILMS.parent / "chest_xray_original_sample"


def make_blobs(seed: int, *, height: int = 130, width: int = 150) -> np.ndarray:
    """Smooth random blobs, uint8 (H, W): two seeds look as different as two chests."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 10), dtype=np.uint8)
    return np.array(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def write(root: Path, place: str, film, **options) -> Path:
    """Saves a film at a place such as `train/NORMAL/a.png`; a whole number is the seed of its blobs."""
    pixels = make_blobs(film) if isinstance(film, int) else film
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)
    return path


def encode(pixels, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(stream, kind, **options)
    return stream.getvalue()


def titles(summary: dict, level: str) -> str:
    return "\n".join(finding.title for finding in make_findings(summary) if finding.level == level)


# --- the table -------------------------------------------------------------------------------------------


def test_the_sorted_table_is_the_same_with_one_thread_and_with_many(tmp_path):
    for seed in range(12):
        write(tmp_path, f"NORMAL/{seed}.png", seed)
    one, many = (read_facts(tmp_path, num_threads=count) for count in (1, 4))
    assert [film.file.name for film in one.films] == sorted(f"NORMAL/{seed}.png" for seed in range(12))
    assert [f.picture.pixel_hash for f in one.films] == [f.picture.pixel_hash for f in many.films]


def test_a_part_of_the_films_keeps_the_share_of_the_classes(tmp_path):
    for seed in range(12):
        write(tmp_path, f"{'NORMAL' if seed < 3 else 'PNEUMONIA'}/{seed}.png", seed)
    labels = [film.file.label for film in read_facts(tmp_path, max_films=8).films]
    assert labels == [0] * 2 + [1] * 6  # a quarter and three quarters of 8, in the order of the table


# --- facts of a file ------------------------------------------------------------------------------------


def test_facts_of_a_known_picture():
    pixels = make_blobs(0, height=140, width=210)
    picture = measure_picture(encode(pixels, "PNG"))
    assert (picture.width, picture.height, picture.mode, picture.format) == (210, 140, "L", "PNG")
    assert (picture.mean, picture.std) == pytest.approx((pixels.mean(), pixels.std()))
    assert np.isnan(picture.quality) and not picture.is_progressive
    assert picture.thumbnail.shape == (64, 64) and picture.thumbnail.dtype == np.uint8


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_the_mode_is_the_files_own(mode):
    picture = Image.fromarray(make_blobs(0)).convert(mode)
    assert measure_picture(encode(picture, "PNG")).mode == mode


@pytest.mark.parametrize("quality", [25, 50, 60, 75, 90, 95, 100])
def test_jpeg_quality_is_read_from_the_file(checks):
    data = encode(make_blobs(0), "JPEG", quality=checks)
    assert measure_picture(data).quality == pytest.approx(checks, abs=1)


@pytest.mark.parametrize("progressive", [False, True])
def test_progressive_files_are_told(progressive):
    assert (
        measure_picture(encode(make_blobs(0), "JPEG", progressive=progressive)).is_progressive is progressive
    )


def test_the_pixel_hash_sees_pixels_and_size_only():
    pixels = make_blobs(0)
    same = [measure_picture(encode(pixels, kind)).pixel_hash for kind in ("PNG", "BMP", "TIFF")]
    assert len(set(same)) == 1
    other = pixels.copy()
    other[3, 4] ^= 1
    reshaped = pixels.reshape(pixels.shape[0] // 2, -1)
    for changed in (other, reshaped):
        assert measure_picture(encode(changed, "PNG")).pixel_hash != same[0]


def test_each_file_is_read_once(tmp_path, monkeypatch):
    paths = [write(tmp_path, f"NORMAL/{seed}.png", seed) for seed in range(5)]
    opened, inner = [], io.open

    def spy(file, *words, **settings):
        opened.append(str(file))
        return inner(file, *words, **settings)

    monkeypatch.setattr(io, "open", spy)  # the way of pathlib
    monkeypatch.setattr("builtins.open", spy)  # the way of Pillow
    read_facts(tmp_path)
    assert sorted(name for name in opened if name.endswith(".png")) == sorted(map(str, paths))


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
    (tmp_path / "NORMAL" / "other.jpeg").write_bytes(encode(make_blobs(4), "PNG"))
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


# --- counts, classes and patients -----------------------------------------------------------------------


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
    assert checks.describe_values([]) is None


def test_one_class_only_is_a_finding_and_no_figure_is_made_up(tmp_path):
    for seed in range(3):
        write(tmp_path, f"NORMAL/{seed}.png", seed)
    summary = summarise(read_facts(tmp_path))
    assert "no film of class PNEUMONIA." in titles(summary, "serious")
    assert summary["classes"]["PNEUMONIA"]["width"] is None
    scores = summary["shortcuts"]["scores"]
    assert all(score["auroc"] is None and score["reason"] for score in scores.values())
    assert "3 patients of class NORMAL and 0 of class PNEUMONIA" in scores["whole film"]["reason"]


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


# --- real films -----------------------------------------------------------------------------------------


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

"""The second judge and the ranking of candidates: fixed changes, a group of its own, no test film."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT

from pneumo_utils.config import Folders
from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.sources import DataChoice
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.models.checkpoint import load_checkpoint, save_checkpoint
from pneumo_utils.training.recipes import RECIPES
from pneumo_utils.training.thresholds import calibrate
from tools import candidates
from tools.candidates import CANDIDATES, Candidate, find_seed, format_ranking
from tools.second_judge import CHANGES, MOVES, SIDE, change_films, choose_left_out, judge, measure_moves

FILMS = make_phantoms(8, image_size=SIDE, split="test")
READING = {"image_size": 64, "preset": "percentile"}


def predict_brightness(films: XrayDataset) -> np.ndarray:
    return films.images.mean((1, 2)) / 255


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_the_same_each_time_and_another_for_each_film(name):
    first, again = (change_films(FILMS, name, reading=READING) for _ in range(2))
    np.testing.assert_array_equal(first.images, again.images)
    assert first.images.shape == (8, 64, 64) and first.preset == "percentile"
    twice = replace(FILMS, images=np.repeat(FILMS.images[:1], 8, axis=0))
    changed = change_films(twice, name, reading=READING | {"preset": "grey"}).images
    assert len(np.unique(changed, axis=0)) >= 6  # two of eight may draw the same


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_leaves_the_film_recognisable(name):
    plain = change_films(FILMS, "border 10 %", reading=READING)  # which the reading cuts off again
    changed = change_films(FILMS, name, reading=READING)
    if name != "cut sides":  # it moves everything
        for film, other in zip(plain.images, changed.images, strict=True):
            assert np.corrcoef(film.ravel(), other.ravel())[0, 1] > 0.6


def test_films_at_another_size_or_read_before_are_refused():
    for films in (make_phantoms(8, image_size=64), replace(FILMS, preset="percentile")):
        with pytest.raises(ValueError, match="expected grey, 224 px"):
            change_films(films, "JPEG", reading=READING)


def test_the_judge_asks_once_a_change_and_ranks():
    films = replace(FILMS, labels=(predict_brightness(FILMS) > np.median(predict_brightness(FILMS))) * 1)
    aurocs = judge(predict_brightness, films, reading=READING | {"preset": "grey"})
    assert list(aurocs) == list(CHANGES)
    assert aurocs["salt noise"] == 1 and aurocs["frame"] < 1  # a page has a brightness of its own


def test_answers_that_follow_the_file_are_counted_as_moved():
    # A border of 10 % on each side leaves (1 / 1.2)^2 = 0.69 of the brightness, twice the width a half.
    moved = measure_moves(predict_brightness, FILMS, reading=READING | {"preset": "grey"})
    assert moved["border 10 %"] == moved["canvas twice as wide"] == 1.0
    still = measure_moves(predict_brightness, FILMS, reading=READING)
    assert list(still) == list(MOVES) and max(still.values()) == 0


def test_the_group_that_is_left_out_is_of_whole_patients_and_of_both_classes(monkeypatch):
    monkeypatch.setattr("tools.second_judge.MIN_LEFT_OUT", 3)
    films = make_phantoms(300, image_size=64)
    patients = np.array([f"IM-{patient[-4:]}" for patient in films.patients])
    films = replace(films, patients=patients)
    is_out = choose_left_out(films)
    assert not set(patients[is_out]) & set(patients[~is_out])
    assert min(np.bincount(films.labels[is_out], minlength=2)) >= 3 and is_out.mean() < 0.5
    np.testing.assert_array_equal(is_out, choose_left_out(films))


@pytest.fixture
def ranked(tiny_config, monkeypatch, tmp_path):
    """Two candidates, one taught by the other, on few phantoms; how films are asked for is noted."""
    config = replace(tiny_config, num_epochs=1)
    rows = {"plain": Candidate(config), "taught": Candidate(config, teacher="plain")}
    monkeypatch.setattr(candidates, "CANDIDATES", rows)
    monkeypatch.setattr(candidates, "choose_left_out", lambda films: np.arange(len(films)) % 4 == 0)
    asked = []

    def load_split(choice, split, *, image_size, preset):
        asked.append(split)
        num_films = {"train": 80, "val": 40}[split]
        return replace(make_phantoms(num_films, image_size=image_size, split=split), preset=preset)

    monkeypatch.setattr(candidates, "load_split", load_split)
    return Folders(tmp_path), asked


CHOICE = DataChoice("synthetic", None, "")
QUIET = {"choice": CHOICE, "say": lambda text: None}


@pytest.mark.long
def test_candidates_are_trained_judged_and_never_shown_a_test_film(ranked):
    folders, asked = ranked
    for row in ("plain", "taught"):
        for left_out in (False, True):
            candidates.run(row, 0, folders=folders, left_out=left_out, **QUIET)
    assert set(asked) == {"train", "val"}
    runs, rows = folders.build / "candidates", candidates.CANDIDATES
    records = candidates.gather(runs, folders.root / "none.json", rows)
    assert [(r["row"], r["left_out"]) for r in records] == [
        ("plain", False), ("plain", True), ("taught", False), ("taught", True),
    ]  # fmt: skip
    assert records[0]["taught_by"] == "" and records[2]["taught_by"].startswith("cnn_baseline ")
    assert set(records[0]["second_judge"]) == set(CHANGES) and "left_out_auroc" in records[1]
    assert len(format_ranking(records).splitlines()) == 4
    # A stored table keeps what the folder lacks, gets what is newer there, and loses rows that are gone.
    old = [{**records[0], "time_s": -1}, {**records[0], "seed": 7}, {**records[0], "row": "gone"}]
    candidates.write_json({"runs": old}, folders.root / "table.json")
    merged = candidates.gather(runs, folders.root / "table.json", rows)
    assert [r["seed"] for r in merged] == [0, 7, 0, 0, 0] and merged[0] == records[0]


def test_a_run_that_has_ended_is_not_trained_again_and_one_of_other_settings_is(ranked, monkeypatch):
    folders, _ = ranked
    train = candidates.train
    first = train(candidates.CANDIDATES["plain"], "plain", 0, folders=folders, **QUIET)
    again = train(candidates.CANDIDATES["plain"], "plain", 0, folders=folders, **QUIET)
    assert again.val_metrics == first.val_metrics
    other = Candidate(replace(candidates.CANDIDATES["plain"].config, lr=5e-4))
    assert train(other, "plain", 0, folders=folders, **QUIET).config.lr == 5e-4


def test_a_teachers_larger_films_are_loaded_and_the_student_keeps_its_size(ranked):
    folders, _ = ranked
    train, rows = candidates.train, candidates.CANDIDATES
    large = Candidate(replace(rows["plain"].config, image_size=48))
    train(large, "plain", 0, folders=folders, **QUIET)
    student = train(rows["taught"], "taught", 0, folders=folders, **QUIET)
    assert student.transform.image_size == 32
    # It is settled on validation films of its own size, as every judge of it reads them.
    val = candidates.load_split(CHOICE, "val", image_size=32, preset=student.transform.name)
    settled = calibrate(student, val, make_stress_films(val))
    assert (settled.val_metrics, settled.threshold) == (student.val_metrics, student.threshold)
    path = find_seed(folders, "plain", 0)
    save_checkpoint(replace(load_checkpoint(path), temperature=9.0), path)
    assert load_checkpoint(find_seed(folders, "taught", 0)).taught_by == student.taught_by


def test_the_stored_ranking_is_of_candidates_that_are_there():
    path = ROOT / "results" / "candidates.json"
    records = json.loads(path.read_text(encoding="utf-8"))["runs"]
    runs = Counter((record["row"], record["left_out"]) for record in records)
    assert (
        {row for row, left_out in runs if left_out}
        == {record["row"] for record in records}
        == set(CANDIDATES)
    )
    assert min(runs[row, False] for row in RECIPES) >= 3
    assert all("test" not in record for record in records)
    assert {record["data"] for record in records} == {"chestxray2017"}

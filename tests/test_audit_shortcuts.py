"""The shortcut scores, against scikit-learn called directly and on films whose label is planted."""

import numpy as np
import pytest
from audit_films import make_blobs, titles, write
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pneumo_utils.audit.checks import summarise
from pneumo_utils.audit.facts import read_facts
from pneumo_utils.audit.findings import rate_auroc
from pneumo_utils.audit.shortcuts import (
    compute_shortcut,
    compute_split_shift,
    describe_shortcuts,
    describe_split_shift,
    make_features,
    make_patient_groups,
)
from pneumo_utils.data.augmentation import make_lung_mask

CLASSES = ("NORMAL", "PNEUMONIA")


def score_shortcuts(films) -> dict:
    return describe_shortcuts(films)["scores"]


def write_films(root, *, count=30, size=lambda label, i: (130, 150), change=None, mode="L"):
    """`count` films of each class under foreign names; `change` alters the pixels by label."""
    for label, name in enumerate(CLASSES):
        for i in range(count):
            height, width = size(label, i)
            film = make_blobs(1000 * label + i, height=height, width=width)
            write(root, f"{name}/{i:03d}.png", film if change is None else change(film, label, i))
    return read_facts(root).readable


def test_the_score_is_that_of_scikit_learn(tmp_path):
    films = write_films(
        tmp_path, change=lambda film, label, i: (film * 0.5 + 25 * label + i).astype(np.uint8)
    )
    scores = score_shortcuts(films)
    labels = np.repeat([0, 1], 30)
    intensity = films[["mean_intensity"]].to_numpy()
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    probs = cross_val_predict(
        model, intensity, labels, groups=np.arange(60), cv=folds, method="predict_proba"
    )[:, 1]
    score = scores["mean intensity"]
    assert score["auroc"] == pytest.approx(roc_auc_score(labels, probs), abs=1e-3)
    assert 0.8 < score["auroc"] < 1 and score["interval"][0] < score["auroc"] < score["interval"][1]


def test_the_interval_is_about_as_wide_as_theory_says():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    score = compute_shortcut(rng.normal(labels * 1.0)[:, None], labels, np.arange(400))
    # Hanley and McNeil, Radiology 143:29, 1982: the standard error of an AUROC of two equal groups.
    a = score["auroc"]
    variance = a * (1 - a) + 199 * (a / (2 - a) - a * a) + 199 * (2 * a * a / (1 + a) - a * a)
    width = 2 * 1.96 * np.sqrt(variance / 200**2)
    assert score["interval"][1] - score["interval"][0] == pytest.approx(width, rel=0.25)


def test_what_is_the_same_for_all_films_is_undefined(tmp_path):
    scores = score_shortcuts(write_films(tmp_path, count=12))
    for name in ("size", "aspect", "colour mode", "compression"):
        assert scores[name]["auroc"] is None and "same for all films" in scores[name]["reason"]
    assert scores["whole film"]["auroc"] is not None


def test_a_planted_size_gives_the_label_away(tmp_path):
    films = write_films(tmp_path, size=lambda label, i: (130 + i, (130 + i) * (1 + label)))
    scores = score_shortcuts(films)
    assert scores["aspect"]["auroc"] == scores["size"]["auroc"] == scores["all of these"]["auroc"] == 1
    assert scores["aspect"]["interval"] == (1, 1)


def test_a_planted_mode_gives_as_much_away_as_it_should(tmp_path):
    def change(film, label, i):
        return Image.fromarray(film).convert("RGB") if label and i % 2 else film

    score = score_shortcuts(write_films(tmp_path, change=change))["colour mode"]
    # Half of PNEUMONIA is RGB and ranks above all NORMAL; the rest ties: 0.5 * 1 + 0.5 * 0.5. Folds differ
    # a little in their intercepts, so ties across folds do not all count half.
    assert score["auroc"] == pytest.approx(0.75, abs=0.06)


@pytest.mark.parametrize("is_inside", [True, False])
def test_covered_lungs_hide_what_is_inside_and_nothing_else(tmp_path, is_inside):
    mask = make_lung_mask(224)
    # Away from the outline, because the squashed film is shrunk to the thumbnail.
    rows, columns = (slice(90, 130), slice(48, 80)) if is_inside else (slice(0, 15), slice(0, 224))
    assert (mask[rows, columns] == is_inside).all()

    def change(film, label, i):
        film = film // 2
        film[rows, columns] = film[rows, columns] // 4 + 150 * label
        return film

    scores = score_shortcuts(write_films(tmp_path, size=lambda label, i: (224, 224), change=change))
    assert scores["whole film"]["auroc"] > 0.95
    assert (scores["lungs covered"]["auroc"] > 0.95) is not is_inside
    assert is_inside is (scores["lungs covered"]["auroc"] < 0.75)


def test_films_of_a_patient_or_with_the_same_pixels_are_one_group(tmp_path):
    places = {
        "PNEUMONIA/person1_bacteria_1.png": 1,
        "PNEUMONIA/person1_virus_2.png": 2,  # the coarse key takes both for one child
        "PNEUMONIA/person2_virus_3.png": 3,
        "PNEUMONIA/zz.png": 3,  # the pixels of person2
        "PNEUMONIA/zzz.png": 4,
    }
    for place, seed in places.items():
        write(tmp_path, place, seed)
    groups = make_patient_groups(read_facts(tmp_path).readable)
    assert groups[0] == groups[1] and groups[2] == groups[3]
    assert len(set(groups)) == 3


def test_a_patient_is_never_judged_by_its_own_films():
    """Each patient's films share a label and a pattern that no other patient has."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 5)
    labels = (patients % 2).astype(np.int64)
    features = rng.normal(size=(40, 30))[patients] + 0.01 * rng.normal(size=(200, 30))
    grouped = compute_shortcut(features, labels, patients)["auroc"]
    apart = compute_shortcut(features, labels, np.arange(200))["auroc"]
    assert apart > 0.9 and grouped < 0.75


def test_few_patients_are_not_enough_however_many_films_they_have():
    labels = np.repeat([0, 1], 50)
    score = compute_shortcut(np.arange(100.0)[:, None], labels, np.repeat(np.arange(20), 5) // 2 * 2)
    assert score["auroc"] is None and score["interval"] is None
    assert "5 patients of NORMAL and 5 of PNEUMONIA; 10 of each" in score["reason"]


def test_no_facts_at_all_are_undefined():
    score = compute_shortcut(np.zeros((40, 0)), np.repeat([0, 1], 20), np.arange(40))
    assert score["auroc"] is None and "It is the same for all films" in score["reason"]


def test_features_hold_the_files_own_values(tmp_path):
    write(tmp_path, "NORMAL/a.png", make_blobs(0, height=200, width=300))
    write(tmp_path, "NORMAL/b.jpeg", make_blobs(1, height=200, width=200), quality=60)
    films = read_facts(tmp_path).readable
    features = make_features(films)
    assert features["aspect"].tolist() == [[1.5], [1.0]]
    np.testing.assert_allclose(features["size"], np.log([[300, 200], [200, 200]]))
    kilobytes = [path.stat().st_size / 1000 for path in films["path"]]
    np.testing.assert_allclose(features["file bytes"][:, 0], np.log(kilobytes))
    assert features["compression"][0].tolist() == [0, 1, 0]  # no JPEG, so no quality
    assert features["compression"][1, 0] == pytest.approx(60, abs=1)


def test_the_train_split_alone_is_judged_where_there_is_one(tmp_path):
    for label, name in enumerate(CLASSES):
        for i in range(12):
            write(tmp_path, f"train/{name}/{i}.png", 100 * label + i)
            # In test the aspect gives the label away; in train all films are alike.
            write(tmp_path, f"test/{name}/{i}.png", make_blobs(500 + i, width=130 + 100 * label))
    found = describe_shortcuts(read_facts(tmp_path).readable)
    assert found["split"] == "train" and found["num_films"] == 24
    assert found["scores"]["aspect"]["auroc"] is None


def test_findings_rank_a_shortcut_by_how_much_it_tells(tmp_path):
    write_films(tmp_path, count=12, size=lambda label, i: (130, 150 + 100 * label))
    assert "gives the label away: AUROC 1.00" in titles(summarise(read_facts(tmp_path)), "serious")
    levels, words = zip(*map(rate_auroc, (0.3, 0.6, 0.75, 0.9)), strict=True)
    assert levels == ("fine", "look", "serious", "serious")
    assert [word.split()[1] for word in words] == ["hardly", "something", "much", "gives"]


def write_splits(root, *, paler=0, count=12):
    """Train and test of both classes, one patient a film; NORMAL films of test are paler by grey levels."""
    for number, split in enumerate(("train", "test")):
        for label, name in enumerate(CLASSES):
            for i in range(count):
                film = make_blobs(1000 * number + 100 * label + i) // 2
                write(root, f"{split}/{name}/{i}.png", film + np.uint8(paler * number * (1 - label)))
    return read_facts(root)


def test_what_tells_the_split_is_found_in_the_class_that_differs(tmp_path):
    table = write_splits(tmp_path, paler=60)
    rows = describe_split_shift(table.readable)
    assert [(row["facts"], row["films"]) for row in rows] == [
        (kind, part)
        for kind in ("size and tones", "8 x 8 pixels", "ImageNet features")
        for part in ("all films", "NORMAL", "PNEUMONIA")
    ]
    aurocs = {row["films"]: row["auroc"] for row in rows if row["facts"] == "8 x 8 pixels"}
    assert aurocs["NORMAL"] > 0.95 and aurocs["PNEUMONIA"] < 0.8
    title = "How well train is told from test: AUROC 1.00 by 8 x 8 pixels, NORMAL; one origin gives 0.50."
    assert title in titles(summarise(table), "serious")
    assert describe_split_shift(table.readable[table.readable["split"] == "train"]) == []


def test_the_split_shift_is_the_auroc_of_scikit_learn_beside_that_of_permuted_labels():
    rng = np.random.default_rng(0)
    patients = np.repeat([f"child {i}" for i in range(150)], 2)
    is_test = np.repeat(np.arange(150) >= 100, 2)
    features = rng.normal(is_test * 1.0)[:, None] + rng.normal(size=(300, 1)) * [0, 0.1, 0.2]
    score = compute_split_shift(features, is_test, patients)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    groups, folds = (
        np.unique(patients, return_inverse=True)[1],
        StratifiedGroupKFold(5, shuffle=True, random_state=0),
    )
    probs = cross_val_predict(model, features, is_test, groups=groups, cv=folds, method="predict_proba")[:, 1]
    assert score["auroc"] == pytest.approx(roc_auc_score(is_test, probs), abs=1e-3)
    assert score["interval"][0] < score["auroc"] < score["interval"][1]
    assert score["permuted"] == pytest.approx(0.5, abs=0.08)


def test_patients_that_can_be_told_apart_do_not_raise_the_permuted_figure():
    """Films of a patient are nearly equal: were they in two folds, any deal of patients could be learnt."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 5)
    features = rng.normal(size=(60, 100))[patients] + 0.01 * rng.normal(size=(300, 100))
    is_test = patients % 2 == 0
    assert compute_split_shift(features, is_test, patients)["permuted"] < 0.65
    dealt = rng.permutation(60)[patients] % 2
    assert compute_shortcut(features, dealt, np.arange(300), c=0.01)["auroc"] > 0.8


def test_a_split_of_few_patients_is_undefined():
    score = compute_split_shift(np.arange(40.0)[:, None], np.arange(40) < 5, np.arange(40))
    assert (score["auroc"], score["interval"], score["permuted"]) == (None, None, None)
    assert score["reason"] == "There are 35 patients of train and 5 of test; 10 of each are needed."


def test_features_of_a_network_stand_beside_the_pixels(tmp_path):
    rows = describe_split_shift(write_splits(tmp_path, paler=60).readable)
    aurocs = {row["films"]: row["auroc"] for row in rows if row["facts"] == "ImageNet features"}
    assert aurocs["NORMAL"] > 0.8 and aurocs["PNEUMONIA"] < 0.8

"""Parts of a split: who is in them, their figures by hand, and how careful the sentences are."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta
from simulated import simulate

from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.metrics import Predictions, compute_intervals
from pneumo_utils.evaluation.subgroups import compute_subgroups, describe_subgroups


def make_films(labels, probs, *, patients=None, subtypes=None, greys=None):
    """Predictions and their films, each of one grey level."""
    n = len(labels)
    names = np.array([f"film{i}" for i in range(n)])
    patients = names if patients is None else np.array(patients)
    subtypes = np.full(n, "unknown") if subtypes is None else np.array(subtypes)
    images = (
        np.zeros((n, 4, 4), np.uint8)
        + np.array(range(n) if greys is None else greys, np.uint8)[:, None, None]
    )
    labels = np.array(labels, dtype=np.int64)
    dataset = XrayDataset(images, labels, patients, subtypes, names, "synthetic", "test")
    return Predictions(labels, np.array(probs, dtype=float), patients, names), dataset


def judge(predictions, dataset, *, threshold=0.5):
    """Rows by grouping and part."""
    rows = compute_subgroups(predictions, dataset, threshold=threshold)
    return {(row["grouping"], row["part"]): row for row in rows}


def test_subtypes_have_a_sensitivity_each_and_no_specificity():
    subtypes = ["normal"] * 2 + ["bacterial"] * 3 + ["viral"] * 2 + ["unknown"]
    rows = judge(*make_films([0, 0] + [1] * 6, [0.1, 0.9, 0.9, 0.8, 0.1, 0.6, 0.4, 0.9], subtypes=subtypes))
    found = {part: row for (grouping, part), row in rows.items() if grouping == "subtype"}
    assert list(found) == ["bacterial", "viral"]
    assert (found["bacterial"]["n"], found["bacterial"]["sensitivity"]) == (3, pytest.approx(2 / 3))
    assert (found["viral"]["n"], found["viral"]["sensitivity"]) == (2, 1 / 2)
    for row in found.values():
        assert row["specificity"] is None and row["intervals"]["specificity"] == (None, None)


def test_thirds_of_brightness_are_those_of_each_class():
    # Normal films are darker than all others. Thirds of all films would hold one class each.
    labels, greys = [0] * 6 + [1] * 6, [10, 60, 30, 20, 50, 40, 200, 150, 190, 160, 170, 180]
    probs = [0.9, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.1, 0.9, 0.1, 0.9, 0.9]
    rows = judge(*make_films(labels, probs, greys=greys))
    # Dark: 10 and 20, one called; 150 and 160, none found. Middle: 30 and 40, one called; 170 and 180, both
    # found. Bright: 50 and 60, none called; 190 and 200, both found.
    expected = {"dark": (0.5, 0), "middle": (0.5, 1), "bright": (1, 1)}
    for part, (specificity, sensitivity) in expected.items():
        row = rows["brightness", part]
        assert (row["n"], row["specificity"], row["sensitivity"]) == (4, specificity, sensitivity), part


def test_films_that_tie_stay_together():
    rows = judge(*make_films([1] * 9, np.linspace(0.1, 0.9, 9), greys=[7] * 9))
    counts = {part: row["n"] for (grouping, part), row in rows.items() if grouping == "brightness"}
    assert len(counts) == 1 and sum(counts.values()) == 9


def test_thirds_of_the_original_size_go_by_pixels():
    # Heights and widths whose products, in thousands, are 60, 20, 40 (normal) and 6, 4, 5 (not).
    sizes = np.array([[100, 600], [200, 100], [400, 100], [60, 100], [40, 100], [50, 100]])
    films = make_films([0, 0, 0, 1, 1, 1], [0.9, 0.1, 0.2, 0.9, 0.3, 0.8])
    rows = judge(films[0], replace(films[1], sizes=sizes))
    shares = {
        part: (row["specificity"], row["sensitivity"])
        for (grouping, part), row in rows.items()
        if grouping == "original size"
    }
    assert shares == {"small": (1, 0), "middle": (1, 1), "large": (0, 1)}
    for unknown in (None, np.full((6, 2), 224)):  # without sizes, or with one for all, no such grouping
        rows = judge(films[0], replace(films[1], sizes=unknown))
        assert not [key for key in rows if key[0] == "original size"]


def test_films_are_grouped_by_how_many_the_patient_has():
    patients = ["a"] + ["b"] * 2 + ["c"] * 3 + ["d"] * 5 + ["e"]
    rows = judge(*make_films([0] + [1] * 10 + [0], [0.1] + [0.9] * 10 + [0.8], patients=patients))
    found = {part: row for (grouping, part), row in rows.items() if grouping == "films of the patient"}
    counts = {part: (row["n"], row["num_patients"]) for part, row in found.items()}
    assert counts == {"1": (2, 2), "2": (2, 1), "3 or more": (8, 2)}
    assert found["1"]["specificity"] == 0.5 and found["1"]["sensitivity"] is None


def test_figures_and_intervals_are_those_of_the_part_alone():
    predictions = simulate(120, seed=3, max_films=3, patient_spread=1.0)
    greys = np.random.default_rng(5).integers(0, 256, len(predictions))
    films = make_films(predictions.labels, predictions.probs, patients=predictions.patients, greys=greys)
    rows = judge(*films, threshold=0.4)
    inside = np.isin(
        predictions.patients, [p for p in predictions.patients if (predictions.patients == p).sum() == 1]
    )
    part = Predictions(*(values[inside] for values in vars(films[0]).values()))
    row, intervals = rows["films of the patient", "1"], compute_intervals(part, threshold=0.4)
    ill = part.labels == 1
    assert row["n"] == row["num_patients"] == inside.sum() > 20
    assert row["sensitivity"] == pytest.approx((part.probs[ill] >= 0.4).mean())
    assert row["specificity"] == pytest.approx((part.probs[~ill] < 0.4).mean())
    assert row["intervals"] == {name: intervals[name] for name in ("sensitivity", "specificity")}


@pytest.mark.parametrize(("prob", "share"), [(0.9, 1), (0.1, 0)])
def test_where_all_are_judged_alike_the_interval_is_clopper_and_pearsons_over_patients(prob, share):
    # Six films, three patients: 0.025 ** (1 / 3), the share at which three of three are as rare as 2.5 %.
    patients = ["a", "a", "b", "b", "c", "c"]
    rows = judge(*make_films([1] * 6, [prob] * 6, patients=patients, subtypes=["viral"] * 6))
    low, high = rows["subtype", "viral"]["intervals"]["sensitivity"]
    end = 0.025 ** (1 / 3)
    assert (low, high) == pytest.approx((end, 1) if share else (0, 1 - end))


def test_patients_that_are_all_half_right_do_not_leave_a_point():
    patients = np.repeat(list("abcd"), 2)
    rows = judge(*make_films([1] * 8, [0.1, 0.9] * 4, patients=patients, subtypes=["viral"] * 8))
    expected = beta.ppf(0.025, 2, 3), beta.ppf(0.975, 3, 2)  # Clopper and Pearson: 2 of 4
    assert rows["subtype", "viral"]["intervals"]["sensitivity"] == pytest.approx(expected)


def test_one_patient_of_a_class_has_no_interval():
    # The part has three patients; of the normal class it has one, with two films, of which one is called.
    films = make_films([0, 0, 1, 1, 1, 1], [0.1, 0.9, 0.9, 0.9, 0.1, 0.9], patients=list("nnaabb"))
    row = judge(*films)["films of the patient", "2"]
    assert row["num_patients"] == 3 and row["specificity"] == 0.5
    assert row["intervals"]["specificity"] == (None, None) and row["intervals"]["sensitivity"][0] is not None


def test_one_film_one_patient_and_one_class_are_parts_too():
    for films in (
        make_films([1], [0.9], subtypes=["viral"]),
        make_films([1, 1], [0.9, 0.1], patients=["a", "a"], subtypes=["viral", "viral"]),
    ):
        rows = judge(*films)
        assert rows["subtype", "viral"]["sensitivity"] in (1, 0.5)
        for row in rows.values():
            assert row["specificity"] is None
            assert row["intervals"] == {"sensitivity": (None, None), "specificity": (None, None)}
        for sentence in describe_subgroups(list(rows.values())):
            assert sentence.startswith("Sensitivity by ") and "nothing to compare" in sentence


def test_rows_are_plain_values():
    predictions, dataset = make_films([0, 1] * 6, np.linspace(0, 1, 12))
    dataset = replace(dataset, sizes=np.arange(24).reshape(12, 2))
    rows = compute_subgroups(predictions, dataset, threshold=0.5)
    text = json.dumps(rows, allow_nan=False)
    assert json.loads(text)[0].keys() == rows[0].keys()


def test_films_that_are_not_those_of_the_predictions_are_refused():
    predictions, dataset = make_films([0, 1], [0.1, 0.9])
    with pytest.raises(PneumoError, match="other films or in another order"):
        compute_subgroups(predictions, dataset.select([1, 0]), threshold=0.5)


def make_row(part, sensitivity, interval, *, grouping="brightness"):
    intervals = {"sensitivity": interval, "specificity": (None, None)}
    figures = {"sensitivity": sensitivity, "specificity": None}
    return {"grouping": grouping, "part": part, "n": 9, "num_patients": 9, **figures, "intervals": intervals}


def test_only_intervals_that_lie_apart_are_called_a_difference():
    rows = [
        make_row("dark", 0.7, (0.65, 0.75)),
        make_row("middle", 0.8, (0.74, 0.86)),
        make_row("bright", 0.9, (0.85, 0.94)),
    ]
    assert describe_subgroups(rows) == [
        "Sensitivity by brightness: bright 0.900 (0.850 to 0.940) is above dark 0.700 (0.650 to 0.750); "
        "the intervals lie apart."
    ]


def test_intervals_that_overlap_or_touch_are_no_clear_difference():
    rows = [make_row("dark", 0.7, (0.6, 0.8)), make_row("bright", 0.9, (0.8, 0.95))]
    assert describe_subgroups(rows) == [
        "Sensitivity by brightness: no clear difference, the intervals overlap: "
        "dark 0.700 (0.600 to 0.800), bright 0.900 (0.800 to 0.950)."
    ]


def test_each_grouping_is_compared_on_its_own():
    rows = [
        make_row("bacterial", 0.99, (0.98, 1.0), grouping="subtype"),
        make_row("viral", 0.5, (0.4, 0.6), grouping="subtype"),
        make_row("1", 0.2, (0.1, 0.3), grouping="films of the patient"),
        make_row("2", 0.9, (None, None), grouping="films of the patient"),
    ]
    first, second = describe_subgroups(rows)
    assert "bacterial 0.990 (0.980 to 1.000) is above viral" in first and "films" not in first
    assert second.startswith("Sensitivity by films of the patient: nothing to compare")
    assert describe_subgroups([]) == []


def test_a_model_that_fails_on_one_subtype_is_found_out_and_an_even_one_is_not():
    labels, subtypes = [1] * 80, ["bacterial"] * 40 + ["viral"] * 40
    # 38 of 40 against 12 of 40: with films of 80 patients some 0.95 +- 0.07 and 0.30 +- 0.14.
    probs = [0.9] * 38 + [0.1] * 2 + [0.9] * 12 + [0.1] * 28
    uneven = compute_subgroups(*make_films(labels, probs, subtypes=subtypes), threshold=0.5)
    assert "bacterial 0.950" in describe_subgroups(uneven)[0] and "lie apart" in describe_subgroups(uneven)[0]
    probs = ([0.9] * 34 + [0.1] * 6) * 2
    even = compute_subgroups(*make_films(labels, probs, subtypes=subtypes), threshold=0.5)
    assert "no clear difference" in describe_subgroups(even)[0]

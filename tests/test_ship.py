"""From trained checkpoints to a model that ships: which weights, which choices, which figures."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, make_checkpoint, make_chest_film
from PIL import Image
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from pneumo_utils import cli
from pneumo_utils.config import TrainConfig
from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.sources import DataChoice
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.evaluate import evaluate
from pneumo_utils.evaluation.metrics import Predictions
from pneumo_utils.models.checkpoint import save_checkpoint
from pneumo_utils.models.predict import predict_logits
from pneumo_utils.models.shipped import list_shipped, load_card, load_shipped
from pneumo_utils.training.thresholds import calibrate
from tools import ship as shipping
from tools.candidates import find_seed
from tools.ship import (
    KNOWN_FAILURES,
    combine,
    describe_band,
    describe_calibration,
    describe_card,
    describe_sizes,
    judge_band,
    judge_calibration,
    round_to_half,
    ship,
    write_page,
)

MODEL = "cnn_baseline"
CHOICE = DataChoice("synthetic", None, "Data: SYNTHETIC phantoms.")


def make_seeds(*stress_aurocs: float, **changes) -> list:
    """Checkpoints of the seeds 5, 6, ... of one recipe, with what they reached on stressed films."""
    return [
        make_checkpoint(
            seed=5 + i,
            source="synthetic",
            data_fingerprint="ab",
            val_metrics={"epoch": 2, "auroc": 0.99 - i / 100, "stress_auroc": stress_auroc},
            **changes,
        )
        for i, stress_auroc in enumerate(stress_aurocs)
    ]


def make_predictions(labels, probs) -> Predictions:
    names = np.array([f"film-{index}" for index in range(len(labels))])
    return Predictions(np.array(labels), np.array(probs), names, names)


@pytest.fixture(scope="module")
def films(phantoms):
    train, val = phantoms
    return {"train": train, "val": val, "test": make_phantoms(40, image_size=32, split="test")}


@pytest.fixture
def ship_to(monkeypatch, films):
    """Ships to a folder, on few films, and returns the page's path."""

    def run(folder, *, checkpoints=None, ensemble=False, films=films):
        monkeypatch.setattr(shipping, "load_split", lambda choice, split, **reading: films[split])
        checkpoints = checkpoints or make_seeds(0.7, 0.9, 0.8)
        return ship(checkpoints, ensemble=ensemble, choice=CHOICE, folder=folder)

    return run


def test_one_network_is_the_one_that_ranks_stressed_validation_films_best():
    seeds = make_seeds(0.7, 0.9, 0.8)
    best = combine(seeds, ensemble=False)
    assert best.config.seed == 6 and best.num_members == 1 and best.model_name == MODEL
    assert all(torch.equal(best.state[name], value) for name, value in round_to_half(seeds[1]).items())


def test_an_ensemble_answers_with_the_mean_logit_of_its_rounded_members():
    seeds = make_seeds(0.7, 0.9, 0.8)
    ensemble = combine(seeds, ensemble=True)
    assert (ensemble.num_members, ensemble.model_name) == (3, f"{MODEL}_ensemble")
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    rounded = [replace(seed, state=round_to_half(seed)).build_model() for seed in seeds]
    logits = [predict_logits(member, images, transform=ensemble.transform) for member in rounded]
    got = predict_logits(ensemble.build_model(), images, transform=ensemble.transform)
    assert got == pytest.approx(np.mean(logits, axis=0), abs=1e-6)


def test_an_ensemble_of_one_is_that_one():
    (seed,) = make_seeds(0.7)
    ensemble = combine([seed], ensemble=True)
    assert ensemble.num_members == 1 and set(ensemble.state) == set(seed.state)


@pytest.mark.parametrize(
    "change",
    [
        {"config": TrainConfig(model=MODEL, image_size=32, lr=0.5)},
        {"pretrained": True},
        {"source": "chestxray2017"},
        {"data_fingerprint": "cd"},
    ],
)
@pytest.mark.parametrize("ensemble", [True, False])
def test_checkpoints_that_differ_in_more_than_their_seed_are_refused(change, ensemble):
    first, second = make_seeds(0.7, 0.9)
    with pytest.raises(PneumoError, match="different recipes"):
        combine([first, replace(second, **change)], ensemble=ensemble)


@pytest.mark.parametrize("ensemble", [False, True])
def test_five_files_are_written_and_their_figures_are_those_of_the_model_in_them(
    ship_to, tmp_path, films, ensemble
):
    page = ship_to(tmp_path / "new", ensemble=ensemble)
    name = f"{MODEL}_ensemble" if ensemble else MODEL
    assert page == tmp_path / "new" / f"{name}.md"
    written = sorted(path.name for path in page.parent.iterdir())
    assert written == [f"{name}.{suffix}" for suffix in ("csv", "json", "md", "onnx", "safetensors")]
    card, table = load_card(name, page.parent)["card"], pd.read_csv(page.with_suffix(".csv"))
    for split in ("val", "test"):
        row, said = evaluate(load_shipped(name, page.parent), films[split])
        stored = table[table["split"] == split]
        assert stored["name"].tolist() == said.names.tolist()
        assert stored["label"].tolist() == said.labels.tolist()
        assert stored["probability"].to_numpy() == pytest.approx(said.probs, abs=1e-6)
        expected = json.loads(json.dumps(row))
        assert card["figures"][split] | {"date": None} == expected | {"date": None}
        assert card["coverage"][split]["whole"] == pytest.approx(row["auroc"])


@pytest.mark.parametrize("name", list_shipped())
def test_the_figures_of_card_and_readme_follow_from_the_stored_predictions(name):
    content, table = load_card(name), pd.read_csv(shipping.PREDICTIONS / f"{name}.csv")
    assert list(table) == ["name", "label", "split", "probability"] and table["name"].is_unique
    found = {}
    for split, films in table.groupby("split"):
        labels, probs = films["label"], films["probability"]
        called = probs >= content["checkpoint"]["threshold"]
        found[split] = {
            "n": len(films),
            "accuracy": accuracy_score(labels, called),
            "auroc": roc_auc_score(labels, probs),
            "sensitivity": recall_score(labels, called),
            "specificity": recall_score(labels, called, pos_label=0),
        }
    figures = content["card"]["figures"]
    assert found.keys() == figures.keys() == {"val", "test"}
    for split, row in figures.items():
        # Six digits let a few pairs of films tie, each half of 1 in 91,260 on test, 105,814 on validation.
        assert found[split] == pytest.approx({key: row[key] for key in found[split]}, abs=1e-5), split
    page = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- shipped:start -->")[1]
    (line,) = (line for line in page.split("<!-- shipped:end -->")[0].splitlines() if f"`{name}`" in line)
    shown = [float(cell.split(" (")[0]) for cell in line.strip("| ").split(" | ")[-4:]]
    test = found["test"]
    shares = [100 * test["accuracy"], test["auroc"], 100 * test["sensitivity"], 100 * test["specificity"]]
    assert shown == [round(share, digits) for share, digits in zip(shares, (1, 3, 1, 1), strict=True)]


def test_the_choices_are_made_on_the_rounded_weights_and_on_validation_alone(ship_to, tmp_path, films):
    ship_to(tmp_path / "a")
    shipped = load_shipped(MODEL, tmp_path / "a")
    again = calibrate(shipped, films["val"], make_stress_films(films["val"]))
    for name in ("threshold", "screening_threshold", "temperature", "flip_average", "val_metrics"):
        assert getattr(again, name) == getattr(shipped, name), name
    others = films | {"test": make_phantoms(30, image_size=32, split="test", seed=9)}
    ship_to(tmp_path / "b", films=others)
    choices = [load_card(MODEL, tmp_path / folder)["checkpoint"] for folder in ("a", "b")]
    assert choices[0] == choices[1]


def test_the_card_says_where_the_model_comes_from(ship_to, tmp_path):
    ship_to(tmp_path)
    ship_to(tmp_path, ensemble=True)
    one, many = (load_card(name, tmp_path)["card"] for name in (MODEL, f"{MODEL}_ensemble"))
    assert (one["seeds"], one["chosen_from_seeds"]) == ([6], [5, 6, 7])
    assert (many["seeds"], many["chosen_from_seeds"]) == ([5, 6, 7], [5, 6, 7])
    assert one["chosen_on"] == many["chosen_on"] == "val"
    num_values = sum(value.numel() for value in make_checkpoint().state.values())
    assert (one["num_parameters"], many["num_parameters"]) == (num_values, 3 * num_values)
    assert one["known_failures"] == list(KNOWN_FAILURES)


def test_the_sizes_of_files_are_width_by_height_and_a_range_where_they_differ():
    assert describe_sizes(np.array([[40, 50], [40, 50]])) == "50 x 40"
    assert describe_sizes(np.array([[40, 50], [30, 60]])) == "50 x 30 to 60 x 40"


@pytest.mark.parametrize("ensemble", [False, True])
def test_the_page_shows_the_cards_figures(ship_to, tmp_path, ensemble):
    page = ship_to(tmp_path, ensemble=ensemble).read_text(encoding="utf-8")
    content = load_card(f"{MODEL}_ensemble" if ensemble else MODEL, tmp_path)
    card, figures = content["card"], content["card"]["figures"]
    for name in ("accuracy", "auroc", "sensitivity", "specificity", "precision", "f1"):
        cells = []
        for row in (figures["val"], figures["test"]):
            low, high = row["intervals"][name]
            cells.append(f"{row[name]:.3f} ({low:.3f} to {high:.3f})")
        assert f"\n| {name} | {cells[0]} | {cells[1]} |\n" in page
    assert f"\n| films | {figures['val']['n']} | 40 |\n" in page
    for label, row in (("balanced", figures["test"]), ("screening", figures["test"]["screening"])):
        assert re.search(rf"\n\| {label} \| {row['threshold']:.3f} \| {row['sensitivity']:.3f} \(", page)
    assert f"{max(figures['test']['stretch_auroc_loss'].values()):.4f} at worst on test" in page
    assert f"{card['num_parameters']:,} numbers in half precision" in page
    assert ("the mean logit of 3 networks" in page) is ensemble
    low, high = card["coverage"]["test"]["intervals"]["lungs_covered"]
    covered = f"{card['coverage']['test']['lungs_covered']:.3f} ({low:.3f} to {high:.3f})"
    assert re.search(rf"\n\| lungs covered with grey \| [^|]+ \| {re.escape(covered)} \|\n", page)


def test_the_page_says_what_the_model_is_for_and_where_it_fails(ship_to, tmp_path):
    page = ship_to(tmp_path).read_text(encoding="utf-8")
    assert page.startswith("# cnn_baseline\n\n**For teaching, not for diagnosis.**")
    failures = page.split("## Known failures")[1]
    assert failures.strip().splitlines() == [f"- {failure}" for failure in KNOWN_FAILURES]
    assert "Trained on: synthetic, in files of unknown pixels, fingerprint `ab`" in page
    assert "from random weights" in page
    assert "seeds 6 (the best of [5, 6, 7] on stressed validation films)" in page


def test_the_page_is_made_from_the_card_alone(ship_to, tmp_path):
    path = ship_to(tmp_path)
    before = path.read_text(encoding="utf-8")
    path.unlink()
    assert write_page(MODEL, tmp_path) == path and path.read_text(encoding="utf-8") == before


def test_the_band_is_written_as_the_probabilities_that_go_to_a_person():
    # NORMAL is possible up to 0.6 and PNEUMONIA from 1 - 0.7 = 0.3 on: both are between.
    judged = {"referred": 0.125, "wrong": {"NORMAL": 0.25, "PNEUMONIA": 0.0}}
    text = describe_band((0.6, 0.7), 0.5, judged)
    assert "between 0.300 and 0.600 should go" in text and "No answer" not in text
    assert "12.5% of the films lie in it, and 25.0% of the NORMAL and 0.0% of the PNEUMONIA films" in text
    assert text.endswith("on the wrong side, more than was asked for.")  # 5 % were


def test_a_band_that_ends_at_the_threshold_refers_no_answer_of_one_class():
    judged = {"referred": 0.0, "wrong": {"NORMAL": 0.0, "PNEUMONIA": 0.0}}
    assert describe_band((0.6, 0.7), 0.8, judged).endswith("side. No answer PNEUMONIA is referred.")
    assert describe_band((0.6, 0.7), 0.2, judged).endswith("side. No answer NORMAL is referred.")


def test_the_band_is_judged_by_class():
    checkpoint = make_checkpoint(refer_limits=(0.3, 0.4), threshold=0.5)  # from 0.3 to 1 - 0.4 = 0.6
    said = make_predictions([0, 0, 0, 0, 1, 1], [0.1, 0.3, 0.61, 0.9, 0.29, 0.8])
    judged = judge_band(checkpoint, said)
    assert judged == {"referred": 1 / 6, "wrong": {"NORMAL": 2 / 4, "PNEUMONIA": 1 / 2}}


def test_the_calibration_slope_is_that_of_the_logits():
    # Of ten films each with logit -1 and 1, two and eight are ill, whose logits are -log 4 and log 4.
    labels = [1] * 2 + [0] * 8 + [1] * 8 + [0] * 2
    probs = 1 / (1 + np.exp(-np.repeat([-1.0, 1.0], 10)))
    found = judge_calibration(make_predictions(labels, probs))
    assert found["slope"] == pytest.approx(np.log(4), abs=1e-4)
    assert found["share"] == 0.5 and found["mean_probability"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "val, test, is_good", [(0.05, 0.01, True), (0.051, 0.01, False), (0.02, 0.06, False)]
)
def test_probabilities_are_praised_only_where_both_splits_bear_it_out(val, test, is_good):
    fit = {"mean_probability": 0.625, "share": 0.75, "slope": 1.5}
    text = describe_calibration(val, test, {"val": fit, "test": fit})
    assert f"{val:.4f} on validation, {test:.4f} on test" in text
    assert "films of validation 0.75 are PNEUMONIA, where the mean probability is 0.62; the" in text
    assert "the calibration slope is 1.50" in text
    assert ("may be taken at their word" in text) is is_good
    assert ("not to be taken at their word" in text) is not is_good


def test_an_undefined_figure_is_said_to_be_undefined(ship_to, tmp_path):
    ship_to(tmp_path)
    content = load_card(MODEL, tmp_path)
    content["card"]["figures"]["test"]["precision"] = None  # of a model that calls nothing pneumonia
    page = describe_card(content["checkpoint"], content["card"])
    assert re.search(r"\n\| precision \| [^|]+ \| undefined \|\n", page)


@pytest.fixture
def seeds(folders):
    """The checkpoints of two seeds, where `make seeds` keeps them."""
    for checkpoint in make_seeds(0.7, 0.9):
        save_checkpoint(checkpoint, find_seed(folders, MODEL, checkpoint.config.seed))
    return folders


@pytest.mark.long
@pytest.mark.parametrize("ensemble", [False, True])
def test_the_command_makes_the_seeds_a_model_that_eval_and_inference_take(
    seeds, weights, monkeypatch, capsys, ensemble
):
    monkeypatch.setenv("PNEUMO_FAST", "1")
    monkeypatch.setattr(shipping, "PREDICTIONS", seeds.root / "predictions")
    name = f"{MODEL}_ensemble" if ensemble else MODEL
    words = f"--model {MODEL} --seeds 5 6 --data synthetic"
    assert shipping.main([*words.split(), *(["--ensemble"] if ensemble else [])]) == 0
    assert capsys.readouterr().out == f"{weights / name}.md\n" and list_shipped() == [name]
    assert cli.main(f"eval --model {name} --shipped --split test --data synthetic --json".split()) == 0
    row, expected = json.loads(capsys.readouterr().out), load_card(name)["card"]["figures"]["test"]
    assert row | {"date": None} == expected | {"date": None} and row["num_members"] == 1 + ensemble
    Image.fromarray(make_chest_film(1)).save(seeds.root / "film.png")
    ask = ["inference", "--model", name, "--image_path", str(seeds.root / "film.png"), "--json"]
    for flags, threshold in (([], "threshold"), (["--screening"], "screening_threshold")):
        assert cli.main([*ask, *flags]) == 0
        said = capsys.readouterr()
        answer = json.loads(said.out)
        assert answer["threshold"] == getattr(load_shipped(name), threshold) and answer["model"] == name
        assert f"the {name} that comes with the package is used" in said.err


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        ("--model vgg --data synthetic", 2, "'vgg'"),
        (f"--model {MODEL} --seeds 7 --data synthetic", 1, "cnn_baseline-seed7.pth"),
    ],
)
def test_a_model_or_seed_that_is_not_there_is_named(folders, capsys, words, code, reason):
    assert shipping.main(words.split()) == code
    assert reason in capsys.readouterr().err

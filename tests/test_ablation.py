"""The ablation: runs that can be stopped and resumed, their table, and rows that differ in one thing."""

import json
import shutil
import statistics
from dataclasses import asdict, replace

import numpy as np
import pytest
from conftest import ROOT

from pneumo_utils.config import Folders
from pneumo_utils.data.sources import DataChoice
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.evaluate import evaluate
from pneumo_utils.evaluation.results import get_figures, load_records, load_stored_records, summarise
from pneumo_utils.models.checkpoint import load_checkpoint
from pneumo_utils.training.recipes import RECIPES
from tools import ablation, candidates
from tools.ablation import ABLATION, find_row, format_summary, gather_records, run_ablation
from tools.candidates import Candidate, find_seed

CHOICE = DataChoice("synthetic", None, "Data: SYNTHETIC phantoms.")
FILES = ["plain-seed0.json", "plain-seed1.json", "blended-seed0.json", "blended-seed1.json"]


@pytest.fixture(scope="module")
def films(phantoms):
    train, val = phantoms
    return {"train": train, "val": val, "test": make_phantoms(40, image_size=32, split="test")}


@pytest.fixture
def rows(monkeypatch, tiny_config, films):
    """Two rows that train for seconds, one with mixup, on few films."""
    config = replace(tiny_config, num_epochs=1)
    rows = {"plain": config, "blended": replace(config, mixup=0.4)}
    use_rows(monkeypatch, rows, films)
    return rows


def use_rows(monkeypatch, rows, films):
    monkeypatch.setattr(ablation, "CANDIDATES", {"plain": Candidate(rows["plain"])})
    monkeypatch.setattr(ablation, "ABLATION", {"blended": Candidate(rows["blended"])})
    for module in (ablation, candidates):
        monkeypatch.setattr(module, "load_split", lambda choice, split, **reading: films[split])


@pytest.fixture(scope="module")
def finished(tiny_config, films, tmp_path_factory):
    """The folders of four runs and their checkpoints."""
    root = tmp_path_factory.mktemp("finished")
    config = replace(tiny_config, num_epochs=1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_rows(monkeypatch, {"plain": config, "blended": replace(config, mixup=0.4)}, films)
        run_ablation(
            ["plain", "blended"],
            [0, 1],
            choice=CHOICE,
            folders=Folders(root),
            say=lambda text: None,
        )
    return Folders(root)


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the four runs, without their checkpoints, that a test may spoil."""
    shutil.copytree(finished.build, tmp_path / "copy" / "build")
    return Folders(tmp_path / "copy")


@pytest.fixture
def trained(monkeypatch):
    """Notes the row's mixup and the seed of each training."""
    done, fit = [], candidates.fit

    def note(config, *arguments, **settings):
        done.append((config.mixup, config.seed))
        return fit(config, *arguments, **settings)

    monkeypatch.setattr(candidates, "fit", note)
    return done


def test_each_row_and_seed_leaves_one_file_and_one_checkpoint(finished):
    assert sorted(path.name for path in (finished.build / "ablation").iterdir()) == sorted(FILES)
    kept = sorted(path.name for path in (finished.checkpoints / "seeds").glob("*.pth"))
    assert kept == [file.replace("json", "pth") for file in sorted(FILES)]


@pytest.mark.long
def test_a_run_holds_the_figures_of_its_checkpoint(finished, films):
    record = json.loads((finished.build / "ablation" / "blended-seed1.json").read_text(encoding="utf-8"))
    checkpoint = load_checkpoint(find_seed(finished, "blended", 1))
    assert (record["row"], record["seed"], record["data"]) == ("blended", 1, "synthetic")
    assert record["config"]["mixup"] == 0.4 and record["config"]["seed"] == 1
    assert record["val"] == checkpoint.val_metrics and record["chosen_on"] == "val"
    row, _ = evaluate(checkpoint, films["test"])
    for name in ("n", "accuracy", "auroc", "screening", "stretch_auroc_loss", "threshold", "split"):
        assert record["test"][name] == json.loads(json.dumps(row[name])), name
    assert record["num_parameters"] == sum(p.numel() for p in checkpoint.build_model().parameters())


def test_what_is_finished_is_not_trained_again(rows, copied, monkeypatch):
    runs = copied.build / "ablation"
    monkeypatch.setattr(candidates, "fit", lambda *arguments, **settings: pytest.fail("trained"))
    before, said = {path: path.read_bytes() for path in runs.iterdir()}, []
    run_ablation(list(rows), [0, 1], choice=CHOICE, folders=copied, say=said.append)
    # Seed after seed, so that a table that is cut short has whole seeds.
    order = ["plain-seed0", "blended-seed0", "plain-seed1", "blended-seed1"]
    assert said == [f"{name}.json is there already." for name in order]
    assert {path: path.read_bytes() for path in runs.iterdir()} == before


def test_only_what_is_missing_is_trained(rows, copied, trained, finished):
    runs = copied.build / "ablation"
    (runs / "blended-seed0.json").unlink()
    run_ablation(list(rows), [0, 1], choice=CHOICE, folders=copied, say=lambda text: None)
    assert trained == [(0.4, 0)]
    folders = (finished.build / "ablation", runs)
    old, new = (json.loads((folder / "blended-seed0.json").read_text(encoding="utf-8")) for folder in folders)
    assert new["val"] == old["val"] and new["test"]["auroc"] == old["test"]["auroc"]
    assert not list(runs.glob("*.tmp"))


def test_a_row_whose_configuration_changed_is_trained_again(rows, copied, trained, monkeypatch):
    monkeypatch.setattr(ablation, "ABLATION", {"blended": Candidate(replace(rows["blended"], lr=2e-3))})
    run_ablation(list(rows), [0, 1], choice=CHOICE, folders=copied, say=lambda text: None)
    assert trained == [(0.4, 0), (0.4, 1)]
    assert (
        json.loads((copied.build / "ablation" / "blended-seed1.json").read_text(encoding="utf-8"))["config"][
            "lr"
        ]
        == 2e-3
    )


def test_runs_on_other_data_are_trained_again(rows, copied, trained):
    other = replace(CHOICE, source="chestxray2017")
    run_ablation(["plain"], [1], choice=other, folders=copied, say=lambda text: None)
    assert trained == [(0.0, 1)]
    assert (
        json.loads((copied.build / "ablation" / "plain-seed1.json").read_text(encoding="utf-8"))["data"]
        == "chestxray2017"
    )


def test_an_unknown_row_is_refused_before_anything_is_trained(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "fit", lambda *arguments, **settings: pytest.fail("trained"))
    with pytest.raises(UsageError, match="no row 'grey'; expected one of plain, blended"):
        run_ablation(["plain", "grey"], [0], choice=CHOICE, folders=Folders(tmp_path))


def test_a_row_is_a_recipe_or_a_line_of_the_ablation():
    assert find_row("resnet_finetune").config == RECIPES["resnet_finetune"]
    assert find_row("cnn_64_mixup") == ABLATION["cnn_64_mixup"]
    assert not set(RECIPES) & set(ABLATION)


def test_the_runs_of_a_folder_go_into_one_file_in_the_rows_order(rows, copied, tmp_path):
    runs = copied.build / "ablation"
    # Neither the alphabet's order (blended first) nor that of the digits (10 before 2).
    for seed in (10, 2):
        record = json.loads((runs / "plain-seed0.json").read_text(encoding="utf-8")) | {"seed": seed}
        (runs / f"plain-seed{seed}.json").write_text(json.dumps(record), encoding="utf-8")
    records = gather_records(runs, tmp_path / "new" / "table.json")
    order = [("plain", 0), ("plain", 1), ("plain", 2), ("plain", 10), ("blended", 0), ("blended", 1)]
    assert [(record["row"], record["seed"]) for record in records] == order
    assert load_records(tmp_path / "new" / "table.json") == records


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_runs_says_what_to_do(tmp_path, exists):
    if exists:
        (tmp_path / "runs").mkdir()
    with pytest.raises(PneumoError, match=r"runs has no runs yet\. Run `make ablation`"):
        gather_records(tmp_path / "runs", tmp_path / "table.json")
    assert not (tmp_path / "table.json").exists()


@pytest.mark.parametrize("content", [None, "{", "[]", '{"rows": []}'])
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "table.json").write_text(content, encoding="utf-8")
    with pytest.raises(PneumoError, match=r"table\.json is not a table of runs .*make ablation"):
        load_records(tmp_path / "table.json")


def test_the_command_leaves_runs_checkpoints_and_the_table_and_repeats_nothing(
    folders, rows, trained, capsys
):
    words = "--rows plain blended --seeds 0 1 --store --data synthetic"
    assert ablation.main(words.split()) == 0
    assert trained == [(0.0, 0), (0.4, 0), (0.0, 1), (0.4, 1)]
    table = capsys.readouterr().out
    records = load_records(folders.build / "ablation.json")
    assert load_records(folders.stored_ablation) == records and len(records) == 4
    assert table == format_summary(summarise(records)) + "\n"
    for record in records:
        kept = load_checkpoint(find_seed(folders, record["row"], record["seed"]))
        assert kept.val_metrics == record["val"] and kept.config.seed == record["seed"]
    assert ablation.main(["--rows", "blended", "plain", "--seeds", "1", "0", "--data", "synthetic"]) == 0
    said = capsys.readouterr()
    assert said.out == table and said.err.count("is there already") == 4 and len(trained) == 4


@pytest.mark.parametrize(
    ("words", "reason"),
    [("--rows grey --data synthetic", "'grey'"), ("--rows plain --seeds -1 --data synthetic", "seed is -1")],
)
def test_a_row_or_seed_that_cannot_be_is_named(folders, rows, capsys, words, reason):
    assert ablation.main(words.split()) == 2
    assert reason in capsys.readouterr().err and not folders.build.exists()


def make_record(row: str, seed: int, values: list[float], *, pretrained: bool = False) -> dict:
    """A run with the figures in the order in which the table shows them."""
    val, stress, test, accuracy, sensitivity, specificity, lost = values
    losses = {"wider": lost - 0.2, "narrower": lost, "taller": -0.5, "flatter": lost - 0.1}
    return {
        "row": row,
        "seed": seed,
        "pretrained": pretrained,
        "val": {"auroc": val, "stress_auroc": stress, "accuracy": 0.97},
        "test": {
            "auroc": test,
            "accuracy": accuracy,
            "screening": {"sensitivity": sensitivity, "specificity": specificity},
            "stretch_auroc_loss": losses,
        },
    }


RECORDS = [
    make_record("b", 3, [0.99, 0.95, 0.96, 0.91, 0.99, 0.60, 0.02]),
    make_record("a", 0, [0.98, 0.90, 0.90, 0.80, 1.00, 0.50, 0.05], pretrained=True),
    make_record("b", 1, [0.98, 0.93, 0.95, 0.88, 0.98, 0.70, 0.01]),
    make_record("b", 2, [0.97, 0.97, 0.97, 0.94, 0.97, 0.65, 0.06]),
]


def test_the_figures_of_a_run_are_those_of_its_parts():
    assert get_figures(RECORDS[0]) == {
        "val_auroc": 0.99,
        "stress_auroc": 0.95,
        "test_auroc": 0.96,
        "auroc_gap": pytest.approx(0.03),  # .99 on validation, .96 on test
        "val_accuracy": 0.97,
        "test_accuracy": 0.91,
        "screening_sensitivity": 0.99,
        "screening_specificity": 0.60,
        "stretch_auroc_loss": 0.02,  # the worst of the four
    }


def test_mean_and_spread_are_those_of_the_statistics_module():
    first, second = summarise(RECORDS)
    assert (first.row, first.seeds, second.row, second.seeds) == ("b", (3, 1, 2), "a", (0,))
    assert first.records == (RECORDS[0], RECORDS[2], RECORDS[3])
    for name in get_figures(RECORDS[0]):
        values = [get_figures(record)[name] for record in first.records]
        assert first.mean[name] == pytest.approx(statistics.mean(values))
        assert first.spread[name] == pytest.approx(statistics.stdev(values))
    assert second.mean == pytest.approx(get_figures(RECORDS[1]))
    assert all(np.isnan(spread) for spread in second.spread.values())


def test_the_table_shows_mean_and_spread_and_a_single_run_without():
    head, line, first, second = format_summary(summarise(RECORDS)).splitlines()
    # Means of .99 .98 .97, .95 .93 .97, .96 .95 .97, .91 .88 .94, .99 .98 .97, .60 .70 .65 and .02 .01 .06;
    # three numbers d apart have the spread d, and .02 .01 .06 about .03 have sqrt((1 + 4 + 9) / 2) / 100.
    cells = ["`b`", "random weights", "3", "0.9800 ± 0.0100", "0.9500 ± 0.0200", "0.9600 ± 0.0100"]
    cells += ["91.0 ± 3.0", "98.0 / 65.0", f"0.0300 ± {np.sqrt(7) / 100:.4f}"]
    assert [cell.strip() for cell in first.strip("|").split("|")] == cells
    cells = ["`a`", "ImageNet weights", "1", "0.9800", "0.9000", "0.9000", "80.0", "100.0 / 50.0", "0.0500"]
    assert [cell.strip() for cell in second.strip("|").split("|")] == cells
    assert head.count("|") == line.count("|") == first.count("|") == second.count("|")


def list_changes(before: dict, after: dict) -> dict:
    """What differs between two configurations, the augmentation's fields among the others."""
    flat = [values | values["augmentation"] for values in (asdict(before), asdict(after))]
    return {
        name: flat[1][name] for name in flat[0] if name != "augmentation" and flat[0][name] != flat[1][name]
    }


AUGMENTATION_OFF = {"rotate_deg": 0, "zoom": 0, "stretch": 0, "shift": 0, "flip_prob": 0, "brightness": 0}
AUGMENTATION_OFF |= {"contrast": 0, "gamma": 0, "blur_prob": 0, "noise": 0, "erase_prob": 0}
AUGMENTATION_OFF |= {"corner_prob": 0, "border_prob": 0}
CHANGES = {
    "cnn_64": {},
    "cnn_64_no_augmentation": AUGMENTATION_OFF,
    "cnn_64_no_stretch": {"stretch": 0},
    "cnn_64_no_rotation_zoom_shift": {"rotate_deg": 0, "zoom": 0, "shift": 0},
    "cnn_64_no_tones": {"brightness": 0, "contrast": 0, "gamma": 0},
    "cnn_64_no_blur_noise": {"blur_prob": 0, "noise": 0},
    "cnn_64_no_erasing": {"erase_prob": 0, "corner_prob": 0, "border_prob": 0},
    "cnn_64_equalise": {"equalise_prob": 0.3},
    "cnn_64_mixup": {"mixup": 0.3},
    "cnn_64_no_dropout": {"dropout": 0},
    "cnn_64_no_label_smoothing": {"label_smoothing": 0},
    "cnn_64_no_weight_decay": {"weight_decay": 0},
    "cnn_64_no_averaging": {"ema_decay": 0},
    "cnn_64_balanced_sampling": {"balance": "sampling"},
    "cnn_64_no_balance": {"balance": "none"},
    "lite0_64_frozen": {"strategy": "frozen"},
    "lite0_64_two_stage": {"strategy": "two_stage", "backbone_lr_factor": 0.1},
    "lite0_64_full": {},
    "lite0_64_random_frozen": {"strategy": "frozen", "pretrained": False},
    "lite0_64_random_two_stage": {"strategy": "two_stage", "pretrained": False},
    "lite0_64_random_full": {"pretrained": False},
}


@pytest.mark.parametrize("name", ABLATION)
def test_a_row_differs_from_its_base_only_in_what_its_name_says(name):
    base = ABLATION["lite0_64_full" if name.startswith("lite0") else "cnn_64"]
    assert list_changes(base.config, ABLATION[name].config) == CHANGES[name]


def test_the_bases_are_the_recipes_made_small():
    for base, recipe in (("cnn_64", "cnn_baseline"), ("lite0_64_full", "efficientnet_lite0_finetune")):
        changes = list_changes(RECIPES[recipe], ABLATION[base].config)
        assert set(changes) <= {"image_size", "num_epochs", "balance", "outside_prob"}
        assert ABLATION[base].config.image_size == 64 and ABLATION[base].preset == "grey"
    lite0 = ABLATION["lite0_64_full"].config
    assert lite0.strategy == "full" and lite0.pretrained


def test_the_stored_runs_are_ones_own_or_those_of_the_repository(folders):
    of_the_repository = load_records(ROOT / "results" / "ablation.json")
    assert load_stored_records(folders) == of_the_repository
    folders.stored_ablation.parent.mkdir()
    folders.stored_ablation.write_text(json.dumps({"runs": of_the_repository[:1]}), encoding="utf-8")
    assert load_stored_records(folders) == of_the_repository[:1]

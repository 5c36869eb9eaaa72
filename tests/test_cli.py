"""The commands as a user types them, each in a process of its own."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import REAL_FILMS, make_folder, run_pneumo

from pneumo_utils import cli

MODEL = "cnn_baseline"
PATH = "checkpoints/best_model_cnn_baseline.pth"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which the seed project's first command has run."""
    home = tmp_path_factory.mktemp("home")
    make_folder(home / "data" / "chest_xray", num_train=40, num_test=10)
    words = "train --model cnn_baseline --epochs 2 --batch_size 8 --lr 0.001"
    done = run_pneumo(*words.split(), cwd=home)
    assert done.returncode == 0, done.stderr
    return home


def test_train_leaves_a_checkpoint_and_a_history(home):
    assert (home / PATH).is_file()
    history = json.loads((home / "build" / "history_cnn_baseline.json").read_text())
    assert len(history) == 2 and (home / "build" / "history_cnn_baseline.csv").is_file()


def test_eval_answers_in_json_and_nothing_else(home):
    words = f"eval --model {MODEL} --checkpoint_path {PATH} --split test --json"
    done = run_pneumo(*words.split(), cwd=home)
    row = json.loads(done.stdout)
    asked = "model split n accuracy auroc sensitivity specificity precision recall f1 threshold confusion"
    assert set(asked.split()) <= set(row)
    assert row["n"] == 20 and sum(row["confusion"].values()) == 20 and row["split"] == "test"
    kept = json.loads((home / "build" / "results.json").read_text())["rows"]
    assert [r["accuracy"] for r in kept if r["split"] == "test"] == [row["accuracy"]]


def test_eval_takes_validation_unless_test_is_asked_for(home):
    done = run_pneumo("eval", "--model", MODEL, "--json", cwd=home, module=True)
    assert json.loads(done.stdout)["split"] == "val"


def test_inference_takes_files_and_folders_in_order(home):
    folder = home / "data" / "chest_xray" / "test"
    broken = home / "broken.jpeg"
    broken.write_bytes(b"<html>")
    file = folder / "NORMAL" / "IM-0003-0001.jpeg"
    words = ["inference", "--model", MODEL, "--checkpoint-path", PATH, "--image-path", broken, file]
    done = run_pneumo(*words, folder, "--json", cwd=home)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(rows) == 22
    assert [rows[0]["status"], rows[1]["status"]] == ["rejected", "ok"]
    assert [row["path"] for row in rows[2:]] == sorted(row["path"] for row in rows[2:])
    fields = {"path", "status", "label", "probability", "threshold", "model", "warnings", "reason"}
    assert all(fields <= set(row) for row in rows)


def test_inference_speaks_to_people(home):
    file = home / "data" / "chest_xray" / "test" / "NORMAL" / "IM-0003-0001.jpeg"
    done = run_pneumo("inference", "--model", MODEL, "--image_path", file, cwd=home)
    assert "P(pneumonia)" in done.stdout and done.returncode == 0


def test_train_answers_in_json_and_nothing_else(home, tmp_path):
    words = f"train --model {MODEL} --epochs 1 --batch-size 8 --seed 3 --json --output-dir {tmp_path / 'out'}"
    done = run_pneumo(*words.split(), cwd=home)
    summary = json.loads(done.stdout)
    assert summary["model"] == MODEL and (tmp_path / "out" / PATH).is_file()
    assert summary["data"] == "chestxray2017" and summary["pretrained"] is False


def test_damaged_films_are_named_and_counted(home, tmp_path):
    shutil.copytree(home / "data", tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "cache")
    (tmp_path / "data" / "chest_xray" / "train" / "NORMAL" / "IM-0007-0001.jpeg").write_bytes(b"\xff\xd8\xff")
    done = run_pneumo("train", "--model", MODEL, "--epochs", 1, "--batch-size", 8, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["num_skipped"] == 1
    assert "IM-0007-0001.jpeg" in done.stderr


BAD_REQUESTS = [
    ("train --model vgg", 2, "'vgg'"),
    ("train --model cnn_baseline --epochs 0", 2, "epochs is 0"),
    ("train --model cnn_baseline --batch-size 5000", 2, "Lower --batch_size"),
    ("train --model cnn_baseline --image-size 7", 2, "image_size is 7"),
    ("train --model cnn_baseline --lr -1", 2, "lr is -1"),
    ("train --model cnn_baseline --strategy frozen", 2, "no pretrained backbone"),
    ("train --model cnn_baseline --data nowhere", 1, "nowhere"),
    ("train --model resnet_finetune --weights nowhere.pth", 1, "nowhere.pth"),
    ("data download pneumoniamnist --image-size 96", 2, "image size is 96"),
    ("eval --model vgg", 2, "'vgg'"),
    (
        "eval --model resnet_finetune --checkpoint_path checkpoints/best_model_cnn_baseline.pth",
        1,
        "holds model",
    ),
    ("eval --model cnn_baseline --image-size 64", 1, "holds image size 32"),
    ("eval --model cnn_baseline --checkpoint_path nowhere.pth", 1, "nowhere.pth"),
    ("inference --model cnn_baseline --image_path nowhere.png", 1, "nowhere.png"),
    ("results --results-path nowhere.json", 1, "nowhere.json"),
]


@pytest.mark.parametrize(("words", "code", "reason"), BAD_REQUESTS)
def test_a_bad_request_gets_one_sentence_and_an_exit_code(home, monkeypatch, capsys, words, code, reason):
    monkeypatch.chdir(home)
    monkeypatch.setenv("PNEUMO_HOME", str(home))
    monkeypatch.setenv("PNEUMO_FAST", "1")
    before = sorted(home.rglob("*.pth"))
    assert cli.main(words.split()) == code
    said = capsys.readouterr()
    last = said.err.strip().splitlines()[-1]
    assert reason in last and last.startswith("pneumo: ")
    assert said.out == "" and sorted(home.rglob("*.pth")) == before


def test_the_process_ends_with_the_exit_code_and_no_traceback(tmp_path):
    done = run_pneumo("train", "--model", "vgg", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "pneumo: The model is 'vgg'; expected one of cnn_baseline, resnet_finetune.\n"


@pytest.mark.parametrize("lack", ["empty class", "one class"])
def test_a_folder_without_a_class_is_refused(folders, capsys, lack):
    make_folder(folders.data / "chest_xray")
    part = folders.data / "chest_xray" / "train" / "PNEUMONIA"
    shutil.rmtree(part)
    if lack == "empty class":
        part.mkdir()
    assert cli.main(["train", "--model", MODEL]) == 1
    assert "PNEUMONIA holds no film" in capsys.readouterr().err
    assert not folders.checkpoints.exists()


def test_too_many_damaged_films_stop_the_run(folders, capsys):
    part = make_folder(folders.data / "chest_xray", num_train=10) / "train" / "NORMAL"
    for i in range(4):
        (part / f"IM-{i:04d}-0001.jpeg").write_bytes(b"")
    assert cli.main(["train", "--model", MODEL, "--image-size", "32"]) == 1
    assert "4 of 20 films cannot be read" in capsys.readouterr().err


def test_help_needs_no_torch():
    program = """if True:
        import sys
        from pneumo_utils.cli import main
        try:
            main(["--help"])
        except SystemExit:
            sys.exit(any(name in sys.modules for name in ("torch", "numpy", "PIL", "matplotlib")))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and "usage: pneumo" in done.stdout


def test_data_info_counts_the_films(home):
    done = run_pneumo("data", "info", cwd=home)
    assert "test: 20 films (10 NORMAL, 10 PNEUMONIA)" in done.stdout


@pytest.mark.parametrize("size", [28, 64, 128, 224])
def test_every_size_of_pneumoniamnist_can_be_fetched(folders, monkeypatch, capsys, size):
    asked = []

    def pretend(split, download, size, root):
        asked.append((download, size, root))

    monkeypatch.setattr("medmnist.PneumoniaMNIST", pretend)
    assert cli.main(["data", "download", "pneumoniamnist", "--image-size", str(size)]) == 0
    assert asked == [(True, size, str(folders.data / "medmnist"))]
    assert str(folders.data / "medmnist") in capsys.readouterr().out


@pytest.mark.skipif(not REAL_FILMS.is_dir(), reason=f"needs the real films in {REAL_FILMS.name}")
def test_training_on_real_films_learns(tmp_path):
    """A few hundred real films at 64 px are enough to rank far better than chance."""
    words = f"train --model {MODEL} --data {REAL_FILMS} --epochs 1 --image-size 64 --lr 0.003"
    done = run_pneumo(*words.split(), "--json", cwd=tmp_path, PNEUMO_FAST="0")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["val"]["auroc"] > 0.9
    evaluated = run_pneumo("eval", "--model", MODEL, "--data", REAL_FILMS, "--json", cwd=tmp_path)
    assert np.isfinite(json.loads(evaluated.stdout)["auroc"])

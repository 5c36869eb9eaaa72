"""The commands as a user types them."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from abilities import LINKS, PIPES
from conftest import REAL_FILMS, make_checkpoint, make_chest_film, make_film, make_folder, run_pneumo
from PIL import Image

from pneumo_utils import cli
from pneumo_utils.errors import PneumoError
from pneumo_utils.models.checkpoint import load_checkpoint, save_checkpoint
from pneumo_utils.models.registry import MODELS
from pneumo_utils.training.recipes import make_config
from tools.ship import save_shipped

MODEL = "cnn_baseline"
PATH = "checkpoints/best_model_cnn_baseline.pth"

BUFFERED = {"PYTHONUNBUFFERED": ""}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which the seed project's first command has run."""
    home = tmp_path_factory.mktemp("home")
    make_folder(home / "data" / "chest_xray", num_train=40, num_test=10)
    words = "train --model cnn_baseline --epochs 2 --batch_size 8 --lr 0.001"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PNEUMO_HOME", str(home))
        monkeypatch.setenv("PNEUMO_FAST", "1")
        assert cli.main(words.split()) == 0
    return home


@pytest.fixture
def pneumo(monkeypatch, capsys):
    """Runs a command with a folder as the project's, in short mode."""

    def run(*words, cwd):
        monkeypatch.chdir(cwd)
        monkeypatch.setenv("PNEUMO_HOME", str(cwd))
        monkeypatch.setenv("PNEUMO_FAST", "1")
        code = cli.main([str(word) for word in words])
        said = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=said.out, stderr=said.err)

    return run


def test_train_leaves_a_checkpoint_and_a_history(home):
    assert (home / PATH).is_file()
    history = json.loads((home / "build" / "history_cnn_baseline.json").read_text(encoding="utf-8"))
    assert len(history) == 2 and (home / "build" / "history_cnn_baseline.csv").is_file()


def test_eval_answers_in_json_and_nothing_else(home, pneumo):
    words = f"eval --model {MODEL} --checkpoint_path {PATH} --split test --json"
    done = pneumo(*words.split(), cwd=home)
    row = json.loads(done.stdout)
    asked = "model split n accuracy auroc sensitivity specificity precision recall f1 threshold confusion"
    asked += " screening stretch_auroc_loss flip_average num_members"
    assert set(asked.split()) <= set(row)
    assert row["n"] == 20 and sum(row["confusion"].values()) == 20 and row["split"] == "test"
    kept = json.loads((home / "build" / "results.json").read_text(encoding="utf-8"))["rows"]
    assert [r["accuracy"] for r in kept if r["split"] == "test"] == [row["accuracy"]]


def test_a_torn_results_file_costs_no_figures(home, pneumo):
    path = home / "build" / "results.json"
    path.write_text('{"rows": [{"mod', encoding="utf-8")
    done = pneumo("eval", "--model", MODEL, "--json", cwd=home)
    assert done.returncode == 0 and "It is kept as results.json." in done.stderr
    row = json.loads(done.stdout)
    assert [kept["accuracy"] for kept in json.loads(path.read_text(encoding="utf-8"))["rows"]] == [
        row["accuracy"]
    ]


@pytest.mark.system
@pytest.mark.parametrize("module", [False, True])
def test_a_process_of_its_own_evaluates_validation_unless_test_is_asked_for(home, module):
    done = run_pneumo("eval", "--model", MODEL, "--json", cwd=home, module=module)
    assert json.loads(done.stdout)["split"] == "val"


@pytest.mark.long
def test_eval_judges_a_folder_of_another_hospital_and_says_what_differs(home, tmp_path, pneumo):
    for label, name in enumerate(("normal", "pneumonia")):
        (tmp_path / "clinic" / name).mkdir(parents=True)
        for i in range(4):
            film = make_chest_film(10 * label + i, shape=(200, 200) if i else (100, 120))
            Image.fromarray(film).save(tmp_path / "clinic" / name / f"{i}.png")
    page = tmp_path / "deep" / "report.html"
    words = ["eval", "--model", MODEL, "--data", tmp_path / "clinic", "--json", "--report", page]
    done = pneumo(*words, cwd=home)
    row = json.loads(done.stdout)
    assert (row["data"], row["split"], row["n"]) == ("folder clinic", "test", 8)
    assert "2 of 8 films differ" in page.read_text(encoding="utf-8")
    assert "2 of 8 films differ from the training films" in done.stderr
    assert set(row["warnings"]) == {"normal/0.png", "pneumonia/0.png"}
    assert "120 x 100" in row["warnings"]["normal/0.png"]
    told = pneumo("data", "info", "--data", tmp_path / "clinic", cwd=home).stdout
    assert told.splitlines()[1:] == ["test: 8 films (4 NORMAL, 4 PNEUMONIA), 8 patients"]
    refused = pneumo("train", "--model", MODEL, "--data", tmp_path / "clinic", cwd=home)
    assert refused.returncode != 0 and "has no train split" in refused.stderr


def test_a_model_is_not_compared_with_itself(home, pneumo):
    done = pneumo("eval", "--model", MODEL, "--report", "r.html", "--against", MODEL, cwd=home)
    assert done.returncode != 0 and "expected other models" in done.stderr
    assert not (home / "r.html").exists()


def test_eval_of_one_class_leaves_undefined_what_is_undefined(home, tmp_path, pneumo):
    (tmp_path / "ward" / "PNEUMONIA").mkdir(parents=True)
    for i in range(3):
        Image.fromarray(make_film(i, shape=(200, 200))).save(tmp_path / "ward" / "PNEUMONIA" / f"{i}.png")
    done = pneumo("eval", "--model", MODEL, "--data", tmp_path / "ward", "--json", cwd=home)
    row = json.loads(done.stdout)
    assert row["auroc"] is None and row["undefined"]["auroc"] == "no film is NORMAL"
    assert 0 <= row["sensitivity"] <= 1 and row["specificity"] is None


def test_inference_takes_files_and_folders_in_order(home, pneumo):
    folder = home / "data" / "chest_xray" / "test"
    broken = home / "broken.jpeg"
    broken.write_bytes(b"<html>")
    file = home / "film.png"
    Image.fromarray(make_chest_film(1)).save(file)
    words = ["inference", "--model", MODEL, "--checkpoint-path", PATH, "--image-path", broken, file]
    done = pneumo(*words, folder, "--json", cwd=home)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(rows) == 22
    assert [rows[0]["status"], rows[1]["status"]] == ["rejected", "ok"]
    assert [row["path"] for row in rows[2:]] == sorted(row["path"] for row in rows[2:])
    fields = {"path", "status", "label", "probability", "threshold", "model", "warnings", "reason"}
    assert all(fields <= set(row) for row in rows)


def test_inference_speaks_to_people(home, pneumo):
    file = home / "film.png"
    Image.fromarray(make_chest_film(1)).save(file)
    done = pneumo("inference", "--model", MODEL, "--image_path", file, cwd=home)
    assert "P(pneumonia)" in done.stdout and done.returncode == 0


def test_train_answers_in_json_and_nothing_else(home, tmp_path, pneumo):
    words = f"train --model {MODEL} --epochs 1 --batch-size 8 --seed 3 --json --output-dir {tmp_path / 'out'}"
    done = pneumo(*words.split(), cwd=home)
    summary = json.loads(done.stdout)
    assert summary["model"] == MODEL and (tmp_path / "out" / PATH).is_file()
    assert summary["data"] == "chestxray2017" and summary["pretrained"] is False
    checkpoint = load_checkpoint(tmp_path / "out" / PATH)
    for name in ("threshold", "screening_threshold", "flip_average"):
        assert summary[name] == getattr(checkpoint, name)
    assert summary["val"] == checkpoint.val_metrics and summary["strategy"] == "full"


def test_damaged_films_are_named_and_counted(home, tmp_path, pneumo):
    shutil.copytree(home / "data", tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "cache")
    (tmp_path / "data" / "chest_xray" / "train" / "NORMAL" / "IM-0007-0001.jpeg").write_bytes(b"\xff\xd8\xff")
    done = pneumo("train", "--model", MODEL, "--epochs", 1, "--batch-size", 8, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["num_skipped"] == 1
    assert "IM-0007-0001.jpeg" in done.stderr


BAD_REQUESTS = [
    ("train --model vgg", 2, "'vgg'"),
    ("train --model cnn_baseline --epochs 0", 2, "epochs is 0"),
    ("train --model cnn_baseline --batch-size 5000", 2, "Lower --batch_size"),
    ("train --model cnn_baseline --image-size 7", 2, "image_size is 7"),
    ("train --model cnn_baseline --lr -1", 2, "lr is -1"),
    ("train --model cnn_baseline --strategy frozen", 2, "no pretrained backbone"),
    ("train --model cnn_baseline --mixup -1", 2, "mixup is -1"),
    ("train --model cnn_baseline --balance yes", 2, "balance is yes"),
    ("train --model timm_nobody", 2, "'nobody'"),
    ("train --model cnn_baseline --data nowhere", 1, "nowhere"),
    ("train --model resnet_finetune --weights nowhere.pth", 1, "nowhere.pth"),
    ("lr --model vgg", 2, "'vgg'"),
    ("lr --model cnn_baseline --steps 9", 2, "steps is 9"),
    ("lr --model cnn_baseline --batch-size 5000", 2, "Lower --batch_size"),
    ("lr --model cnn_baseline --strategy frozen", 2, "no pretrained backbone"),
    ("data download pneumoniamnist --image-size 96", 2, "image size is 96"),
    ("eval --model vgg", 2, "'vgg'"),
    (
        "eval --model resnet_finetune --checkpoint_path checkpoints/best_model_cnn_baseline.pth",
        1,
        "holds model",
    ),
    ("eval --model cnn_baseline --image-size 64", 1, "holds image size 32"),
    ("eval --model cnn_baseline --checkpoint_path nowhere.pth", 1, "nowhere.pth"),
    ("eval --model resnet_finetune", 1, "no trained resnet_finetune comes with the package"),
    ("eval --model cnn_baseline --shipped --checkpoint_path c.pth", 2, "expected one of them"),
    ("eval --model resnet_finetune --shipped", 2, "No trained resnet_finetune comes with the package"),
    ("inference --model resnet_finetune --shipped --image_path x.png", 2, "No trained resnet_finetune"),
    ("inference --model cnn_baseline --image_path nowhere.png", 1, "nowhere.png"),
    ("inference", 2, "No film was named"),
    ("inference film.png --csv out.csv --json", 2, "expected one of them"),
]


@pytest.mark.parametrize(("words", "code", "reason"), BAD_REQUESTS)
def test_a_bad_request_gets_one_sentence_and_an_exit_code(home, pneumo, words, code, reason):
    before = sorted(home.rglob("*.pth"))
    done = pneumo(*words.split(), cwd=home)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == code and reason in last and last.startswith("pneumo: ")
    assert done.stdout == "" and sorted(home.rglob("*.pth")) == before


@pytest.mark.system
def test_the_process_ends_with_the_exit_code_and_no_traceback(tmp_path):
    done = run_pneumo("train", "--model", "vgg", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    known = f"{', '.join(MODELS)}, or timm_NAME"
    assert done.stderr == f"pneumo: The model is 'vgg'; expected one of {known}.\n"


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


COMMANDS = ("train", "lr", "eval", "export", "inference", "app", "data", "course")


@pytest.mark.system
def test_help_names_what_a_user_needs_and_needs_no_torch():
    program = """if True:
        import sys
        from pneumo_utils.cli import main
        for words in sys.argv[1:]:
            try:
                main(words.split())
            except SystemExit as stop:
                assert stop.code == 0
        heavy = ("torch", "numpy", "PIL", "matplotlib", "pandas", "nbformat", "tools")
        sys.exit(", ".join(name for name in heavy if name in sys.modules) or 0)
    """
    words = ["--help", *(f"{command} --help" for command in COMMANDS)]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    first, *others = done.stdout.split("usage: pneumo ")[1:]
    listed = re.findall(r"(?m)^    (\w+)", first.split("options:")[0])
    assert tuple(listed) == COMMANDS
    assert [
        command for command, text in zip(COMMANDS, others, strict=True) if not text.startswith(command)
    ] == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--random_start", {"pretrained": False}),
        ("--random-start --strategy two_stage", {"pretrained": False, "strategy": "two_stage"}),
        ("--mixup 0.25 --balance sampling", {"mixup": 0.25, "balance": "sampling"}),
        ("--batch-size 8 --lr 0.5 --seed 3", {"batch_size": 8, "lr": 0.5, "seed": 3}),
        ("--image-size 48", {"image_size": 48}),
        ("", {"pretrained": True, "mixup": 0.0, "balance": "none", "strategy": "full", "seed": 0}),
    ],
)
@pytest.mark.parametrize("command", ["train", "lr"])
def test_flags_change_the_recipe_and_nothing_else_does(folders, monkeypatch, command, words, expected):
    asked = []

    def note(config, *arguments, **settings):
        asked.append(config)
        raise PneumoError("That is enough.")

    monkeypatch.setattr("pneumo_utils.training.fit.fit", note)
    monkeypatch.setattr("pneumo_utils.training.lr_finder.find_lr", note)
    monkeypatch.setenv("PNEUMO_FAST", "1")
    make_folder(folders.data / "chest_xray", num_train=20)
    assert cli.main([command, "--model", "resnet_finetune", *words.split()]) == 1
    (config,) = asked
    assert asdict(config).items() >= expected.items()
    unchanged = make_config("resnet_finetune", image_size=32, num_epochs=2)
    assert replace(config, **{name: getattr(unchanged, name) for name in expected}) == unchanged


@pytest.mark.long
def test_what_is_typed_wins_over_the_short_mode(folders, monkeypatch):
    monkeypatch.setenv("PNEUMO_FAST", "1")
    words = f"train --model {MODEL} --data synthetic --batch-size 64 --epochs 3 --image-size 48 --json"
    assert cli.main(words.split()) == 0
    config = load_checkpoint(folders.checkpoint(MODEL)).config
    assert (config.num_epochs, config.image_size) == (3, 48)


RUN = f"train --model {MODEL} --batch-size 8 --epochs 2 --lr 0.001".split()


def test_a_run_that_has_ended_is_not_trained_again_by_resume(home, pneumo):
    before = (home / PATH).read_bytes()
    done = pneumo(*RUN, "--resume", "--json", cwd=home)
    assert done.returncode == 0 and "This run has ended: best_model_cnn_baseline.pth stays" in done.stderr
    assert json.loads(done.stdout)["val"] == load_checkpoint(home / PATH).val_metrics
    assert (home / PATH).read_bytes() == before


@pytest.mark.parametrize(
    ("words", "other"),
    [
        ("--epochs 3", "num_epochs 2 there, 3 here"),
        ("--lr 0.01", "lr 0.001 there, 0.01 here"),
        ("--batch-size 4 --seed 1", "batch_size 8 there, 4 here; seed 0 there, 1 here"),
        ("--image-size 48", "image_size 32 there, 48 here"),
        ("--data synthetic", "train films [0-9a-f]{32} there, [0-9a-f]{32} here"),
    ],
)
def test_a_run_that_has_ended_is_not_overwritten_by_resume_with_other_settings(home, pneumo, words, other):
    before = (home / PATH).read_bytes()
    done = pneumo(*RUN, *words.split(), "--resume", cwd=home)
    assert done.returncode == 2 and re.search(other, done.stderr) and "anew without --resume" in done.stderr
    assert (home / PATH).read_bytes() == before and done.stdout == ""


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("train", "checkpoints"),
        ("train", "build"),
        ("lr", "plots"),
        ("eval", "build"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_said_before_the_work(
    folders, pneumo, monkeypatch, words, place
):
    (folders.root / place).write_text("a file", encoding="utf-8")
    save_checkpoint(make_checkpoint(), folders.root / "own.pth")
    own = ["--checkpoint_path", "own.pth"] if words.startswith("eval") else []
    monkeypatch.setattr("pneumo_utils.data.sources.load_split", lambda *a, **k: pytest.fail("read films"))
    done = pneumo(*words.split(), "--model", MODEL, *own, cwd=folders.root)
    assert done.returncode == 1 and re.match(
        rf"pneumo: Nothing can be kept in .*{place} is no folder", done.stderr
    )


@pytest.mark.long
def test_lr_shows_a_curve_and_trains_nothing(folders, monkeypatch, capsys):
    monkeypatch.setenv("PNEUMO_FAST", "1")
    words = f"lr --model {MODEL} --steps 10 --batch_size 8 --data synthetic"
    assert cli.main([*words.split(), "--json"]) == 0
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert summary["model"] == MODEL and "SYNTHETIC" in said.err
    assert summary["lrs"][0] == pytest.approx(1e-5) and 3 <= len(summary["lrs"]) <= 10
    assert len(summary["losses"]) == len(summary["lrs"]) and summary["suggestion"] in summary["lrs"]
    figure = folders.plots / f"lr_{MODEL}.png"
    assert summary["figure"] == str(figure) and figure.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in folders.root.rglob("*") if path.is_file()] == [figure.name]
    assert cli.main(words.split()) == 0
    assert f"at a rate of {summary['suggestion']:.1e}; the curve is in {figure}" in capsys.readouterr().out


def test_the_packages_model_is_taken_only_without_ones_own_or_if_asked_for(
    folders, weights, film_folder, capsys
):
    save_shipped(make_checkpoint(threshold=0.25), {"name": MODEL})
    film = film_folder / "test" / "NORMAL" / "IM-0001-0001.jpeg"
    ask = ["inference", "--model", MODEL, "--image_path", str(film), "--json"]

    def get_threshold(*flags):
        assert cli.main([*ask, *flags]) == 1  # the film is too small to be answered
        return json.loads(capsys.readouterr().out)["threshold"]

    assert get_threshold() == 0.25
    path = save_checkpoint(make_checkpoint(threshold=0.75), folders.checkpoint(MODEL))
    assert get_threshold() == 0.75 and get_threshold("--shipped") == 0.25
    assert get_threshold("--checkpoint-path", str(path)) == 0.75
    path.unlink()
    assert cli.main([*ask, "--checkpoint-path", str(path)]) == 1
    assert f"{path.name} is not there" in capsys.readouterr().err


def test_screening_without_a_threshold_for_it_is_refused(folders, film_folder, capsys):
    save_checkpoint(make_checkpoint(), folders.checkpoint(MODEL))
    words = ["inference", "--model", MODEL, "--image_path", str(film_folder), "--screening"]
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and "no screening threshold" in said.err


def test_data_info_counts_the_films(home, pneumo):
    done = pneumo("data", "info", cwd=home)
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


@pytest.mark.system
@pytest.mark.skipif(not REAL_FILMS.is_dir(), reason=f"needs the real films in {REAL_FILMS.name}")
def test_training_on_real_films_learns(tmp_path):
    """A few hundred real films at 64 px are enough to rank far better than chance."""
    words = f"train --model {MODEL} --data {REAL_FILMS} --epochs 1 --image-size 64 --lr 0.003"
    done = run_pneumo(*words.split(), "--json", cwd=tmp_path, PNEUMO_FAST="0")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["val"]["auroc"] > 0.9
    evaluated = run_pneumo("eval", "--model", MODEL, "--data", REAL_FILMS, "--json", cwd=tmp_path)
    assert json.loads(evaluated.stdout)["auroc"] > 0.9


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("flags", [[], ["--json"], ["--csv", "out.csv"]])
@pytest.mark.system
def test_names_that_an_output_cannot_show_are_escaped_and_the_films_after_them_answered(
    tmp_path, encoding, flags
):
    odd = [b"\xff\xfe.png", "\u80ba.png".encode(), b"z.png"]  # no text, a sign that cp1252 lacks, plain
    for name in odd:
        Image.fromarray(make_chest_film(1)).save(tmp_path / os.fsdecode(name))
    (tmp_path / os.fsdecode(b"\xfd.txt")).touch()  # named on standard error
    done = run_pneumo("inference", ".", "--shipped", *flags, cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and "Left out" in done.stderr and "Traceback" not in done.stderr
    table = tmp_path / "out.csv"
    answers = table.read_bytes().splitlines()[1:] if table.exists() else done.stdout.splitlines()
    assert len(answers) == 3


@pytest.mark.system
@pytest.mark.parametrize("words", ["inference . . --shipped", "inference . --shipped --json", "--help"])
def test_a_reader_that_goes_away_ends_the_command_in_silence(tmp_path, words):
    for i in range(3):
        Image.fromarray(make_chest_film(i)).save(tmp_path / f"{i}.png")
    command = [sys.executable, "-m", "pneumo_utils", *words.split()]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": os.environ | BUFFERED}
    with subprocess.Popen(command, cwd=tmp_path, **settings) as process:
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 141


@pytest.mark.system
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("words", ["inference film.png --shipped", "--help"])
def test_a_full_disk_behind_standard_output_is_one_sentence(tmp_path, words):
    Image.fromarray(make_chest_film(1)).save(tmp_path / "film.png")
    command = [sys.executable, "-m", "pneumo_utils", *words.split()]
    with open("/dev/full", "wb") as full:
        settings = {"stdout": full, "stderr": subprocess.PIPE, "env": os.environ | BUFFERED}
        done = subprocess.run(command, cwd=tmp_path, encoding="utf-8", **settings)
    expected = "pneumo: No space left on device. Check the disk, the path and its rights.\n"
    assert (done.returncode, done.stderr) == (1, expected)


@pytest.mark.parametrize("port", ["0", "-1", "99999"])
def test_a_port_that_is_none_is_refused(monkeypatch, capsys, port):
    monkeypatch.setattr("pneumo_utils.app.jupyter.serve", None)
    assert cli.main(["app", "--port", port]) == 2
    assert f"The port is {port}; expected 1 to 65535." in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "train --epochs 0",
        "train --batch_size 1",
        "train --lr nan",
        "train --mixup -1",
        "train --seed -1",
        "lr --steps 9",
        "data download pneumoniamnist --image_size 65",
    ],
)
def test_numbers_that_make_no_sense_are_refused(folders, monkeypatch, capsys, words):
    monkeypatch.setenv("PNEUMO_FAST", "1")
    model = [] if words.startswith("data") else ["--model", MODEL, "--data", "synthetic"]
    assert cli.main([*words.split(), *model]) == 2
    assert "; expected " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "suffix"),
    [
        (f"export --model {MODEL} --output", ".onnx"),
        (f"eval --model {MODEL} --report", ".html"),
        ("data audit films --html", ".html"),
        ("inference films --csv", ".csv"),
    ],
)
def test_a_place_where_no_result_can_be_written_is_refused_by_the_name_that_was_typed(
    tmp_path, monkeypatch, capsys, words, suffix
):
    monkeypatch.chdir(tmp_path)
    Path(f"folder{suffix}").mkdir()
    Path("file").touch()
    kinds = ["folder", "file/new", "file/deep/new"]
    if PIPES and LINKS:
        kinds += ["pipe", "device"]
        os.mkfifo(f"pipe{suffix}")
        Path(f"device{suffix}").symlink_to(os.devnull)
    for place in (*(f"{kind}{suffix}" for kind in kinds), "folder.other", "/dev/stdout", "/dev/full", "."):
        assert cli.main([*words.split(), place]) == 2
        assert f"pneumo: {place} is no place for a result; expected a file" in capsys.readouterr().err
    assert not Path("new").exists()

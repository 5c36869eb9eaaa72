"""`python -m tools.benchmarks`: each has what the command asks of it, and figures are kept together."""

import argparse
import json
from importlib import import_module

import pytest

from pneumo_utils.errors import UsageError
from tools import benchmarks
from tools.benchmarks import __main__ as command
from tools.benchmarks import cpu_step, device_step, frozen_stage, kill_and_resume


def test_the_figures_of_one_benchmark_are_kept_beside_those_of_others(folders, monkeypatch, capsys):
    monkeypatch.setattr(frozen_stage, "measure", lambda arguments: {"epochs": arguments.epochs})
    monkeypatch.setattr(kill_and_resume, "measure", lambda arguments: {"kills": arguments.kills})
    assert command.main(["frozen_stage", "FOLDER", "--epochs", "3"]) == 0
    assert command.main(["kill_and_resume", "--kills", "1"]) == 0
    assert command.main(["kill_and_resume", "--kills", "2"]) == 0
    path = folders.build / "benchmark.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "frozen_stage": {"epochs": 3},
        "kill_and_resume": {"kills": 2},
    }
    assert str(path) in capsys.readouterr().err


def test_an_unknown_name_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["speed"])
    assert stop.value.code == 2 and "training_speed" in capsys.readouterr().err


@pytest.mark.parametrize("name", command.NAMES)
def test_every_benchmark_says_what_it_does_and_needs(name):
    module = import_module(f"tools.benchmarks.{name}")
    parser = argparse.ArgumentParser()
    module.add_flags(parser)
    needed = [action.dest for action in parser._actions if action.required]
    assert needed in ([], ["folder"]) and ("FOLDER" in module.__doc__) == bool(needed)
    assert callable(module.measure)


@pytest.mark.parametrize(("name", "what"), [("hostile_files", "fork"), ("memory_and_growth", "/proc")])
def test_a_benchmark_that_only_linux_can_run_says_so_elsewhere(monkeypatch, name, what):
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(UsageError, match=f"rests on {what}; expected Linux, got win32"):
        import_module(f"tools.benchmarks.{name}").measure(None)


def test_a_ratio_is_of_medians_beside_the_extremes_of_its_pairs():
    # Medians 2 and 4; pairs 1/4, 2/1 and 6/5.
    assert benchmarks.compute_ratio([1, 2, 6], [4, 1, 5]) == {"ratio": 0.5, "lowest": 0.25, "highest": 2.0}


@pytest.mark.system
def test_work_apart_gives_its_result_back():
    assert benchmarks.run_apart(sorted, [1, 3, 2], reverse=True) == [3, 2, 1]


def test_the_random_step_differs_from_the_own_one_in_its_films_alone(monkeypatch):
    monkeypatch.setattr(device_step, "NUM_FILMS", 24)
    drawn = []
    own, random = device_step.Trainer._draw_levels, device_step.RandomTrainer._draw_levels
    for kind, name, draw in (
        (device_step.RandomTrainer, "random", random),
        (device_step.Trainer, "own", own),
    ):
        monkeypatch.setattr(
            kind, "_draw_levels", lambda *given, name=name, draw=draw: drawn.append(name) or draw(*given)
        )
    settings = {"image_size": 32, "batch_size": 8, "steps": 2, "rounds": 1}
    found = device_step.measure(argparse.Namespace(**settings))
    steps = device_step.WARM_UP + 2
    assert drawn == ["own"] * steps + ["random"] * steps
    assert found["images_per_s"] > 0 and found["random_images_per_s"] > 0


@pytest.mark.long
def test_the_shares_of_a_step_are_shares():
    found = cpu_step.profile("cnn_baseline", 1)
    assert 0 < found["augmentation"] < 1 and 0 < sum(found["operators"].values()) <= 1.01

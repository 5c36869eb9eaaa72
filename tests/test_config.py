"""Settings: what is refused, what is short, where files go."""

from dataclasses import asdict
from pathlib import Path

import pytest

from pneumo_utils import config
from pneumo_utils.config import Augmentation, Folders, TrainConfig
from pneumo_utils.errors import UsageError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_epochs", 0),
        ("batch_size", 1),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("image_size", 31),
        ("image_size", 513),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("mixup", -0.1),
        ("mixup", float("nan")),
        ("mixup", float("inf")),
        ("backbone_lr_factor", 0.0),
        ("backbone_lr_factor", 1.1),
        ("label_smoothing", 0.5),
        ("ema_decay", 1.0),
        ("patience", 0),
        ("head_epochs", 0),
        ("unfreeze_epochs", 0),
        ("seed", -1),
        ("strategy", "half"),
        ("balance", "yes"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(UsageError, match=str(value).split(".")[0]) as caught:
        TrainConfig(model="cnn_baseline", **{name: value})
    assert "expected" in str(caught.value)


def test_a_configuration_survives_the_way_through_a_plain_dict():
    before = TrainConfig(model="cnn_baseline", lr=0.5, augmentation=Augmentation(stretch=0.7))
    assert TrainConfig.from_dict(asdict(before)) == before
    gone = {"schedule": "one_cycle", "frozen_views": 1}  # settings of before, of one value in all that ships
    assert TrainConfig.from_dict(asdict(before) | gone) == before


@pytest.mark.parametrize(
    "setting",
    [{"strategy": name} for name in config.STRATEGIES]
    + [{"balance": name} for name in config.BALANCES]
    + [{"mixup": 0.0}, {"dropout": 0.0}, {"backbone_lr_factor": 1.0}, {"unfreeze_epochs": 1}],
)
def test_a_value_in_range_is_taken(setting):
    assert asdict(TrainConfig(model="cnn_baseline", **setting)).items() >= setting.items()


@pytest.mark.parametrize("values", [{"colour": 1}, {"stretch": 1}, {"augmentation": {"colour": 1}}])
def test_an_unknown_setting_in_a_dict_is_refused(values):
    with pytest.raises(UsageError, match="expected only known settings"):
        TrainConfig.from_dict({"model": "cnn_baseline"} | values)


OFF, ON = ("", " ", "0", "false", "No", "OFF"), ("1", "true", "Yes", "ON")


@pytest.mark.parametrize(("value", "short"), [(v, False) for v in OFF] + [(v, True) for v in ON])
def test_the_short_mode_follows_the_environment(monkeypatch, value, short):
    monkeypatch.setenv("PNEUMO_FAST", value)
    full = TrainConfig(model="cnn_baseline", image_size=96, num_epochs=9)
    assert config.is_fast() is short
    assert (config.shorten(full) != full) is short


def test_a_short_mode_that_is_neither_on_nor_off_is_refused(monkeypatch):
    monkeypatch.setenv("PNEUMO_FAST", "perhaps")
    with pytest.raises(UsageError, match="PNEUMO_FAST is 'perhaps'; expected 1 or 0"):
        config.is_fast()


def test_the_root_is_found_from_the_notebooks_folder(monkeypatch, tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert config.default_folders().root == tmp_path.resolve()


def test_the_root_is_where_we_are_outside_the_project(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert config.default_folders().root == tmp_path.resolve()


def test_the_environment_names_the_root(monkeypatch, tmp_path):
    monkeypatch.setenv("PNEUMO_HOME", str(tmp_path))
    assert config.default_folders().root == tmp_path


def test_file_names_are_the_seed_projects():
    assert Folders(Path("x")).checkpoint("cnn_baseline") == Path("x/checkpoints/best_model_cnn_baseline.pth")


def test_what_an_ablation_leaves_lies_below_the_root():
    folders = Folders(Path("x"))
    assert folders.stored_ablation == Path("x/results/ablation.json")

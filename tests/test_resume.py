"""Safe points: a run that was cut off goes on as if it never had been."""

import json
import pickle
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch
from conftest import list_kept, make_checkpoint

from pneumo_utils import cli
from pneumo_utils.config import TrainConfig
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.backbone import ResnetFinetune
from pneumo_utils.models.checkpoint import load_checkpoint
from pneumo_utils.runtime import make_accelerator
from pneumo_utils.training import fit as loop
from pneumo_utils.training import resume as safe_point
from pneumo_utils.training.fit import fit
from pneumo_utils.training.trainer import Trainer

CNN = TrainConfig(model="cnn_baseline", image_size=32, num_epochs=3, batch_size=16)
RESNET = replace(CNN, model="resnet_finetune", num_epochs=2, batch_size=48, unfreeze_epochs=1)
CONFIGS = {
    "plain": CNN,
    "every generator": replace(CNN, mixup=0.4, balance="sampling"),
    "two_stage": replace(RESNET, pretrained=False, strategy="two_stage"),
    "frozen": replace(RESNET, pretrained=False, strategy="frozen"),
}


class Killed(BaseException):
    """Stands for the end of the process; nothing catches it."""


def kill_after(num_epochs: int):
    """A `say` that ends the run once so many epochs are done and their safe point is not yet written."""

    def say(text: str) -> None:
        if text.startswith(f"epoch {num_epochs + 1:2d}"):
            raise Killed

    return say


def resume(config, films, path, *, say=None, **settings):
    """Goes on: what `fit` returned, and what it said."""
    said = []
    settings = {"val": films[1], "checkpoint_path": path, "resume": True} | settings
    return fit(config, films[0], say=said.append if say is None else say, **settings), said


def cut_off(config, films, path, *, after: int = 1) -> None:
    """Leaves the safe point of so many epochs."""
    with pytest.raises(Killed):
        fit(config, films[0], val=films[1], checkpoint_path=path, say=kill_after(after))


def assert_same(result, expected) -> None:
    """The same weights to the bit, the same choices and the same history, but for its times."""
    state, expected_state = result.checkpoint.state, expected.checkpoint.state
    assert list(state) == list(expected_state)
    assert all(torch.equal(state[name], expected_state[name]) for name in state)
    assert replace(result.checkpoint, state={}) == replace(expected.checkpoint, state={})
    histories = [[replace(record, time_s=0) for record in r.history] for r in (result, expected)]
    assert histories[0] == histories[1]


@pytest.fixture(scope="module")
def expected(phantoms):
    """The plain run, uninterrupted."""
    return fit(CNN, phantoms[0], val=phantoms[1], say=lambda text: None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "c.pth"


@pytest.fixture
def point(path):
    """Where the safe point of `path` lies."""
    return path.with_name("c.pth.resume")


@pytest.mark.long
@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_that_is_cut_off_in_every_epoch_ends_with_the_same_weights(phantoms, path, name):
    config = CONFIGS[name]
    whole = fit(config, phantoms[0], val=phantoms[1], say=lambda text: None)
    cut_off(config, phantoms, path, after=1)
    for after in range(2, config.num_epochs):
        torch.rand(after)  # another process has other random numbers behind it
        with pytest.raises(Killed):
            resume(config, phantoms, path, say=kill_after(after))
    result, said = resume(config, phantoms, path)
    assert said[0] == f"Training goes on after epoch {config.num_epochs - 1}."
    assert_same(result, whole)
    assert load_checkpoint(path).threshold == whole.checkpoint.threshold
    assert list_kept(path.parent) == ["c.pth"]


def test_the_number_of_threads_is_that_of_the_run(phantoms, path, expected):
    before = torch.get_num_threads()
    cut_off(CNN, phantoms, path)
    try:
        torch.set_num_threads(before + 1)
        result, _ = resume(CNN, phantoms, path)
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(before)
    assert_same(result, expected)


@pytest.mark.long
def test_resuming_needs_no_imagenet_weights_again(phantoms, path, monkeypatch):
    state = loop.build_model(RESNET.model).backbone.state_dict()
    state["conv1.weight"] = state["conv1.weight"].repeat(1, 3, 1, 1)
    fetched = iter([state])
    monkeypatch.setattr(ResnetFinetune, "fetch_imagenet_state", lambda self: next(fetched))
    cut_off(RESNET, phantoms, path)
    result, said = resume(RESNET, phantoms, path)
    assert said[0] == "Training goes on after epoch 1." and result.checkpoint.pretrained
    assert [record.stage for record in result.history] == ["all", "all"]


def test_a_run_that_has_ended_is_told_by_its_teacher_and_by_a_wish_for_random_weights(phantoms, path):
    config = replace(RESNET, num_epochs=1, pretrained=False, backbone_lr_factor=0.1)
    settings = {"val": phantoms[1], "teacher": make_checkpoint(), "checkpoint_path": path}
    ended = fit(config, phantoms[0], **settings, say=lambda text: None).checkpoint
    assert ended.config.backbone_lr_factor == 1.0  # no block starts from photographs
    assert safe_point.load_ended(path, config, phantoms[0], teacher=settings["teacher"]) is not None
    with pytest.raises(UsageError, match=r"another run \(teacher cnn_baseline \w+ there,  here\)"):
        safe_point.load_ended(path, config, phantoms[0])


@pytest.mark.long
def test_a_run_that_has_ended_without_the_imagenet_weights_it_wished_for_is_the_run_asked_for(phantoms, path):
    wish = replace(RESNET, num_epochs=1, backbone_lr_factor=0.1)
    checkpoint = fit(
        wish, phantoms[0], val=phantoms[1], checkpoint_path=path, say=lambda text: None
    ).checkpoint
    assert (checkpoint.pretrained, checkpoint.config.pretrained) == (False, False)
    assert safe_point.load_ended(path, wish, phantoms[0]).config == checkpoint.config
    with pytest.raises(UsageError, match="num_epochs 1 there, 2 here"):
        safe_point.load_ended(path, replace(wish, num_epochs=2), phantoms[0])


def test_a_run_that_had_stopped_early_only_has_its_end_repeated(phantoms, path, monkeypatch):
    monkeypatch.setattr(Trainer, "train_epoch", lambda self, epoch, on_step: 0.5)  # nothing is learnt
    config = replace(CNN, num_epochs=9, patience=2)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(loop, "calibrate", lambda *arguments: (_ for _ in ()).throw(Killed))
        fit(config, phantoms[0], val=phantoms[1], checkpoint_path=path, say=lambda text: None)
    monkeypatch.setattr(Trainer, "train_epoch", lambda self, epoch, on_step: pytest.fail("trained"))
    result, said = resume(config, phantoms, path)
    assert [record.is_best for record in result.history] == [True, False, False]
    assert said == ["Training goes on after epoch 3.", "No better epoch in 2: training stops early."]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_killed_while_a_safe_point_is_written_the_command_goes_on_from_the_one_before(
    folders, tmp_path, monkeypatch, capsys
):
    words = ["train", "--model", "cnn_baseline", "--data", "synthetic", "--batch_size", "64"]
    monkeypatch.setenv("PNEUMO_FAST", "1")
    program = f"""
        import os, signal, sys
        from pneumo_utils import cli
        rename, seen = os.replace, []

        def replace(source, target):
            seen.extend([target] if str(target).endswith(".resume") else [])
            if len(seen) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(source, target)

        os.replace = replace
        sys.exit(cli.main({words!r}))
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    left = sorted(file.suffix for file in folders.checkpoints.iterdir())
    assert left == [".lock", ".pth", ".resume", ".tmp"]
    assert cli.main([*words, "--resume"]) == 0
    assert "Training goes on after epoch 1." in capsys.readouterr().err
    path = folders.checkpoint("cnn_baseline")
    assert sorted(folders.checkpoints.iterdir()) == [path, path.with_name(path.name + ".lock")]
    history = json.loads(folders.history("cnn_baseline").with_suffix(".json").read_text(encoding="utf-8"))
    assert [record["epoch"] for record in history] == [1, 2]
    assert cli.main([*words, "--output_dir", str(tmp_path / "whole")]) == 0
    assert "Training goes on" not in capsys.readouterr().err
    resumed, whole = (load_checkpoint(p) for p in (path, tmp_path / "whole" / "checkpoints" / path.name))
    assert all(torch.equal(value, whole.state[name]) for name, value in resumed.state.items())
    assert replace(resumed, state={}) == replace(whole, state={})


class Owned:
    """As a pickle, it writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def damage(point, how: str) -> None:
    """Spoils a safe point."""
    content = point.read_bytes()
    if how == "torn":
        point.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        point.write_bytes(b"")
    elif how == "one bit":
        middle = len(content) // 2
        point.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif how == "foreign":
        torch.save([1, 2], point)
    else:
        point.write_bytes(pickle.dumps(Owned(point.with_name("owned")), protocol=2))


@pytest.fixture(scope="module")
def kept(phantoms, tmp_path_factory):
    """A folder with the checkpoint and the safe point of a plain run that was cut off."""
    folder = tmp_path_factory.mktemp("kept")
    cut_off(CNN, phantoms, folder / "c.pth")
    return folder


def start(folder, films, config=CNN, *, weights_path=None, **changes):
    """What the safe point in a folder gives for a run, and the sentences about it."""
    run = safe_point.describe_run(config, *films, weights_path=weights_path, teacher=None) | changes
    files, said = safe_point.RunFiles(folder / "c.pth", run), []
    return files.start(films[0], teacher=None, resume=True, say=said.append), said


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("torn", "it is not a file of tensors and plain values"),
        ("empty", "it is not a file of tensors and plain values"),
        ("one bit", "its checksums are wrong"),
        ("foreign", "it is of another format"),
        ("pickle", "it is not a file of tensors and plain values"),
    ],
)
def test_a_damaged_safe_point_is_named_and_nothing_overwritten(kept, phantoms, tmp_path, how, reason):
    folder = shutil.copytree(kept, tmp_path / "damaged")
    damage(folder / "c.pth.resume", how)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(
        PneumoError, match=rf"c\.pth\.resume cannot be used \({reason}\).*anew without --resume"
    ):
        start(folder, phantoms)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_safe_point_of_another_run_is_refused_with_both_values(kept, phantoms, tmp_path, monkeypatch):
    train, val = phantoms
    found, said = start(kept, phantoms)
    assert len(found[-1]) == 1 and said == ["Training goes on after epoch 1."]
    (tmp_path / "w.pth").write_bytes(b"weights")
    changed = train.images.copy()
    changed[0, 0, 0] ^= 1
    brighter = replace(CNN.augmentation, brightness=0.2)
    device = make_accelerator().device.type
    before = {path: path.read_bytes() for path in kept.iterdir()}
    for arguments, other in (
        ({"config": replace(CNN, batch_size=8, seed=1)}, "batch_size 16 there, 8 here; seed 0 there, 1 here"),
        ({"config": replace(CNN, num_epochs=4)}, "num_epochs 3 there, 4 here"),
        ({"config": replace(CNN, strategy="frozen")}, "strategy full there, frozen here"),
        ({"config": replace(CNN, augmentation=brighter)}, "brightness 0.1 there, 0.2 here"),
        ({"films": (replace(train, images=changed), val)}, f"train films {train.fingerprint()} there"),
        ({"films": (train, val.select(slice(1, None)))}, f"validation films {val.fingerprint()} there"),
        ({"weights_path": tmp_path / "w.pth"}, "weights none there, 9a129038"),
        ({"device": "abacus"}, f"device {device} there, abacus here"),
    ):
        with pytest.raises(UsageError, match=re.escape(f"c.pth.resume is of another run ({other}")):
            start(kept, **{"films": phantoms} | arguments)
    monkeypatch.setenv("PNEUMO_FAST", "1")
    with pytest.raises(UsageError, match="short mode off there, on here"):
        start(kept, phantoms)
    monkeypatch.delenv("PNEUMO_FAST")
    versions = safe_point.get_versions() | {"torch": "1.0"}
    monkeypatch.setattr(safe_point, "get_versions", lambda: versions)
    with pytest.raises(UsageError, match=r"torch \S+ there, 1\.0 here"):
        start(kept, phantoms)
    assert {path: path.read_bytes() for path in kept.iterdir()} == before


def test_a_second_training_of_the_same_checkpoint_is_refused(phantoms, path, expected):
    refused = []

    def say(text):
        if not refused:
            with pytest.raises(PneumoError, match=r"c\.pth is in use by another training; .*Wait") as caught:
                fit(CNN, phantoms[0], val=phantoms[1], checkpoint_path=path, say=pytest.fail)
            refused.append(caught.value)

    assert_same(fit(CNN, phantoms[0], val=phantoms[1], checkpoint_path=path, say=say), expected)
    assert len(refused) == 1
    assert load_checkpoint(path).threshold == expected.checkpoint.threshold


def test_killed_before_the_first_checkpoint_is_kept_the_run_goes_on(phantoms, path, monkeypatch, expected):
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(safe_point, "save_checkpoint", lambda *arguments: (_ for _ in ()).throw(Killed))
        fit(CNN, phantoms[0], val=phantoms[1], checkpoint_path=path, say=lambda text: None)
    assert not path.exists()
    result, said = resume(CNN, phantoms, path)
    assert said[0] == "Training goes on after epoch 1."
    assert_same(result, expected)


def test_a_safe_point_that_does_not_fit_its_own_run_is_refused(phantoms, path, point):
    cut_off(CNN, phantoms, path)
    content = torch.load(point, weights_only=True)
    content["trainer"]["order"] = content["trainer"]["order"][:-1]
    torch.save(content, point)
    with pytest.raises(PneumoError, match=r"c\.pth\.resume cannot be used .*anew without --resume"):
        resume(CNN, phantoms, path)


def test_without_a_safe_point_training_starts_from_the_beginning(phantoms, path, expected):
    result, said = resume(CNN, phantoms, path)
    assert said[0] == "There is no safe point c.pth.resume: training starts from the beginning."
    assert_same(result, expected)
    with pytest.raises(ValueError, match="checkpoint_path is None"):
        resume(CNN, phantoms, None)


def test_a_safe_point_is_only_used_if_asked_for(phantoms, path, point, expected):
    cut_off(replace(CNN, num_epochs=2), phantoms, path)
    result, said = resume(CNN, phantoms, path, resume=False)
    assert said[0].startswith("c.pth.resume of an earlier run will be overwritten; --resume would")
    assert len(said) == 1 + len(result.history) and not point.exists()
    assert_same(result, expected)

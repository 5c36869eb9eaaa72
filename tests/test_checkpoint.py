"""Checkpoints: what goes in comes out, and nothing else is taken."""

import json
import os
import pickle
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import replace

import pytest
import torch

from pneumo_utils.config import EvalTransform, TrainConfig
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.checkpoint import (
    Checkpoint,
    from_values,
    load_checkpoint,
    load_weights,
    require_match,
    save_checkpoint,
    to_values,
)
from pneumo_utils.models.registry import build_model


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(0)
    return Checkpoint(
        config=TrainConfig(model="cnn_baseline", image_size=32, lr=0.25),
        transform=EvalTransform(32, mean=0.4),
        state=build_model("cnn_baseline").state_dict(),
        threshold=0.3,
        screening_threshold=0.1,
        temperature=1.5,
        flip_average=True,
        pretrained=True,
        source="synthetic",
        data_fingerprint="ab",
        val_metrics={"auroc": 0.5},
        versions={"torch": "x"},
    )


def test_what_goes_in_comes_out(tmp_path, checkpoint):
    path = save_checkpoint(checkpoint, tmp_path / "new" / "c.pth")
    loaded = load_checkpoint(path, model_name="cnn_baseline")
    assert replace(loaded, state={}) == replace(checkpoint, state={})
    assert all(torch.equal(loaded.state[name], value) for name, value in checkpoint.state.items())
    film = torch.rand(2, 1, 32, 32)
    assert torch.equal(loaded.build_model()(film), checkpoint.build_model()(film))
    assert [p.name for p in path.parent.iterdir()] == ["c.pth"]


def test_the_values_survive_the_way_through_json(checkpoint):
    values = json.loads(json.dumps(to_values(checkpoint), allow_nan=False))
    assert from_values(values, checkpoint.state) == checkpoint


def test_a_checkpoint_may_lack_a_screening_threshold(tmp_path, checkpoint):
    path = save_checkpoint(replace(checkpoint, screening_threshold=None), tmp_path / "c.pth")
    assert load_checkpoint(path).screening_threshold is None


@pytest.mark.parametrize("version", [1, 3, None])
def test_another_format_is_refused(tmp_path, checkpoint, version):
    values = to_values(checkpoint) | {"format": version}
    with pytest.raises(ValueError, match="another format"):
        from_values(values, checkpoint.state)
    torch.save({"state": checkpoint.state, "values": values}, tmp_path / "c.pth")
    with pytest.raises(PneumoError, match=r"c\.pth cannot be read .*another format.*Train again"):
        load_checkpoint(tmp_path / "c.pth")


def test_reading_values_leaves_them_as_they_are(checkpoint):
    values = to_values(checkpoint)
    from_values(values, checkpoint.state)
    assert values == to_values(checkpoint)


def test_what_fits_or_was_not_asked_for_is_let_through():
    assert require_match("It", "image size", 64, 64, "--image-size") is None
    assert require_match("It", "image size", 64, None, "--image-size") is None
    with pytest.raises(PneumoError, match=r"It holds image size 64; expected 32.*--image-size 64"):
        require_match("It", "image size", 64, 32, "--image-size")


def test_another_model_is_refused(tmp_path, checkpoint):
    path = save_checkpoint(checkpoint, tmp_path / "c.pth")
    with pytest.raises(PneumoError, match=r"holds model cnn_baseline; expected resnet_finetune"):
        load_checkpoint(path, model_name="resnet_finetune")
    with pytest.raises(UsageError, match="vgg"):
        load_checkpoint(path, model_name="vgg")


def test_a_missing_file_says_how_to_get_one(tmp_path):
    with pytest.raises(PneumoError, match=r"not there.*pneumo train"):
        load_checkpoint(tmp_path / "c.pth")


class Pickled:
    """Would run code if it were unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("owned",))


@pytest.mark.parametrize("content", [b"", b"rubbish", "half", "pickle", "other", "list"])
def test_a_file_of_another_kind_is_refused(tmp_path, monkeypatch, checkpoint, content):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.pth"
    if content == "half":
        save_checkpoint(checkpoint, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"pickle": Pickled(), "other": {"state_dict": {}}, "list": [1]}[content], path)
    with pytest.raises(PneumoError, match=r"c\.pth cannot be read as a checkpoint"):
        load_checkpoint(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"threshold": 1.5}, "out of range"),
        ({"threshold": float("nan")}, "out of range"),
        ({"screening_threshold": -0.1}, "out of range"),
        ({"screening_threshold": float("nan")}, "out of range"),
        ({"temperature": 0.0}, "out of range"),
        ({"temperature": float("inf")}, "out of range"),
        ({"temperature": float("nan")}, "out of range"),
        ({"num_members": 0}, "number of members"),
        ({"num_members": 10**9}, "number of members"),
        ({"num_members": 2}, "the weights do not fit: Missing key"),
        ({"class_names": ("SICK", "WELL")}, "SICK"),
        ({"state": {}}, "the weights do not fit: Missing key"),
    ],
)
def test_values_that_make_no_sense_are_refused(tmp_path, checkpoint, change, reason):
    path = save_checkpoint(replace(checkpoint, **change), tmp_path / "c.pth")
    with pytest.raises(PneumoError, match=reason):
        load_checkpoint(path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, checkpoint, bad):
    state = {name: value.clone() for name, value in checkpoint.state.items()}
    state["head.weight"][0, 0] = bad
    path = save_checkpoint(replace(checkpoint, state=state), tmp_path / "c.pth")
    with pytest.raises(
        PneumoError, match=r"the weights hold values that are not numbers or infinite in head\.weight"
    ):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop("head.weight"), 'Missing key.*"head.weight"'),
        (lambda state: state.update(more=torch.zeros(1)), 'Unexpected key.*"more"'),
        (
            lambda state: state.update({"head.weight": torch.zeros(3, 5)}),
            "size mismatch for head",
        ),
        (
            lambda state: state.update({"head.weight": state["head.weight"].T.clone()}),
            "size mismatch for head",
        ),
        # It claims a shape of a million million numbers and holds one.
        (
            lambda state: state.update({"head.weight": torch.zeros(1).expand(10**6, 10**6)}),
            "size mismatch for head",
        ),
        (lambda state: state.update({"head.weight": state["head.weight"].double()}), "number type"),
        (lambda state: state.update({"head.weight": "a word"}), "the weights do not fit: .*head.weight"),
    ],
    ids=["missing", "more", "shape", "turned", "huge", "type", "word"],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, checkpoint, change, reason):
    state = dict(checkpoint.state)
    change(state)
    path = save_checkpoint(replace(checkpoint, state=state), tmp_path / "c.pth")
    with pytest.raises(PneumoError, match=reason):
        load_checkpoint(path)


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "_orig_mod.module.", "features._orig_mod."])
def test_weights_kept_inside_a_wrapper_of_torch_are_read_which_is_said(tmp_path, checkpoint, wrapper):
    names = {name: wrapper + name for name in checkpoint.state}
    if wrapper.startswith("features"):  # one part alone was compiled
        names = {name: name.replace("features.", wrapper) for name in checkpoint.state}
    state = {names[name]: value for name, value in checkpoint.state.items()}
    path, said = save_checkpoint(replace(checkpoint, state=state), tmp_path / "c.pth"), []
    loaded = load_checkpoint(path, say=said.append)
    assert list(loaded.state) == list(checkpoint.state)
    assert len(said) == 1 and "wrapper" in said[0]
    save_checkpoint(checkpoint, path)
    assert load_checkpoint(path, say=pytest.fail).state.keys() == checkpoint.state.keys()


def test_averaged_weights_are_read_without_their_count(tmp_path, checkpoint):
    averaged = torch.optim.swa_utils.AveragedModel(checkpoint.build_model()).state_dict()
    path = save_checkpoint(replace(checkpoint, state=averaged), tmp_path / "c.pth")
    assert load_checkpoint(path, say=lambda text: None).state.keys() == checkpoint.state.keys()


def test_a_long_list_of_weights_is_cut(checkpoint):
    with pytest.raises(ValueError, match=f'Missing key.*"{next(iter(checkpoint.state))}"') as caught:
        load_weights(checkpoint.build_model(), {})
    assert len(str(caught.value)) < 160


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path, checkpoint):
    """The reader of archives would unpack it: 40 MB of zeros take 160 kB."""
    plain, packed = tmp_path / "plain.pth", tmp_path / "c.pth"
    content = {"state": {"head.weight": torch.zeros(10_000_000)}, "values": to_values(checkpoint)}
    torch.save(content, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert packed.stat().st_size < 1_000_000
    assert torch.load(packed, weights_only=True)["state"]["head.weight"].numel() == 10_000_000
    with pytest.raises(PneumoError, match="not a file of tensors"):
        load_checkpoint(packed)


@pytest.mark.parametrize("kind", ["plain", "old", "zip"])
def test_a_pickle_is_never_run(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.pth"
    content = {"state": Pickled(), "values": {}}
    if kind == "plain":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(PneumoError, match=r"c\.pth cannot be read as a checkpoint"):
        load_checkpoint(path)
    assert not (tmp_path / "owned").exists()
    torch.load(path, weights_only=False) if kind != "plain" else pickle.loads(path.read_bytes())
    assert (tmp_path / "owned").exists()  # read without care, the same file does it


@pytest.mark.system
@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are POSIX")
def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(tmp_path, checkpoint):
    path = save_checkpoint(checkpoint, tmp_path / "c.pth")
    before = path.read_bytes()
    program = f"""
        import resource, sys
        from pathlib import Path
        from pneumo_utils.errors import PneumoError
        from pneumo_utils.models.checkpoint import load_checkpoint, save_checkpoint
        path = Path({str(path)!r})
        checkpoint = load_checkpoint(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save_checkpoint(checkpoint, path)
        except PneumoError as error:
            sys.exit(f"said: {{error}}")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, encoding="utf-8"
    )
    assert "said: The checkpoint c.pth could not be written" in done.stderr
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.pth"]


@pytest.mark.parametrize("content", ["pickle", "rubbish"])
def test_the_reason_is_ours_and_not_a_librarys_advice(tmp_path, content):
    path = tmp_path / "c.pth"
    if content == "pickle":
        torch.save(Pickled(), path)
    else:
        path.write_bytes(b"rubbish")
    with pytest.raises(PneumoError, match=r"\(it is not a file of tensors and plain values\)"):
        load_checkpoint(path)

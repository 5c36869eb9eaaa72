"""Models that come with the package: half precision, their files, and when they are taken."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_checkpoint, make_chest_film
from PIL import Image
from safetensors.torch import load_file

from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models import shipped
from pneumo_utils.models.checkpoint import save_checkpoint
from pneumo_utils.models.onnx import build_onnx
from pneumo_utils.models.shipped import find_checkpoint, list_shipped, load_shipped
from tools.ship import round_to_half, save_shipped
from tools.shipped_files import strip_weights

MODEL = "cnn_baseline"
MAX_MIB = 57  # 60 MB
CARD = {"name": MODEL, "figures": {"test": {"auroc": 0.5}}}


def round_checkpoint(**changes):
    checkpoint = make_checkpoint(val_metrics={"auroc": 0.9}, screening_threshold=0.2, **changes)
    return replace(checkpoint, state=round_to_half(checkpoint))


def test_half_precision_keeps_eleven_binary_digits():
    # Between 1 and 2 the steps are 2^-10, between 2048 and 4096 they are 2; ties go to the even neighbour.
    values = torch.tensor([1 + 2**-10, 1 + 0.6 * 2**-10, 1 + 0.4 * 2**-10, 2049.0, 2051.0, -0.1, 2.0**-24])
    state = {"a": values, "steps": torch.tensor(70_001), "flag": torch.tensor(True)}
    got = round_to_half(make_checkpoint(state=state))
    # 0.1 lies between 2^-4 and 2^-3, where the steps are 2^-14: 1638.4 of them, so 1638.
    expected = [1 + 2**-10, 1 + 2**-10, 1.0, 2048.0, 2052.0, -1638 * 2**-14, 2.0**-24]
    assert got["a"].tolist() == expected and got["a"].dtype == torch.float32
    assert got["steps"].item() == 70_001 and got["steps"].dtype == torch.int64  # counts are not rounded
    assert got["flag"].item() is True


def test_rounding_twice_is_rounding_once():
    once = round_checkpoint()
    assert all(torch.equal(v, once.state[name]) for name, v in round_to_half(once).items())


def test_what_is_saved_is_loaded(tmp_path):
    before = round_checkpoint(threshold=0.3, temperature=1.5, flip_average=True, source="synthetic")
    path = save_shipped(before, CARD, tmp_path / "new")
    assert path == tmp_path / "new" / f"{MODEL}.json"
    after = load_shipped(MODEL, tmp_path / "new")
    assert replace(after, state={}) == replace(before, state={})
    assert set(after.state) == set(before.state)
    for name, value in before.state.items():
        assert torch.equal(after.state[name], value) and after.state[name].dtype == value.dtype
    films = torch.rand(2, 1, 32, 32)
    assert torch.equal(after.build_model()(films), before.build_model()(films))
    assert shipped.load_card(MODEL, tmp_path / "new")["card"] == CARD


def test_the_file_holds_two_bytes_a_weight(tmp_path):
    checkpoint = round_checkpoint()
    save_shipped(checkpoint, CARD, tmp_path)
    path = tmp_path / f"{MODEL}.safetensors"
    for name, value in load_file(path).items():
        assert value.dtype == (torch.float16 if checkpoint.state[name].is_floating_point() else torch.int64)
    num_floats = sum(v.numel() for v in checkpoint.state.values() if v.is_floating_point())
    num_counts = sum(v.numel() for v in checkpoint.state.values() if not v.is_floating_point())
    content = 2 * num_floats + 8 * num_counts
    assert content < path.stat().st_size < content + 16_384  # names and shapes stand before it


def test_a_graph_that_lost_the_names_of_its_weights_is_refused():
    model = build_onnx(torch.nn.Linear(2, 1), torch.zeros(2, 2), inputs="x", outputs=["y"])
    assert strip_weights(torch.nn.Linear(2, 1), model)
    with pytest.raises(ValueError, match=r"lacks 0\.bias, 0\.weight"):
        strip_weights(torch.nn.Sequential(torch.nn.Linear(2, 1)), model)


def test_an_ensemble_ships_under_its_own_name(tmp_path):
    members = [round_checkpoint(seed=seed) for seed in (0, 1)]
    state = {f"members.{i}.{name}": v for i, m in enumerate(members) for name, v in m.state.items()}
    save_shipped(replace(members[0], state=state, num_members=2), CARD, tmp_path)
    loaded = load_shipped(f"{MODEL}_ensemble", tmp_path)
    films = torch.rand(3, 1, 32, 32)
    logits = torch.stack([member.build_model()(films) for member in members])
    assert torch.allclose(loaded.build_model()(films), logits.mean(0), atol=1e-6)


def damage(folder, kind):
    weights, card = folder / f"{MODEL}.safetensors", folder / f"{MODEL}.json"
    if kind == "weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif kind == "no weights":
        weights.write_bytes(b"")
    elif kind == "card":
        card.write_text(card.read_text(encoding="utf-8")[:-50], encoding="utf-8")
    elif kind == "no graph":
        (folder / f"{MODEL}.onnx").unlink()
    elif kind == "no card":
        card.unlink()
    else:
        content = json.loads(card.read_text(encoding="utf-8"))
        content["checkpoint"] |= {"threshold": {"threshold": 2.0}, "format": {"format": 0}}[kind]
        card.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    "kind", ["weights", "no weights", "no graph", "card", "no card", "threshold", "format"]
)
def test_damaged_files_are_named_with_a_remedy(tmp_path, kind):
    save_shipped(round_checkpoint(), CARD, tmp_path)
    damage(tmp_path, kind)
    with pytest.raises(
        PneumoError, match=r"cnn_baseline that comes with the package.*Install the package again"
    ):
        load_shipped(MODEL, tmp_path)


def test_weights_that_overflow_half_precision_are_refused(tmp_path):
    checkpoint = make_checkpoint()
    checkpoint.state["head.bias"].fill_(1e5)  # the largest half is 65504
    save_shipped(checkpoint, CARD, tmp_path)
    with pytest.raises(PneumoError, match="not finite"):
        load_shipped(MODEL, tmp_path)


def test_a_model_that_does_not_ship_is_refused_with_those_that_do(weights):
    save_shipped(round_checkpoint(), CARD)
    with pytest.raises(UsageError, match=r"No trained vgg .*expected one of cnn_baseline\."):
        load_shipped("vgg")


def test_ones_own_checkpoint_comes_first(weights, tmp_path):
    save_shipped(round_checkpoint(threshold=0.1), CARD)
    path = save_checkpoint(make_checkpoint(threshold=0.9), tmp_path / "own.pth")
    assert find_checkpoint(MODEL, path, say=pytest.fail).threshold == 0.9


def test_without_ones_own_the_packages_is_taken_and_it_is_said(weights, tmp_path):
    save_shipped(round_checkpoint(threshold=0.1), CARD)
    said = []
    assert find_checkpoint(MODEL, tmp_path / "own.pth", say=said.append).threshold == 0.1
    assert len(said) == 1 and "no own.pth of your own" in said[0] and "comes with the package" in said[0]


def test_a_path_that_was_named_and_is_missing_has_no_stand_in(weights, tmp_path):
    save_shipped(round_checkpoint(), CARD)
    with pytest.raises(PneumoError, match=r"own\.pth is not there"):
        find_checkpoint(MODEL, tmp_path / "own.pth", is_named=True)
    with pytest.raises(PneumoError, match=r"own\.pth is not there"):
        find_checkpoint(None, tmp_path / "own.pth")  # of any model, and no name by which to take another


def test_a_damaged_checkpoint_of_ones_own_has_no_stand_in(weights, tmp_path):
    save_shipped(round_checkpoint(), CARD)
    (tmp_path / "own.pth").write_bytes(b"rubbish")
    with pytest.raises(PneumoError, match=r"own\.pth cannot be read"):
        find_checkpoint(MODEL, tmp_path / "own.pth")


def test_where_there_is_neither_the_message_says_how_to_train(weights, tmp_path):
    for name in (MODEL, f"{MODEL}_ensemble"):
        with pytest.raises(PneumoError, match=rf"own\.pth is not there and no trained {name} .*pneumo train"):
            find_checkpoint(name, tmp_path / "own.pth")
    with pytest.raises(UsageError, match="'vgg'"):
        find_checkpoint("vgg", tmp_path / "own.pth")


def test_the_list_is_that_of_the_files(weights):
    assert list_shipped() == []
    save_shipped(round_checkpoint(), CARD)
    save_shipped(round_checkpoint(num_members=2), CARD)
    assert list_shipped() == [MODEL, f"{MODEL}_ensemble"]


def list_files() -> list:
    return [path for path in shipped.WEIGHTS.glob("*") if not path.name.startswith(".")]


def test_the_shipped_files_are_small_and_come_in_fours():
    files = list_files()
    assert sum(path.stat().st_size for path in files) <= MAX_MIB * 2**20
    found = {path.stem: {p.suffix for p in files if p.stem == path.stem} for path in files}
    assert found == {name: {".safetensors", ".onnx", ".json", ".md"} for name in list_shipped()}


@pytest.mark.parametrize("name", list_shipped())
def test_a_shipped_model_answers_as_its_card_says(name):
    checkpoint, content = load_shipped(name), shipped.load_card(name)
    card = content["card"]
    assert checkpoint.model_name == card["name"] == name
    assert checkpoint.source == "chestxray2017" and card["chosen_on"] == "val"
    assert 0 < checkpoint.threshold < 1 and 0 < checkpoint.screening_threshold < 1
    assert card["figures"]["test"]["n"] == 624 and card["figures"]["test"]["split"] == "test"
    assert card["num_parameters"] == sum(value.numel() for value in checkpoint.state.values())
    assert len(card["seeds"]) == checkpoint.num_members
    size = checkpoint.config.image_size
    logits = checkpoint.build_model()(checkpoint.transform(torch.zeros(2, size, size, dtype=torch.uint8)))
    assert logits.shape == (2,) and torch.isfinite(logits).all()


@pytest.mark.parametrize("name", list_shipped())
def test_the_page_of_a_shipped_model_shows_its_figures(name):
    page = (shipped.WEIGHTS / f"{name}.md").read_text(encoding="utf-8")
    test = shipped.load_card(name)["card"]["figures"]["test"]
    assert "not for diagnosis" in page and "## Known failures" in page
    row = re.search(r"(?m)^\| accuracy \| .* \| (.*) \|$", page).group(1)
    low, high = test["intervals"]["accuracy"]
    assert row == f"{test['accuracy']:.3f} ({low:.3f} to {high:.3f})"
    counts = test["confusion"]
    assert test["accuracy"] == pytest.approx((counts["tn"] + counts["tp"]) / np.sum(list(counts.values())))


@pytest.mark.system
def test_an_answer_leaves_nothing_at_home_and_looks_for_no_server(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    Image.fromarray(make_chest_film(1)).save(tmp_path / "film.png")
    hidden = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    settings = {name: value for name, value in os.environ.items() if name not in hidden} | {"HOME": str(home)}
    command = [sys.executable, "-m", "pneumo_utils", "inference", "film.png", "--shipped"]
    trace = tmp_path / "trace"
    if shutil.which("strace"):
        command = ["strace", "-f", "-qq", "-e", "trace=network", "-o", str(trace), *command]
    subprocess.run(command, cwd=tmp_path, env=settings, check=True, capture_output=True)
    assert list(home.rglob("*")) == []
    assert not trace.exists() or trace.read_text(encoding="utf-8") == ""


@pytest.mark.system
def test_an_answer_starts_no_threads_for_linear_algebra(tmp_path):
    Image.fromarray(make_chest_film(1)).save(tmp_path / "film.png")
    program = 'from pneumo_utils.cli import main\nassert main(["inference", "film.png", "--shipped"]) == 0\n'
    program += "from threadpoolctl import threadpool_info\n"
    program += 'assert {pool["num_threads"] for pool in threadpool_info()} == {1}'
    settings = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=settings, check=True)

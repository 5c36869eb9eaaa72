"""ONNX Runtime gives the logits of torch, is taken for the models that ship, and keeps torch away."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import make_chest_film, make_lively_checkpoint
from PIL import Image

from pneumo_utils.app.predictor import OnnxEngine, Predictor, TorchEngine, make_engine
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError
from pneumo_utils.models.shipped import list_shipped, load_shipped, open_session
from tools.ship import round_to_half, save_shipped

MODEL = "cnn_baseline"
HEAVY = ("torch", "torchvision", "sklearn", "scipy", "matplotlib", "seaborn", "pandas", "onnx", "timm")


def ship(folder, *, num_members: int = 1, **changes):
    """A baseline at 32 px, or an ensemble of some, as it comes back from its files."""
    members = [make_lively_checkpoint(seed=seed, **changes) for seed in range(num_members)]
    whole = members[0]
    if num_members > 1:
        state = {f"members.{i}.{name}": v for i, m in enumerate(members) for name, v in m.state.items()}
        whole = replace(whole, state=state, num_members=num_members)
    path = save_shipped(replace(whole, state=round_to_half(whole)), {}, folder)
    return load_shipped(path.stem, folder)


@pytest.mark.parametrize("name", list_shipped())
def test_a_model_that_ships_answers_as_in_torch(name):
    checkpoint = load_shipped(name)
    films = make_phantoms(12, image_size=checkpoint.transform.image_size, split="test").images
    engine = make_engine(checkpoint)
    assert isinstance(engine, OnnxEngine)
    expected = TorchEngine(checkpoint).compute_logits(films)
    assert np.ptp(expected) > 0.5  # phantoms are told apart
    np.testing.assert_allclose(engine.compute_logits(films), expected, atol=1e-4)
    assert engine.compute_logits(films[:1]) == pytest.approx(expected[:1], abs=1e-4)


@pytest.mark.parametrize("name", list_shipped())
def test_onnx_runtime_folds_all_of_a_block_into_its_convolution(name, tmp_path, monkeypatch):
    """Else a graph gives the same answers at half the speed."""
    options = onnxruntime.SessionOptions
    path = str(tmp_path / "optimised.onnx")
    monkeypatch.setattr(onnxruntime, "SessionOptions", lambda: ask_for_file(options(), path))
    weights = load_shipped(name).state
    open_session(weights.graph, next(iter(weights.list_members())))
    kinds = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert kinds["Conv"] + kinds["FusedConv"] == (10 if name == MODEL else 49)
    assert not set(kinds) & {"BatchNormalization", "Cast", "CastLike", "Expand", "Pad", "Shape"}


def ask_for_file(options, path):
    options.optimized_model_filepath = path
    return options


@pytest.mark.parametrize("flip_average", [False, True])
@pytest.mark.parametrize("num_members", [1, 3])
def test_members_and_mirror_images_are_averaged(tmp_path, num_members, flip_average):
    checkpoint = ship(tmp_path, num_members=num_members, flip_average=flip_average)
    films = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    with torch.no_grad():
        inputs = (torch.from_numpy(films)[:, None] / 255 - 0.449) / 0.226
        model = checkpoint.build_model()
        expected = model(inputs)
        if flip_average:
            expected = (expected + model(inputs.flip(-1))) / 2
    assert expected.std() > 0.01
    got = OnnxEngine(checkpoint).compute_logits(films)
    assert got.shape == (5,) and got.dtype == np.float64
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)


def test_what_is_changed_in_the_checkpoint_holds(tmp_path):
    shipped = ship(tmp_path)
    changed = replace(shipped, flip_average=True, transform=replace(shipped.transform, mean=0.3))
    films = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    expected = TorchEngine(changed).compute_logits(films)
    assert np.abs(expected - TorchEngine(shipped).compute_logits(films)).max() > 1e-3
    np.testing.assert_allclose(make_engine(changed).compute_logits(films), expected, atol=1e-5)


def test_a_checkpoint_of_ones_own_is_run_by_torch():
    assert isinstance(make_engine(make_lively_checkpoint()), TorchEngine)


@pytest.mark.parametrize("damage", ["cut", "another network"])
def test_a_damaged_graph_is_named_with_a_remedy(tmp_path, damage):
    ship(tmp_path)
    graph = tmp_path / f"{MODEL}.onnx"
    content = graph.read_bytes()
    other = content.replace(b"head.bias", b"tail.bias")
    graph.write_bytes(content[:-200] if damage == "cut" else other)
    with pytest.raises(PneumoError, match=r"cnn_baseline that comes .* cannot be run .*Install the package"):
        make_engine(load_shipped(MODEL, tmp_path))


def test_a_predictor_has_the_network_in_torch_for_those_who_look_inside(tmp_path):
    shipped = Predictor(ship(tmp_path))
    assert isinstance(shipped.engine, OnnxEngine) and shipped.model is shipped.model
    film = shipped.read(make_chest_film(1))
    assert shipped.explain(film).shape == (32, 32)
    own = Predictor(make_lively_checkpoint())
    assert own.model is own.engine.model


@pytest.mark.parametrize(("said", "num_threads"), [("1", 1), ("3,2", 3), ("", None), ("0", None)])
def test_as_many_threads_run_as_torch_would_take(tmp_path, monkeypatch, said, num_threads):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    weights = ship(tmp_path).state
    options = open_session(weights.graph, weights.list_members()[0]).get_session_options()
    assert options.intra_op_num_threads == (num_threads or os.cpu_count())


@pytest.mark.system
@pytest.mark.parametrize("name", [MODEL, "efficientnet_lite0_finetune_ensemble"])
def test_one_film_is_answered_without_torch(tmp_path, name):
    Image.fromarray(make_chest_film(1)).save(tmp_path / "film.png")
    program = f"""if True:
        import sys
        from pneumo_utils.cli import main
        assert main(["inference", "film.png", "--shipped", "--json", "--model", {name!r}]) == 0
        sys.exit(", ".join(name for name in {HEAVY!r} if name in sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.strip() == "" and '"status": "ok"' in done.stdout

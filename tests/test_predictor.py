"""From a film to an answer: one read path, honest rejections; ONNX Runtime gives the logits of torch."""

import json
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
from conftest import make_checkpoint, make_chest_film, make_left_half, make_lively_checkpoint
from PIL import Image

from pneumo_utils.app.predictor import OnnxEngine, Predictor, TorchEngine, make_engine
from pneumo_utils.data.images import load_image
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.evaluate import predict_dataset
from pneumo_utils.evaluation.saliency import compute_saliency
from pneumo_utils.models.shipped import list_shipped, load_shipped, open_session
from tools.ship import round_to_half, save_shipped

MODEL = "cnn_baseline"
HEAVY = ("torch", "torchvision", "sklearn", "scipy", "matplotlib", "seaborn", "pandas", "onnx", "timm")


@pytest.fixture(scope="module")
def checkpoint():
    return make_checkpoint(temperature=2.0)


@pytest.fixture(scope="module")
def predictor(checkpoint):
    return Predictor(checkpoint)


@pytest.fixture
def film_path(tmp_path):
    path = tmp_path / "film.png"
    Image.fromarray(make_chest_film(1)).save(path)
    return path


def test_the_answer_is_the_models_own_at_its_temperature(checkpoint, predictor, film_path):
    image = torch.from_numpy(load_image(film_path, image_size=32))[None]
    with torch.no_grad():
        logit = checkpoint.build_model()(checkpoint.transform(image)).item()
    got = predictor.predict(film_path)
    assert got.probability == pytest.approx(1 / (1 + np.exp(-logit / 2.0)), abs=1e-6)
    assert got.label == ("PNEUMONIA" if got.probability >= 0.5 else "NORMAL")
    assert (got.status, got.warnings, got.reason, got.model) == ("ok", [], None, "cnn_baseline")


def test_a_name_cannot_break_the_line_or_steer_the_terminal(predictor):
    got = predictor.predict(b"no film", name="Zoë\n\x1b[2J.png")
    assert got.describe().startswith("Zoë\\n\\x1b[2J.png: rejected. ")


def test_path_and_bytes_and_evaluation_agree(checkpoint, predictor, film_path):
    from_path = predictor.predict(film_path).probability
    assert predictor.predict(film_path.read_bytes(), name="x").probability == from_path
    films = make_phantoms(8, image_size=32)
    probs = predict_dataset(checkpoint, films).probs
    alone = [predictor.predict(np.kron(film, np.ones((4, 4), np.uint8))).probability for film in films.images]
    assert probs == pytest.approx(alone, abs=0.02)  # enlarged four times and averaged back by the resize


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"\xff\xd8\xff"])
def test_what_cannot_be_read_is_rejected_with_the_reason(predictor, content):
    got = predictor.predict(content, name="upload.jpeg")
    assert (got.status, got.label, got.probability) == ("rejected", None, None)
    assert got.path == "upload.jpeg" and got.reason and "rejected" in got.describe()


def test_a_blank_film_is_rejected_and_a_small_one_warned_about(predictor):
    assert predictor.predict(np.full((300, 300), 128, np.uint8)).status == "rejected"
    small = predictor.predict(make_chest_film(2, shape=(100, 120)))
    assert small.status == "ok" and small.warnings and "Warning" in small.describe()


def test_an_answer_is_plain_json(predictor, film_path):
    values = json.loads(json.dumps(vars(predictor.predict(film_path))))
    expected = {"path", "status", "label", "probability", "threshold", "model", "warnings", "reason"}
    assert expected <= set(values)


@pytest.mark.parametrize(("flip_average", "logit"), [(False, 0.8), (True, 0.5)])
def test_evaluation_and_answers_average_mirror_images_where_the_checkpoint_says_so(flip_average, logit):
    film = np.full((160, 160), 51, np.uint8)
    film[:, :80] = 204  # 0.8 of white on the left and 0.2 on the right
    judged = make_left_half(image_size=32, flip_average=flip_average, temperature=2.0, source="synthetic")
    expected = 1 / (1 + np.exp(-logit / 2.0))
    # The resize mixes both levels a little where they meet.
    assert Predictor(judged).predict(film).probability == pytest.approx(expected, abs=1e-3)
    films = make_phantoms(8, image_size=32)
    films = replace(films, images=np.repeat(film[None, ::5, ::5], 8, axis=0))
    assert predict_dataset(judged, films).probs == pytest.approx([expected] * 8, abs=1e-6)


def test_screening_decides_at_its_own_threshold(checkpoint, film_path):
    prob = Predictor(checkpoint).predict(film_path).probability
    judged = replace(checkpoint, threshold=prob + 0.01, screening_threshold=prob - 0.01)
    balanced, screening = (Predictor(judged, screening=on).predict(film_path) for on in (False, True))
    assert (balanced.label, balanced.threshold) == ("NORMAL", prob + 0.01)
    assert (screening.label, screening.threshold) == ("PNEUMONIA", prob - 0.01)
    assert balanced.probability == screening.probability == prob
    assert f"at or above the threshold {prob - 0.01:.3f}" in screening.describe()


def test_screening_without_a_threshold_for_it_is_refused(checkpoint):
    with pytest.raises(UsageError, match="no screening threshold"):
        Predictor(checkpoint, screening=True)


def test_a_model_that_learnt_from_phantoms_says_so(checkpoint, film_path):
    got = Predictor(replace(checkpoint, source="synthetic")).predict(film_path)
    assert got.status == "ok" and "SYNTHETIC" in got.warnings[0]


def test_a_film_within_the_band_goes_to_a_person(checkpoint, film_path):
    prob = Predictor(checkpoint).predict(film_path).probability
    below, above = prob - 0.01, prob + 0.01
    # NORMAL is possible up to the first limit, PNEUMONIA from 1 minus the second on.
    for limits, threshold, refer in (
        ((above, 1 - below), below, True),  # both are
        ((below, 1 - above), below, True),  # neither is
        ((below - 0.1, 1 - (below - 0.1)), below, False),  # only PNEUMONIA is, which the threshold says too
        ((below - 0.1, 1 - (below - 0.1)), above, True),  # only PNEUMONIA is, and the threshold says NORMAL
    ):
        judged = replace(checkpoint, threshold=threshold, refer_limits=limits)
        got = Predictor(judged).predict(film_path)
        assert got.refer is refer and ("a person should decide" in got.describe()) is refer
    assert Predictor(checkpoint).predict(film_path).refer is None


def test_another_threshold_changes_the_decision_and_nothing_else(predictor, film_path):
    before = predictor.predict(film_path)
    for threshold in (0.0, before.probability, before.probability + 1e-6, 1.0):
        after = predictor.decide_at(before, threshold)
        assert after.label == ("PNEUMONIA" if before.probability >= threshold else "NORMAL")
        assert after == replace(before, threshold=threshold, label=after.label)
    rejected = predictor.decide_at(predictor.predict(b""), 0.9)
    assert (rejected.status, rejected.label, rejected.threshold) == ("rejected", None, 0.9)


def test_films_read_before_get_the_answers_they_would_get_alone(predictor, film_path):
    films = [predictor.read(source) for source in (film_path, b"", make_chest_film(2))]
    answers = predictor.answer(films)
    assert [a.status for a in answers] == ["ok", "rejected", "ok"]
    assert answers[0].probability == pytest.approx(predictor.predict(film_path).probability, abs=1e-6)
    assert films[0].input.shape == (32, 32)
    assert films[1].input is None and "empty" in films[1].reason


def test_the_explanation_is_that_of_the_evaluation(checkpoint, predictor, film_path):
    film = predictor.read(film_path)
    expected = compute_saliency(checkpoint.build_model(), film.input[None], transform=checkpoint.transform)[0]
    np.testing.assert_allclose(predictor.explain(film), expected, atol=1e-6)


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
    convolutions = {"cnn": 10, "resnet": 20, "efficientnet": 49}[name.split("_")[0]]
    assert kinds["Conv"] + kinds["FusedConv"] == convolutions
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
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    assert done.stderr.strip() == "" and '"status": "ok"' in done.stdout

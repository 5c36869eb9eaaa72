"""From a film to an answer: one read path, honest rejections, order kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_chest_film, make_left_half
from PIL import Image

from pneumo_utils.app.predictor import Predictor
from pneumo_utils.config import TrainConfig
from pneumo_utils.data.images import load_image
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.evaluate import predict_dataset
from pneumo_utils.evaluation.saliency import compute_saliency
from pneumo_utils.models.checkpoint import Checkpoint
from pneumo_utils.models.registry import build_model


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(0)
    model = build_model("cnn_baseline")
    config = TrainConfig(model="cnn_baseline", image_size=32)
    return Checkpoint(config, EvalTransform(32), model.state_dict(), threshold=0.5, temperature=2.0)


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
    values = json.loads(json.dumps(predictor.predict(film_path).to_dict()))
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

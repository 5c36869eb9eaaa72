"""From a film to an answer: one read path, honest rejections, order kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_film
from PIL import Image

from pneumo_utils.config import TrainConfig
from pneumo_utils.data.image_io import load_image
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.errors import PneumoError
from pneumo_utils.evaluation.evaluate import evaluate, predict_dataset
from pneumo_utils.inference.predictor import Predictor, list_images
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
    Image.fromarray(make_film(1, shape=(200, 240))).save(path)
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
    small = predictor.predict(make_film(2))
    assert small.status == "ok" and small.warnings and "Warning" in small.describe()


def test_an_answer_is_plain_json(predictor, film_path):
    values = json.loads(json.dumps(predictor.predict(film_path).to_dict()))
    expected = {"path", "status", "label", "probability", "threshold", "model", "warnings", "reason"}
    assert expected <= set(values)


def test_folders_are_listed_in_order_and_files_are_taken_as_named(tmp_path):
    for name in ("b.png", "a.JPG", "sub/c.jpeg", ".hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = list_images([tmp_path / "notes.txt", tmp_path])
    assert [p.name for p in listed] == ["notes.txt", "a.JPG", "b.png", "c.jpeg"]


def test_a_missing_path_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(PneumoError, match="nowhere is not there"):
        list_images([tmp_path / "nowhere"])
    with pytest.raises(PneumoError, match="holds no image files"):
        list_images([tmp_path])


def test_a_row_of_results_says_what_it_is(checkpoint):
    films = make_phantoms(40, image_size=32, split="test")
    row, predictions = evaluate(checkpoint, films)
    called = predictions.probs >= checkpoint.threshold
    assert row["accuracy"] == pytest.approx((called == films.labels).mean())
    assert (row["model"], row["split"], row["data"], row["n"]) == ("cnn_baseline", "test", "synthetic", 40)
    assert row["chosen_on"] == "val" and row["num_skipped"] == 0
    low, high = row["intervals"]["accuracy"]
    assert low <= row["accuracy"] <= high
    json.dumps(row, allow_nan=False)


def test_a_model_that_learnt_from_phantoms_says_so(checkpoint, film_path):
    got = Predictor(replace(checkpoint, source="synthetic")).predict(film_path)
    assert got.status == "ok" and "SYNTHETIC" in got.warnings[0]

"""The reader behind the panel: films kept, decided, explained, asked about again and let go."""

import io

import numpy as np
import pytest
from conftest import make_checkpoint, make_film
from PIL import Image
from uploading import make_png, make_reader

from pneumo_utils.app.predictor import Predictor
from pneumo_utils.app.reader import SHOWN_SIDE, FilmReader, encode_film, encode_saliency
from pneumo_utils.config import EvalTransform
from pneumo_utils.errors import UsageError
from pneumo_utils.models.predict import find_refer_range


@pytest.fixture
def reader():
    return make_reader()


def test_a_film_gets_the_predictors_answer(reader):
    content = make_png(seed=3)
    reading = reader.read("film.png", content)
    expected = Predictor(reader.models["first"]()).predict(content, name="film.png")
    assert reading.prediction.probability == expected.probability
    assert reading.prediction.label == expected.label and reading.prediction.refer == expected.refer
    assert reader.readings == [reading] and reading.name == "film.png"


def test_it_is_shown_small(reader):
    big = np.kron(make_film(1, shape=(100, 160)), np.ones((10, 10), np.uint8))
    reading = reader.read("big", big)
    assert reading.picture.shape == (SHOWN_SIDE * 100 // 160, SHOWN_SIDE)
    assert reading.film.input.shape == (32, 32)
    small = reader.read("small", make_film(1, shape=(100, 160)))
    np.testing.assert_array_equal(small.picture, make_film(1, shape=(100, 160)))


@pytest.mark.parametrize(("preset", "shape"), [("grey", (140, 200)), ("percentile", (100, 160))])
def test_a_film_is_shown_as_far_as_the_model_sees_it(preset, shape):
    transform = EvalTransform(32, preset)
    reader = FilmReader({"own": lambda: make_checkpoint(source="synthetic", transform=transform)})
    reading = reader.read("framed", np.pad(make_film(1, shape=(100, 160)), 20, constant_values=255))
    assert reading.picture.shape == shape and reader.explain(reading).shape == (32, 32)


def test_what_cannot_be_read_is_kept_as_rejected(reader):
    reading = reader.read("page.png", b"<html>")
    assert reading.prediction.status == "rejected" and reading.picture is None
    assert reader.explain(reading) is None
    assert [r.name for r in reader.readings] == ["page.png"]


def test_a_threshold_decides_all_films_and_changes_no_probability(reader):
    readings = [reader.read(str(seed), make_png(seed=seed)) for seed in range(3)]
    probs = [reading.prediction.probability for reading in readings]
    for threshold in (0.0, 0.25, 1.0):
        reader.choose_threshold(threshold)
        low, high = find_refer_range((0.4, 0.45), threshold)
        assert reader.refer_range == (low, high)
        for reading, prob in zip(reader.readings, probs, strict=True):
            said = reading.prediction
            assert (said.probability, said.threshold) == (prob, threshold)
            assert said.label == ("PNEUMONIA" if prob >= threshold else "NORMAL")
            assert said.refer == (low <= prob <= high)


def test_later_films_are_decided_at_the_chosen_threshold(reader):
    reader.choose_threshold(0.0)
    assert reader.read("a", make_png()).prediction.label == "PNEUMONIA"


def test_points_are_those_of_the_model(reader):
    assert reader.points == {"balanced": 0.5, "screening": 0.25} and reader.threshold == 0.5


def test_another_model_is_asked_about_the_same_films(reader):
    contents = [make_png(seed=1), b"", make_png(seed=2)]
    before = [reader.read(str(place), content) for place, content in enumerate(contents)]
    reader.explain(before[0])
    reader.choose_threshold(0.9)
    reader.choose_model("second")
    assert reader.threshold == 0.5  # a point of another model means nothing
    after = list(reader.answer_again())
    assert after == reader.readings and [r.name for r in after] == ["0", "1", "2"]
    alone = Predictor(reader.models["second"]())
    expected = [alone.predict(content).probability for content in contents]
    assert [r.prediction.probability for r in after] == expected
    assert expected != [r.prediction.probability for r in before]
    assert after[0].saliency is None  # that of the other model would be wrong


def test_a_model_is_loaded_once_and_when_it_is_chosen():
    loaded = []
    inner = make_reader().models
    models = {name: lambda name=name: loaded.append(name) or inner[name]() for name in inner}
    reader = FilmReader(models)
    assert loaded == ["first"]
    for name in ("second", "first", "second"):
        reader.choose_model(name)
    assert loaded == ["first", "second"]


def test_a_model_that_cannot_be_loaded_changes_nothing(reader):
    def fail():
        raise UsageError("not installed")

    reader.models["third"] = fail
    with pytest.raises(UsageError):
        reader.choose_model("third")
    assert reader.model_name == "first" and reader.threshold == 0.5


def test_no_model_is_refused():
    with pytest.raises(UsageError, match="No model"):
        FilmReader({})


def test_only_so_many_films_are_kept():
    reader = make_reader(max_films=2)
    for name in "abc":
        reader.read(name, make_png())
    assert [r.name for r in reader.readings] == ["b", "c"]


def test_an_explanation_is_computed_once_as_the_predictor_does(reader, monkeypatch):
    reading = reader.read("a", make_png())
    first = reader.explain(reading)
    np.testing.assert_array_equal(first, reader.predictor.explain(reading.film))
    monkeypatch.setattr(reader.predictor, "explain", None)
    assert reader.explain(reading) is first


def test_pictures_for_the_browser():
    film = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    decoded = np.array(Image.open(io.BytesIO(encode_film(film))))
    assert np.abs(decoded.astype(int) - film).max() <= 6
    saliency = np.array([[0.0, 0.5], [1.0, 0.2]], np.float32)
    image = Image.open(io.BytesIO(encode_saliency(saliency)))
    assert image.mode == "RGBA"
    assert np.array(image)[..., 3].tolist() == [[0, 128], [255, 51]]  # 255 times the map, rounded

"""What lesson 04 teaches is what the package does: its own cells, executed here, give the same numbers."""

from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from lessons import NOTEBOOKS, run_taught
from scipy import optimize
from torch.nn import functional

from pneumo_utils.config import EvalTransform
from pneumo_utils.data import augmentation
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.evaluation import metrics, saliency
from pneumo_utils.models.cnn import CnnBaseline
from pneumo_utils.models.predict import predict_logits
from pneumo_utils.training import thresholds

LESSON = "04_evaluate_and_compare.ipynb"


@pytest.fixture(scope="module")
def films():
    return make_phantoms(60, image_size=64, split="test")


@pytest.fixture
def answers(films) -> metrics.Predictions:
    """Some of them right; more films than patients."""
    noise = np.random.default_rng(0).normal(0, 0.4, len(films))
    probabilities = np.clip(0.3 + 0.4 * films.labels + noise, 0, 1)
    return metrics.Predictions(films.labels, probabilities, films.patients, films.names)


def test_the_bootstrap_gives_the_packages_interval(answers):
    assert answers.num_patients < len(answers)
    names = {"np": np, "predictions": {("net", "test"): answers}, "chosen": "net", "cuts": {"net": 0.45}}
    taught = run_taught(LESSON, "taught-bootstrap", names)
    package = metrics.compute_intervals(answers, threshold=0.45)["accuracy"]
    assert taught["low"] < taught["high"]
    assert (taught["low"], taught["high"]) == pytest.approx(package, abs=1e-6)


def test_the_temperature_is_the_packages(films):
    logits = np.random.default_rng(1).normal(5 * (films.labels - 0.5), 6)
    net = SimpleNamespace(build_model=lambda: None, transform=None, flip_average=False)
    names = {"np": np, "optimize": optimize, "trained": {"net": net}, "chosen": "net"}
    names |= {"films": {("net", "val"): films}}
    names["predict"] = SimpleNamespace(predict_logits=lambda *arguments, **settings: logits)
    taught = run_taught(LESSON, "taught-temperature", names)
    assert taught["temperature"] > 1.5
    assert taught["temperature"] == pytest.approx(thresholds.fit_temperature(logits, films.labels), abs=1e-6)


def test_the_map_is_the_packages_and_adds_up_to_the_logit(films):
    torch.manual_seed(0)
    model, transform = CnnBaseline().eval(), EvalTransform(64)
    with torch.no_grad():
        model.head.weight.mul_(20)  # maps that speak for and against
    net = SimpleNamespace(build_model=lambda: model, transform=transform)
    names = {"torch": torch, "functional": functional, "trained": {"cnn_baseline": net}, "test": films}
    taught = run_taught(LESSON, "taught-map", names)
    assert taught["maps"].shape == (60, 2, 2) and (taught["maps"] > 0).any()
    logits = predict_logits(model, films.images, transform=transform)
    np.testing.assert_allclose(taught["small_logits"], logits, atol=1e-6)
    package = saliency.compute_saliency(model, films.images, transform=transform)
    assert package.max() == 1
    np.testing.assert_allclose(taught["heat"], package, atol=1e-6)


def test_the_lesson_goes_on_where_a_model_is_wrong_on_no_film(films, capsys):
    right = metrics.Predictions(films.labels, 0.1 + 0.8 * films.labels, films.patients, films.names)
    asked = SimpleNamespace(compute_saliency=lambda network, images: np.zeros(images.shape))
    shown = []
    names = {"np": np, "on_test": {"net": right}, "films": {("net", "test"): films}, "chosen": "net"}
    names |= {
        "augmentation": augmentation,
        "cut": 0.5,
        "network": None,
        "reading": {},
        "marked": {},
        "saliency": asked,
    }
    names |= {"show_saliency": lambda *arguments, title, **settings: title, "show_figure": shown.append}
    lesson = nbformat.read(NOTEBOOKS / LESSON, as_version=4)
    (source,) = [c.source for c in lesson.cells if c.cell_type == "code" and '"False alarms"' in c.source]
    exec(compile(source, LESSON, "exec"), names)
    assert shown == ["Hits"]
    told = capsys.readouterr().out
    assert "Misses: 0 of these 60 test films.\nFalse alarms: 0 of" in told
    assert "Brightest inside the outline: 0 of 3." in told  # an empty map is brightest in its corner

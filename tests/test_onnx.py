"""A model as one ONNX file: its answers, what it says of itself, and when none is written."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import make_lively_checkpoint

from pneumo_utils import cli
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models import onnx as onnx_export
from pneumo_utils.models.checkpoint import save_checkpoint
from pneumo_utils.models.onnx import export_onnx

MODEL = "cnn_baseline"


def run(path, films):
    """Logits and probabilities of a file."""
    return onnxruntime.InferenceSession(path).run(None, {"films": films})


@pytest.mark.long
@pytest.mark.parametrize("flip_average", [False, True])
def test_the_file_answers_films_as_torch_does(tmp_path, flip_average):
    checkpoint = make_lively_checkpoint(flip_average=flip_average, temperature=2.0)
    difference = export_onnx(checkpoint, tmp_path / "new" / "model.onnx")
    assert 0 <= difference < 1e-4
    films = make_phantoms(9, image_size=32).images
    with torch.no_grad():
        model, inputs = checkpoint.build_model(), checkpoint.transform(torch.from_numpy(films))
        expected = model(inputs)
        if flip_average:
            expected = (expected + model(inputs.flip(-1))) / 2
    assert expected.std() > 0.01
    for count in (1, 9):
        logits, probs = run(tmp_path / "new" / "model.onnx", films[:count])
        np.testing.assert_allclose(logits, expected[:count].numpy(), atol=1e-5)
        np.testing.assert_allclose(probs, 1 / (1 + np.exp(-logits / 2.0)), atol=1e-6)


def test_the_file_is_valid_and_says_what_it_is(tmp_path):
    checkpoint = make_lively_checkpoint(threshold=0.3, screening_threshold=0.1, refer_limits=(0.4, 0.45))
    export_onnx(checkpoint, tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    meta = onnxruntime.InferenceSession(tmp_path / "model.onnx").get_modelmeta().custom_metadata_map
    assert meta["purpose"] == "For teaching, never for diagnosis." and meta["model"] == MODEL
    expected = {
        "class_names": ["NORMAL", "PNEUMONIA"],
        "image_size": 32,
        "mean": 0.449,
        "std": 0.226,
        "flip_average": False,
        "temperature": 1.0,
        "threshold": 0.3,
        "screening_threshold": 0.1,
        "refer_limits": [0.4, 0.45],
    }
    assert {name: json.loads(meta[name]) for name in expected} == expected
    assert b"/" + b"pneumo_utils" not in (tmp_path / "model.onnx").read_bytes()  # no place on this machine


def test_a_file_that_would_answer_otherwise_is_not_left(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "predict_logits", lambda model, films, **how: np.full(len(films), 9.0))
    with pytest.raises(PneumoError, match=r"differ by .* expected 1e-03 at most\. Nothing was written"):
        export_onnx(make_lively_checkpoint(), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", [("onnx",), ("onnx", "onnxscript")])
def test_without_the_packages_that_write_it_the_extra_is_named(tmp_path, monkeypatch, missing):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name in missing else name)
    with pytest.raises(UsageError, match=rf"needs {' and '.join(missing)}, .*pneumo-utils\[export\]"):
        export_onnx(make_lively_checkpoint(), tmp_path / "model.onnx")


def test_the_command_writes_the_file_and_says_how_well_it_agrees(folders, tmp_path, capfd):
    save_checkpoint(make_lively_checkpoint(), folders.checkpoint(MODEL))
    words = ["export", "--model", MODEL, "--format", "onnx", "--output", str(tmp_path / "film.onnx")]
    assert cli.main(words) == 0
    said = capfd.readouterr()
    assert said.err == "" and said.out.startswith(f"{tmp_path / 'film.onnx'}: {MODEL}; on 16 phantoms")
    assert "differ from torch" in said.out and len(said.out.splitlines()) == 1
    logits, _ = run(tmp_path / "film.onnx", np.zeros((2, 32, 32), np.uint8))
    assert logits.shape == (2,)

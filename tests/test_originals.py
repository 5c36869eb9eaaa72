"""Original films beside the copies that models learnt from: arithmetic, the card, films without a copy."""

import json
import shutil

import numpy as np
import pytest
from conftest import make_folder, make_lively_checkpoint
from PIL import Image

from pneumo_utils.data.sources import choose_data, load_split
from pneumo_utils.evaluation.evaluate import make_predict
from pneumo_utils.models import shipped
from pneumo_utils.models.shipped import list_shipped, load_card
from tools import originals
from tools.originals import compare_originals
from tools.second_judge import MOVED
from tools.ship import save_shipped, write_page

SHIPPED = shipped.WEIGHTS


@pytest.fixture
def pairs(tmp_path, folders):
    """Six films and their copies at half the size, both as data sets."""
    copies, large = make_folder(tmp_path / "copies"), tmp_path / "large"
    for path in sorted((copies / "train").rglob("*.jpeg"))[::4]:
        film = Image.open(path)
        (large / path.parent.name).mkdir(parents=True, exist_ok=True)
        film.resize((2 * film.width, 2 * film.height)).save(large / path.parent.name / path.name, quality=95)
    return choose_data(str(large), folders=folders), choose_data(str(copies), folders=folders)


def test_the_figures_are_those_of_both_answers_to_each_film(pairs):
    checkpoint = make_lively_checkpoint(source="chestxray2017")
    large, copies = pairs
    reading = checkpoint.transform.reading
    films = load_split(large, "test", **reading)
    parts = [load_split(copies, split, **reading) for split in ("train", "val")]
    predict = make_predict(checkpoint)
    answers = {name: p for part in parts for name, p in zip(part.names, predict(part), strict=True)}
    change = predict(films) - [answers[name] for name in films.names]
    middle = float(np.median(predict(films)))
    found = compare_originals(make_lively_checkpoint(source="chestxray2017", threshold=middle), large, copies)
    assert found["films"] == len(films) == 6 and found["sizes"] == "96 x 80"
    assert found["mean_change"] == pytest.approx(change.mean(), abs=1e-6) and np.abs(change).max() > 0
    assert found["moved"] == np.mean(np.abs(change) > MOVED)
    sides = [(predict(films) >= middle) != (predict(films) - change >= middle)]
    assert found["relabelled"] == np.mean(sides)


def test_a_film_without_a_copy_is_named(pairs, capsys):
    large, copies = pairs
    path = sorted(large.folder.rglob("*.jpeg"))[0]
    shutil.copy(path, path.with_name("nowhere.jpeg"))
    assert originals.main([str(large.folder), "--data", str(copies.folder)]) == 1
    assert "1 films have no copy to be compared with; the first is nowhere.jpeg" in capsys.readouterr().err


def test_the_command_writes_it_into_the_card_of_each_model(pairs, weights):
    large, copies = pairs
    card = load_card("cnn_baseline", SHIPPED)["card"]
    save_shipped(make_lively_checkpoint(source="chestxray2017", refer_limits=(0.9, 0.9)), card)
    assert originals.main([str(large.folder), "--data", str(copies.folder)]) == 0
    content = json.loads((weights / "cnn_baseline.json").read_text(encoding="utf-8"))
    found = content["card"]["originals"]
    assert found["films"] == 6 and content["card"]["figures"] == card["figures"]
    page = (weights / "cnn_baseline.md").read_text(encoding="utf-8")
    assert "6 training films in their original size (96 x 80 pixels)" in page
    assert f"{found['relabelled']:.1%} of the labels change" in page
    content["card"].pop("originals")
    (weights / "cnn_baseline.json").write_text(json.dumps(content), encoding="utf-8")
    assert "## On original films\n\nNot measured yet.\n" in write_page("cnn_baseline").read_text(
        encoding="utf-8"
    )


def test_every_model_that_ships_was_asked_about_originals():
    assert shipped.list_shipped()
    assert {load_card(name)["card"]["originals"]["films"] for name in list_shipped()} == {120}

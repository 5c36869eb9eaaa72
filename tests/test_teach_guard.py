"""How the guard is taught and judged: pictures, batches, a tiny training, limits, files and the command."""

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from conftest import make_folder
from PIL import Image

from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.guard import guard
from pneumo_utils.guard.guard import KINDS, LIMITS, FilmKindModel, load_film_kinds, make_views, shrink
from pneumo_utils.models.shipped import load_halves
from tools.teach_guard import __main__ as teach_guard
from tools.teach_guard import teach
from tools.teach_guard.bedside import expose_unevenly, make_bedside, overlay, whiten, widen
from tools.teach_guard.judge import judge_guard
from tools.teach_guard.network import (
    FilmKindNet,
    normalise_levels,
    predict_chest,
    save_film_kinds,
)
from tools.teach_guard.pictures import (
    SEEN_DRAWINGS,
    SEEN_FAULTS,
    UNSEEN_DRAWINGS,
    UNSEEN_FAULTS,
    put_together,
)
from tools.teach_guard.teach import BATCH, FAULTS, FILM_SIZE, GuardBatches, read_pictures, take_elsewhere


@pytest.fixture(scope="module")
def films():
    return make_phantoms(24, image_size=FILM_SIZE).images


@pytest.fixture
def pictures(tmp_path):
    """Two kinds to learn from, two to judge on, and where they are from."""
    rng = np.random.default_rng(0)
    for place in ("fit/side_views", "fit/cats", "judge/cats", "judge/chest_films"):
        (tmp_path / "pictures" / place).mkdir(parents=True)
        for i in range(3):
            image = rng.integers(0, 256, (60, 80), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "pictures" / place / f"{i}.png")
    (tmp_path / "pictures/fit/cats/torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "pictures/sources.json").write_text(
        json.dumps({"sources": ["a package (MIT)"]}), encoding="utf-8"
    )
    return tmp_path / "pictures"


def test_pictures_are_read_by_kind(pictures):
    read = read_pictures(pictures, "fit")
    assert {kind: len(images) for kind, images in read.items()} == {"cats": 3, "side_views": 3}
    assert read["cats"][0].shape == (60, 80) and read["cats"][0].dtype == np.uint8
    assert read_pictures(None, "fit") == {}
    with pytest.raises(UsageError, match="fit and judge"):
        read_pictures(pictures / "fit", "judge")


@pytest.mark.parametrize("with_pictures", [False, True])
def test_a_batch_holds_every_kind_it_promises(films, pictures, with_pictures):
    outside = read_pictures(pictures, "fit") if with_pictures else {}
    batches = GuardBatches(films, outside, films[:with_pictures], seed=3)
    levels, kinds = batches.draw()
    chests = BATCH["chest"] + BATCH["elsewhere"]
    n = chests + 2 * FAULTS * len(SEEN_FAULTS) + BATCH["drawing"] + BATCH["picture"] * with_pictures
    assert levels.shape == (n, 1, 64, 64) and kinds.shape == (n,) and kinds.dtype == torch.int64
    assert levels.min() >= 0 and levels.max() <= 1
    counts = torch.bincount(kinds, minlength=len(KINDS))
    assert counts[0] == chests  # none of the folders is one of chest films
    for kind in ("inverted", "on_side", "upside_down", "several", "unusable"):
        assert counts[KINDS.index(kind)] == 2 * FAULTS * list(SEEN_FAULTS.values()).count(kind)
    assert (counts[KINDS.index("side_view")] > 0) == with_pictures


def test_the_same_seed_draws_the_same_batch(films):
    first, again, other = (GuardBatches(films, {}, films[:2], seed=seed).draw()[0] for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_each_fourth_film_of_elsewhere_is_kept_for_the_limits(films):
    pictures = {"cats": [films[0]], "frontal_elsewhere": [np.pad(film, 20) for film in films[:10]]}
    elsewhere, held = take_elsewhere(pictures)
    assert set(pictures) == {"cats"} and elsewhere.shape == (7, FILM_SIZE, FILM_SIZE) and len(held) == 3
    np.testing.assert_array_equal(held, [teach._squash(film) for film in films[[0, 4, 8]]])  # without frames
    assert [len(part) for part in take_elsewhere(pictures)] == [0, 0]


@pytest.mark.parametrize("change", [widen, whiten, expose_unevenly, overlay], ids=lambda f: f.__name__)
def test_a_change_of_the_bedside_keeps_shape_and_range(change, films):
    levels = torch.from_numpy(films[:6]).float().div_(255)[:, None]
    changed = change(levels, torch.Generator().manual_seed(0))
    assert changed.shape == levels.shape and changed.min() >= 0 and changed.max() <= 1
    assert (changed - levels).abs().mean() > 0.001
    if change in (whiten, overlay):  # both only add
        assert (changed >= levels - 1e-6).all()


def test_some_films_are_changed_by_the_bedside_and_some_are_not(films):
    levels = torch.from_numpy(films).float().div_(255)[:, None]
    before = levels.clone()
    changed = make_bedside(levels, torch.Generator().manual_seed(0))
    is_same = (changed == before).flatten(1).all(1)
    assert torch.equal(levels, before)
    # Of 24 films 0.75 ** 4 = 32 % are expected to stay, about 8 with a standard deviation of 2.3.
    assert 1 <= is_same.sum() <= 15


@pytest.mark.parametrize("fault", (*SEEN_FAULTS, *UNSEEN_FAULTS), ids=lambda fault: fault.__name__)
def test_a_fault_changes_films_and_keeps_shape_and_range(fault, films):
    levels = torch.from_numpy(films[:6]).float().div_(255)[:, None]
    spoilt = fault(levels, torch.Generator().manual_seed(0))
    assert spoilt.shape == levels.shape and spoilt.min() >= 0 and spoilt.max() <= 1
    assert all((a - b).abs().mean() > 0.01 for a, b in zip(spoilt, levels, strict=True))


def test_a_collage_holds_the_next_films_too():
    levels = torch.full((4, 1, 8, 8), 0.0) + torch.tensor([0.2, 0.4, 0.6, 0.8]).view(4, 1, 1, 1)
    shown = [
        set(film.unique().mul(10).round().int().tolist()) for film in put_together(levels, torch.Generator())
    ]
    for i, greys in enumerate(shown):
        around = [2 + 2 * ((i - k) % 4) for k in range(4)]  # films roll by one
        assert greys - {0} in ({around[0], around[1]}, set(around))


@pytest.mark.parametrize("draw", (*SEEN_DRAWINGS, *UNSEEN_DRAWINGS), ids=lambda draw: draw.__name__)
def test_a_drawing_is_grey_and_of_the_size_asked_for(draw):
    first, second = (np.array(draw(np.random.default_rng(seed), 96)) for seed in (0, 1))
    assert first.shape == (96, 96) and first.dtype == np.uint8
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, np.array(draw(np.random.default_rng(0), 96)))


def test_ranks_do_not_depend_on_the_exposure():
    levels = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    stretched, ranks = normalise_levels(levels).unbind(1)
    dark_stretched, dark_ranks = normalise_levels(levels**3 / 2).unbind(1)
    assert torch.equal(ranks, dark_ranks) and not torch.equal(stretched, dark_stretched)
    # 64 different values: the lowest has 0 below it and 1 up to it, (0 + 1) / 64 - 1 in the range -1 to 1.
    assert ranks.min() == -63 / 64 and ranks.max() == 63 / 64
    assert stretched.min() == -1 and stretched.max() == 1


def test_equal_pixels_share_a_rank_and_a_flat_picture_has_none():
    assert torch.equal(normalise_levels(torch.full((1, 1, 4, 4), 0.3))[:, 1], torch.zeros(1, 4, 4))


def test_a_picture_is_shrunk_by_averaging():
    image = np.zeros((128, 256), np.uint8)
    image[::2] = 255  # every block of 2 x 4 pixels is half white
    assert shrink(image).shape == (64, 64)
    assert np.abs(shrink(image) / 255 - 0.5).max() < 0.01


def test_the_limits_let_the_asked_shares_through(films, tmp_path):
    torch.manual_seed(0)
    net = FilmKindNet().eval()
    limits = teach.choose_limits(net, films[:12], films[12:], films[:0])
    assert 0 < limits["reject_unusable_below"] <= limits["reject_below"] <= limits["warn_below"] < 1
    alone = teach.choose_limits(net, films[:12])
    assert list(limits) == list(LIMITS) and all(limits[name] <= alone[name] for name in LIMITS)
    save_film_kinds(net, limits, {}, tmp_path)
    passed = [load_film_kinds(tmp_path).judge(film)[0] != "reject" for film in films]
    assert sum(passed) >= len(films) - 1


@pytest.mark.long
def test_a_tiny_training_comes_back_from_its_files(films, tmp_path, monkeypatch):
    monkeypatch.setattr(teach, "BATCH", {"chest": 2, "elsewhere": 2, "picture": 0, "drawing": 2})
    lines = []
    net = teach.train_film_kinds(GuardBatches(films, {}, films[:0]), num_steps=100, lr=3e-3, say=lines.append)
    assert len(lines) == 1 and lines[0].startswith("step 100")
    limits = teach.choose_limits(net, films)
    card = json.loads(save_film_kinds(net, limits, {"steps": 100}, tmp_path).read_text(encoding="utf-8"))
    assert card["kinds"] == list(KINDS) and card["card"] == {"steps": 100}
    loaded = load_film_kinds(tmp_path)
    assert {name: getattr(loaded, name) for name in LIMITS} == limits
    arrays = load_halves(tmp_path / "film_kinds.safetensors")
    kept = {name: torch.from_numpy(value) for name, value in arrays.items()}
    assert all(torch.equal(weights, kept[name]) for name, weights in net.state_dict().items())
    for film in films[:3]:
        levels = torch.from_numpy(shrink(film)).float().div(255)[None, None]
        assert loaded.predict(film)[0] == pytest.approx(predict_chest(net, levels).item(), abs=1e-5)
        assert loaded.predict(film).sum() == pytest.approx(1, rel=1e-5)


def test_a_picture_has_the_views_that_were_trained_on():
    rng = np.random.default_rng(0)
    phantom = make_phantoms(8, image_size=64).images[0]
    for picture in (phantom, rng.integers(40, 90, (64, 64), dtype=np.uint8), np.full((64, 64), 7, np.uint8)):
        levels = torch.from_numpy(picture).float().div(255)[None, None]
        np.testing.assert_allclose(make_views(picture), normalise_levels(levels)[0].numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("limits", "kind", "verdict"),
    [
        ((0.3, 0.4, 0.1), "other", "reject"),  # P(chest) is 0.2
        ((0.1, 0.4, 0.3), "other", "warn"),
        ((0.3, 0.4, 0.1), "unusable", "warn"),  # something can be seen
        ((0.1, 0.4, 0.3), "unusable", "reject"),
        ((0.1, 0.2, 0.1), "other", "accept"),
    ],
)
def test_the_limits_decide(limits, kind, verdict, monkeypatch):
    probs = np.full(len(KINDS), 0.0)
    probs[0], probs[KINDS.index(kind)] = 0.2, 0.8
    monkeypatch.setattr(FilmKindModel, "predict", lambda self, image: probs)
    got, named = FilmKindModel(None, *limits).judge(np.zeros((9, 9), np.uint8))
    assert (got, named) == (verdict, "chest" if verdict == "accept" else kind)


def test_damaged_weights_are_named(tmp_path):
    (tmp_path / "film_kinds.json").write_text("{}", encoding="utf-8")
    with pytest.raises(PneumoError, match="Install the package again"):
        guard.load_film_kinds(tmp_path)


def test_the_shipped_weights_are_small_and_few():
    assert sum(path.stat().st_size for path in guard.WEIGHTS.iterdir()) <= 300_000
    assert sum(weight.numel() for weight in FilmKindNet().parameters()) <= 150_000
    model = guard.load_film_kinds()
    assert 0 < model.reject_unusable_below < model.reject_below < model.warn_below < 1
    assert model is guard.load_film_kinds()  # read once


@pytest.mark.system
def test_an_import_reads_no_weights():
    code = (
        "import pneumo_utils.guard.guard as g, pneumo_utils.guard.guard as k;"
        "assert k.load_film_kinds.cache_info().currsize == 0"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_judging_counts_every_kind_once():
    films = make_phantoms(8, image_size=128).images
    cats, elsewhere = [np.eye(50, dtype=np.uint8) * 255] * 2, list(films[:5])
    pictures = {"cats": cats, "chest_films": list(films[:3]), "elsewhere_chest_films": elsewhere}
    result = judge_guard(films, pictures=pictures, seen_kinds=frozenset({"chest_films"}), num_drawings=2)
    rows = {row["name"]: row for row in result["rows"]}
    kinds = len(SEEN_FAULTS) + len(UNSEEN_FAULTS) + len(SEEN_DRAWINGS) + len(UNSEEN_DRAWINGS)
    assert len(rows) == len(result["rows"]) == 1 + kinds + 3
    for row in rows.values():
        assert row["n"] == row["accepted"] + row["warned"] + row["rejected"]
        assert row.get("named", 0) <= row["n"]
        assert ("said" in row) == row["is_chest"]
        assert sum(row.get("said", {}).values()) <= row["warned"] + row["rejected"]
    assert (rows["invert"]["n"], rows["draw code"]["n"], rows["pictures: cats"]["n"]) == (8, 2, 2)
    assert rows["pictures: chest_films"]["is_chest"] and rows["pictures: chest_films"]["is_seen"]
    assert not rows["pictures: cats"]["is_seen"] and not rows["photograph"]["is_seen"]
    summary = result["summary"]
    chests = ("test_films", "elsewhere_chest_films", "other_chest_films")
    assert [summary[name]["n"] for name in chests] == [8, 5, 3]
    assert summary["unseen_kinds"]["n"] == 8 * len(UNSEEN_FAULTS) + 2 * len(UNSEEN_DRAWINGS) + 2
    assert result["ms_per_film"] > 0


def test_the_command_trains_and_judges(folders, pictures, monkeypatch, capsys):
    monkeypatch.setattr(teach_guard, "judge_guard", partial(judge_guard, num_drawings=2))
    films = make_folder(folders.root / "films", num_train=40, num_test=3)
    words = ["--data", str(films), "--pictures", str(pictures)]
    assert (
        teach_guard.main(["train", *words, "--steps", "1", "--weights", str(folders.root / "weights")]) == 0
    )
    card = json.loads((folders.root / "weights/film_kinds.json").read_text(encoding="utf-8"))["card"]
    assert card["sources"] == ["a package (MIT)"] and card["pictures"] == {"cats": 3, "side_views": 3}
    assert sum(card["films"].values()) == 80 and card["steps"] == 1
    capsys.readouterr()
    assert teach_guard.main(["judge", *words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((folders.root / "results/guard.json").read_text(encoding="utf-8"))
    assert result["sources"] == ["a package (MIT)"] and result["rows"][0]["n"] == 6


def test_the_command_names_a_wrong_folder(folders, capsys):
    films = make_folder(folders.root / "films", num_train=40, num_test=3)
    assert teach_guard.main(["train", "--data", str(films), "--pictures", str(films)]) == 2
    assert "fit and judge" in capsys.readouterr().err

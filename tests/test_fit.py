"""Recipes, history, `fit` in one process and in two, and the stress films."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import PATIENCE_S, list_kept
from sklearn.metrics import roc_auc_score

from pneumo_utils.config import Folders
from pneumo_utils.data.augmentation import make_stress_films
from pneumo_utils.data.sources import choose_data, load_split
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.backbone import ResnetFinetune
from pneumo_utils.models.checkpoint import load_checkpoint
from pneumo_utils.models.predict import compute_probs, predict_logits
from pneumo_utils.models.registry import MODELS, build_model
from pneumo_utils.training.fit import RANDOM_WEIGHTS_SENTENCE, fit, prepare_model
from pneumo_utils.training.recipes import RECIPES, make_config
from pneumo_utils.training.resume import EpochRecord, save_history
from pneumo_utils.training.thresholds import choose_screening_threshold, choose_threshold
from pneumo_utils.training.trainer import Trainer

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path

import torch
from pneumo_utils.config import TrainConfig
from pneumo_utils.data.splits import make_validation_split
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.training.fit import fit

torch.set_num_threads(1)
train, val = make_validation_split(make_phantoms(100, image_size=32))
config = TrainConfig("resnet_finetune", image_size=32, num_epochs=2, batch_size=15, pretrained=False,
                     strategy="frozen", dropout=0.0, mixup=0.2)
path = Path(sys.argv[1])
result = fit(config, train, val=val, checkpoint_path=path / "model.pth", say=lambda text: print("said", text))
head = result.checkpoint.state["head.weight"].flatten()[:50].tolist()
figures = [[r.train_loss, r.val_auroc, r.stress_auroc] for r in result.history]
import json, os
rank = os.environ.get("RANK", "0")
(path / f"rank{rank}.json").write_text(json.dumps({"head": head, "figures": figures}))
"""


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    """The ImageNet weights are never fetched here."""
    monkeypatch.setattr(ResnetFinetune, "fetch_imagenet_state", lambda self: None)


@pytest.fixture(scope="module")
def trained(phantoms, tiny_config, tmp_path_factory):
    train, val = phantoms
    path = tmp_path_factory.mktemp("trained") / "c.pth"
    said = []
    return fit(tiny_config, train, val=val, checkpoint_path=path, say=said.append), path, said


def test_every_model_has_a_recipe_under_its_name():
    assert set(RECIPES) == set(MODELS)
    assert all(name == recipe.model for name, recipe in RECIPES.items())


def test_a_recipe_is_changed_only_where_asked():
    assert make_config("cnn_baseline", lr=0.5) == replace(RECIPES["cnn_baseline"], lr=0.5)
    with pytest.raises(UsageError, match=r"'vgg'.*cnn_baseline.*timm_NAME"):
        make_config("vgg")


def test_a_backbone_of_timm_takes_the_recipe_of_efficientnet():
    expected = replace(RECIPES["efficientnet_lite0_finetune"], model="timm_resnet10t", mixup=0.2)
    assert make_config("timm_resnet10t", mixup=0.2) == expected


def test_history_is_kept_for_people_and_programs(tmp_path):
    record = EpochRecord(1, "all", 0.1, 0.7, 0.6, 0.8, 0.75, True, 3.0)
    save_history([record, replace(record, epoch=2)], tmp_path / "new" / "history")
    kept = json.loads((tmp_path / "new" / "history.json").read_text(encoding="utf-8"))
    assert [EpochRecord(**row) for row in kept] == [record, replace(record, epoch=2)]
    with open(tmp_path / "new" / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[0]["val_auroc"]) == 0.8


def test_no_two_models_share_a_history(tmp_path):
    for model in ("timm_resnet18.a1_in1k", "timm_resnet18.a2_in1k"):
        save_history([], Folders(tmp_path).history(model))
    assert len(list((tmp_path / "build").iterdir())) == 4


def test_fit_keeps_the_best_epoch_and_its_file(trained, tiny_config):
    result, path, said = trained
    best = max(result.history, key=lambda record: record.stress_auroc)
    assert len(result.history) == len(said) == tiny_config.num_epochs
    assert result.checkpoint.val_metrics["epoch"] == best.epoch
    loaded = load_checkpoint(path)
    assert loaded.threshold == result.checkpoint.threshold
    assert all(torch.equal(loaded.state[name], value) for name, value in result.checkpoint.state.items())


def test_the_recorded_figures_are_those_of_the_kept_weights(trained, phantoms):
    checkpoint, val = trained[0].checkpoint, phantoms[1]
    stressed = make_stress_films(val)
    logits, stress_logits = (
        predict_logits(
            checkpoint.build_model(),
            films.images,
            transform=checkpoint.transform,
            flip_average=checkpoint.flip_average,
        )
        for films in (val, stressed)
    )
    figures = checkpoint.val_metrics
    assert figures["auroc"] == pytest.approx(roc_auc_score(val.labels, logits))
    assert figures["stress_auroc"] == pytest.approx(roc_auc_score(stressed.labels, stress_logits))
    both = np.concatenate([logits, logits, logits, stress_logits])  # three stressed views of each film
    labels = np.concatenate([val.labels, val.labels, val.labels, stressed.labels])
    probs = compute_probs(both, checkpoint.temperature)
    assert checkpoint.threshold == pytest.approx(choose_threshold(labels, probs), abs=1e-6)
    screening = (
        choose_screening_threshold(films.labels, compute_probs(kind, checkpoint.temperature))
        for films, kind in ((val, logits), (stressed, stress_logits))
    )
    assert checkpoint.screening_threshold == pytest.approx(min(screening), abs=1e-6)
    called = compute_probs(logits, checkpoint.temperature) >= checkpoint.threshold
    assert figures["accuracy"] == pytest.approx((called == val.labels).mean())


def test_the_file_holds_what_fit_returns(trained):
    result, path, _ = trained
    assert replace(load_checkpoint(path), state={}) == replace(result.checkpoint, state={})


def test_the_checkpoint_says_what_it_was_trained_on(trained, phantoms, tiny_config):
    checkpoint = trained[0].checkpoint
    assert checkpoint.data_fingerprint == phantoms[0].fingerprint()
    assert checkpoint.source == "synthetic" and checkpoint.pretrained is False
    assert checkpoint.config == replace(tiny_config, strategy="full", pretrained=False)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(phantoms, tiny_config):
    train, val = phantoms
    config = replace(tiny_config, num_epochs=1)
    first, again, other = (
        fit(replace(config, seed=seed), train, val=val, say=lambda text: None).checkpoint.state["head.weight"]
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_network_learns_what_can_be_learnt(tiny_config):
    """Films whose class is their left half's brightness, with the whole-film mean the same."""
    rng = np.random.default_rng(0)
    base = make_phantoms(160, image_size=32)
    images = rng.integers(90, 110, base.images.shape, dtype=np.uint8)
    half = np.where(base.labels == 1, 60, 0).astype(np.uint8)[:, None, None]
    images[:, :16] += half
    images[:, 16:] += 60 - half
    films = replace(base, images=images)
    train, val = films.select(np.arange(120)), films.select(np.arange(120, 160), split="val")
    config = replace(tiny_config, num_epochs=6, lr=3e-3)
    assert fit(config, train, val=val, say=lambda text: None).checkpoint.val_metrics["auroc"] > 0.95


def test_a_test_set_cannot_be_handed_over(phantoms, tiny_config):
    train, val = phantoms
    test = make_phantoms(20, image_size=32, split="test")
    for wrong in ((test, val), (train, test), (val, train)):
        with pytest.raises(ValueError, match="expected train and val"):
            fit(tiny_config, wrong[0], val=wrong[1])


def test_validation_films_of_another_size_than_the_models_are_refused(phantoms, tiny_config):
    with pytest.raises(ValueError, match=r"val has films of \(40, 40\); expected squares of 32"):
        fit(tiny_config, phantoms[0], val=make_phantoms(20, image_size=40, split="val"))


def test_bad_requests_are_refused(phantoms, tiny_config, tmp_path):
    train, val = phantoms
    with pytest.raises(UsageError, match=r"batch_size is 500.*Lower --batch_size"):
        fit(replace(tiny_config, batch_size=500), train, val=val)
    with pytest.raises(PneumoError, match="got 0 NORMAL"):
        fit(tiny_config, train.select(train.labels == 1), val=val)
    with pytest.raises(UsageError, match="no pretrained backbone"):
        fit(replace(tiny_config, strategy="frozen"), train, val=val)
    with pytest.raises(UsageError, match="no pretrained backbone"):
        fit(tiny_config, train, val=val, weights_path=tmp_path / "w.pth")


def test_a_loss_that_explodes_stops_with_a_remedy(phantoms, tiny_config, tmp_path):
    train, val = phantoms
    with pytest.raises(PneumoError, match="Lower --lr"):
        fit(replace(tiny_config, lr=1e30), train, val=val, checkpoint_path=tmp_path / "c.pth", say=print)
    assert not list(tmp_path.glob("*.tmp"))


def spoil_after_the_last_step(monkeypatch, spoil) -> None:
    """Changes the trainer at the end of its first epoch, as an overflow in the last step would."""
    train_epoch = Trainer.train_epoch

    def train_and_spoil(self, epoch, **settings):
        loss = train_epoch(self, epoch, **settings)
        with torch.no_grad():
            spoil(self.averaged.module)
        return loss

    monkeypatch.setattr(Trainer, "train_epoch", train_and_spoil)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda model: model.head.weight.fill_(float("nan")),
        lambda model: model.head.bias.fill_(float("inf")),
        lambda model: model.head.weight.fill_(3e38),  # finite, and the logits are not
        # Divided by an infinite deviation activations are 0: finite logits, and a file that none could read.
        lambda model: model.features[0][1].running_var.fill_(float("inf")),
    ],
)
def test_weights_that_overflow_in_the_last_step_are_said_with_a_remedy(
    phantoms, tiny_config, tmp_path, monkeypatch, spoil
):
    train, val = phantoms
    spoil_after_the_last_step(monkeypatch, spoil)
    with pytest.raises(
        PneumoError, match=r"The weights or logits became infinite or NaN.*Lower --lr \(it is 0\.001\)"
    ):
        fit(tiny_config, train, val=val, checkpoint_path=tmp_path / "c.pth", say=lambda text: None)
    assert not list(tmp_path.glob("*.pth")) and not list(tmp_path.glob("*.resume"))
    monkeypatch.undo()
    fit(
        replace(tiny_config, num_epochs=1),
        train,
        val=val,
        checkpoint_path=tmp_path / "c.pth",
        say=lambda text: None,
    )


def test_a_checkpoint_that_cannot_be_written_is_said_before_training(
    phantoms, tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(Trainer, "train_epoch", lambda self, epoch, on_step: pytest.fail("trained"))
    (tmp_path / "checkpoints").write_text("a file", encoding="utf-8")
    with pytest.raises(PneumoError, match=r"Nothing can be kept in .*checkpoints is no folder.*--output-dir"):
        fit(tiny_config, phantoms[0], val=phantoms[1], checkpoint_path=tmp_path / "checkpoints" / "c.pth")


def test_training_stops_early(phantoms, tiny_config, monkeypatch):
    train, val = phantoms
    monkeypatch.setattr(Trainer, "train_epoch", lambda self, epoch, on_step: 0.5)  # nothing is learnt
    said = []
    config = replace(tiny_config, num_epochs=9, patience=2)
    result = fit(config, train, val=val, say=said.append)
    assert [record.is_best for record in result.history] == [True, False, False]
    assert "stops early" in said[-1]


def test_missing_imagenet_weights_are_said_and_recorded(phantoms, tiny_config):
    said = []
    config = replace(tiny_config, model="resnet_finetune", backbone_lr_factor=0.1)
    _, settled, pretrained = prepare_model(config, say=said.append)
    assert said == [RANDOM_WEIGHTS_SENTENCE]
    assert (settled.backbone_lr_factor, pretrained) == (1.0, False)  # nothing is there to be kept


def test_given_weights_are_those_of_the_backbone_at_the_start(tmp_path, tiny_config):
    state = {name: v for name, v in build_model("resnet_finetune").backbone.state_dict().items()}
    state["conv1.weight"] = torch.randn(64, 3, 7, 7)
    torch.save(state, tmp_path / "w.pth")
    config = replace(tiny_config, model="resnet_finetune")
    model, settled, pretrained = prepare_model(config, weights_path=tmp_path / "w.pth", say=print)
    assert (settled, pretrained) == (config, True)
    assert torch.allclose(model.backbone.conv1.weight, state["conv1.weight"].sum(1, keepdim=True))


@pytest.mark.parametrize("strategy", ["full", "frozen"])
def test_a_strategy_that_is_asked_for_is_kept(tmp_path, tiny_config, strategy):
    torch.save(build_model("resnet_finetune").backbone.state_dict(), tmp_path / "w.pth")
    config = replace(tiny_config, model="resnet_finetune", strategy=strategy)
    assert prepare_model(config, weights_path=tmp_path / "w.pth", say=print)[1].strategy == strategy
    assert prepare_model(config, say=lambda text: None)[1].strategy == strategy


def test_a_random_start_asks_for_no_weights_and_says_nothing(tiny_config, monkeypatch):
    monkeypatch.setattr(ResnetFinetune, "fetch_imagenet_state", lambda self: pytest.fail("fetched"))
    config = replace(tiny_config, model="resnet_finetune", pretrained=False)
    _, settled, pretrained = prepare_model(config, say=pytest.fail)
    assert settled == config and pretrained is False


def test_efficientnet_starts_from_the_weights_of_its_package(tiny_config):
    config = replace(tiny_config, model="efficientnet_lite0_finetune")
    model, settled, pretrained = prepare_model(config, say=pytest.fail)
    assert (settled.strategy, pretrained) == ("full", True)
    published = model.fetch_imagenet_state()
    assert torch.equal(model.backbone.conv_head.weight, published["conv_head.weight"])


def test_the_model_has_the_dropout_of_the_configuration(tiny_config):
    assert prepare_model(replace(tiny_config, dropout=0.125))[0].dropout.p == 0.125


def test_two_stage_training_says_in_its_history_what_learnt(phantoms, tiny_config):
    train, val = phantoms
    config = replace(
        tiny_config, model="timm_resnet10t", pretrained=False, strategy="two_stage", num_epochs=3
    )
    result = fit(replace(config, head_epochs=1, unfreeze_epochs=2), train, val=val, say=lambda text: None)
    # Three convolutions with a normalisation after each, then four stages of one block.
    assert [record.stage for record in result.history] == ["head", "top 5 of 10 blocks", "all"]
    assert result.checkpoint.config.strategy == "two_stage" and result.checkpoint.pretrained is False


@pytest.mark.parametrize("changes", [{"mixup": 0.4}, {"balance": "sampling"}, {"ema_decay": 0.0}])
def test_every_variant_of_training_leaves_a_usable_checkpoint(phantoms, tiny_config, tmp_path, changes):
    train, val = phantoms
    config = replace(tiny_config, num_epochs=1, **changes)
    fit(config, train, val=val, checkpoint_path=tmp_path / "c.pth", say=lambda text: None)
    loaded = load_checkpoint(tmp_path / "c.pth")
    assert loaded.config == replace(config, strategy="full", pretrained=False)
    assert np.isfinite(predict_logits(loaded.build_model(), val.images, transform=loaded.transform)).all()


def test_stress_films_are_changed_copies_and_always_the_same(phantoms):
    val = phantoms[1]
    before = val.fingerprint()
    stressed = make_stress_films(val, num_views=2)
    assert list(stressed.names) == [*val.names, *val.names] and stressed.split == "val"
    assert val.fingerprint() == before
    assert stressed.fingerprint() == make_stress_films(val, num_views=2).fingerprint()
    first, second = np.split(stressed.images, 2)
    assert (first != second).mean() > 0.5 and (first != val.images).mean() > 0.5


def test_stress_films_are_changed_alike_at_any_size(tiny_config):
    """The same films at twice the size, halved again, differ from the small ones by resampling and grain."""
    small = make_phantoms(40, image_size=64, split="val")
    large = replace(small, images=small.images.repeat(2, axis=1).repeat(2, axis=2))
    stressed = make_stress_films(small, num_views=1).images.astype(float)
    halved = make_stress_films(large, num_views=1).images.astype(float).reshape(40, 64, 2, 64, 2).mean((2, 4))
    other = np.roll(halved, 1, axis=0)
    assert np.abs(stressed - halved).mean() < 0.25 * np.abs(stressed - other).mean()


def launch(words: list[str], number: int, cwd) -> subprocess.CompletedProcess:
    """Starts a program in so many processes, by what `accelerate launch` calls where there are GPUs."""
    starter = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(number)]
    starter += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0"]
    settings = {"CUDA_VISIBLE_DEVICES": "", "PNEUMO_HOME": str(cwd), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*starter, *words],
        cwd=cwd,
        env=os.environ | settings,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.system
@pytest.mark.parametrize(
    "left", [{"LOCAL_RANK": "0"}, {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "2"}, {"WORLD_SIZE": "two"}]
)
def test_what_a_launcher_left_in_the_environment_makes_no_run_of_several_processes(left):
    program = "from pneumo_utils.runtime import show_banner; show_banner('Data.')"
    words = [sys.executable, "-c", program]
    done = subprocess.run(
        words, env=os.environ | left, capture_output=True, encoding="utf-8", timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    assert "processes 1, cores" in done.stdout


@pytest.mark.system
def test_two_processes_give_what_one_gives_and_one_of_them_writes(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    found = {}
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = launch([str(tmp_path / "train.py"), str(folder)], number, tmp_path)
        found[number] = [
            json.loads((folder / f"rank{rank}.json").read_text(encoding="utf-8")) for rank in range(number)
        ]
        assert done.stdout.count("said epoch  1") == 1
        assert [name for name in list_kept(folder) if name.startswith("model")] == ["model.pth"]
    # A batch of 15 films is shared as 8 and 7. Nothing but the order of sums differs: the normalisation of a
    # frozen backbone stands still.
    for share in found[2]:
        assert share["head"] == pytest.approx(found[1][0]["head"], abs=1e-5)
        np.testing.assert_allclose(share["figures"], found[1][0]["figures"], atol=1e-4)
    assert found[2][0] == found[2][1]


@pytest.mark.system
def test_figures_of_two_processes_are_those_of_all_films_counted_once(tmp_path):
    words = "-m pneumo_utils train --model cnn_baseline --data synthetic --image_size 32 --epochs 1 --json"
    done = launch(words.split(), 2, tmp_path)
    summary = json.loads(done.stdout)  # from one process alone
    kept = load_checkpoint(
        tmp_path / "checkpoints" / "best_model_cnn_baseline.pth", model_name="cnn_baseline"
    )
    val = load_split(choose_data("synthetic"), "val", image_size=32)
    logits = predict_logits(
        kept.build_model(), val.images, transform=kept.transform, flip_average=kept.flip_average
    )
    assert summary["val"]["auroc"] == pytest.approx(roc_auc_score(val.labels, logits), abs=1e-4)

"""Training in two processes on the CPU: the same weights and figures as in one, and one writer."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from pneumo_utils.data.sources import choose_data, load_split
from pneumo_utils.models.checkpoint import load_checkpoint
from pneumo_utils.models.predict import compute_probs, predict_logits
from pneumo_utils.training.trainer import Processes

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path

import torch
from pneumo_utils.config import TrainConfig
from pneumo_utils.data.splits import make_validation_split
from pneumo_utils.data.synthetic import make_phantoms
from pneumo_utils.training.loop import fit

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


def launch(words: list[str], number: int, cwd) -> subprocess.CompletedProcess:
    """Starts a program in so many processes, by what `accelerate launch` calls where there are GPUs."""
    starter = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(number)]
    starter += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0"]
    settings = {"CUDA_VISIBLE_DEVICES": "", "PNEUMO_HOME": str(cwd), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*starter, *words], cwd=cwd, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_two_processes_give_what_one_gives_and_one_of_them_writes(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    found = {}
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = launch([str(tmp_path / "train.py"), str(folder)], number, tmp_path)
        found[number] = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(number)]
        assert done.stdout.count("said epoch  1") == 1
        assert sorted(path.name for path in folder.glob("model*")) == ["model.pth"]
    # A batch of 15 films is shared as 8 and 7. Nothing but the order of sums differs: the normalisation of a
    # frozen backbone stands still.
    for share in found[2]:
        assert share["head"] == pytest.approx(found[1][0]["head"], abs=1e-5)
        np.testing.assert_allclose(share["figures"], found[1][0]["figures"], atol=1e-4)
    assert found[2][0] == found[2][1]


def test_figures_of_two_processes_are_those_of_all_films_counted_once(tmp_path):
    words = "-m pneumo_utils train --model cnn_baseline --data synthetic --image_size 32 --epochs 1 --json"
    done = launch(words.split(), 2, tmp_path)
    summary = json.loads(done.stdout)  # from one process alone
    kept = load_checkpoint(
        tmp_path / "checkpoints" / "best_model_cnn_baseline.pth", model_name="cnn_baseline"
    )
    val = load_split(choose_data("synthetic"), "val", image_size=32)
    logits = predict_logits(kept.build_model(), val.images, transform=kept.transform)
    # The loss, because AUROC follows a choice (mirror images or not) that differs between machines.
    assert summary["val"]["loss"] == pytest.approx(log_loss(val.labels, compute_probs(logits)), abs=1e-4)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_film_is_in_one_share(number):
    films = torch.arange(10)
    accelerators = [SimpleNamespace(process_index=rank, num_processes=number) for rank in range(number)]
    shares = [Processes(accelerator).take_share(films).tolist() for accelerator in accelerators]
    assert sorted(film for share in shares for film in share) == list(range(10))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1

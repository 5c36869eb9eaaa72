"""The five lessons run one after the other on a machine without data, and leave what they promise."""

import json
import os
import subprocess
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
MODELS = ("cnn_baseline", "resnet_finetune")


def test_the_lessons_run_in_order_and_leave_their_files(tmp_path):
    settings = {"PNEUMO_FAST": "1", "PNEUMO_DATA": "synthetic", "PNEUMO_HOME": str(tmp_path)}
    options = ["--nbval-lax", "-x", "-q", "--nbval-cell-timeout=600", "-p", "no:cacheprovider"]
    lessons = sorted(map(str, NOTEBOOKS.glob("0*.ipynb")))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *lessons],
        cwd=NOTEBOOKS.parent,
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert len(lessons) == 5

    promised = ["plots/roc.png"]
    for model in MODELS:
        promised.append(f"checkpoints/best_model_{model}.pth")
        promised += [f"plots/{figure}_{model}.png" for figure in ("history", "confusion")]
        promised += [f"build/history_{model}.{suffix}" for suffix in ("json", "csv")]
    assert [name for name in promised if not (tmp_path / name).is_file()] == []

    rows = json.loads((tmp_path / "build/results.json").read_text(encoding="utf-8"))["rows"]
    judged = sorted((row["model"], row["split"]) for row in rows)
    assert judged == [(model, split) for model in MODELS for split in ("test", "val")]
    assert {row["data"] for row in rows} == {"synthetic"}

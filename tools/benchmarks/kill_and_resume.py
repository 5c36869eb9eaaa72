"""Kills a training with SIGKILL at random moments, goes on with --resume, and compares the weights.

One run on 400 synthetic films of 32 px is left alone. Then, for each kill, the same command is started in a
folder of its own, killed at a moment drawn uniformly over the time that the first run took after its first
sentence, and brought to its end with --resume. Needs POSIX.
"""

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from pneumo_utils.config import Folders
from pneumo_utils.errors import PneumoError
from pneumo_utils.models.checkpoint import load_checkpoint

PNEUMO = """
import sys
from pneumo_utils import cli
from pneumo_utils.data import sources
sources.NUM_PHANTOMS["train"] = 400
sys.exit(cli.main())
"""
"""The `pneumo` command with fewer synthetic films, so that most of a run is training and not drawing."""


def add_flags(parser) -> None:
    """Adds the words of this benchmark."""
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--model", default="cnn_baseline")
    parser.add_argument("--epochs", type=int, default=12)


def measure(arguments) -> dict:
    """A row for each kill.

    Raises:
        PneumoError: A run ended with other weights.
    """
    moments, rows = random.Random(arguments.seed), []
    with tempfile.TemporaryDirectory() as root:
        whole = Path(root) / "whole"
        whole.mkdir()
        run, started = start(arguments, whole), time.perf_counter()
        finish(run)
        time_s = time.perf_counter() - started
        print(f"uninterrupted: {time_s:.1f} s after its first sentence")
        while len(rows) < arguments.kills:  # a moment that comes too late is drawn anew
            with tempfile.TemporaryDirectory(dir=root) as folder:
                row = kill_and_resume(arguments, Path(folder), moments.uniform(0, time_s))
                if row is not None:
                    rows.append(row | {"is_same": has_same_result(arguments, Path(folder), whole)})
                    print(f"kill {len(rows)}: {rows[-1]}", flush=True)
    counts = {f"num_{name}": sum(row[f"is_{name}"] for row in rows) for name in ("same", "clean")}
    if counts["num_same"] < len(rows):
        raise PneumoError(f"{len(rows) - counts['num_same']} of {len(rows)} runs ended with other weights.")
    about = {"model": arguments.model, "epochs": arguments.epochs, "seed": arguments.seed}
    return about | {"kills": len(rows), **counts, "time_s": round(time_s, 2), "rows": rows}


def start(arguments, folder: Path, *more: str) -> subprocess.Popen:
    """A training that has said its first sentence."""
    command = [sys.executable, "-c", PNEUMO, "train", "--data", "synthetic", "--model", arguments.model]
    command += ["--image-size", "32", "--epochs", str(arguments.epochs), "--random-start", *more]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PNEUMO_")}
    settings = kept | {"PNEUMO_HOME": str(folder)}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    run = subprocess.Popen(command, env=settings, cwd=folder, encoding="utf-8", **pipes)
    if not run.stderr.readline().startswith("Data: "):
        raise PneumoError(f"The training did not start: {run.communicate()[1]}")
    return run


def finish(run: subprocess.Popen) -> str:
    """What a training says until its end."""
    said = run.communicate()[1]
    if run.returncode != 0:
        raise PneumoError(f"The training failed: {said}")
    return said


def kill_and_resume(arguments, folder: Path, moment_s: float) -> dict | None:
    """One kill: when, what it left, and where the resumed run went on; None if the run had ended by then."""
    run = start(arguments, folder)
    time.sleep(moment_s)
    run.kill()
    run.communicate()
    if run.returncode == 0:
        return None
    checkpoints = Folders(folder).checkpoints
    left = sorted(path.suffix for path in checkpoints.glob("*"))
    went_on = re.search(r"Training goes on after epoch (\d+)", finish(start(arguments, folder, "--resume")))
    return {
        "moment_s": round(moment_s, 2),
        "epoch": int(went_on[1]) if went_on else 0,
        "left": left,
        "is_clean": {path.suffix for path in checkpoints.iterdir()} - {".lock"} == {".pth"},
    }


def has_same_result(arguments, folder: Path, other: Path) -> bool:
    """Whether two runs gave the same weights to the bit, and the same choices."""
    path = Folders(folder).checkpoint(arguments.model)
    found, expected = load_checkpoint(path), load_checkpoint(Folders(other).checkpoint(arguments.model))
    if list(found.state) != list(expected.state):
        return False
    is_same = all(torch.equal(value, expected.state[name]) for name, value in found.state.items())
    return is_same and {**vars(found), "state": None} == {**vars(expected), "state": None}

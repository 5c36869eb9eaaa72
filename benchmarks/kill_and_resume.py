"""Kills a training with SIGKILL at random moments, goes on with --resume, and compares the weights.

    python benchmarks/kill_and_resume.py [--kills 20] [--seed 0] [--model cnn_baseline] [--epochs 8]

One run on synthetic films is left alone. Then, for each kill, the same command is started in a folder of its
own, killed at a moment drawn uniformly over the time that the first run took after its first sentence, and
brought to its end with --resume. Prints a line a kill and at last a line of JSON. Needs POSIX.
"""

import argparse
import json
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
from pneumo_utils.models.checkpoint import load_checkpoint


def start(args, folder: Path, *more: str) -> subprocess.Popen:
    """A training that has said its first sentence."""
    command = [sys.executable, "-m", "pneumo_utils", "train", "--data", "synthetic", "--model", args.model]
    command += ["--image-size", "32", "--epochs", str(args.epochs), "--random-start", *more]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PNEUMO_")}
    settings = kept | {"PNEUMO_HOME": str(folder)}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    run = subprocess.Popen(command, env=settings, cwd=folder, text=True, **pipes)
    if not run.stderr.readline().startswith("Data: "):
        raise SystemExit(f"The training did not start: {run.communicate()[1]}")
    return run


def finish(run: subprocess.Popen) -> str:
    """What a training says until its end."""
    said = run.communicate()[1]
    if run.returncode != 0:
        raise SystemExit(f"The training failed: {said}")
    return said


def load_result(args, folder: Path) -> tuple[dict, dict]:
    """The weights of a finished run, and all else that its checkpoint holds."""
    checkpoint = load_checkpoint(Folders(folder).checkpoint(args.model))
    return checkpoint.state, {**vars(checkpoint), "state": None}


def is_same(found: tuple[dict, dict], expected: tuple[dict, dict]) -> bool:
    """Whether two runs gave the same weights to the bit, and the same choices."""
    (state, rest), (expected_state, expected_rest) = found, expected
    if list(state) != list(expected_state) or rest != expected_rest:
        return False
    return all(torch.equal(value, expected_state[name]) for name, value in state.items())


def kill_and_resume(args, folder: Path, moment_s: float) -> dict:
    """One kill: when, what was left, and where the resumed run went on."""
    run = start(args, folder)
    time.sleep(moment_s)
    run.kill()
    run.communicate()
    left = sorted(path.suffix for path in Folders(folder).checkpoints.glob("*"))
    ended = run.returncode == 0
    said = finish(start(args, folder, "--resume"))
    went_on = re.search(r"Training goes on after epoch (\d+)", said)
    return {
        "moment_s": moment_s,
        "had_ended": ended,
        "left": left,
        "epoch": int(went_on[1]) if went_on else 0,
        "clean": len(list(Folders(folder).checkpoints.iterdir())) == 1,
    }


def main() -> int:
    """Kills and compares; 1 if any run ended with other weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--model", default="cnn_baseline")
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    moments, rows = random.Random(args.seed), []
    with tempfile.TemporaryDirectory() as root:
        whole = Path(root) / "whole"
        whole.mkdir()
        run, started = start(args, whole), time.perf_counter()
        finish(run)
        time_s = time.perf_counter() - started
        expected = load_result(args, whole)
        print(f"uninterrupted: {time_s:.1f} s after its first sentence")
        print("kill  moment s  resumed after epoch  same bits  left by the kill")
        for index in range(args.kills):
            folder = Path(root) / str(index)
            folder.mkdir()
            row = kill_and_resume(args, folder, moments.uniform(0, time_s))
            row["same"] = is_same(load_result(args, folder), expected)
            rows.append(row)
            left = "had ended" if row["had_ended"] else " ".join(row["left"]) or "nothing"
            print(
                f"{index + 1:4d}  {row['moment_s']:8.2f}  {row['epoch']:19d}  {row['same']!s:>9}  {left}",
                flush=True,
            )
    counts = {name: sum(row[name] for row in rows) for name in ("same", "clean", "had_ended")}
    summary = {"model": args.model, "epochs": args.epochs, "seed": args.seed, "kills": len(rows)}
    print(json.dumps(summary | counts | {"time_s": round(time_s, 2), "rows": rows}))
    return int(counts["same"] < len(rows))


if __name__ == "__main__":
    sys.exit(main())

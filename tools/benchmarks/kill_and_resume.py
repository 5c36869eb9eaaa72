"""Kills a training with SIGKILL at random moments, goes on with --resume, and compares the weights.

    python benchmarks/kill_and_resume.py [--kills 20] [--seed 0] [--epochs 12] [--json FILE]

One run on 400 synthetic films of 32 px is left alone. Then, for each kill, the same command is started in a
folder of its own, killed at a moment drawn uniformly over the time that the first run took after its first
sentence, and brought to its end with --resume. Prints a line a kill and at last a line of JSON. Needs POSIX.
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

PNEUMO = """
import sys
from pneumo_utils import cli
from pneumo_utils.data import sources
sources.NUM_PHANTOMS["train"] = 400
sys.exit(cli.main())
"""
"""The `pneumo` command with fewer synthetic films, so that most of a run is training and not drawing."""


def start(args, folder: Path, *more: str) -> subprocess.Popen:
    """A training that has said its first sentence."""
    command = [sys.executable, "-c", PNEUMO, "train", "--data", "synthetic", "--model", args.model]
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


def kill_and_resume(args, folder: Path, moment_s: float) -> dict | None:
    """One kill: when, what it left, and where the resumed run went on; None if the run had ended by then."""
    run = start(args, folder)
    time.sleep(moment_s)
    run.kill()
    run.communicate()
    if run.returncode == 0:
        return None
    checkpoints = Folders(folder).checkpoints
    left = sorted(path.suffix for path in checkpoints.glob("*"))
    went_on = re.search(r"Training goes on after epoch (\d+)", finish(start(args, folder, "--resume")))
    is_clean = [path.suffix for path in checkpoints.iterdir()] == [".pth"]
    return {
        "moment_s": round(moment_s, 2),
        "epoch": int(went_on[1]) if went_on else 0,
        "left": left,
        "is_clean": is_clean,
    }


def main() -> int:
    """Kills and compares; 1 if any run ended with other weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--model", default="cnn_baseline")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--json", type=Path, help="write the result here")
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
        while len(rows) < args.kills:  # a moment that comes too late is drawn anew
            with tempfile.TemporaryDirectory(dir=root) as folder:
                row = kill_and_resume(args, Path(folder), moments.uniform(0, time_s))
                if row is None:
                    continue
                rows.append(row | {"is_same": is_same(load_result(args, Path(folder)), expected)})
            number, row = len(rows), rows[-1]
            left = " ".join(row["left"]) or "nothing"
            print(
                f"{number:4d}  {row['moment_s']:8.2f}  {row['epoch']:19d}  {row['is_same']!s:>9}  {left}",
                flush=True,
            )
    counts = {f"num_{name}": sum(row[f"is_{name}"] for row in rows) for name in ("same", "clean")}
    summary = {"model": args.model, "epochs": args.epochs, "seed": args.seed, "kills": len(rows)}
    result = summary | counts | {"time_s": round(time_s, 2), "rows": rows}
    print(json.dumps(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(counts["num_same"] < len(rows))


if __name__ == "__main__":
    sys.exit(main())

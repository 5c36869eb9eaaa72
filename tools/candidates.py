"""Trains candidates and ranks them before test is opened: `python -m tools.candidates --rows NAME`.

Each is judged on validation films, on their stressed copies, by the second judge, and, trained once more
without it, on a group of training films that is unlike the rest. No test film is read here.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from pneumo_utils import cli
from pneumo_utils.config import PRESET, Augmentation, Folders, TrainConfig, shorten
from pneumo_utils.data.dataset import XrayDataset
from pneumo_utils.data.sources import DataChoice, choose_data, load_split
from pneumo_utils.errors import UsageError
from pneumo_utils.evaluation.evaluate import make_predict
from pneumo_utils.evaluation.metrics import compute_metrics
from pneumo_utils.evaluation.results import build_markdown_table, load_records
from pneumo_utils.evaluation.saliency import compute_coverage
from pneumo_utils.models.checkpoint import Checkpoint, load_checkpoint
from pneumo_utils.runtime import write_atomically
from pneumo_utils.training.fit import fit
from pneumo_utils.training.recipes import RECIPES, TEACHER
from pneumo_utils.training.resume import load_ended
from tools.second_judge import SIDE, choose_left_out, judge, measure_moves


@dataclass(frozen=True)
class Candidate:
    """A way to train that may be taken."""

    config: TrainConfig
    preset: str = PRESET
    teacher: str = ""  # the row whose run of seed 0 teaches, "" for none


CNN = RECIPES["cnn_baseline"]
WHOLE = Augmentation()  # whole films only
LEFT_OUT = "-left_out"  # in the names of runs that did not see the group
CANDIDATES: dict[str, Candidate] = {
    "cnn_baseline_whole_grey_weights": Candidate(replace(CNN, augmentation=WHOLE, balance="weights"), "grey"),
    "cnn_baseline_whole_grey": Candidate(replace(CNN, augmentation=WHOLE), "grey"),
    "cnn_baseline_whole": Candidate(replace(CNN, augmentation=WHOLE)),
    "cnn_baseline_whole_no_smoothing": Candidate(replace(CNN, augmentation=WHOLE, label_smoothing=0.0)),
    "cnn_baseline_24_epochs": Candidate(replace(CNN, num_epochs=24)),
    "cnn_baseline": Candidate(CNN),
    "cnn_distilled": Candidate(RECIPES["cnn_distilled"], teacher=TEACHER),
    "resnet_finetune": Candidate(RECIPES["resnet_finetune"]),
    "resnet_distilled": Candidate(RECIPES["resnet_distilled"], teacher=TEACHER),
    "efficientnet_lite0_finetune": Candidate(RECIPES["efficientnet_lite0_finetune"]),
}
"""The recipes, and what was tried in their place."""


def find_seed(folders: Folders, row: str, seed: int) -> Path:
    """The checkpoint of one run, `checkpoints/seeds/<row>-seed<seed>.pth`."""
    return folders.checkpoints / "seeds" / f"{row}-seed{seed}.pth"


def train(
    candidate: Candidate,
    row: str,
    seed: int,
    *,
    choice: DataChoice,
    folders: Folders,
    left_out: bool = False,
    say=print,
) -> Checkpoint:
    """The checkpoint of a run, trained, or gone on with, unless it has ended; errors as from `fit`."""
    suffix = LEFT_OUT if left_out else ""
    config, path = shorten(replace(candidate.config, seed=seed)), find_seed(folders, row + suffix, seed)
    teacher, sizes = None, {"train": config.image_size, "val": config.image_size}
    if candidate.teacher:
        teacher = load_checkpoint(find_seed(folders, candidate.teacher + suffix, 0))
        sizes["train"] = max(config.image_size, teacher.transform.image_size)
    reading = {"preset": candidate.preset}
    films, val = (load_split(choice, split, image_size=size, **reading) for split, size in sizes.items())
    if left_out:
        films = films.select(~find_left_out(choice))
    with suppress(UsageError):  # what lies there is of an older recipe, of other films or another teacher
        if ended := load_ended(path, config, films, teacher=teacher):
            return ended
    files = {"checkpoint_path": path, "resume": True}
    return fit(config, films, val=val, teacher=teacher, **files, say=say).checkpoint


def find_left_out(choice: DataChoice) -> np.ndarray:
    """`choose_left_out` of the training films, which come in the same order at every size."""
    return choose_left_out(load_split(choice, "train", image_size=SIDE, preset="grey"))


def judge_run(checkpoint: Checkpoint, choice: DataChoice, *, left_out: bool) -> dict:
    """The figures of a run, plain values; of one without the left-out group those on it alone."""
    predict, reading = make_predict(checkpoint), checkpoint.transform.reading
    if left_out:
        films = load_split(choice, "train", **reading).select(find_left_out(choice))
        auroc = float(roc_auc_score(films.labels, predict(films)))
        return {"left_out_auroc": auroc, "val_auroc": checkpoint.val_metrics["auroc"]}
    val = load_split(choice, "val", **reading)
    plain = compute_metrics(val.labels, predict(val), threshold=checkpoint.threshold)
    raw: XrayDataset = load_split(choice, "val", image_size=SIDE, preset="grey")
    return {
        "val_auroc": plain["auroc"],
        "ece": plain["ece"],
        "stress_auroc": checkpoint.val_metrics["stress_auroc"],
        "second_judge": judge(predict, raw, reading=reading),
        "coverage": compute_coverage(predict, val),
        "moved": measure_moves(predict, raw, reading=reading),
        "threshold": checkpoint.threshold,
        "temperature": checkpoint.temperature,
        "flip_average": checkpoint.flip_average,
        "epoch": checkpoint.val_metrics["epoch"],
    }


def run(row: str, seed: int, *, choice: DataChoice, folders: Folders, left_out: bool, say=print) -> dict:
    """Trains and judges; the record, in `build/candidates` and plain values, names all that was asked for."""
    started = time.perf_counter()
    settings = {"choice": choice, "folders": folders, "left_out": left_out, "say": say}
    checkpoint = train(CANDIDATES[row], row, seed, **settings)
    record = {"row": row, "seed": seed, "left_out": left_out, "data": choice.source}
    record |= {"preset": checkpoint.transform.name, "taught_by": checkpoint.taught_by}
    record |= {"config": asdict(checkpoint.config), "time_s": time.perf_counter() - started}
    record |= judge_run(checkpoint, choice, left_out=left_out)
    path = folders.build / "candidates" / f"{row}{LEFT_OUT if left_out else ''}-seed{seed}.json"
    write_json(record, path)
    return record


def write_json(content, path: Path) -> None:
    """Writes plain values as a whole file, in a folder that is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def gather(folder: Path, stored: Path, rows: Iterable[str]) -> list[dict]:
    """The records of all runs of the rows, in their order, seed after seed.

    Those of the folder, a file each, come before those of a table that was stored, {"runs": [...]}.
    """
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    table = load_records(stored) if stored.is_file() else []
    order = {row: place for place, row in enumerate(rows)}
    known = [record for record in [*table, *files] if record["row"] in order]
    keys = [(order[r["row"]], r.get("left_out", False), r["seed"]) for r in known]
    return [record for _, record in sorted(dict(zip(keys, known, strict=True)).items())]


HEAD = ("row", "seeds", "val AUROC", "stress AUROC", "second judge", "left-out group", "val ECE", "threshold")
HEAD += ("lungs covered / swapped", "moved by pale / border / canvas %")


def format_ranking(records: list[dict]) -> str:
    """A Markdown table, one row a candidate, mean ± spread over its seeds."""
    lines = []
    for row in dict.fromkeys(record["row"] for record in records):
        own = [record for record in records if record["row"] == row]
        runs, without = ([r for r in own if r["left_out"] is is_out] for is_out in (False, True))
        second = [np.mean(list(r["second_judge"].values())) for r in runs]
        cells = [f"`{row}`", len(runs), *(_show([r[n] for r in runs]) for n in ("val_auroc", "stress_auroc"))]
        cells += [_show(second), _show([r["left_out_auroc"] for r in without])]
        cells += [_show([r["ece"] for r in runs], 3), _show([r["threshold"] for r in runs], 2)]
        covered = [[r["coverage"][name] for r in runs] for name in ("lungs_covered", "lungs_swapped")]
        cells.append(" / ".join(_show(values, 3) for values in covered))
        moved = [np.mean([r["moved"][name] for r in runs]) for name in runs[0]["moved"]] if runs else []
        lines.append([*cells, " / ".join(f"{100 * share:.1f}" for share in moved)])
    return build_markdown_table(HEAD, lines)


def _show(values: list[float], digits: int = 4) -> str:
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def main(words: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="tools.candidates", description=__doc__.split(":")[0])
    cli.add_flag(parser, "rows", nargs="*", default=[], help="candidates to train; none shows what is there")
    cli.add_flag(parser, "seeds", nargs="+", type=int, default=[0], help="0 if left out")
    cli.add_flag(parser, "left_out", action="store_true", help="train without the group, and judge on it")
    cli.add_flag(parser, "store", action="store_true", help="also write results/candidates.json")
    cli.add_flag(parser, "data", default="auto", help="auto, a source or a folder")
    cli.add_flag(parser, "output_dir", type=Path, help="holds checkpoints and build; the project's folder")
    parser.set_defaults(run=_rank)
    return cli.run(parser, words)


def _rank(arguments) -> None:
    folders, choice = cli.get_folders(arguments), choose_data(arguments.data)
    if unknown := set(arguments.rows) - set(CANDIDATES):
        raise UsageError(f"There is no row {sorted(unknown)[0]!r}; expected one of {', '.join(CANDIDATES)}.")
    for seed in arguments.seeds:
        for row in arguments.rows:
            cli.say(f"{row}, seed {seed}")
            run(row, seed, choice=choice, folders=folders, left_out=arguments.left_out, say=cli.say)
    stored = folders.root / "results" / "candidates.json"
    records = gather(folders.build / "candidates", stored, CANDIDATES)
    if arguments.store:
        write_json({"runs": records}, stored)
    print(format_ranking(records))


if __name__ == "__main__":
    sys.exit(main())

"""Trains and evaluates recipes and variants over several seeds: `python -m tools.ablation`."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from pneumo_utils import cli
from pneumo_utils.config import Augmentation, Folders, TrainConfig, shorten
from pneumo_utils.data.sources import DataChoice, choose_data, load_split
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.evaluation.evaluate import evaluate
from pneumo_utils.evaluation.results import Summary, build_markdown_table, describe_start, summarise
from pneumo_utils.models.registry import build_model
from pneumo_utils.training.recipes import RECIPES
from tools.candidates import CANDIDATES, Candidate, gather, train, write_json

_OLD = {"augmentation": Augmentation(), "balance": "weights"}
_SMALL_CNN = replace(RECIPES["cnn_baseline"], image_size=64, num_epochs=8, **_OLD)
_SMALL_LITE0 = replace(RECIPES["efficientnet_lite0_finetune"], image_size=64, num_epochs=4, **_OLD)
_STILL = Augmentation(**dict.fromkeys(Augmentation.__dataclass_fields__, 0.0))


def _vary_augmentation(**changes) -> TrainConfig:
    return replace(_SMALL_CNN, augmentation=replace(_SMALL_CNN.augmentation, **changes))


_ROWS: dict[str, TrainConfig] = {
    "cnn_64": _SMALL_CNN,
    "cnn_64_no_augmentation": replace(_SMALL_CNN, augmentation=_STILL),
    "cnn_64_no_stretch": _vary_augmentation(stretch=0.0),
    "cnn_64_no_rotation_zoom_shift": _vary_augmentation(rotate_deg=0.0, zoom=0.0, shift=0.0),
    "cnn_64_no_tones": _vary_augmentation(brightness=0.0, contrast=0.0, gamma=0.0),
    "cnn_64_no_blur_noise": _vary_augmentation(blur_prob=0.0, noise=0.0),
    "cnn_64_no_erasing": _vary_augmentation(erase_prob=0.0, corner_prob=0.0, border_prob=0.0),
    "cnn_64_equalise": _vary_augmentation(equalise_prob=0.3),
    "cnn_64_mixup": replace(_SMALL_CNN, mixup=0.3),
    "cnn_64_no_dropout": replace(_SMALL_CNN, dropout=0.0),
    "cnn_64_no_label_smoothing": replace(_SMALL_CNN, label_smoothing=0.0),
    "cnn_64_no_weight_decay": replace(_SMALL_CNN, weight_decay=0.0),
    "cnn_64_no_averaging": replace(_SMALL_CNN, ema_decay=0.0),
    "cnn_64_balanced_sampling": replace(_SMALL_CNN, balance="sampling"),
    "cnn_64_no_balance": replace(_SMALL_CNN, balance="none"),
    "lite0_64_frozen": replace(_SMALL_LITE0, strategy="frozen"),
    "lite0_64_two_stage": replace(_SMALL_LITE0, strategy="two_stage", backbone_lr_factor=0.1),
    "lite0_64_full": _SMALL_LITE0,
    "lite0_64_random_frozen": replace(_SMALL_LITE0, strategy="frozen", pretrained=False),
    "lite0_64_random_two_stage": replace(_SMALL_LITE0, strategy="two_stage", pretrained=False),
    "lite0_64_random_full": replace(_SMALL_LITE0, pretrained=False),
}
ABLATION = {name: Candidate(config, preset="grey") for name, config in _ROWS.items()}
"""Rows of the ablation: each differs from `cnn_64` or `lite0_64_full` in what its name says. They are small,
so that a table of three seeds is a matter of two hours on two cores. Class weights, the grey scale and whole
films are those of the recipes at the time of the stored runs."""


def find_row(name: str) -> Candidate:
    """A candidate, recipes among them, or a line of `ABLATION`.

    Raises:
        UsageError: There is no such row.
    """
    rows = CANDIDATES | ABLATION
    if name not in rows:
        raise UsageError(f"There is no row {name!r}; expected one of {', '.join(rows)}.")
    return rows[name]


def run_ablation(
    rows: Iterable[str],
    seeds: Iterable[int],
    *,
    choice: DataChoice,
    folders: Folders,
    say: Callable[[str], None] = print,
) -> None:
    """Trains and judges each row with each seed, seed after seed; leaves one file a run in `build/ablation`.

    A run whose file is there, made with the same configuration on the same films, is not repeated, and one
    whose checkpoint is there is only judged.

    Args:
        rows: Names that `find_row` knows.
        seeds: Whole numbers from 0.
        choice: The data.
        folders: Where files and checkpoints go.
        say: Takes one line a run and one an epoch.
    """
    candidates = {row: find_row(row) for row in rows}
    for seed in seeds:
        for row, candidate in candidates.items():
            config = shorten(replace(candidate.config, seed=seed))
            path = folders.build / "ablation" / f"{row}-seed{seed}.json"
            if _is_done(path, config, choice):
                say(f"{path.name} is there already.")
                continue
            say(f"{row}, seed {seed}")
            record = _run(row, candidate, config, choice=choice, folders=folders, say=say)
            write_json(record, path)


def _run(row: str, candidate: Candidate, config: TrainConfig, *, choice: DataChoice, folders, say) -> dict:
    started = time.perf_counter()
    checkpoint = train(candidate, row, config.seed, choice=choice, folders=folders, say=say)
    time_s = time.perf_counter() - started
    test, _ = evaluate(checkpoint, load_split(choice, "test", **checkpoint.transform.reading))
    say(f"{row}, seed {config.seed}: test AUROC {test['auroc']:.4f}, accuracy {test['accuracy']:.4f}")
    return {
        "row": row,
        "seed": config.seed,
        "data": choice.source,
        "config": asdict(config),
        "chosen_on": "val",
        "num_parameters": sum(values.numel() for values in build_model(config.model).parameters()),
        "pretrained": checkpoint.pretrained,
        "taught_by": checkpoint.taught_by,
        "strategy": checkpoint.config.strategy,
        "train_time_s": time_s,
        "val": checkpoint.val_metrics,
        "test": test,
    }


def _is_done(path: Path, config: TrainConfig, choice: DataChoice) -> bool:
    if not path.is_file():
        return False
    record = json.loads(path.read_text(encoding="utf-8"))
    with suppress(UsageError):  # of settings that are no more
        return TrainConfig.from_dict(record["config"]) == config and record["data"] == choice.source
    return False


def gather_records(folder: Path, path: Path) -> list[dict]:
    """Puts the runs of a folder into one file, beside those it holds, in the order of the recipes and rows.

    Raises:
        PneumoError: There are no runs.
    """
    records = gather(folder, path, CANDIDATES | ABLATION)
    if not records:
        raise PneumoError(f"{folder} has no runs yet. Run `make ablation`.")
    write_json({"runs": records}, path)
    return records


def format_summary(summaries: list[Summary]) -> str:
    """A Markdown table, mean ± spread over seeds."""
    head = ("run", "start", "seeds", "val AUROC", "stress AUROC", "test AUROC", "test accuracy %")
    head += ("screening: sensitivity % / specificity %", "AUROC lost by stretch")
    lines = []
    for summary in summaries:
        cells = [f"`{summary.row}`", describe_start(summary.records[0]), len(summary.seeds)]
        cells += [_show_spread(summary, name) for name in ("val_auroc", "stress_auroc", "test_auroc")]
        cells.append(_show_spread(summary, "test_accuracy", percent=True))
        screening = [summary.mean[f"screening_{name}"] for name in ("sensitivity", "specificity")]
        cells.append(" / ".join(f"{100 * share:.1f}" for share in screening))
        lines.append([*cells, _show_spread(summary, "stretch_auroc_loss")])
    return build_markdown_table(head, lines)


def _show_spread(summary: Summary, name: str, *, percent: bool = False) -> str:
    def show(number: float) -> str:
        return f"{100 * number:.1f}" if percent else f"{number:.4f}"

    mean, spread = show(summary.mean[name]), show(summary.spread[name])
    return mean if len(summary.seeds) < 2 else f"{mean} ± {spread}"


def main(words: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="tools.ablation", description=__doc__.split(":")[0])
    cli.add_flag(
        parser, "rows", nargs="+", default=list(ABLATION), help="recipes and rows; all rows if left out"
    )
    cli.add_flag(parser, "seeds", nargs="+", type=int, default=[0, 1, 2], help="0 1 2 if left out")
    cli.add_flag(parser, "store", action="store_true", help="also write results/ablation.json")
    cli.add_flag(parser, "data", default="auto", help="auto, a source or a folder")
    cli.add_flag(parser, "output_dir", type=Path, help="holds checkpoints and build; the project's folder")
    parser.set_defaults(run=_ablate)
    return cli.run(parser, words)


def _ablate(arguments) -> None:
    folders, choice = cli.get_folders(arguments), choose_data(arguments.data)
    cli.say(choice.sentence)
    run_ablation(arguments.rows, arguments.seeds, choice=choice, folders=folders, say=cli.say)
    runs = folders.build / "ablation"
    records = gather_records(runs, folders.build / "ablation.json")
    if arguments.store:
        gather_records(runs, folders.stored_ablation)
    print(format_summary(summarise(records)))


if __name__ == "__main__":
    sys.exit(main())

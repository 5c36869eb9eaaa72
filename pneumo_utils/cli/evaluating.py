"""`pneumo eval` and `pneumo export`."""

import json
from pathlib import Path

from pneumo_utils.cli import (
    add_checkpoint_flags,
    add_command,
    add_data_flags,
    add_flag,
    get_folders,
    load_model,
    say,
    say_skipped,
)
from pneumo_utils.errors import UsageError

NUM_SAID = 5
"""Warnings that are said; the results file has all."""


def add_commands(commands) -> None:
    """Adds the commands of this module."""
    parser = add_command(commands, "eval", _evaluate, text="judge a trained model")
    add_checkpoint_flags(parser, required=True)
    text = "val if left out; a folder without splits is always judged whole"
    add_flag(parser, "split", choices=("train", "val", "test"), help=text)
    add_flag(parser, "report", type=Path, help="also write one page with figures, failures and pictures")
    add_flag(parser, "against", nargs="+", default=[], help="other models that the page compares with it")
    add_data_flags(parser)

    parser = add_command(commands, "export", _export, text="write a trained model as one file")
    add_checkpoint_flags(parser, required=True)
    add_flag(parser, "format", choices=("onnx",), default="onnx", help="onnx if left out")
    add_flag(parser, "output", type=Path, required=True, help="the file, FILE.onnx")


def _evaluate(arguments) -> None:
    if arguments.model in arguments.against:
        raise UsageError(f"--against names {arguments.model} itself; expected other models.")
    checkpoint = load_model(arguments)
    from pneumo_utils.data.sources import choose_data, load_split
    from pneumo_utils.evaluation.evaluate import evaluate
    from pneumo_utils.evaluation.results import format_table, save_result

    choice = choose_data(arguments.data)
    say(choice.sentence)
    split = arguments.split or ("test" if choice.source == "folder" else "val")
    dataset = load_split(choice, split, image_size=checkpoint.config.image_size)
    say_skipped(dataset)
    row, predictions = evaluate(checkpoint, dataset)
    if choice.source == "folder":
        row["warnings"] = _survey(choice.folder)
    save_result(row, get_folders(arguments).results)
    if arguments.report:
        _write_report(arguments, choice, checkpoint, dataset, row, predictions)
    print(json.dumps(row) if arguments.json else format_table([row]))


def _write_report(arguments, choice, checkpoint, dataset, row, predictions) -> None:
    from pneumo_utils.data.sources import load_split
    from pneumo_utils.evaluation.decisions import find_points
    from pneumo_utils.evaluation.evaluate import predict_dataset
    from pneumo_utils.models.shipped import find_checkpoint, load_shipped
    from pneumo_utils.report.evaluation import build_report
    from pneumo_utils.report.html import save_page

    say("Writing the report: corruptions and maps of all films take a minute or two.")
    validation, points, rivals, folders = None, None, {}, get_folders(arguments)
    if choice.source != "folder" and row["split"] == "test":
        films = load_split(choice, "val", image_size=checkpoint.config.image_size)
        validation, points = predict_dataset(checkpoint, films), find_points(checkpoint, films)
    for name in arguments.against:
        own = folders.checkpoint(name)
        rival = load_shipped(name) if arguments.shipped else find_checkpoint(name, own, say=say)
        films = load_split(choice, row["split"], image_size=rival.config.image_size)
        rivals[name] = (predict_dataset(rival, films), rival.threshold)
    page = build_report(
        checkpoint,
        dataset,
        row,
        predictions,
        validation=validation,
        points=points,
        rivals=rivals,
        warnings=row.get("warnings"),
    )
    save_page(page, arguments.report)
    say(f"The page is {arguments.report}")


def _survey(folder: Path) -> dict[str, str]:
    """Says how films from elsewhere differ from those of the course; all of it, by file name."""
    from pneumo_utils.data.folders import list_films
    from pneumo_utils.guard.guard import survey_films

    films = list_films(folder)
    warnings = survey_films((film.path for film in films), folder=folder)
    say(f"{len(warnings)} of {len(films)} films differ from the training films in size, shape or tones.")
    for name, text in list(warnings.items())[:NUM_SAID]:
        say(f"  {name}: {text}")
    if len(warnings) > NUM_SAID:
        say("  ... and so on; the results file has them all.")
    return warnings


def _export(arguments) -> None:
    checkpoint = load_model(arguments)
    from pneumo_utils.models.onnx import NUM_CHECKED, export_onnx

    difference = export_onnx(checkpoint, arguments.output)
    print(
        f"{arguments.output}: {checkpoint.model_name}; on {NUM_CHECKED} phantoms its logits differ from "
        f"torch's by {difference:.1e} at most."
    )

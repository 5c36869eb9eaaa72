"""`pneumo eval` and `pneumo ship`."""

import json
from pathlib import Path

from pneumo_utils.cli.common import MODEL_HELP, add_common, find_model, flag, get_folders, say, say_skipped
from pneumo_utils.errors import UsageError

NUM_SAID = 5
"""Warnings that are said; the results file has all."""


def add_commands(commands) -> None:
    """Adds the commands of this module."""
    for add in (_add_eval, _add_ship):
        add(commands)


def _add_eval(commands) -> None:
    parser = commands.add_parser("eval", help="judge a trained model", description="Judge a trained model.")
    flag(parser, "model", required=True, help=MODEL_HELP)
    flag(parser, "checkpoint_path", type=Path, help="your own; else the one that ships")
    flag(parser, "shipped", action="store_true", help="the model that ships, even if you have your own")
    text = "val if left out; a folder without splits is always judged whole"
    flag(parser, "split", choices=("train", "val", "test"), help=text)
    flag(parser, "report", type=Path, help="also write one page with figures, failures and pictures of films")
    flag(parser, "against", nargs="+", default=[], help="other models that the page compares with this one")
    add_common(parser)
    parser.set_defaults(run=_eval)


def _eval(arguments) -> None:
    if arguments.model in arguments.against:
        raise UsageError(f"--against names {arguments.model} itself; expected other models.")
    checkpoint = find_model(arguments)
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
    from pneumo_utils.report.evaluation import Material, save_report

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
    warnings = row.get("warnings")
    material = Material(checkpoint, dataset, row, predictions, validation, rivals, warnings, points)
    save_report(material, arguments.report)
    say(f"The page is {arguments.report}")


def _survey(folder: Path) -> dict[str, str]:
    """Says how films from elsewhere differ from those of the course; all of it, by file name."""
    from pneumo_utils.data.folders import list_class_films
    from pneumo_utils.guard.guard import survey_films

    films = list_class_films(folder)
    warnings = survey_films((film.path for film in films), folder=folder)
    say(f"{len(warnings)} of {len(films)} films differ from the training films in size, shape or tones.")
    for name, text in list(warnings.items())[:NUM_SAID]:
        say(f"  {name}: {text}")
    if len(warnings) > NUM_SAID:
        say("  ... and so on; the results file has them all.")
    return warnings


def _add_ship(commands) -> None:
    text = "make a trained model part of the package: half-precision weights and a model card"
    parser = commands.add_parser("ship", help=text, description=f"{text.capitalize()}.")
    flag(parser, "model", required=True, help=MODEL_HELP)
    flag(parser, "seeds", nargs="+", type=int, default=[0, 1, 2], help="of `pneumo ablation --keep`")
    flag(parser, "ensemble", action="store_true", help="average all seeds; else the best on validation")
    flag(parser, "data", default="auto", help="auto, a source or a folder")
    flag(parser, "output_dir", type=Path, help="where the checkpoints lie; the project's folder")
    parser.set_defaults(run=_ship)


def _ship(arguments) -> None:
    from pneumo_utils.data.sources import choose_data
    from pneumo_utils.models.checkpoint import load_checkpoint
    from tools.ship import ship

    folders, choice = get_folders(arguments), choose_data(arguments.data)
    say(choice.sentence)
    paths = [folders.seed_checkpoint(arguments.model, seed) for seed in arguments.seeds]
    checkpoints = [load_checkpoint(path, model_name=arguments.model) for path in paths]
    print(ship(checkpoints, ensemble=arguments.ensemble, choice=choice))

"""`pneumo eval`, `export`, `inference` and `app`: what is done with a trained model."""

import json
import os
from pathlib import Path

from pneumo_utils import cli
from pneumo_utils.config import expect
from pneumo_utils.errors import PneumoError, UsageError


def add_commands(commands) -> None:
    """Adds the commands of this module."""
    parser = cli.add_command(commands, "eval", _evaluate, text="judge a trained model")
    cli.add_checkpoint_flags(parser, required=True)
    text = "val if left out; a folder without splits is always judged whole"
    cli.add_flag(parser, "split", choices=("train", "val", "test"), help=text)
    text = "also write one page with figures, failures and pictures"
    cli.add_flag(parser, "report", type=cli.name_output(".html"), help=text)
    cli.add_flag(parser, "against", nargs="+", default=[], help="other models that the page compares with it")
    cli.add_data_flags(parser)

    parser = cli.add_command(commands, "export", _export, text="write a trained model as one file")
    cli.add_checkpoint_flags(parser, required=True)
    cli.add_flag(parser, "format", choices=("onnx",), default="onnx", help="onnx if left out")
    cli.add_flag(parser, "output", type=cli.name_output(".onnx"), required=True, help="FILE.onnx")

    parser = cli.add_command(commands, "inference", _answer, text="answer for films")
    parser.add_argument("films", nargs="*", type=Path, help="files and folders of them")
    cli.add_checkpoint_flags(parser)
    cli.add_flag(parser, "image_path", nargs="+", default=[], type=Path, help="the same as FILMS")
    cli.add_flag(parser, "screening", action="store_true", help="the threshold that misses few pneumonias")
    cli.add_flag(parser, "json", action="store_true", help="one JSON object a film on standard output")
    text = "a table of answers; if it is there, films it lacks or has rejected are added"
    cli.add_flag(parser, "csv", type=cli.name_output(".csv"), help=text)
    text = "local: this process; ray: the Ray cluster at RAY_ADDRESS, else all CPUs of this machine"
    cli.add_flag(parser, "engine", choices=("local", "ray"), default="local", help=text)

    parser = cli.add_command(commands, "app", _serve, text="show the upload panel as a page")
    cli.add_flag(parser, "port", type=int, default=8866, help="of the page, on this computer alone")
    cli.add_flag(parser, "no_browser", action="store_true", help="do not open the page")


def _evaluate(arguments) -> None:
    if arguments.model in arguments.against:
        raise UsageError(f"--against names {arguments.model} itself; expected other models.")
    checkpoint = cli.load_model(arguments)
    from pneumo_utils.data.sources import choose_data, load_split
    from pneumo_utils.evaluation.evaluate import evaluate
    from pneumo_utils.evaluation.results import format_table, save_result
    from pneumo_utils.runtime import require_writable

    page = arguments.report and [arguments.report.parent]
    require_writable(cli.get_folders(arguments).build, *(page or []))
    choice = choose_data(arguments.data)
    cli.say(choice.sentence)
    split = arguments.split or ("test" if choice.source == "folder" else "val")
    if split != "test" and {checkpoint.source, choice.source} == {"chestxray2017", "pneumoniamnist"}:
        cli.say("Both sets hold the same films, cut in other ways: the model may have learnt from these.")
    dataset = load_split(choice, split, **checkpoint.transform.reading)
    cli.say_skipped(dataset)
    row, predictions = evaluate(checkpoint, dataset)
    if choice.source == "folder" and choice.folder is not None:
        row["warnings"] = _survey(choice.folder)
    save_result(row, cli.get_folders(arguments).results)
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

    cli.say("Writing the report: corruptions and maps of all films take a minute or two.")
    more = {"validation": None, "points": None, "rivals": {}, "warnings": row.get("warnings")}
    if choice.source != "folder" and row["split"] == "test":
        films = load_split(choice, "val", **checkpoint.transform.reading)
        more |= {"validation": predict_dataset(checkpoint, films), "points": find_points(checkpoint, films)}
    for name in arguments.against:
        own = cli.get_folders(arguments).checkpoint(name)
        rival = load_shipped(name) if arguments.shipped else find_checkpoint(name, own, say=cli.say)
        films = load_split(choice, row["split"], **rival.transform.reading)
        more["rivals"][name] = (predict_dataset(rival, films), rival.threshold)
    save_page(build_report(checkpoint, dataset, row, predictions, **more), arguments.report)
    cli.say(f"The page is {arguments.report}")


def _survey(folder: Path) -> dict[str, str]:
    """Says how films from elsewhere differ from those of the course; all of it, by file name."""
    from pneumo_utils.data.folders import list_films
    from pneumo_utils.guard.guard import survey_films

    films = list_films(folder)
    warnings = survey_films((film.path for film in films), folder=folder)
    cli.say(f"{len(warnings)} of {len(films)} films differ from the training films in size, shape or tones.")
    for name, text in list(warnings.items())[:5]:  # the results file has them all
        cli.say(f"  {name}: {text}")
    return warnings


def _export(arguments) -> None:
    checkpoint = cli.load_model(arguments)
    from pneumo_utils.models.onnx import NUM_CHECKED, export_onnx

    difference = export_onnx(checkpoint, arguments.output)
    print(
        f"{arguments.output}: {checkpoint.model_name}; on {NUM_CHECKED} phantoms its logits differ from "
        f"torch's by {difference:.1e} at most."
    )


def _answer(arguments) -> None:
    if not arguments.films + arguments.image_path:
        raise UsageError("No film was named; expected files or folders: `pneumo inference film.png`.")
    if arguments.csv and arguments.json:
        raise UsageError("--csv and --json were both given; expected one of them.")
    # An answer has no linear algebra for NumPy, whose threads would take as long to start as the rest of it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    checkpoint = cli.load_model(arguments)
    from pneumo_utils.app.batch import predict_files
    from pneumo_utils.app.predictor import Predictor
    from pneumo_utils.app.ray_engine import predict_files_on_ray
    from pneumo_utils.data.folders import list_files

    predictor = Predictor(checkpoint, screening=arguments.screening)
    paths, left_out = list_files(arguments.films + arguments.image_path)
    if left_out:
        cli.say(left_out)
    predict = predict_files_on_ray if arguments.engine == "ray" else predict_files
    if arguments.csv:
        num_answered = _write_table(predict, predictor, paths, arguments.csv)
    else:
        num_answered = 0
        for prediction in predict(predictor, paths):
            print(json.dumps(vars(prediction)) if arguments.json else prediction.describe(), flush=True)
            num_answered += prediction.status == "ok"
    if not num_answered:
        raise PneumoError("No film could be answered; mend what is said beside each, or name other films.")


def _write_table(predict, predictor, paths: list[Path], path: Path) -> int:
    """Adds the films that the table lacks; returns how many of `paths` have an answer in it then."""
    from tqdm import tqdm

    from pneumo_utils.app.batch import append_answers, choose_unanswered, sort_answers
    from pneumo_utils.runtime import lock_file

    place = path.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    # Absolute, so that the table can be continued from any folder.
    paths = [film.absolute() for film in paths if film.resolve() not in (place, Path(f"{place}.lock"))]
    model, threshold = predictor.checkpoint.model_name, predictor.threshold
    with lock_file(place, holder="another `pneumo inference`"):
        left = choose_unanswered(path, paths, model=model, threshold=threshold)
        num_done = len(paths) - len(left)
        if num_done:
            cli.say(f"{num_done} of {len(paths)} files have their row in {path} already.")
        answers = tqdm(predict(predictor, left), total=len(left), desc="films", leave=False, disable=None)
        counts = append_answers(path, answers)
        sort_answers(path, paths)
    cli.say(
        f"{path}: {len(left)} rows added, {counts['NORMAL']} NORMAL, {counts['PNEUMONIA']} PNEUMONIA "
        f"({counts['refer']} of these too close to call), {counts['rejected']} rejected."
    )
    return num_done + counts["NORMAL"] + counts["PNEUMONIA"]


def _serve(arguments) -> None:
    expect(1 <= arguments.port <= 65535, "The port", arguments.port, "1 to 65535")
    from pneumo_utils.app.jupyter import serve

    serve(port=arguments.port, open_browser=not arguments.no_browser)

"""`pneumo inference` and `pneumo app`."""

import json
from pathlib import Path

from pneumo_utils.cli import add_checkpoint_flags, add_command, add_flag, load_model, say
from pneumo_utils.errors import UsageError

ENGINE_HELP = (
    "local: this process; ray: all CPUs of the Ray cluster at RAY_ADDRESS, else of this machine; each "
    "machine of it needs this package and sees the films under the same path"
)


def add_commands(commands) -> None:
    """Adds the commands of this module."""
    parser = add_command(commands, "inference", _answer, text="answer for films")
    parser.add_argument("films", nargs="*", type=Path, help="files and folders of them")
    add_checkpoint_flags(parser, default="cnn_baseline")
    add_flag(parser, "image_path", nargs="+", default=[], type=Path, help="the same as FILMS")
    add_flag(parser, "screening", action="store_true", help="the threshold that misses few pneumonias")
    add_flag(parser, "json", action="store_true", help="one JSON object a film on standard output")
    add_flag(parser, "csv", type=Path, help="a table of answers; if it is there, films it lacks are added")
    add_flag(parser, "engine", choices=("local", "ray"), default="local", help=ENGINE_HELP)

    parser = add_command(commands, "app", _serve, text="show the upload panel as a page")
    add_flag(parser, "port", type=int, default=8866, help="of the page, on this computer alone")
    add_flag(parser, "no_browser", action="store_true", help="do not open the page")


def _answer(arguments) -> None:
    if not arguments.films + arguments.image_path:
        raise UsageError("No film was named; expected files or folders: `pneumo inference film.png`.")
    if arguments.csv and arguments.json:
        raise UsageError("--csv and --json were both given; expected one of them.")
    checkpoint = load_model(arguments)
    from pneumo_utils.app.predictor import Predictor
    from pneumo_utils.data.folders import list_files

    predictor = Predictor(checkpoint, screening=arguments.screening)
    paths, left_out = list_files(arguments.films + arguments.image_path)
    if left_out:
        say(left_out)
    if arguments.engine == "ray":
        from pneumo_utils.app.ray_engine import predict_files_on_ray as predict
    else:
        from pneumo_utils.app.batch import predict_files as predict
    if arguments.csv:
        _write_table(predict, predictor, paths, arguments.csv)
        return
    for prediction in predict(predictor, paths):
        print(json.dumps(prediction.to_dict()) if arguments.json else prediction.describe(), flush=True)


def _write_table(predict, predictor, paths: list[Path], path: Path) -> None:
    from tqdm import tqdm

    from pneumo_utils.app.batch import append_answers, read_answered

    done = read_answered(path, model=predictor.checkpoint.model_name, threshold=predictor.threshold)
    paths = [p for p in paths if p.resolve() != path.resolve()]
    left = [p for p in paths if str(p) not in done]
    if len(left) < len(paths):
        say(f"{len(paths) - len(left)} of {len(paths)} files have their row in {path} already.")
    answers = tqdm(predict(predictor, left), total=len(left), desc="films", leave=False, disable=None)
    counts = append_answers(path, answers)
    say(
        f"{path}: {len(left)} rows added, {counts['NORMAL']} NORMAL, {counts['PNEUMONIA']} PNEUMONIA "
        f"({counts['refer']} of these too close to call), {counts['rejected']} rejected."
    )


def _serve(arguments) -> None:
    from pneumo_utils.app.jupyter import serve

    serve(port=arguments.port, open_browser=not arguments.no_browser)

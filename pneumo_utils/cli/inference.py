"""`pneumo inference` and `pneumo app`."""

import json
from pathlib import Path

from pneumo_utils.cli.common import MODEL_HELP, find_model, flag, say

ENGINE_HELP = (
    "local: this process; ray: all CPUs of the Ray cluster at RAY_ADDRESS, else of this machine; each "
    "machine of it needs this package and sees the films under the same path"
)


def add_commands(commands) -> None:
    """Adds the commands of this module."""
    parser = commands.add_parser("inference", help="answer for films", description="Answer for films.")
    parser.add_argument("films", nargs="*", type=Path, help="files and folders of them")
    flag(parser, "model", default="cnn_baseline", help=MODEL_HELP)
    flag(parser, "checkpoint_path", type=Path, help="your own; else the one that ships")
    flag(parser, "shipped", action="store_true", help="the model that ships, even if you have your own")
    flag(parser, "image_path", nargs="+", default=[], type=Path, help="the same as FILMS")
    flag(parser, "screening", action="store_true", help="the threshold that misses few pneumonias")
    flag(parser, "json", action="store_true", help="one JSON object a film on standard output")
    flag(parser, "csv", type=Path, help="a table of answers; if it is there, films it lacks are added")
    flag(parser, "engine", choices=("local", "ray"), default="local", help=ENGINE_HELP)
    parser.set_defaults(run=_inference, output_dir=None)
    parser = commands.add_parser("app", help="the upload panel as a page", description="The upload panel.")
    flag(parser, "port", type=int, default=8866, help="of the page, on this computer alone")
    flag(parser, "no_browser", action="store_true", help="do not open the page")
    parser.set_defaults(run=_app)


def _inference(arguments) -> None:
    from pneumo_utils.errors import UsageError

    if not arguments.films + arguments.image_path:
        raise UsageError("No film was named; expected files or folders: `pneumo inference film.png`.")
    if arguments.csv and arguments.json:
        raise UsageError("--csv and --json were both given; expected one of them.")
    checkpoint = find_model(arguments)
    from pneumo_utils.app.predictor import Predictor
    from pneumo_utils.data.folders import list_files

    predictor = Predictor(checkpoint, screening=arguments.screening)
    paths, left_out = list_files(arguments.films + arguments.image_path)
    if left_out:
        say(left_out)
    predict = _find_engine(arguments.engine)
    if arguments.csv:
        _write_table(predict, predictor, paths, arguments.csv)
        return
    for prediction in predict(predictor, paths):
        print(json.dumps(prediction.to_dict()) if arguments.json else prediction.describe(), flush=True)


def _find_engine(name: str):
    if name == "ray":
        from pneumo_utils.app.ray_engine import predict_files_on_ray

        return predict_files_on_ray
    from pneumo_utils.app.batch import predict_files

    return predict_files


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


def _app(arguments) -> None:
    from pneumo_utils.app.jupyter import serve

    serve(port=arguments.port, open_browser=not arguments.no_browser)

"""`pneumo inference`."""

import json
from pathlib import Path

from pneumo_utils.cli.common import MODEL_HELP, find_model, flag


def add_commands(commands) -> None:
    """Adds the command of this module."""
    parser = commands.add_parser("inference", help="answer for films", description="Answer for films.")
    flag(parser, "model", required=True, help=MODEL_HELP)
    flag(parser, "checkpoint_path", type=Path, help="your own; else the one that ships")
    flag(parser, "shipped", action="store_true", help="the model that ships, even if you have your own")
    flag(parser, "image_path", nargs="+", required=True, type=Path, help="image files and folders of them")
    flag(parser, "screening", action="store_true", help="the threshold that misses few pneumonias")
    flag(parser, "json", action="store_true", help="one JSON object a film on standard output")
    parser.set_defaults(run=_inference, output_dir=None)


def _inference(arguments) -> None:
    checkpoint = find_model(arguments)
    from pneumo_utils.inference.predictor import Predictor, list_images

    predictor = Predictor(checkpoint, screening=arguments.screening)
    for image_path in list_images(arguments.image_path):
        prediction = predictor.predict(image_path)
        print(json.dumps(prediction.to_dict()) if arguments.json else prediction.describe(), flush=True)

"""`pneumo export`."""

from pathlib import Path

from pneumo_utils.cli.common import MODEL_HELP, find_model, flag


def add_commands(commands) -> None:
    """Adds the command of this module."""
    text = "write a trained model as one file for other programs"
    parser = commands.add_parser("export", help=text, description=f"{text.capitalize()}.")
    flag(parser, "model", required=True, help=MODEL_HELP)
    flag(parser, "checkpoint_path", type=Path, help="your own; else the one that ships")
    flag(parser, "shipped", action="store_true", help="the model that ships, even if you have your own")
    flag(parser, "format", choices=("onnx",), default="onnx", help="onnx if left out")
    flag(parser, "output", type=Path, required=True, help="the file, FILE.onnx")
    parser.set_defaults(run=_export, output_dir=None)


def _export(arguments) -> None:
    checkpoint = find_model(arguments)
    from pneumo_utils.models.onnx import NUM_CHECKED, export_onnx

    difference = export_onnx(checkpoint, arguments.output)
    print(
        f"{arguments.output}: {checkpoint.model_name}; on {NUM_CHECKED} phantoms its logits differ from "
        f"torch's by {difference:.1e} at most."
    )

"""What all figures share: a colour-blind safe palette, a style, the mark of phantoms."""

from pathlib import Path

from matplotlib.figure import Figure

from pneumo_utils.evaluation.plots.showing import describe_figure

# Okabe and Ito's palette: blue for NORMAL and the first curve, vermilion for PNEUMONIA and the second.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLE = {
    "figure.dpi": 80,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def mark_synthetic(text: str, synthetic: bool) -> str:
    """A title, marked where phantoms are behind the figure."""
    return f"SYNTHETIC: {text}" if synthetic else text


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG that holds its description too; the folder is made on demand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    description = {"Description": describe_figure(figure)}
    figure.savefig(path, dpi=150, bbox_inches="tight", metadata=description)
    return path

"""What others report on the official test split, to stand beside figures of our own."""

from dataclasses import dataclass

from pneumo_utils.evaluation.results import describe_data, format_percent, format_share


@dataclass(frozen=True)
class Published:
    """Figures that somebody published, on the 624 films of the official test split of ChestXRay2017.

    Attributes:
        name: The model and whose it is.
        accuracy: 0 to 1.
        auroc: 0 to 1.
        where: Where the figures stand, as Markdown.
    """

    name: str
    accuracy: float
    auroc: float
    where: str


MEDMNIST = "[arXiv 2110.14795](https://arxiv.org/abs/2110.14795)"
PUBLISHED = (
    Published("ResNet-18 at 224 px, MedMNIST v2", 0.864, 0.956, MEDMNIST),
    Published(
        "ResNet-18 at 224 px, MedMNIST+", 0.911, 0.980, "[arXiv 2404.15786](https://arxiv.org/abs/2404.15786)"
    ),
    Published(
        "Kermany et al., Cell 2018",
        0.928,
        0.968,
        "[doi 10.1016/j.cell.2018.02.010](https://doi.org/10.1016/j.cell.2018.02.010)",
    ),
    Published("Google AutoML Vision, MedMNIST v2", 0.946, 0.991, MEDMNIST),
)


def format_beside_published(rows: list[dict]) -> str:
    """A Markdown table of models with their intervals, published ones, and the rival that sees no film.

    Args:
        rows: Of one test split, 1 or more, from `evaluate`; other films than the official ones are named.

    Returns:
        Lines with no line break at the end.
    """
    lines = ["| model | accuracy % | AUROC | where |", "|" + " --- |" * 4]
    for row in rows:
        where = "here" if row["data"] == "chestxray2017" else f"here, on other films: {describe_data(row)}"
        lines.append(
            f"| **ours**: `{row['model']}` | {format_percent(row, 'accuracy')} | "
            f"{format_share(row, 'auroc')} | {where} |"
        )
    for other in PUBLISHED:
        lines.append(f"| {other.name} | {100 * other.accuracy:.1f} | {other.auroc:.3f} | {other.where} |")
    confusion = rows[0]["confusion"]
    ill = (confusion["tp"] + confusion["fn"]) / rows[0]["n"]
    lines.append(f"| calling every film pneumonia | {100 * ill:.1f} | 0.500 | |")
    return "\n".join(lines)

"""Measures the guard: how many chest films it lets through, how much of everything else it catches."""

import time

import numpy as np
import torch
from PIL import Image

from pneumo_utils.errors import ImageError
from pneumo_utils.guard.guard import MIN_SHORT_SIDE, SENTENCES, check_film
from tools.teach_guard.pictures import SEEN_DRAWINGS, SEEN_FAULTS, UNSEEN_DRAWINGS, UNSEEN_FAULTS

JUDGE_SEED = 10_000
DRAWING_SIZE = 256
ELSEWHERE = "elsewhere_chest_films"
"""The folder of outside pictures that are frontal films of another hospital."""


def judge_guard(
    films: np.ndarray,
    *,
    pictures: dict[str, list[np.ndarray]],
    seen_kinds: frozenset[str] = frozenset(),
    num_drawings: int = 200,
) -> dict:
    """What `check_film` says of films, of faulty films, of drawings and of outside pictures.

    Args:
        films: uint8 (N, S, S), chest films that nothing was chosen on; S even, 128 or more.
        pictures: Outside pictures by kind, as `read_pictures` returns them; kinds that end in "chest_films"
            are to be let through.
        seen_kinds: Kinds of outside pictures that were learnt from; the pictures judged are others.
        num_drawings: Drawings of each kind.

    Returns:
        "rows": one for each kind, with counts, and for chest films how many were "said" to be of which other
        kind; "summary": the shares over the rows; "ms_per_film".
    """
    rows = [_make_row("test films", films, is_chest=True, is_seen=True)]
    for fault in (*SEEN_FAULTS, *UNSEEN_FAULTS):
        kind = SEEN_FAULTS.get(fault)
        rows.append(_make_row(_name(fault), _spoil(films, fault), is_seen=kind is not None, kind=kind))
    for draw in (*SEEN_DRAWINGS, *UNSEEN_DRAWINGS):
        rng = np.random.default_rng(JUDGE_SEED)
        drawings = [np.array(draw(rng, DRAWING_SIZE)) for _ in range(num_drawings)]
        rows.append(_make_row(_name(draw), drawings, is_seen=draw in SEEN_DRAWINGS))
    for folder, images in pictures.items():
        kind = "side_view" if folder == "side_views" else None
        is_chest = folder.endswith("chest_films")
        name = f"pictures: {folder}"
        rows.append(_make_row(name, images, is_chest=is_chest, is_seen=folder in seen_kinds, kind=kind))
    return {"summary": _summarise(rows), "ms_per_film": _time(films), "rows": rows}


def judge_film(image: np.ndarray) -> tuple[str, str]:
    """The guard's verdict on uint8 (H, W), "accepted", "warned" or "rejected", and its sentences."""
    try:
        warnings = check_film(image)
    except ImageError as error:
        return "rejected", str(error)
    return "warned" if warnings else "accepted", " ".join(warnings)


def _make_row(name: str, images, *, is_seen: bool, is_chest: bool = False, kind: str | None = None) -> dict:
    """Counts for one kind; `kind` is given where one sentence is the right one."""
    verdicts = [judge_film(_enlarge(image)) for image in images]
    counts = {word: sum(v == word for v, _ in verdicts) for word in ("accepted", "warned", "rejected")}
    row = {"name": name, "is_chest": is_chest, "is_seen": is_seen, "n": len(verdicts), **counts}
    named = {name: sum(text in said for _, said in verdicts) for name, text in SENTENCES.items()}
    if is_chest:
        row["said"] = {name: count for name, count in named.items() if count}
    return row | ({"named": named[kind]} if kind else {})


def _summarise(rows: list[dict]) -> dict:
    def share(chosen, *words):
        n = sum(row["n"] for row in chosen)
        return round(sum(row[word] for row in chosen for word in words) / n, 4) if n else None

    chest = [row for row in rows if row["is_chest"]]
    summary = {}
    elsewhere = [row for row in chest if row["name"] == f"pictures: {ELSEWHERE}"]
    others = [row for row in chest[1:] if row not in elsewhere]
    for name, part in (("test_films", chest[:1]), (ELSEWHERE, elsewhere), ("other_chest_films", others)):
        summary[name] = {
            "n": sum(row["n"] for row in part),
            "let_through": share(part, "accepted", "warned"),
            "accepted": share(part, "accepted"),
        }
    for name, is_seen in (("seen_kinds", True), ("unseen_kinds", False)):
        part = [row for row in rows if not row["is_chest"] and row["is_seen"] == is_seen]
        summary[name] = {
            "n": sum(row["n"] for row in part),
            "caught": share(part, "warned", "rejected"),
            "rejected": share(part, "rejected"),
            "mean_caught_by_kind": round(
                float(np.mean([share([r], "warned", "rejected") for r in part if r["n"]])), 4
            ),
        }
    return summary


def _spoil(films: np.ndarray, fault) -> np.ndarray:
    generator = torch.Generator().manual_seed(JUDGE_SEED)
    spoilt = [
        fault(torch.from_numpy(part).float().div_(255)[:, None], generator)
        for part in np.array_split(films, -(-len(films) // 32))
    ]
    return torch.cat(spoilt)[:, 0].mul(255).round().byte().numpy()


def _enlarge(image: np.ndarray) -> np.ndarray:
    """At least as large as a film must be, so that nothing is caught by its size alone."""
    factor = MIN_SHORT_SIDE / min(image.shape)
    if factor <= 1:
        return image
    height, width = (int(np.ceil(side * factor)) for side in image.shape)
    return np.array(Image.fromarray(image).resize((width, height)))


def _time(films: np.ndarray) -> float:
    """Milliseconds for one film enlarged to 1,024 px a side, median of 20 runs."""
    film = np.array(Image.fromarray(films[0]).resize((1024, 1024)))
    spent = []
    for _ in range(20):
        started = time.perf_counter()
        judge_film(film)
        spent.append(time.perf_counter() - started)
    return round(1000 * float(np.median(spent)), 2)


def _name(function) -> str:
    return function.__name__.replace("_", " ")

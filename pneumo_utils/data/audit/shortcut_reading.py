"""The shortcut scores of a data set, and what they mean."""

from dataclasses import asdict

from pneumo_utils.data.audit.finding import FINE, LOOK, SERIOUS, Finding
from pneumo_utils.data.audit.shortcuts import compute_shortcuts
from pneumo_utils.data.audit.table import FilmFacts

FACTS = ("size", "aspect", "colour mode", "file bytes", "compression", "mean intensity", "marks and borders")
MUCH, SOME = 0.75, 0.6
"""AUROC from which a fact counts as telling much, or something, of the label."""


def describe_shortcuts(films: list[FilmFacts]) -> dict:
    """The scores on the train split, from which models learn, or on all films if there is no such split.

    Args:
        films: Readable ones.

    Returns:
        split, num_films, and scores: auroc, interval and reason by kind of facts.
    """
    has_train = any(film.file.split == "train" for film in films)
    chosen = [film for film in films if film.file.split == "train"] if has_train else films
    scores = {name: asdict(score) for name, score in compute_shortcuts(chosen).items()}
    return {"split": "train" if has_train else "all", "num_films": len(chosen), "scores": scores}


def rate_auroc(auroc: float) -> str:
    """How much an AUROC tells of the label, in words that begin with a verb."""
    if auroc >= 0.9:
        return "nearly gives the label away"
    if auroc >= MUCH:
        return "tells much of the label"
    return "tells something of the label" if auroc >= SOME else "tells hardly more than chance"


def explain_facts(summary: dict):
    """Yields what to make of file facts that predict the label.

    Args:
        summary: From `summarise`.
    """
    scores = summary["shortcuts"]["scores"]
    told = {name: scores[name]["auroc"] for name in FACTS if scores[name]["auroc"] is not None}
    if not told:
        reason = scores["all of these"]["reason"]
        yield Finding(LOOK, "Whether the files give the label away cannot be said.", reason)
        return
    name = max(told, key=told.get)
    others = [f"{other} {told[other]:.2f}" for other in told if told[other] >= SOME and other != name]
    text = (f"Others that tell: {', '.join(others)}. " if others else "") + (
        "No sign of disease was looked for. A model that reads such things scores well here and fails on "
        "films from elsewhere: read all films the same way, and vary in training what differs by class."
    )
    title = f"One fact alone, {name}, {rate_auroc(told[name])}: AUROC {told[name]:.2f}."
    yield Finding(_level(told[name]), title, text if told[name] >= SOME else "")


def explain_covered(summary: dict):
    """Yields what to make of films whose label shows with the lungs covered.

    Args:
        summary: From `summarise`.
    """
    scores = summary["shortcuts"]["scores"]
    covered, whole = scores["lungs covered"]["auroc"], scores["whole film"]["auroc"]
    if covered is None:
        return
    title = f"A film of 16 x 16 pixels with its lungs covered {rate_auroc(covered)}: AUROC {covered:.2f}"
    text = (
        "Position, age, exposure and what lies around the patient differ between the classes. A high score "
        "on such films does not show that a model looks at lungs: cover them and judge the model again."
    )
    yield Finding(_level(covered), f"{title} (uncovered {whole:.2f}).", text)


def _level(auroc: float) -> str:
    return SERIOUS if auroc >= MUCH else LOOK if auroc >= SOME else FINE

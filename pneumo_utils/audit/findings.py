"""What the figures of an audit mean, in words: findings from serious to fine."""

from collections.abc import Iterator
from dataclasses import dataclass

from pneumo_utils.config import CLASS_NAMES

SERIOUS, LOOK, FINE = "serious", "look", "fine"
LEVELS = (SERIOUS, LOOK, FINE)
FACTS = ("size", "aspect", "colour mode", "file bytes", "compression", "mean intensity", "marks and borders")
MIN_TELLING = 0.6  # AUROC from which a fact counts as telling something of the label


@dataclass(frozen=True)
class Finding:
    """What was found and what it means.

    Attributes:
        level: "serious" (figures from these data mislead unless something is done), "look" (a person
            should decide) or "fine".
        title: One sentence.
        text: How to read it, and what to do; may be empty.
    """

    level: str
    title: str
    text: str = ""


def make_findings(summary: dict) -> list[Finding]:
    """What the figures of `summarise` mean, the serious things first."""
    judges = (_judge_classes, _judge_patients, _judge_identical, _judge_near)
    judges += (_judge_facts, _judge_covered, _judge_marks, _judge_files)
    findings = [finding for judge in judges for finding in judge(summary)]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def make_count(count: int, noun: str) -> str:
    """`1 film`, `2 films`, `5,840 films`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def rate_auroc(auroc: float) -> tuple[str, str]:
    """How much an AUROC tells of the label: a level, and words that begin with a verb."""
    if auroc >= 0.9:
        return SERIOUS, "nearly gives the label away"
    if auroc >= 0.75:
        return SERIOUS, "tells much of the label"
    if auroc >= MIN_TELLING:
        return LOOK, "tells something of the label"
    return FINE, "tells hardly more than chance"


def _judge_classes(summary: dict) -> Iterator[Finding]:
    for name in CLASS_NAMES:
        empty = [split for split, count in summary["counts"].items() if count["classes"][name] == 0]
        if empty:
            where = "" if empty == ["all"] else f" in {', '.join(empty)}"
            text = "With one class nothing can be learnt or judged. Add films of the other."
            yield Finding(SERIOUS, f"There is no film of class {name}{where}.", text)


def _judge_patients(summary: dict) -> Iterator[Finding]:
    patients, num_films = summary["patients"], summary["num_films"]
    if len(summary["counts"]) < 2:
        return
    if patients["coarse"] is None:
        title = "Nobody can say from these file names whether a patient is in two splits."
        text = "Ask where the films come from before figures on the test split are believed."
        yield Finding(LOOK, title, text)
        return
    if patients["named_films"] < num_films:
        unnamed = make_count(num_films - patients["named_films"], "film")
        title = f"The names of {unnamed} of {num_films:,} tell no patient."
        yield Finding(LOOK, title, "What is said of patients holds for the other films only.")
    for pair, coarse in patients["coarse"]["shared"].items():
        yield _judge_pair(pair.replace("/", " and "), coarse, patients["fine"]["shared"][pair])


def _judge_pair(pair: str, coarse: dict, fine: dict) -> Finding:
    if fine["count"]:
        title = f"{make_count(fine['count'], 'patient')} with films in both {pair}, by number and pathogen."
        text = "A model has seen these patients when it is judged: move all films of a patient to one side."
        return Finding(SERIOUS, title, text)
    if coarse["count"]:
        count = make_count(coarse["count"], "patient number")
        title = f"{count} in both {pair}, none with the same pathogen; all {' and '.join(coarse['classes'])}."
        text = (
            "Either the numbers start again with each series (bacterial, viral) and these are different "
            "children, or some children had both: the names cannot tell. So treat a number as one child, "
            "the coarse key, whenever you cut off a validation split."
        )
        return Finding(LOOK, title, text)
    return Finding(FINE, f"No patient is in both {pair}, as far as the file names tell.")


def _judge_identical(summary: dict) -> Iterator[Finding]:
    found, counts = summary["duplicates"]["identical"], summary["counts"]
    if not found["groups"]:
        yield Finding(FINE, "No two films have identical pixels.")
    if found["across_classes"]:
        count = make_count(found["across_classes"], "group")
        text = "One of the labels is wrong: ask who gave them, or leave the films out."
        yield Finding(SERIOUS, f"{count} of identical films with both labels.", text)
    if found["across_splits"]:
        count = make_count(found["across_splits"], "group")
        text = "A model has seen these films when it is judged: keep them on one side."
        yield Finding(SERIOUS, f"{count} of identical films in more than one split.", text)
    within = found["within_split"]
    if within:
        none = ", none across splits" if len(counts) > 1 and not found["across_splits"] else ""
        title = f"{make_count(sum(within.values()), 'group')} of identical films within one split{none}."
        different = ", ".join(
            f"{counts[split]['different']:,} of {counts[split]['films']:,} in {split}" for split in within
        )
        text = f"Each group counts as often as it has films. Different films: {different}."
        yield Finding(LOOK, title, text)
    if found["across_patients"]:
        count = make_count(found["across_patients"], "group")
        text = "So a number in a file name does not always tell who it is. In the list, these come first."
        yield Finding(LOOK, f"{count} of identical films under different patients.", text)


def _judge_near(summary: dict) -> Iterator[Finding]:
    found = summary["duplicates"]["near"]
    if not found["pairs"]:
        text = "A copy saved, sized or toned anew would be found; one mirrored or strongly cropped would not."
        yield Finding(FINE, "No two films nearly repeat each other.", text)
        return
    crossing = f"{found['across_splits']:,}" if found["across_splits"] else "none"
    where = f", {crossing} across splits" if len(summary["counts"]) > 1 else ""
    text = "The same film saved anew, or a second exposure of the same patient: look at them and decide."
    level = SERIOUS if found["across_splits"] or found["across_classes"] else LOOK
    yield Finding(level, f"{make_count(found['pairs'], 'pair')} of films nearly the same{where}.", text)


def _judge_facts(summary: dict) -> Iterator[Finding]:
    scores = summary["shortcuts"]["scores"]
    told = {name: scores[name]["auroc"] for name in FACTS if scores[name]["auroc"] is not None}
    if not told:
        reason = scores["all of these"]["reason"]
        yield Finding(LOOK, "Whether the files give the label away cannot be said.", reason)
        return
    name = max(told, key=told.get)
    level, words = rate_auroc(told[name])
    others = [f"{other} {told[other]:.2f}" for other in told if told[other] >= MIN_TELLING and other != name]
    text = (f"Others that tell: {', '.join(others)}. " if others else "") + (
        "No sign of disease was looked for. A model that reads such things scores well here and fails on "
        "films from elsewhere: read all films the same way, and vary in training what differs by class."
    )
    title = f"One fact alone, {name}, {words}: AUROC {told[name]:.2f}."
    yield Finding(level, title, "" if level == FINE else text)


def _judge_covered(summary: dict) -> Iterator[Finding]:
    scores = summary["shortcuts"]["scores"]
    covered, whole = scores["lungs covered"]["auroc"], scores["whole film"]["auroc"]
    if covered is None:
        return
    level, words = rate_auroc(covered)
    title = f"A film of 16 x 16 pixels with its lungs covered {words}: AUROC {covered:.2f}"
    text = (
        "Position, age, exposure and what lies around the patient differ between the classes. A high score "
        "on such films does not show that a model looks at lungs: cover them and judge the model again."
    )
    yield Finding(level, f"{title} (uncovered {whole:.2f}).", text)


def _judge_marks(summary: dict) -> Iterator[Finding]:
    classes = {name: values for name, values in summary["classes"].items() if values["films"]}
    if any(values["with_marks"] for values in classes.values()):
        shares = [
            f"{values['with_marks'] / values['films']:.0%} of {name} films"
            for name, values in classes.items()
        ]
        text = (
            "Found by a simple rule that takes metal for letters and misses faint ones. Where shape or place "
            "differs between the classes, a model can read them: cover corners in training."
        )
        yield Finding(LOOK, f"Letters or metal near the edge on {' and '.join(shares)}.", text)


def _judge_files(summary: dict) -> Iterator[Finding]:
    words = {"damaged": "cannot be read", "suspicious": "odd but readable", "not_read": "beside the films"}
    for kind, what in words.items():
        reasons = summary["files"][kind]
        count = len({name for names in reasons.values() for name in names})
        if count:
            text = "; ".join(f"{reason} ({len(names)})" for reason, names in list(reasons.items())[:4])
            yield Finding(LOOK, f"{make_count(count, 'file')} {what}.", text)
    if not summary["files"]["damaged"]:
        yield Finding(FINE, f"All {make_count(summary['num_films'], 'film')} can be read.")

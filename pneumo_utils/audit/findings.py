"""What an audit found, in words: findings from serious to fine, and the page, JSON and text of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from pneumo_utils.audit.facts import FILM_SIZE, THUMBNAIL_SIZE, AuditTable
from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.augmentation import make_lung_mask
from pneumo_utils.data.images import load_image
from pneumo_utils.evaluation.results import format_interval
from pneumo_utils.plots.films import plot_shortcuts, plot_spread
from pneumo_utils.report.html import film_to_html, render

SERIOUS, LOOK, FINE = "serious", "look", "fine"
LEVELS = (SERIOUS, LOOK, FINE)
FACTS = ("size", "aspect", "colour mode", "file bytes", "compression", "mean intensity", "marks and borders")
SPREAD = {"aspect": "width over height", "kilobytes": "file size, kB", "mean_intensity": "mean grey level"}
MAX_PAIRS = 6  # pictures of near-duplicates
MAX_MARKED = 8  # pictures of marked films, of each class
MIN_TELLING = 0.6  # AUROC from which a fact counts as telling something of the label


@dataclass(frozen=True)
class Finding:
    """What was found, in one sentence, and how to read it."""

    level: str  # SERIOUS: figures mislead unless something is done; LOOK: a person should decide; or FINE
    title: str
    text: str = ""


def make_findings(summary: dict) -> list[Finding]:
    """What the figures of `summarise` mean, the serious things first."""
    judges = (_judge_classes, _judge_patients, _judge_identical, _judge_near)
    judges += (_judge_facts, _judge_covered, _judge_shift, _judge_marks, _judge_files)
    findings = [finding for judge in judges for finding in judge(summary)]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def make_count(count: int, noun: str) -> str:
    """`1 film`, `5,840 films`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def rate_auroc(auroc: float) -> tuple[str, str]:
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
    name = max(told, key=told.__getitem__)
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


def _judge_shift(summary: dict) -> Iterator[Finding]:
    told = [row for row in summary["split_shift"] if row["auroc"] is not None]
    if told:
        row = max(told, key=lambda row: row["interval"][0])  # of several, the highest is partly luck
        level, _ = rate_auroc(row["interval"][0])
        where = f"AUROC {row['auroc']:.2f} by {row['facts']}, {row['films']}; one origin gives 0.50"
        text = "A model chosen on films cut from train does worse on test, whose films have another origin."
        yield Finding(level, f"How well train is told from test: {where}.", "" if level == FINE else text)


def _judge_marks(summary: dict) -> Iterator[Finding]:
    classes = {name: values for name, values in summary["classes"].items() if values["films"]}
    if any(values["with_marks"] for values in classes.values()):
        shares = [f"{v['with_marks'] / v['films']:.0%} of {name} films" for name, v in classes.items()]
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


def format_json(summary: dict, findings: list[Finding]) -> str:
    """Figures and findings as JSON; an undefined figure is null, never NaN."""
    return json.dumps(summary | {"findings": [vars(finding) for finding in findings]}, allow_nan=False)


def format_text(summary: dict, findings: list[Finding]) -> str:
    """What the command line prints: the counts, then the findings."""
    lines = [f"{make_count(summary['num_films'], 'film')} in {summary['folder']}"]
    for split, count in summary["counts"].items():
        classes = " + ".join(f"{number:,} {name}" for name, number in count["classes"].items())
        lines.append(f"{split}: {classes}")
    for row in summary["split_shift"]:
        figures = format_interval(row["auroc"], row["interval"]), format_interval(row["permuted"], None)
        lines.append(f"train or test by {row['facts']}, {row['films']}: AUROC {', permuted '.join(figures)}")
    for finding in findings:
        lines += ["", f"[{finding.level}] {finding.title}"]
        if finding.text:
            lines.append(finding.text)
    return "\n".join(lines)


def build_page(summary: dict, findings: list[Finding], table: AuditTable) -> str:
    """The page of a table as HTML, with all its pictures inside it."""
    films, damaged = table.readable, summary["num_films"] - summary["num_readable"]
    subtypes = set().union(*(count["subtypes"] for count in summary["counts"].values()))
    shortcuts = summary["shortcuts"]
    is_scored = any(score["auroc"] is not None for score in shortcuts["scores"].values())
    varying = {column: label for column, label in SPREAD.items() if films[column].nunique() > 1}
    return render(
        "audit.html",
        title=f"Data audit: {Path(summary['folder']).name or summary['folder']}",
        subtitle=f"{make_count(summary['num_films'], 'film')}, {damaged:,} damaged.",
        summary=summary,
        findings=findings,
        class_names=list(CLASS_NAMES),
        subtypes=sorted(subtypes - {"normal"}),
        near_films=_show_near_films(summary["duplicates"]["near"]["names"], films),
        spread={label: plot_spread(films, column, label=label) for column, label in varying.items()},
        shortcuts=plot_shortcuts(shortcuts) if is_scored else None,
        mean_films=_show_mean_films(films),
        marked_films=_show_marked_films(films),
    )


def _show_near_films(pairs: list[dict], films: pd.DataFrame) -> list[str]:
    paths = dict(zip(films["name"], films["path"], strict=True))
    return [
        film_to_html(_load_film(paths[name]), f"pair {number}, correlation {pair['correlation']:.2f}: {name}")
        for number, pair in enumerate(pairs[:MAX_PAIRS], start=1)
        for name in pair["films"]
    ]


def _load_film(path: Path) -> np.ndarray:
    return load_image(load_image(path), image_size=FILM_SIZE)


def _show_mean_films(films: pd.DataFrame) -> list[str]:
    pictures = []
    for name, thumbnails in films.groupby("class_name")["thumbnail"]:
        mean = np.mean(thumbnails.tolist(), axis=0).round().astype(np.uint8)
        covered = np.where(make_lung_mask(THUMBNAIL_SIZE), np.uint8(0), mean)
        for pixels, words in ((mean, "mean of"), (covered, "lungs covered, mean of")):
            caption = f"{words} {make_count(len(thumbnails), f'{name} film')}"
            pictures.append(film_to_html(load_image(pixels, image_size=FILM_SIZE), caption))
    return pictures


def _show_marked_films(films: pd.DataFrame) -> list[str]:
    classes = (films[films["class_name"] == name] for name in CLASS_NAMES)
    chosen = pd.concat(choose_marked(part, MAX_MARKED) for part in classes)
    captions = [f"{row.class_name}: {PurePosixPath(row.name).name}" for row in chosen.itertuples()]
    films = zip(chosen["path"], captions, chosen["marks"], strict=True)
    return [film_to_html(_load_film(path), caption, boxes=marks) for path, caption, marks in films]


def choose_marked(films: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` films that have marks, evenly picked: what the rule gets wrong should show as well."""
    marked = films[films["marks"].map(len) > 0]
    return marked if len(marked) <= count else marked.iloc[[i * len(marked) // count for i in range(count)]]

"""Which patients have films in two splits, as far as the file names tell."""

from collections import defaultdict
from itertools import combinations

from pneumo_utils.config import CLASS_NAMES
from pneumo_utils.data.audit.files import AuditFile
from pneumo_utils.data.audit.finding import FINE, LOOK, SERIOUS, Finding, make_count


def compare_patients(files: list[AuditFile]) -> dict:
    """Patients of each split and those that two splits share, under both keys.

    Only files whose names tell a patient are counted. The coarse key is the number alone (`person12`),
    the fine key the number and the pathogen (`person12 viral`).

    Returns:
        named_films; for "coarse" and "fine", num_patients by split and shared by pair of splits, with the
        count, the classes and the patients, both None if no name tells; reason, empty unless so.
    """
    named = [file for file in files if file.tells_patient]
    if not named:
        reason = "No file name has a form that tells the patient."
        return {"named_films": 0, "coarse": None, "fine": None, "reason": reason}
    keys = {"coarse": [file.patient for file in named], "fine": [file.series for file in named]}
    compared = {name: _compare_key(named, key) for name, key in keys.items()}
    return {"named_films": len(named)} | compared | {"reason": ""}


def _compare_key(named: list[AuditFile], keys: list[str]) -> dict:
    patients, classes = defaultdict(set), defaultdict(set)
    for file, key in zip(named, keys, strict=True):
        patients[file.split].add(key)
        classes[key].add(CLASS_NAMES[file.label])
    shared = {f"{a}/{b}": sorted(patients[a] & patients[b]) for a, b in combinations(patients, 2)}
    return {
        "num_patients": {split: len(members) for split, members in patients.items()},
        "shared": {pair: _describe_shared(members, classes) for pair, members in shared.items()},
    }


def _describe_shared(members: list[str], classes: dict[str, set[str]]) -> dict:
    names = sorted(set().union(*(classes[member] for member in members)))
    return {"count": len(members), "classes": names, "patients": members}


def explain_patients(summary: dict):
    """Yields what to make of patients in two splits.

    Args:
        summary: From `summarise`.
    """
    patients, num_films = summary["patients"], summary["num_films"]
    if len(summary["counts"]) < 2:
        return
    if patients["coarse"] is None:
        title = "Nobody can say from these file names whether a patient is in two splits."
        yield Finding(
            LOOK, title, "Ask where the films come from before figures on the test split are believed."
        )
        return
    if patients["named_films"] < num_films:
        unnamed = make_count(num_films - patients["named_films"], "film")
        title = f"The names of {unnamed} of {num_films:,} tell no patient."
        yield Finding(LOOK, title, "What is said of patients holds for the other films only.")
    for pair, coarse in patients["coarse"]["shared"].items():
        yield _explain_pair(pair.replace("/", " and "), coarse, patients["fine"]["shared"][pair])


def _explain_pair(pair: str, coarse: dict, fine: dict) -> Finding:
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

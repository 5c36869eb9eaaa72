"""Records what the package answers, so that a rewrite can be held against it.

    python tools/freeze.py record FOLDER --data CHEST_XRAY_224 [--extra FILMS ...]
    python tools/freeze.py compare FOLDER --data CHEST_XRAY_224 [--only arrays logits audit answers report]

`record` writes a file a part into FOLDER, and the files whose answers are frozen. `compare` computes again
and prints a line for each difference with its size: "DIFFERENT" beyond 1e-6, which makes the exit code 1, or
"moved" for what hangs on random draws or on a library's kernel (`MAY_MOVE`), which counts beyond 0.02 only.
The package is the one that Python imports, so `PYTHONPATH` chooses the checkout. Films are decoded anew by
each run, in a project folder of its own.
"""

import argparse
import hashlib
import importlib.metadata
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageFilter, ImageOps

TOLERANCE, MAX_MOVE = 1e-6, 0.02
MAY_MOVE = re.compile("interval|corruption|stretch_auroc_loss|findings| is new$")
IMAGE_SIZES, SPLITS = (64, 128), ("train", "val", "test")
LIBS = ("numpy", "torch", "torchvision", "onnxruntime", "scikit-learn", "pillow", "pydicom", "imagecodecs")
NAMES = {
    "data.sources": ("choose_data", "load_split"),
    "data.images": ("load_image",),
    "errors": ("ImageError",),
    "models.shipped": ("list_shipped", "load_shipped"),
    "app.predictor": ("make_engine",),
    "evaluation.evaluate": ("make_predict",),
    "evaluation.metrics": ("Predictions", "compute_metrics", "compute_intervals"),
    "evaluation.compare": ("compare_all",),
    "evaluation.robustness": ("compute_corruption_curves",),
}
"""All that is taken from inside the package, by module: to be mended when it moves."""
ROWS = {"cnn_baseline": ("val", "test"), "efficientnet_lite0_finetune": ("test",)}
"""What `pneumo eval` judges; the point estimates of all models come from the frozen logits."""
MAX_FILE_BYTES = 16_000_000
NUM_FILMS = 40


def load_names() -> SimpleNamespace:
    """What `NAMES` lists."""
    modules = {name: import_module(f"pneumo_utils.{room}") for room, names in NAMES.items() for name in names}
    return SimpleNamespace(**{name: getattr(module, name) for name, module in modules.items()})


def find_checkout() -> Path:
    """The folder that holds the package."""
    import pneumo_utils

    return Path(pneumo_utils.__file__).resolve().parents[1]


def run_pneumo(*words, cwd: Path | None = None) -> str:
    """What a command prints on standard output."""
    command = [sys.executable, "-m", "pneumo_utils", *map(str, words)]
    env = os.environ | {"PYTHONPATH": str(find_checkout())}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        sys.exit(f"pneumo {' '.join(command[3:6])} ... ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def make_hash(pixels: np.ndarray) -> str:
    """16 hex digits that change with any pixel."""
    return hashlib.blake2b(pixels.tobytes(), digest_size=8).hexdigest()


# --- the parts: each gives plain values -----------------------------------------------------------------


def compute_arrays(folder: Path, data: Path) -> dict:
    """A hash and the mean level of each film, and what is known of it, as they come from the cache."""
    names, parts = load_names(), {}
    choice = names.choose_data(str(data))
    for size in IMAGE_SIZES:
        for split in SPLITS:
            reading = {"image_size": size, "preset": "grey"}
            names.load_split(choice, split, **reading)  # decodes; the second call reads what was kept
            films = names.load_split(choice, split, **reading)
            parts[f"{split} {size}"] = {
                "shape": [str(films.images.dtype), *films.images.shape],
                "hashes": [make_hash(film) for film in films.images],
                "mean levels": [float(film.mean()) for film in films.images],
                **{
                    name: getattr(films, name).tolist()
                    for name in ("labels", "patients", "subtypes", "names")
                },
                "sizes": films.sizes.tolist(),
            }
    return parts


def compute_logits(folder: Path, data: Path) -> dict:
    """The logits of all models that ship, by torch as `eval` computes them and by ONNX Runtime."""
    names, found = load_names(), {}
    choice = names.choose_data(str(data))
    for split in ("val", "test"):
        for model in names.list_shipped():
            checkpoint = names.load_shipped(model)
            films = names.load_split(choice, split, **checkpoint.transform.reading)
            probs, engine = names.make_predict(checkpoint)(films), names.make_engine(checkpoint)
            batches = np.array_split(films.images, -(-len(films) // 64))
            found[f"{model} {split} torch"] = checkpoint.temperature * np.log(probs / (1 - probs))
            found[f"{model} {split} onnx"] = np.concatenate([engine.compute_logits(b) for b in batches])
        found |= {f"{name} {split}": getattr(films, name) for name in ("labels", "patients", "names")}
    return {name: values.tolist() for name, values in found.items()}


def compute_audit(folder: Path, data: Path) -> dict:
    """The figures of `pneumo data audit`."""
    figures = json.loads(run_pneumo("data", "audit", data, "--json"))
    return {name: value for name, value in figures.items() if name != "folder"}


def compute_answers(folder: Path, data: Path) -> dict:
    """What `pneumo inference` says of each frozen file, and the pixels that are read from it: most odd files
    are no chest films, so that the guard rejects them whatever their pixels."""
    names, files = load_names(), sorted(path.name for path in (folder / "files").iterdir())
    words = ("--model", "cnn_baseline", "--shipped", "--json")
    answers = map(json.loads, run_pneumo("inference", *files, *words, cwd=folder / "files").splitlines())
    found = {answer.pop("path"): {k: v for k, v in answer.items() if k != "time_s"} for answer in answers}
    for name in files:
        try:
            pixels = names.load_image(folder / "files" / name)
            found[name]["pixels"] = [*pixels.shape, make_hash(pixels), float(pixels.mean())]
        except names.ImageError as error:
            found[name]["pixels"] = str(error)
    return found


def compute_report(folder: Path, data: Path) -> dict:
    """Rows of `pneumo eval`, and figures and comparisons of the frozen logits."""
    names, found = load_names(), {}
    for model, splits in ROWS.items():
        for split in splits:
            words = ("--model", model, "--shipped", "--split", split, "--data", data, "--json")
            row = json.loads(run_pneumo("eval", *words))
            found[f"row {model} {split}"] = {k: v for k, v in row.items() if k not in ("date", "versions")}
    for split in ("val", "test"):
        found[f"figures {split}"] = judge_frozen(names, read_part(folder, "logits"), split)
    checkpoint, choice = names.load_shipped("cnn_baseline"), names.choose_data(str(data))
    films = names.load_split(choice, "test", **checkpoint.transform.reading)
    found["corruption"] = names.compute_corruption_curves(
        names.make_predict(checkpoint), films, threshold=checkpoint.threshold, severities=(3,)
    )
    return found


def judge_frozen(names: SimpleNamespace, frozen: dict, split: str) -> dict:
    """Figures of each model from its frozen logits, and the comparison of all of them."""
    labels, *others = (np.array(frozen[f"{name} {split}"]) for name in ("labels", "patients", "names"))
    models, thresholds, found = {}, {}, {}
    for model in names.list_shipped():
        checkpoint = names.load_shipped(model)
        probs = 1 / (1 + np.exp(-np.array(frozen[f"{model} {split} torch"]) / checkpoint.temperature))
        models[model] = names.Predictions(labels, probs, *others)
        thresholds[model] = checkpoint.threshold
        for point in ("threshold", "screening_threshold"):
            at = {"threshold": getattr(checkpoint, point)}
            intervals = {"intervals": names.compute_intervals(models[model], **at)}
            found[f"{model} {point}"] = at | names.compute_metrics(labels, probs, **at) | intervals
    for row in names.compare_all(models, thresholds=thresholds):
        difference = row.difference
        found[f"{row.second} - {row.first}, {difference.metric}"] = {
            "value": difference.value,
            "p film by film": row.film_p_holm,
            "interval": [difference.low, difference.high],
        }
    return found


PARTS = {
    "arrays": compute_arrays,
    "logits": compute_logits,
    "audit": compute_audit,
    "answers": compute_answers,
    "report": compute_report,
}


# --- the files whose answers are frozen -----------------------------------------------------------------


def write_files(folder: Path, data: Path, extra: list[Path]) -> None:
    """Writes the hostile files of the tests, and sound and spoilt films of the data in many formats."""
    sys.path.insert(0, str(find_checkout() / "tests"))
    from odd_files import KINDS

    unfinished = folder / "files.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for number, kind in enumerate(KINDS):
        with tempfile.TemporaryDirectory() as own:
            source = kind.make(Path(own))
            if isinstance(source, (str, Path)) and str(source).startswith(own) and os.path.isfile(source):
                source = Path(source).read_bytes() if Path(source).stat().st_size < MAX_FILE_BYTES else None
        if isinstance(source, bytes) and len(source) < MAX_FILE_BYTES:
            name = re.sub(r"\W+", "_", kind.name, flags=re.ASCII)
            (unfinished / f"kind_{number:03d}_{name[:60]}").write_bytes(source)
    films = sorted(data.glob("test/*/*.jpeg"))
    for path in films[:: max(1, len(films) // NUM_FILMS)]:
        shutil.copyfile(path, unfinished / f"film_{path.name}")
    for path in (films[0], films[-1]):
        for name, content in make_variants(Image.open(path).convert("L")).items():
            (unfinished / f"variant_{path.stem}_{name}").write_bytes(content)
    for place in extra:
        found = sorted(path for path in place.rglob("*") if path.is_file())
        for path in found[:: max(1, len(found) // NUM_FILMS)]:
            shutil.copyfile(path, unfinished / f"extra_{place.name}_{path.name}")
    unfinished.rename(folder / "files")


def make_variants(film: Image.Image) -> dict[str, bytes]:
    """A film in many formats, DICOM included, of many sizes, and spoilt."""
    import dicom_files

    pixels = np.array(film)
    words, noise = pixels.astype(np.uint16) * 16, np.random.default_rng(0).normal(0, 60, pixels.shape)
    written = {
        "png": film,
        "16 bits png": Image.fromarray(words),
        "alpha png": film.convert("LA"),
        "tiff": film,
        "bmp": film,
        "webp": film.convert("RGB"),
        "colour jpeg": film.convert("RGB"),
        "large jpeg": film.resize((1400, 1100)),
        "huge jpeg": film.resize((3000, 2400)),
        "small jpeg": film.resize((100, 90)),
        "wide png": film.resize((900, 300)),
        "head down png": film.rotate(180),
        "turned png": film.rotate(90),
        "mirrored png": ImageOps.mirror(film),
        "inverted png": ImageOps.invert(film),
        "blurred png": film.filter(ImageFilter.GaussianBlur(12)),
        "noisy png": Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)),
        "cut png": film.crop((50, 50, 140, 130)),
        "two films png": Image.fromarray(np.hstack([pixels, pixels])),
        "pale png": film.point(lambda level: 200 + level // 10),
        "tinted png": ImageOps.colorize(film, "navy", "orange"),
    }
    contents = {}
    for name, image in written.items():
        stream = io.BytesIO()
        image.save(stream, name.split()[-1])
        contents[name.replace(" ", "_")] = stream.getvalue()
    stream, turned = io.BytesIO(), Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    film.save(stream, "JPEG", exif=turned)
    contents["camera"] = stream.getvalue()
    for syntax in (*dicom_files.LOSSLESS, *dicom_files.LOSSY):
        contents[f"dicom_{syntax}"] = dicom_files.make_dicom(pixels, syntax)
    for syntax in dicom_files.LOSSLESS:
        window = {"WindowCenter": 2000, "WindowWidth": 3000}
        contents[f"dicom_12_bits_{syntax}"] = dicom_files.make_dicom(words, syntax, bits=12, **window)
    contents["dicom_negative"] = dicom_files.make_dicom(pixels, PhotometricInterpretation="MONOCHROME1")
    return contents


# --- recording and comparing ----------------------------------------------------------------------------


def find_differences(old, new, place: str) -> Iterator[tuple[str, str, float]]:
    """Yields place, text and size of all that differs beyond `TOLERANCE`; the size is 0 where words differ
    or a value is new, infinite where values are of different kinds or gone."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old | new:
            if key in old and key in new:
                yield from find_differences(old[key], new[key], f"{place}/{key}")
            elif key in old:
                yield f"{place}/{key} is gone", "", math.inf
            else:
                yield f"{place}/{key} is new", "", 0.0
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        inside = [found for i, pair in pairs for found in find_differences(*pair, f"{place}/{i}")]
        if len(inside) > 3:
            where, text, size = max(inside, key=lambda found: found[2])
            text = f"{len(inside)} differences in {len(old)} entries, the largest at {where}: {text}"
            inside = [(place, text, size)]
        yield from inside
    elif isinstance(old, (int, float)) and isinstance(new, (int, float)):
        if not abs(new - old) <= TOLERANCE:
            yield place, f"{old} -> {new}", abs(new - old)
    elif old != new:
        is_text = isinstance(old, str) and isinstance(new, str)
        yield place, f"{str(old)[:200]!r} -> {str(new)[:200]!r}", 0.0 if is_text else math.inf


def read_part(folder: Path, part: str) -> dict:
    """What was recorded."""
    if part != "logits":
        return json.loads((folder / f"{part}.json").read_text(encoding="utf-8"))
    with np.load(folder / "logits.npz") as file:
        return {name: file[name].tolist() for name in file}


def write_part(folder: Path, part: str, values: dict) -> None:
    """Keeps a part; logits as arrays, the rest as JSON."""
    if part == "logits":
        arrays = {name: np.array(value) for name, value in values.items()}
        np.savez_compressed(folder / "logits.npz", **arrays)
    else:
        (folder / f"{part}.json").write_text(
            json.dumps(values, indent=1) + "\n", encoding="utf-8", newline="\n"
        )


def compare_part(folder: Path, part: str, values: dict) -> int:
    """Prints what differs from what was recorded, and returns how much of that counts."""
    count = 0
    for place, text, size in find_differences(read_part(folder, part), values, part):
        is_move = bool(MAY_MOVE.search(place)) and size <= MAX_MOVE
        count += not is_move
        print(f"{'moved' if is_move else 'DIFFERENT'} {place}: {text} (by {size:.3g})", flush=True)
    return count


def main() -> int:
    """Runs the parts that were asked for, each in a project folder of this run alone."""
    kind = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    parser.add_argument("action", choices=("record", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="films in the layout of ChestXRay2017")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="all if left out")
    parser.add_argument("--extra", nargs="+", type=Path, default=[], help="folders of films to answer for")
    asked = parser.parse_args()
    folder, data, is_new, count = asked.folder.resolve(), asked.data.resolve(), asked.action == "record", 0
    about = {name: importlib.metadata.version(name) for name in LIBS}
    print(f"The package is in {find_checkout()}", file=sys.stderr)
    if is_new:
        there = [part for part in asked.only if list(folder.glob(f"{part}.*"))]
        if there:
            sys.exit(f"{folder} holds {', '.join(there)} already; remove it, or name another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        write_part(folder, "about", about)
        if "answers" in asked.only and not (folder / "files").exists():
            write_files(folder, data, asked.extra)
    elif about != read_part(folder, "about"):
        print(f"note: recorded with {read_part(folder, 'about')}, now {about}")
    for name in ("PNEUMO_DATA", "PNEUMO_FAST"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as home:
        os.environ["PNEUMO_HOME"] = home
        for part in (part for part in PARTS if part in asked.only):
            started = time.perf_counter()
            values = json.loads(json.dumps(PARTS[part](folder, data)))
            found = write_part(folder, part, values) if is_new else compare_part(folder, part, values)
            count += found or 0
            told = "recorded" if is_new else f"{found} differences"
            print(f"{part}: {told}, {time.perf_counter() - started:.0f} s", flush=True)
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())

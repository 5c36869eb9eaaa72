"""Reads hostile files in processes of their own, and says what each cost and whether anything escaped.

First every kind of the tests and of the two modules beside this one, then films of every format that are
damaged at random.
A file may be accepted or rejected. It has escaped if it ends in another exception, in a crash, in more than
10 s or 1 GB, if anything is printed, or if a kind is not treated as it must be. Needs Linux.
"""

import collections
import json
import os
import select
import signal
import struct
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
from dicom_files import LOSSLESS, LOSSY, make_dicom
from odd_files import FILM, KINDS, RAW16, SMOOTH, WHOLE, encode

from pneumo_utils.data.images import load_image
from pneumo_utils.errors import ImageError, PneumoError
from tools.benchmarks import _hostile_dicom, _hostile_pictures, require_linux

MAX_TIME_S, MAX_MEMORY_MB, KILL_AFTER_S = 10.0, 1000.0, 20.0


def add_flags(parser) -> None:
    """Adds the words of this benchmark."""
    parser.add_argument("--mutations", type=int, default=10_000, help="damaged films to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep the damaged films that escaped in this folder")


def measure(arguments) -> dict:
    """A row for each kind, and the counts of the damaged films.

    Raises:
        PneumoError: Anything escaped.
    """
    require_linux("fork")
    rows, damaged = measure_kinds(), fuzz(arguments.mutations, arguments.seed, arguments.keep)
    escaped = [row["kind"] for row in rows if row["verdict"] == "escaped"]
    shown = ", ".join(f"{damaged[name]:,} {name}" for name in ("accepted", "rejected", "escaped"))
    worst = f"{damaged['worst_time_s']:.2f} s, {damaged['worst_memory_mb']:.0f} MB"
    print(f"{arguments.mutations:,} damaged films: {shown}; worst {worst}")
    if escaped or damaged["escaped"]:
        raise PneumoError(f"{damaged['escaped']} damaged films escaped, and the kinds {escaped}.")
    return {"seed": arguments.seed, "mutations": arguments.mutations, "kinds": rows, "fuzz": damaged}


def measure_kinds() -> list[dict]:
    """Every kind, in a folder and a process of its own."""
    for data in make_seeds():
        load_image(data)  # and all that is lazy is loaded
    rows = []
    for kind in (*KINDS, *_hostile_pictures.KINDS, *_hostile_dicom.KINDS):
        with tempfile.TemporaryDirectory() as folder:
            row = measure_kind(kind, Path(folder))
        rows.append(row)
        cost = f"{row.get('time_s', 0):8.3f} s {row.get('memory_mb', 0):7.1f} MB"
        print(f"{row['verdict']:9} {cost}  {row['kind']} {row['why']}", flush=True)
    for name, limit in (("time_s", MAX_TIME_S), ("memory_mb", MAX_MEMORY_MB)):
        worst = max(rows, key=lambda row: row.get(name, 0))
        print(f"worst of {len(rows)} kinds: {name} {worst.get(name, 0):.2f} of {limit:g}: {worst['kind']}")
    return rows


def run_in_child(work) -> dict:
    """What `work()` returns, plain values, from a process of its own; {"crash": why} if it dies."""
    readable, writable = os.pipe()
    with tempfile.TemporaryFile() as printed:
        child = os.fork()
        if child == 0:
            os.close(readable)
            os.dup2(printed.fileno(), 1)
            os.dup2(printed.fileno(), 2)
            try:
                result = work()
            except BaseException as error:  # all of it is news
                result = {"crash": f"{type(error).__name__}: {error}"[:200]}
            os.write(writable, json.dumps(result).encode())
            os._exit(0)
        os.close(writable)
        is_there, _, _ = select.select([readable], [], [], KILL_AFTER_S)
        answer = os.read(readable, 60_000) if is_there else b""
        os.close(readable)
        if not is_there:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        is_silent = os.fstat(printed.fileno()).st_size == 0
    if not is_there:
        return {"crash": f"more than {KILL_AFTER_S:.0f} s"}
    if os.WIFSIGNALED(status) or not answer:
        return {"crash": f"signal {os.WTERMSIG(status)}"}
    return json.loads(answer) | ({} if is_silent else {"crash": "it printed something"})


def read_and_measure(source, expected=...) -> dict:
    """Reads in this process: the outcome, seconds and MB above what the process had before."""
    import resource  # which Windows lacks

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    try:
        pixels = load_image(source)
        outcome = "accepted"
    except ImageError as error:
        pixels, outcome = None, "rejected"
        if not (str(error).endswith(".") and str(error).isprintable()):
            return {"crash": "its message is no sentence"}
    spent = time.perf_counter() - started
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if pixels is not None and (pixels.dtype != np.uint8 or pixels.ndim != 2):
        return {"crash": f"it gave {pixels.dtype} {pixels.shape}"}
    if expected is not ... and (expected is None) != (pixels is None):
        return {"crash": f"it was {outcome}"}
    return {"outcome": outcome, "time_s": spent, "memory_mb": memory}


def judge(result: dict) -> dict:
    """The result with its verdict: accepted, rejected or escaped, and why it escaped."""
    why = result.get("crash")
    if why is None and result["time_s"] > MAX_TIME_S:
        why = f"{result['time_s']:.2f} s"
    if why is None and result["memory_mb"] > MAX_MEMORY_MB:
        why = f"{result['memory_mb']:.0f} MB"
    return result | {"verdict": "escaped" if why else result["outcome"], "why": why or ""}


def measure_kind(kind, folder: Path) -> dict:
    """Makes a kind in one process, so that the making leaves no memory behind, and reads it in another."""

    def make() -> dict:
        source = kind.make(folder)
        if isinstance(source, np.ndarray):
            return {}
        if isinstance(source, bytes):
            (folder / "source").write_bytes(source)
            source = folder / "source"
        return {"path": os.fsencode(source).hex() if "\ud800" not in str(source) else ""}

    def read() -> dict:
        source = os.fsdecode(bytes.fromhex(made["path"])) if made.get("path") else kind.make(folder)
        return read_and_measure(source, kind.expected)

    made = run_in_child(make)
    return {"kind": kind.name} | judge(made if "crash" in made else run_in_child(read))


def make_seeds() -> list[bytes]:
    """A whole small film of every format, compression and transfer syntax."""
    seeds = [*WHOLE.values(), encode(np.dstack([SMOOTH] * 3), "JPEG"), encode(np.dstack([SMOOTH] * 3), "PNG")]
    seeds += [encode(RAW16, "PNG"), encode(RAW16, "TIFF")]
    seeds.append(encode(FILM.astype(np.float32), "TIFF", big_tiff=True))
    interlaced = next(kind for kind in KINDS if kind.name == "interlaced PNG")
    seeds += [interlaced.make(Path()), _hostile_pictures.make_tiled_tiff()]
    smooth = SMOOTH.astype(np.uint16) * 16
    seeds += [make_dicom(smooth, syntax, bits=12) for syntax in (*LOSSLESS, *LOSSY) if syntax != LOSSY[0]]
    seeds += [make_dicom(SMOOTH, LOSSY[0]), make_dicom(np.dstack([SMOOTH] * 3), LOSSY[0])]
    return seeds


def mutate(rng: np.random.Generator, seeds: list[bytes]) -> bytes:
    """One seed with one to three kinds of damage."""
    data = bytearray(seeds[rng.integers(len(seeds))])
    for _ in range(rng.integers(1, 4)):
        end = min(len(data), 500) if rng.random() < 0.5 else len(data)  # every other time the header
        at, run = int(rng.integers(max(end, 1))), int(rng.integers(1, 64))
        match rng.integers(7):
            case 0:
                for index in rng.integers(end, size=rng.integers(1, 16)) if end else ():
                    data[index] ^= 1 << rng.integers(8)
            case 1:
                data[at : at + run] = bytes([rng.choice([0, 255, rng.integers(256)])]) * run
            case 2:
                data[at : at + run] = rng.bytes(run)
            case 3:
                del data[at : None if rng.random() < 0.3 else at + run]
            case 4:
                data[at:at] = data[at : at + run] * int(rng.integers(1, 50))
            case 5:
                other = seeds[rng.integers(len(seeds))]
                start = int(rng.integers(len(other)))
                data[at : at + 8 * run] = other[start : start + 8 * run]
            case 6:
                size = int(rng.choice([1, 2, 4, 8]))
                value = int(
                    rng.choice([0, 1, 15, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1])
                )
                data[at : at + size] = (value % 256**size).to_bytes(size, rng.choice(["little", "big"]))
    return mend_checksums(bytes(data)) if rng.random() < 0.5 else bytes(data)


def mend_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have their checksums again, so that the damage is not noticed at once."""
    if not data.startswith(b"\x89PNG"):
        return data
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : end]
        parts.append(data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at = end + 4
    return b"".join(parts)


def fuzz(count: int, seed: int, keep: Path | None) -> dict:
    """Counts of verdicts over so many damaged films, the worst of them, and why some escaped."""
    rng, seeds = np.random.default_rng(seed), make_seeds()
    for data in seeds:
        load_image(data)  # a seed that cannot be read would test nothing; and all that is lazy is loaded
    verdicts, escaped, worst_s, worst_mb = collections.Counter(), [], 0.0, 0.0
    for index in range(count):
        data = mutate(rng, seeds)
        result = judge(run_in_child(lambda data=data: read_and_measure(data)))
        verdicts[result["verdict"]] += 1
        worst_s, worst_mb = max(worst_s, result.get("time_s", 0)), max(worst_mb, result.get("memory_mb", 0))
        if result["verdict"] == "escaped":
            escaped.append({"index": index, "why": result["why"]})
            print(f"mutation {index} escaped: {result['why']}", flush=True)
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}_{index}").write_bytes(data)
    counts = {name: verdicts[name] for name in ("accepted", "rejected", "escaped")}
    return counts | {"worst_time_s": worst_s, "worst_memory_mb": worst_mb, "escapes": escaped}

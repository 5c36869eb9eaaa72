"""What Windows refuses, on Linux: `python -m pytest -p tests.windows -m "not system and not slow"`.

Not all of it: paths have no backslashes, the disk tells large letters from small, and `sys.platform` stays.
"""

import builtins
import errno
import io
import os
import pathlib
import sys
from pathlib import Path

import filelock

OWN = tuple(f"{Path(__file__).parents[1] / room}{os.sep}" for room in ("pneumo_utils", "tools", "tests"))
MISSING = ("fork", "mkfifo", "statvfs", "sync", "sched_getaffinity", "O_DIRECTORY", "O_NOFOLLOW")
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}
REAL = {name: getattr(os, name) for name in ("replace", "unlink", "mkdir")}
REAL |= {"open": io.open, "import": builtins.__import__, "release": filelock.FileLock.release}


def is_fit(name: str) -> bool:
    """Whether a file can have this name there."""
    is_odd = set(name) & set('<>:"|?*\\') or min(name, default=" ") < " " or name.rstrip(". ") != name
    return name in (".", "..") or not (is_odd or name.split(".")[0].rstrip().upper() in RESERVED)


def check_names(path) -> None:
    """An OSError for a path that no file has there, and a UnicodeError for bytes that are no text."""
    place = None if isinstance(path, int) else Path(os.fsencode(path).decode())
    if place and not all(map(is_fit, place.parts[place.is_absolute() :])):
        raise OSError(errno.EINVAL, "The filename, directory name or volume label is incorrect", path)


def is_open(path) -> bool:
    """Whether this process has a file open, or mapped."""
    if not os.path.isfile(path):
        return False
    for handle in os.listdir("/proc/self/fd"):
        if os.path.exists(f"/proc/self/fd/{handle}") and os.path.samefile(f"/proc/self/fd/{handle}", path):
            return True
    mapped = REAL["open"]("/proc/self/maps", encoding="utf-8", errors="surrogateescape")
    with mapped:
        return f" {os.path.realpath(os.fsdecode(path))}\n" in mapped.read()


def refuse_if_open(*paths) -> None:
    for path in paths:
        if is_open(path):
            raise PermissionError(errno.EACCES, "Another has the file open", os.fsdecode(path))


def is_ours() -> bool:
    """Whether this project asks, by way of `pathlib` or straight."""
    frame = sys._getframe(2)
    while "pathlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame.f_code.co_filename.startswith(OWN)


def open_file(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *rest, **more):
    """Text is cp1252 and its lines end in two signs, unless the call says otherwise."""
    check_names(file)
    if "b" not in mode:
        encoding = "cp1252" if encoding in (None, "locale") and is_ours() else encoding
        newline = "\r\n" if newline is None and not {"r", "+"} & set(mode) else newline
    return REAL["open"](file, mode, buffering, encoding, errors, newline, *rest, **more)


def import_name(name, *rest, **more):
    if name in MODULES and is_ours():
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return REAL["import"](name, *rest, **more)


def release_lock(lock, force=False):
    """The file of a lock goes with it."""
    REAL["release"](lock, force=force)
    if not lock.is_locked:
        Path(lock.lock_file).unlink(missing_ok=True)


def symlink(source, target, target_is_directory=False):
    raise OSError(errno.EPERM, "A required privilege is not held by the client", os.fsdecode(target))


def rename(source, target):
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "The file is there already", os.fsdecode(target))
    replace(source, target)


def replace(source, target):
    check_names(target)
    refuse_if_open(source, target)
    REAL["replace"](source, target)


def unlink(path, *, dir_fd=None):
    folder = "" if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
    refuse_if_open(os.path.join(folder, os.fsdecode(path)))
    REAL["unlink"](path, dir_fd=dir_fd)


def mkdir(path, mode=0o777, **more):
    check_names(path)
    REAL["mkdir"](path, mode, **more)


def imitate(set_name=setattr, del_name=delattr) -> None:
    """From here on this process is refused what it would be refused there."""
    for name in MISSING:
        if hasattr(os, name):
            del_name(os, name)
    for stand_in in (symlink, rename, replace, unlink, mkdir):
        set_name(os, stand_in.__name__, stand_in)
    set_name(os, "remove", unlink)
    set_name(os, "linesep", "\r\n")
    for module in (builtins, io):
        set_name(module, "open", open_file)
    set_name(builtins, "__import__", import_name)
    set_name(filelock.FileLock, "release", release_lock)
    if sys.version_info < (3, 12):  # paths of one file are equal, and are sorted so
        set_name(pathlib._posix_flavour, "casefold_parts", lambda parts: [part.lower() for part in parts])
        set_name(pathlib._posix_flavour, "casefold", str.lower)


def pytest_configure():
    imitate()

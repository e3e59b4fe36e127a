"""One writer to a folder: the file `out/.lock`, which says who writes, and since when.

The system's own lock on the file (flock) decides on one machine: exactly one process gets it, and it is free when that
process ends, however it does. Between machines it may hold, fail or see nothing, as the file system pleases. So the
writer also touches the file every few seconds; where another machine's name stands in it, or there are no such locks,
a start waits for that sign of life before it takes over. It is looked for in the time of the file's last change, which
is compared with itself alone: clocks differ.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

from fastgen.commit import make
from fastgen.values import ConfigError, shown

NAME = ".lock"
BEAT = 5.0
"""Seconds between signs of life."""
SILENCE = 60.0
"""Seconds without one after which a writer counts as dead."""
FAR = 2**30
"""The byte that Windows locks: there, nobody reads what is locked."""

Names = Mapping[str, Any]
"""Who writes: host, pid, since, and a run of its own."""


@contextmanager
def held(out: Path) -> Iterator[Callable[[], None]]:
    """Nobody else writes to `out` in this block. Gives the function that ends it early, for who leaves without an end.

    Raises ConfigError where somebody writes, OSError where the lock can't be made. A writer that was silent for so long
    that another took over ends as soon as it notices.
    """
    make(out)
    path, over = out / NAME, Event()
    descriptor = _take(path)

    def release() -> None:
        if not over.is_set():
            over.set()
            _remove(path, descriptor)

    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        me = {"host": platform.node(), "pid": os.getpid(), "since": since, "run": secrets.token_hex(8)}
        _write(descriptor, json.dumps(me))
        Thread(target=_beat, args=(path, me, over), daemon=True).start()
        yield release
    finally:
        release()


def is_there(out: Path) -> bool:
    """Whether there is a lock, of a writer that is alive or not."""
    return (out / NAME).exists()


def _take(path: Path) -> int:
    """A descriptor of the file, with its lock ours. Raises ConfigError where somebody writes."""
    while True:
        try:
            descriptor, fresh = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL), True
        except FileExistsError:
            try:
                descriptor, fresh = os.open(path, os.O_RDWR), False
            except FileNotFoundError:  # it has just ended
                continue
        try:
            locked = _lock(descriptor)
            if locked is None or locked:
                if not _is_at(path, descriptor):  # the one that was waited for has ended, and taken the file with it
                    os.close(descriptor)
                    continue
                if fresh or not _lives(path, locked is True):
                    return descriptor
            raise ConfigError(f"out={path.parent}: {_says(_read(path))}")
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise


def _lock(descriptor: int) -> bool | None:
    """Whether the system's lock of the file is ours now, or None where there are no such locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def _lives(path: Path, locked: bool) -> bool:
    """Whether the writer whose name stands in the file is alive, although its lock, if there are any, is free."""
    if locked and not _read(path):  # just made, by a process that has not yet written, or by one that never did
        time.sleep(1)
    who = _read(path)
    if locked and (not who or who.get("host") == platform.node()):
        return False
    waited = f"{_says(who)}; waiting {SILENCE:.0f} s for a sign of life"
    print(f"fastgen: {path.parent}: {waited}", file=sys.stderr)
    before, end = _changed(path), time.monotonic() + SILENCE
    while time.monotonic() < end:
        time.sleep(min(1.0, SILENCE / 10))
        if _changed(path) != before:
            return True
    return False


def _beat(path: Path, me: Names, over: Event) -> None:
    """Touch the file until it is over; end the process where it is no longer ours."""
    while not over.wait(BEAT):
        with suppress(OSError):
            if _read(path) != me and not over.is_set():
                taken = f"{path.parent} was taken over, because this run gave no sign of life for {SILENCE:.0f} s"
                print(f"\nfastgen: {taken}; {_says(_read(path))}", file=sys.stderr, flush=True)
                os._exit(1)
            os.utime(path)


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, text.encode())


def _read(path: Path) -> Names:
    """Who writes, as far as the file says; whatever stands in it."""
    try:
        who = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return who if isinstance(who, dict) else {}


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _changed(path: Path) -> int | None:
    """The time of the last change, asked of the server: a network file system looks again when a file is opened."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def _remove(path: Path, descriptor: int) -> None:
    """Remove the file while it is locked, so that nobody who has it open takes it for one in use. Windows can't."""
    if sys.platform == "win32":
        os.close(descriptor)
        with suppress(PermissionError):  # somebody has opened it, and writes from now on
            path.unlink()
    else:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _says(who: Names) -> str:
    pid, host, since = (shown(who.get(key)) for key in ("pid", "host", "since"))
    told = f"process {pid} on {host} since {since}" if who else "a run that has just begun"
    return f"is being written by {told}; wait for it, or choose another folder"

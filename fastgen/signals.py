"""Signals that ask a run to end: Ctrl-C (SIGINT), SIGTERM, and SIGUSR1, which Slurm sends before the time is up.

Python runs its handlers between two instructions of the main thread, so not while LLVM compiles (up to 10 s), and an
exception raised there may land in a callback, where it is lost. So a thread of its own hears of them (`set_wakeup_fd`).
Since no file is ever half at its place (`commit`), a process may end at any point: at once where nobody looks
whether it should, or where a second signal comes, or where the end takes longer than GRACE.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]

GRACE = 5.0
"""Seconds that a run has to end in. A row group takes 0.1 s, or a minute with the slowest of codecs."""


class Stopped(KeyboardInterrupt):
    """A signal has asked the run to end. Its text is for the user, its code the exit code of convention."""

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__(f"\nfastgen: interrupted ({name}); finished files are kept, and the same command goes on")
        self.code = 128 + number


@dataclass
class Stop:
    """What is known of signals, and what to do about them."""

    number: int | None = None
    """The first signal that came."""
    heeded: bool = False
    """Whether somebody calls `raise_if_asked` often; else a signal ends the process at once."""
    leave: Callable[[], None] = lambda: None
    """To be called before the process ends at once."""

    def raise_if_asked(self) -> None:
        """Raise Stopped where a signal has come."""
        if self.number is not None:
            raise Stopped(self.number)


@contextmanager
def watched() -> Iterator[Stop]:
    """Hear of signals in this block. Where it is not entered by the main thread, nothing is heard: Python's rule."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    hears, told = socket.socketpair()  # no pipe: Windows takes nothing else
    told.setblocking(False)
    handlers = {number: signal.signal(number, lambda number, frame: None) for number in NUMBERS}
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    listening = threading.Thread(target=_listen, args=(hears, stop), daemon=True)
    listening.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        told.close()
        listening.join()
        hears.close()


def _listen(hears: socket.socket, stop: Stop) -> None:
    """Note the first signal where it is heeded; end the process where it is not, at the second, and after GRACE."""
    with suppress(TimeoutError):
        while byte := hears.recv(1):  # nothing when the other end is closed
            if byte[0] not in NUMBERS:
                continue
            if stop.number is not None:
                break
            stop.number = byte[0]
            if not stop.heeded:
                break
            hears.settimeout(GRACE)
        else:
            return
    stopped = Stopped(stop.number or signal.SIGINT)
    stop.leave()
    print(stopped, file=sys.stderr, flush=True)
    os._exit(stopped.code)

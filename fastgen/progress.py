"""Progress on a terminal: how much of a long work is done, its rate, and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock


@contextmanager
def bar(total: int, unit: str, what: str | None = None) -> Iterator[Callable[[int], None]]:
    """A bar, where stderr is a terminal; gives the function that moves it, from any thread."""
    from tqdm import tqdm

    lock = Lock()
    with tqdm(total=total, unit=unit, unit_scale=True, desc=what, disable=None) as shown:

        def done(count: int) -> None:
            with lock:
                shown.update(count)

        yield done

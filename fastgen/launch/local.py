"""All shards on this machine, by threads.

Threads rather than processes: kernels and pyarrow release the GIL. Eight shards on two cores took two threads 4.5 to
4.8 s and two processes 4.8 to 5.1, in turns; and threads start at once, share the compiled code and stop together. A
worker that is killed is the process that is: what it leaves is what any run leaves that is cut off.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from fastgen.commit import Staged
from fastgen.engine import Rows
from fastgen.settings import Config
from fastgen.shard import Shard, finish, stage
from fastgen.write import File, group_rows


class _Stopped(Exception):
    """Ends a shard that is no longer wanted."""


def run(
    config: Config, shards: Sequence[Shard], progress: Callable[[int], None], finished: Callable[[File], None]
) -> None:
    """Make the shards with `config.workers` threads; `engine.prepare` has compiled what they call.

    From the threads, `progress` is called with the number of rows of each row group and `finished` with each file.
    On an interrupt, or at once where a thread raises, the shards under way are given up within one row group (about
    0.1 s) and their unfinished files removed; what was raised first then passes.
    """
    stopping = Event()
    spare: queue.SimpleQueue[Rows] = queue.SimpleQueue()
    ends: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    """Of each shard, when it is at its place or has failed."""

    def report(rows: int) -> None:
        if stopping.is_set():
            raise _Stopped
        progress(rows)

    def work(shard: Shard) -> None:
        try:
            try:
                rows = spare.get_nowait()
            except queue.Empty:
                rows = Rows(config, group_rows(config))
            try:
                staged = stage(config, shard, rows, report)
            finally:
                spare.put(rows)
            disk.submit(place, shard, staged)
        except BaseException as error:
            ends.put(error)

    def place(shard: Shard, staged: Staged) -> None:
        try:
            finished(finish(config, shard, staged))
            ends.put(None)
        except BaseException as error:
            ends.put(error)

    # A thread more checks the files and waits for the disk: with one worker it is on another CPU, 0.03 of the time of
    # the workers for the hashes, and for waiting, on a busy machine, 0.08, and once half of it.
    with ThreadPoolExecutor(1) as disk, ThreadPoolExecutor(config.workers) as pool:
        try:
            for shard in shards:
                pool.submit(work, shard)
            for _ in shards:
                if error := ends.get():
                    raise error
        finally:
            stopping.set()
            pool.shutdown(cancel_futures=True)

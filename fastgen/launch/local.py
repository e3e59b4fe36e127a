"""All shards on this machine, by threads.

Threads rather than processes: kernels and pyarrow release the GIL. Eight shards on two cores took two threads 4.5 to
4.8 s and two processes 4.8 to 5.1, in turns; and threads start at once, share the compiled code and stop together.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event

from fastgen.engine import Rows, prepare
from fastgen.settings import Config
from fastgen.shard import Shard, generate
from fastgen.write import File, group_rows


class _Stopped(Exception):
    """Ends a shard that is no longer wanted."""


def run(
    config: Config, shards: Sequence[Shard], progress: Callable[[int], None], finished: Callable[[File], None]
) -> None:
    """Make the shards with `config.workers` threads.

    From the threads, `progress` is called with the number of rows of each row group and `finished` with each file.
    On an interrupt, or where a shard raises, the shards under way are given up within one row group (about 0.1 s) and
    their unfinished files removed; what was raised then passes.
    """
    prepare(config)  # compile once, not in every thread
    stopping = Event()
    spare: queue.SimpleQueue[Rows] = queue.SimpleQueue()

    def report(rows: int) -> None:
        if stopping.is_set():
            raise _Stopped
        progress(rows)

    def work(shard: Shard) -> None:
        try:
            rows = spare.get_nowait()
        except queue.Empty:
            rows = Rows(config, group_rows(config))
        try:
            finished(generate(config, shard, rows, report))
        finally:
            spare.put(rows)

    with ThreadPoolExecutor(config.workers, thread_name_prefix="fastgen") as pool:
        try:
            for future in as_completed([pool.submit(work, shard) for shard in shards]):
                future.result()
        finally:
            stopping.set()
            pool.shutdown(cancel_futures=True)

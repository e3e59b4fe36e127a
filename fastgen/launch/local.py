"""All shards on this machine, by threads.

Threads rather than processes: kernels and pyarrow release the GIL. Eight shards on two cores took two threads 4.5 to
4.8 s and two processes 4.8 to 5.1, in turns; and threads start at once, share the compiled code and stop together.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from threading import Event

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
    On an interrupt, or where a shard raises, the shards under way are given up within one row group (about 0.1 s) and
    their unfinished files removed; what was raised then passes.
    """
    stopping = Event()
    spare: queue.SimpleQueue[Rows] = queue.SimpleQueue()

    def report(rows: int) -> None:
        if stopping.is_set():
            raise _Stopped
        progress(rows)

    def work(shard: Shard) -> Future[None]:
        try:
            rows = spare.get_nowait()
        except queue.Empty:
            rows = Rows(config, group_rows(config))
        try:
            staged = stage(config, shard, rows, report)
        finally:
            spare.put(rows)
        return disk.submit(lambda: finished(finish(config, shard, staged)))

    # A thread more checks the files and waits for the disk: with one worker it is on another CPU, 0.03 of the time of
    # the workers for the hashes, and for waiting, on a busy machine, 0.08, and once half of it.
    with ThreadPoolExecutor(1) as disk, ThreadPoolExecutor(config.workers) as pool:
        placing: deque[Future[None]] = deque()
        try:
            for future in as_completed([pool.submit(work, shard) for shard in shards]):
                placing.append(future.result())
                while placing and placing[0].done():
                    placing.popleft().result()
            for placed in placing:
                placed.result()
        finally:
            stopping.set()
            pool.shutdown(cancel_futures=True)

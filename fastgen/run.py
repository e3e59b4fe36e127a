"""python -m fastgen.run: generate a corpus."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from fastgen.doors import command
from fastgen.settings import Config

if TYPE_CHECKING:
    from fastgen.shard import Shard
    from fastgen.write import File

INTERRUPTED = "\nfastgen: interrupted; finished files are kept, and the same command goes on"


def job(config: Config) -> None:
    """Write the corpus of a config into `config.out`; finished files that are there already stay.

    Raises ConfigError where `out` holds something else; SystemExit, with a message, where it can't be written (1) or
    on an interrupt (130).
    """
    from fastgen import display, write  # display, write and shard import Numba and pyarrow, which --help does without
    from fastgen.shard import plan

    started = time.perf_counter()
    shards = plan(config)
    try:
        there = write.already(config)
        files = {shard.file: there.files[shard.file] for shard in shards if there and shard.file in there.files}
        todo = [shard for shard in shards if shard.file not in files]
        if there and there.complete and not todo:
            print(f"{config.out} holds this corpus already, whole: nothing to do")
            return
        if files:
            print(f"{config.out} holds {len(files)} of the {len(shards)} files already: going on", file=sys.stderr)
        made = _generate(config, todo, files)
    except OSError as error:
        print(f"fastgen: {error.filename or config.out}: {error.strerror or error}", file=sys.stderr)
        print("fastgen: finished files are kept; the same command goes on when the cause is removed", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        raise SystemExit(130) from None
    rows = sum(shard.stop - shard.start for shard in todo)
    print(display.show_summary(config, made, rows, time.perf_counter() - started))


def _generate(config: Config, todo: list[Shard], files: dict[str, File]) -> dict[str, File]:
    """Make the shards that are to do, and what stands beside the data. Returns `files` and the new ones, by name."""
    from tqdm import tqdm

    from fastgen import display, engine, write
    from fastgen.launch import local

    write.prepare(config)
    write.write_manifest(config, files.values(), complete=False)
    write.write_tokenizer(config)
    lock = Lock()
    total = sum(shard.stop - shard.start for shard in todo)
    with tqdm(total=total, desc="compiling", unit=" examples", unit_scale=True, disable=None) as bar:

        def progress(rows: int) -> None:
            with lock:
                bar.set_description_str("", refresh=False)
                bar.update(rows)

        def finished(file: File) -> None:
            with lock:
                files[file.file] = file
                write.write_manifest(config, files.values(), complete=False)

        with _interrupt_at_once():
            engine.prepare(config)
        with ThreadPoolExecutor(1) as beside:  # 0.3 s that no file needs to wait for
            chains = beside.submit(write.write_chains, config)
            beside.submit(write.ceilings, config)  # which are kept for the card
            local.run(config, todo, progress, finished)
        chains.result()
    write.write_card(config, files.values(), display.show_first(config))
    write.write_manifest(config, files.values(), complete=True)
    write.tidy(config)
    return files


@contextmanager
def _interrupt_at_once() -> Iterator[None]:
    """While kernels are compiled, an interrupt ends the process: raised inside LLVM's callbacks it would be lost."""

    def end(number: int, frame: object) -> None:
        print(INTERRUPTED, file=sys.stderr, flush=True)
        os._exit(130)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    command("run", job)

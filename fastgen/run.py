"""python -m fastgen.run: generate a corpus."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from fastgen import signals
from fastgen.doors import command
from fastgen.settings import Config
from fastgen.values import ConfigError, one_of, yes_or_no

if TYPE_CHECKING:
    from fastgen.shard import Shard
    from fastgen.write import File

TRUSTED_BY = ("size", "rehash")


def job(config: Config, resume: str = "size", overwrite: bool = False, extend: bool = False) -> None:
    """Write the corpus of a config into `config.out`; finished files that are there already stay.

    They are trusted by their size, or by their SHA-256 where `resume` is "rehash". Another corpus is refused, removed
    (`overwrite`), or kept as the beginning of this one (`extend`).
    Raises ConfigError where `out` holds something else, or another process writes there; SystemExit, with a message,
    where it can't be written (1) or a signal came (128 + its number).
    """
    if overwrite and extend:
        raise ConfigError("overwrite=true, extend=true: one removes what the other keeps; give one of them")
    started = time.perf_counter()
    with signals.watched() as stop:
        from fastgen import display, folder, lock  # most of them import Numba or pyarrow, which --help does without
        from fastgen.shard import plan

        shards = plan(config)
        files: dict[str, File] = {}
        try:
            whole = resume == "size" and not lock.is_there(Path(config.out)) and folder.is_whole(config, shards)
            if not whole:
                with lock.held(Path(config.out)) as stop.leave:
                    files |= folder.ready(config, shards, overwrite, extend)
                    for name in folder.damaged(config, files) if resume == "rehash" else ():
                        del files[name]
                    whole = len(files) == len(shards) and folder.is_whole(config, shards)
                    if not whole:
                        rows = _complete(config, shards, files, stop)
        except OSError as error:
            what = os.strerror(error.errno) if error.errno else error
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            _fail(f"{error.filename or config.out}: {what}{_lacking(config, shards, files) if full else ''}")
        except MemoryError:
            _fail(f"out of memory{_held(config)}")
        except signals.Stopped as stopped:
            print(stopped, file=sys.stderr)
            raise SystemExit(stopped.code) from None
    if whole:
        print(f"{config.out} holds this corpus already, whole: nothing to do")
    else:
        print(display.show_summary(config, files, rows, time.perf_counter() - started))


def _complete(config: Config, shards: Sequence[Shard], files: dict[str, File], stop: signals.Stop) -> int:
    """Make the shards that are not among the files, and add these; then what stands beside the data.

    Returns the number of rows that it made.
    """
    from fastgen import display, engine, progress, write
    from fastgen.launch import local

    todo = [shard for shard in shards if shard.file not in files]
    if files:
        print(f"{config.out} holds {len(files)} of the {len(shards)} files already: going on", file=sys.stderr)
    write.prepare(config, files.values())
    write.write_tokenizer(config)
    rows = sum(shard.rows for shard in todo)
    with progress.bar(rows, " examples") as done:

        def made(rows: int) -> None:
            stop.raise_if_asked()
            if chains.done():
                chains.result()  # what failed beside the shards ends the run now, and not after the last of them
            done(rows)

        def finished(file: File) -> None:
            write.record(config, file)
            files[file.file] = file

        engine.prepare(config)
        with ThreadPoolExecutor(1) as beside:  # 0.3 s that no file needs to wait for
            chains = beside.submit(write.write_chains, config)
            beside.submit(write.ceilings, config)  # which are kept for the card
            stop.heeded = True
            local.run(config, todo, made, finished)
            stop.heeded = False
        chains.result()
    stop.raise_if_asked()
    write.write_card(config, files.values(), display.show_first(config))
    write.write_manifest(config, files.values(), complete=True)
    write.tidy(config)
    return rows


def _fail(message: str) -> None:
    print(f"fastgen: {message}", file=sys.stderr)
    print("fastgen: finished files are kept; the same command goes on when the cause is removed", file=sys.stderr)
    raise SystemExit(1) from None


def _lacking(config: Config, shards: Sequence[Shard], files: dict[str, File]) -> str:
    """What the disk lacks, as far as finished files tell."""
    missing = sum(shard.rows for shard in shards if shard.file not in files)
    out = Path(config.out).absolute()
    made = next(path for path in (out, *out.parents) if path.exists())
    free = f"{shutil.disk_usage(made).free / 1e6:,.1f} MB are free"
    if not files:
        return f"; {free}"
    each = sum(file.bytes for file in files.values()) / sum(file.rows for file in files.values())
    return f"; the {missing:,} examples that are missing need {missing * each / 1e6:,.1f} MB, {free}"


def _held(config: Config) -> str:
    """What workers hold in memory."""
    from fastgen.write import group_rows, row_bytes

    rows = group_rows(config)
    each = f"{config.workers} times up to {rows * row_bytes(config) / 1e6:,.0f} MB, row groups of {rows:,} examples"
    return f" (the workers hold {each}); lower workers or parquet.row_group"


if __name__ == "__main__":
    command("run", job, resume=one_of("way to trust files", TRUSTED_BY), overwrite=yes_or_no, extend=yes_or_no)

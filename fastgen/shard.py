"""A shard: one file's worth of examples, and the pure function that makes it.

`generate(config, shard)` needs nothing but its arguments, so that any worker, process or machine can run it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from fastgen import digest
from fastgen.commit import Staged, check, publish, stage_parquet
from fastgen.engine import Rows, fill
from fastgen.settings import Config
from fastgen.split import Split
from fastgen.write import File, as_table, file_rows, group_rows, options, schema


@dataclass(frozen=True)
class Shard:
    """Examples start..stop-1 of a split: its file `number` of `total`."""

    split: Split
    number: int
    total: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many examples."""
        return self.stop - self.start

    @property
    def place(self) -> tuple[str, int, int]:
        """Which examples: the name of the split, the first, and how many. That of its `File` is the same."""
        return self.split.name, self.start, self.rows

    @property
    def file(self) -> str:
        """Path below the folder `out`."""
        name = self.split.name
        return f"data/split={name}/{name}-{self.number:05d}-of-{self.total:05d}.parquet"


def plan(config: Config) -> tuple[Shard, ...]:
    """Every shard of the corpus, known before the first is made."""
    rows = file_rows(config)
    return tuple(
        Shard(split, number, -(-split.rows // rows), start, min(start + rows, split.rows))
        for split in config.splits
        for number, start in enumerate(range(0, split.rows, rows))
    )


def generate(
    config: Config, shard: Shard, rows: Rows | None = None, progress: Callable[[int], None] = lambda rows: None
) -> File:
    """Make a shard's examples and write its file below `config.out`: `stage`, then `finish`."""
    return finish(config, shard, stage(config, shard, rows or Rows(config, group_rows(config)), progress))


def stage(config: Config, shard: Shard, rows: Rows, progress: Callable[[int], None]) -> Staged:
    """What of a shard a worker does: all that takes long. `rows` (of `group_rows(config)`) is reused.

    Calls `progress` with the number of rows of each row group that is written; what it raises ends the shard.
    Raises OSError where the file can't be written. Whatever is raised, nothing stays.
    """
    found: list[digest.Digest] = []

    def tables() -> Iterator[pa.Table]:
        for start in range(shard.start, shard.stop, group_rows(config)):
            fill(rows, config, shard.split, start, min(start + group_rows(config), shard.stop))
            made = as_table(config, rows, start)
            found.append(digest.of_table(shard.split.name, start, made))
            yield made
            progress(rows.count)

    staged = stage_parquet(Path(config.out), shard.file, schema(config), tables(), **options(config))
    return replace(staged, digest=digest.written(digest.add(found)))


def finish(config: Config, shard: Shard, staged: Staged) -> File:
    """What is left of it, checks and waiting for the disk; then the file is at its place. Raises OSError."""
    size, sha256 = check(staged)
    publish(staged.path, Path(config.out) / shard.file)
    return File(shard.file, shard.split.name, staged.rows, shard.start, size, sha256, staged.digest)


def table(config: Config, split: str, start: int, stop: int) -> pa.Table:
    """Examples start..stop-1 of a split as an Arrow table, the same rows as in the files; nothing is written.

    The range may go past the split's rows: a split has 2^64 examples, of which a corpus holds the first.
    Raises ValueError for a split that does not exist, or a range that is not one.
    """
    found = config.find(split)
    if not 0 <= start <= stop <= 2**64:
        raise ValueError(f"start={start}, stop={stop}: must be 0 <= start <= stop <= 2^64")
    pieces = []
    for first in range(start, stop, group_rows(config)):
        rows = Rows(config, min(group_rows(config), stop - first))
        fill(rows, config, found, first, first + min(group_rows(config), stop - first))
        pieces.append(as_table(config, rows, first))
    return pa.concat_tables(pieces) if pieces else schema(config).empty_table()

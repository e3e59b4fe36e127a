"""How a file gets to its place: whatever ends a run, under a name there is the old file, the new one, or none.

A file is written below `out/.staging`, closed, opened again and checked, brought to the disk (fsync), and renamed; then
the folder where it now is, which holds its name, is brought to the disk too. What fails before that is removed; what a
dead process leaves lies in `.staging`, where no reader looks and which the next run clears.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

STAGING = ".staging"
"""Where files are until they are finished, below `out`: on the same file system, so that they can be moved at once."""


@dataclass(frozen=True)
class Staged:
    """A Parquet file that is written, with the rows and columns it should hold, and waits for its place."""

    path: Path
    rows: int
    schema: pa.Schema
    digest: Mapping[str, str] = field(default_factory=dict)
    """Column -> its content digest, as `digest.written` writes it; of what is no part of the data, nothing."""


def stage_parquet(out: Path, name: str, schema: pa.Schema, tables: Iterable[pa.Table], **options: Any) -> Staged:
    """Write tables, a row group each, as what will be the file `name` below `out`.

    Nothing stays if anything is raised: pyarrow closes its writer on an exception too, and leaves a short file that
    reads as a whole one.
    """
    staged = out / STAGING / Path(name).name
    with _or_nothing(staged):
        rows = 0
        with pq.ParquetWriter(staged, schema, **options) as writer:
            for table in tables:
                writer.write_table(table, row_group_size=max(1, table.num_rows))
                rows += table.num_rows
        return Staged(staged, rows, schema)


def check(staged: Staged) -> tuple[int, str]:
    """Bytes and SHA-256 of a staged file whose footer says that it is whole; else it is removed. Raises OSError."""
    with _or_nothing(staged.path):
        try:
            footer = pq.read_metadata(staged.path)
        except pa.ArrowInvalid as error:
            raise OSError(f"{staged.path} can't be read back: {error}") from error
        if footer.num_rows != staged.rows:
            raise OSError(f"{staged.path} holds {footer.num_rows} rows instead of {staged.rows}")
        if not footer.schema.to_arrow_schema().equals(staged.schema):
            raise OSError(f"{staged.path} holds other columns than were written")
        with staged.path.open("rb") as file:
            return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()


def publish(staged: Path, path: Path) -> None:
    """Move a staged file to its place, once it is on the disk; remove it if that fails.

    An fsync that failed is not tried again: the system may have dropped the pages, and say the second time that all is
    well.
    """
    with _or_nothing(staged):
        make(path.parent)
        with staged.open("r+b") as file:
            os.fsync(file.fileno())
        staged.replace(path)
        sync(path.parent)


def write_text(out: Path, name: str, text: str) -> None:
    """Write a small file below `out`: the old one or the new one is there, never a part."""
    staged = out / STAGING / name
    with _or_nothing(staged):
        staged.write_text(text, encoding="utf-8", newline="\n")
    publish(staged, out / name)


@contextmanager
def _or_nothing(staged: Path) -> Iterator[None]:
    """Remove the staged file if anything is raised, and say of which file the system's error is, if it does not."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):
            staged.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(staged)
        raise


def make(folder: Path) -> None:
    """Make a folder, and those above it that are missing; on return they are on the disk."""
    if not folder.is_dir():
        make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def sync(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can tell (Windows opens no folders).

    Some network file systems answer EINVAL or EBADF: they have no such operation. PostgreSQL goes on there too.
    """
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def append(path: Path, line: str) -> None:
    """Add a line to a file; on return it is on the disk. A part of one has no line's end (`lines`)."""
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def lines(path: Path) -> list[str]:
    """The whole lines of a file; none where there is no file."""
    if not path.is_file():
        return []
    *whole, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return whole

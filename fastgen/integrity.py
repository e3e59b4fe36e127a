"""What is wrong with the files of a corpus: damaged, missing, of another corpus, or unlike the manifest or the config.

The manifest is input like the files: names are taken from the plan of its config, never from its entries, so that
nothing is read or written outside of the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fastgen import corpus, digest, lock
from fastgen.commit import STAGING
from fastgen.settings import Config, restore
from fastgen.shard import Shard, plan, table
from fastgen.text import tokenizer
from fastgen.values import ConfigError, shown
from fastgen.write import BESIDE, File, group_rows, is_sealed, manifest, schema

CHUNK = 2**22
"""Bytes that are hashed between two signs of progress."""

DIFFERENT = "is not as it was written: its SHA-256 differs"

UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError, TypeError, OverflowError, MemoryError)
"""What pyarrow raises on files that are damaged."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a file. `file` is its path below the folder of the corpus."""

    file: str
    what: str
    foreign: bool = False
    """Nothing of the corpus: making files again does not help."""


@dataclass(frozen=True)
class Opened:
    """A corpus of which the manifest can be read."""

    config: Config
    said: Mapping[str, Any]
    """The manifest."""
    sealed: bool
    """Whether it is as it was written."""
    shards: Mapping[str, Shard]
    """name -> shard, as the config has them."""
    files: Mapping[str, File]
    """Of these, what the manifest says, as far as that is of the right form and place."""
    beside: Mapping[str, Mapping[str, Any]]
    """Of what stands beside them, its bytes and sha256, as far as these are of the right form."""


def opened(data: str) -> Opened:
    """The corpus in a folder. Raises ConfigError where there is no manifest, or none that can be read."""
    path = Path(data) / "manifest.json"
    try:
        text = path.read_bytes()
        said = json.loads(text)
        if not isinstance(said, dict) or not isinstance(said.get("config"), dict):
            raise ValueError("holds no config")
        config = restore(said["config"], data)
    except FileNotFoundError:
        raise ConfigError(f"data={data}: holds no manifest.json; name the folder that fastgen.run wrote") from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        again = "run fastgen.run with the same config again, which stands in README.md too"
        raise ConfigError(f"data={data}: its manifest.json can't be read; {again}\n  {shown(error)}") from error
    shards = {shard.file: shard for shard in plan(config)}
    listed = said.get("files")
    entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    files = {each["file"]: File(**each) for each in entries if _is_entry(config, shards, each)}
    listed = said.get("beside")
    beside = {name: listed[name] for name in BESIDE if isinstance(listed, dict) and _is_beside(listed.get(name))}
    return Opened(config, said, is_sealed(text), shards, files, beside)


def _is_entry(config: Config, shards: Mapping[str, Shard], entry: Mapping[str, Any]) -> bool:
    """Whether an entry of the manifest's list is such as a shard of the config has."""
    name = entry.get("file")
    shard = shards.get(name) if isinstance(name, str) else None
    if shard is None or set(entry) != set(File.__dataclass_fields__):
        return False
    return (
        (entry["split"], entry["first"], entry["rows"]) == shard.place
        and type(entry["bytes"]) is int
        and _is_hex(entry["sha256"], 64)
        and isinstance(entry["digest"], dict)
        and tuple(entry["digest"]) == config.columns
        and all(_is_hex(number, 32) for number in entry["digest"].values())
    )


def _is_beside(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) == {"bytes", "sha256"}
        and type(entry["bytes"]) is int
        and _is_hex(entry["sha256"], 64)
    )


def _is_hex(text: Any, digits: int) -> bool:
    return isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", text) is not None


# The manifest and the folder


def of_manifest(found: Opened) -> Iterator[Fault]:
    """What is wrong with the manifest itself."""
    name, config, said = "manifest.json", found.config, found.said
    if not found.sealed:
        yield Fault(name, DIFFERENT)
    if said.get("complete") is not True or "moves" in said:
        yield Fault(name, "says that the run has not finished; the same command goes on")
    elif missing := [file for file in found.shards if file not in found.files]:
        yield Fault(name, f"does not list {missing[0]} as its config has it{_more(missing)}")
    expected = manifest(config, found.files.values(), found.beside if said.get("complete") is True else None)
    free = {"fastgen", "versions", "sha256", "complete", "moves", "beside"}  # who made it, and what was asked above
    keys = [key for key in {**expected, **said} if key not in free and expected.get(key) != said.get(key)]
    if "fingerprint" in keys:
        yield Fault(name, "its config is not the one that its fingerprint is of")
    elif keys and found.sealed:
        yield Fault(name, f"{keys[0]} is not what its config and its list of files give{_more(keys)}")
    if said.get("complete") is True and said.get("beside") != {name: found.beside.get(name) for name in BESIDE}:
        yield Fault(name, "does not list what stands beside the data")


def _more(names: list[str]) -> str:
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def of_folder(found: Opened) -> Iterator[Fault]:
    """What lies in the folder and is not of the corpus, and links, through which files would be written elsewhere."""
    out = Path(found.config.out)
    folders = {"data", *(str(Path(file).parent.as_posix()) for file in found.shards)}
    known = {"manifest.json", *BESIDE, *found.shards}
    for folder, inner, names in os.walk(out):
        below = Path(folder).relative_to(out)
        for name in sorted(inner):
            path = (below / name).as_posix()
            if (out / path).is_symlink():
                yield Fault(path, "is a link, which fastgen does not make; put the files in its place", foreign=True)
            elif path == STAGING:
                yield Fault(path, "was left by a run that has not finished, or is at work")
                inner.remove(name)
            elif path not in folders:
                yield Fault(path, "is no folder of this corpus; move it away", foreign=True)
                inner.remove(name)
        for name in sorted(names):
            path = (below / name).as_posix()
            if path == lock.NAME:
                yield Fault(path, "was left by a run that was killed, or is at work")
            elif path not in known:
                yield Fault(path, "is no file of this corpus; move it away", foreign=True)
            elif (out / path).is_symlink():
                yield Fault(path, "is a link, which fastgen does not make; put the file in its place", foreign=True)


# Bytes


def of_bytes(found: Opened, progress: Progress = lambda size: None) -> list[Fault]:
    """What is wrong with the bytes of the files that the manifest lists, by threads. `progress` gets bytes."""
    config = found.config
    listed = {name: (file.bytes, file.sha256) for name, file in found.files.items()}
    listed |= {name: (each["bytes"], each["sha256"]) for name, each in found.beside.items()}
    names = {sha256: name for name, (_, sha256) in listed.items()}

    def inspect(name: str) -> Fault | None:
        path, (size, sha256) = Path(config.out) / name, listed[name]
        try:
            if not path.is_file():
                return Fault(name, "is missing")
            there = path.stat().st_size
            if there != size:
                return Fault(name, f"has {there:,} bytes instead of {size:,}{_diagnosis(path)}")
            was = _sha256(path, progress)
            if was != sha256:
                holds = f", and holds what {names[was]} should" if was in names else _diagnosis(path)
                return Fault(name, DIFFERENT + holds)
            return Fault(name, what) if (what := _unlike(found, name)) else None
        except UNREADABLE as error:
            return Fault(name, f"can't be read: {_first_line(error)}")

    with ThreadPoolExecutor(config.workers) as pool:
        faults = [fault for fault in pool.map(inspect, listed) if fault]
    unlisted = [name for name in (*BESIDE, *found.shards) if name not in listed]
    return faults + [Fault(name, "is missing") for name in unlisted if not (Path(config.out) / name).is_file()]


def size(found: Opened) -> int:
    """Bytes of the files that are there."""
    paths = [Path(found.config.out) / name for name in (*found.shards, *BESIDE)]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _sha256(path: Path, progress: Progress) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            hashed.update(data)
            progress(len(data))
    return hashed.hexdigest()


def _unlike(found: Opened, name: str) -> str | None:
    """What of a file, whole by its bytes, is not what the config gives."""
    config, path = found.config, Path(found.config.out) / name
    if name in found.files:
        footer = pq.read_metadata(path)
        rows = found.files[name].rows
        if footer.num_rows != rows:
            return f"holds {footer.num_rows:,} rows instead of {rows:,}"
        if not footer.schema.to_arrow_schema().equals(schema(config)):
            return "has other columns, or of other types, than the config asks for"
    elif name == "chains.parquet":
        if unlike := corpus.chains_unlike(config):
            return f"has {unlike} chains that are not the config's"
    elif name in (texts := tokenizer.files(config.grammar)) and path.read_text(encoding="utf-8") != texts[name]:
        return "is not the tokenizer of the config"
    return None


def _diagnosis(path: Path) -> str:
    """Where a Parquet file that is not as it was is damaged, as far as its footer and its page checksums tell."""
    if path.suffix != ".parquet":
        return ""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.metadata.num_row_groups):
                for number in range(len(file.schema)):
                    column = file.schema.column(number).path
                    try:
                        file.read_row_group(group, [column], use_threads=False)
                    except UNREADABLE as error:
                        return f"; row group {group}, column {column.partition('.')[0]}: {_first_line(error)}"
    except UNREADABLE as error:
        return f"; {_first_line(error)}"
    return "; its pages are whole"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0][:200]


# Values


def of_values(found: Opened, progress: Progress = lambda rows: None) -> list[Fault]:
    """Files of which the values have not the digest that the manifest says, by threads. `progress` gets rows."""

    def read(name: str) -> Fault | None:
        file = found.files[name]
        parts, start = [], file.first
        try:
            with pq.ParquetFile(Path(found.config.out) / name, page_checksum_verification=True) as opened:
                for group in range(opened.metadata.num_row_groups):
                    rows = opened.read_row_group(group, use_threads=False)
                    parts.append(digest.of_table(file.split, start, rows))
                    start += rows.num_rows
                    progress(rows.num_rows)
        except UNREADABLE as error:
            return Fault(name, f"can't be decoded: {_first_line(error)}")
        holds = digest.written(digest.add(parts))
        wrong = [column for column in found.config.columns if holds.get(column) != file.digest[column]]
        return Fault(name, f"holds other values in {', '.join(wrong)}: their digests differ") if wrong else None

    with ThreadPoolExecutor(found.config.workers) as pool:
        return [fault for fault in pool.map(read, found.files) if fault]


def chosen(found: Opened, share: Fraction) -> list[tuple[str, int, int]]:
    """(file, first, rows) of the row groups that are made again: so large a share, evenly, and of each split one."""
    step = group_rows(found.config)
    groups = [
        (name, start, min(step, file.first + file.rows - start))
        for name, file in found.files.items()
        for start in range(file.first, file.first + file.rows, step)
    ]
    firsts = {found.files[name].split: number for number, (name, _, _) in reversed([*enumerate(groups)])}
    taken = {number for number in range(len(groups)) if int((number + 1) * share) > int(number * share)}
    return [groups[number] for number in sorted(taken | set(firsts.values()))] if share else []


def of_regenerated(
    found: Opened, groups: list[tuple[str, int, int]], progress: Progress = lambda rows: None
) -> list[Fault]:
    """Files that hold other values than the config gives, by threads, as far as these row groups tell."""
    config = found.config

    def compare(group: tuple[str, int, int]) -> Fault | None:
        name, start, rows = group
        file = found.files[name]
        try:
            with pq.ParquetFile(Path(config.out) / name, page_checksum_verification=True) as opened:
                number = (start - file.first) // group_rows(config)
                there = opened.read_row_group(number, use_threads=False).cast(schema(config))
        except UNREADABLE as error:
            return Fault(name, f"can't be decoded: {_first_line(error)}")
        made = table(config, file.split, start, start + rows)
        progress(rows)
        if there.equals(made):
            return None
        if there.num_rows != rows:
            return Fault(name, f"row group {number} holds {there.num_rows:,} rows instead of {rows:,}")
        wrong = [column for column in config.columns if not there[column].equals(made[column])]
        here, due = (each[wrong[0]].to_pylist() for each in (there, made))
        first = next(i for i in range(rows) if here[i] != due[i])
        values = f"{shown(here[first])} in the file, {shown(due[first])} by the config"
        return Fault(name, f"example {start + first}, {wrong[0]}: {values}{_more(wrong)}")

    with ThreadPoolExecutor(config.workers) as pool:
        return [fault for fault in pool.map(compare, groups) if fault]

"""What of a corpus is in `out` already, and what becomes of it: it is gone on with, extended, overwritten or refused.

Extending and overwriting change many names, which no file system does at once. So the manifest says first, in one
rename, which corpus this is from now on and which files move; then they are moved; the next manifest has no list. A run
that ends in between leaves the list to the next one.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastgen.commit import STAGING, make, sync
from fastgen.settings import Config, restore
from fastgen.shard import Shard
from fastgen.values import ConfigError
from fastgen.write import BESIDE, VERSIONS, File, Manifest, made_here, read_manifest, write_manifest


def is_whole(config: Config, shards: Sequence[Shard]) -> bool:
    """Whether `out` holds this very corpus and nothing is to do. It only reads, and needs no lock.

    Raises ConfigError where the manifest can't be read.
    """
    there = read_manifest(Path(config.out))
    if there is None or not there.complete or there.identity != config.identity():
        return False
    return len(_planned(there, shards)) == len(shards)


def ready(config: Config, shards: Sequence[Shard], overwrite: bool, extend: bool) -> dict[str, File]:
    """The files of this corpus that are in `out`, by name, when all that had to move has moved. Needs the lock.

    Raises ConfigError where `out` holds another corpus, or what is not fastgen's.
    """
    out = Path(config.out)
    there = read_manifest(out)
    if there is None:
        for name in (*BESIDE, "data"):
            if (out / name).exists():
                rule = f"holds {name}, but no manifest.json: fastgen did not make it; choose another folder"
                raise ConfigError(f"out={config.out}: {rule}")
        return {}
    if there.moves:
        _move(out, there.moves)
        there = read_manifest(out) or there
    if there.identity != config.identity():
        kept = _kept(config, shards, there, overwrite, extend)
        names = [name for name in _names(out) if name not in kept or kept[name].file != name]
        moves = {name: kept[name].file if name in kept else None for name in names}
        make(out / STAGING)
        write_manifest(config, kept.values(), complete=False, moves=moves)
        _move(out, moves)
        there = read_manifest(out) or there
    elif there.versions != VERSIONS:
        change = f"files there were made with {_shown(there.versions)}, the others are with {_shown(VERSIONS)}"
        print(f"fastgen: warning: {config.out}: {change}: the same values, but other bytes", file=sys.stderr)
    return _planned(there, shards)


def damaged(config: Config, files: Mapping[str, File]) -> list[str]:
    """The names of those files that have not the SHA-256 that they should, said on stderr too. Raises OSError."""

    def sha256(file: File) -> str:
        with (Path(config.out) / file.file).open("rb") as data:
            return hashlib.file_digest(data, "sha256").hexdigest()

    with ThreadPoolExecutor(config.workers) as pool:
        found = dict(zip(files, pool.map(sha256, files.values()), strict=True))
    names = [name for name, file in files.items() if found[name] != file.sha256]
    for name in names:
        print(f"fastgen: {config.out}/{name} is not as it was written, and is made again", file=sys.stderr)
    return names


def _planned(there: Manifest, shards: Sequence[Shard]) -> dict[str, File]:
    """The files that are those of the shards."""
    named = ((shard, there.files.get(shard.file)) for shard in shards)
    return {shard.file: file for shard, file in named if file is not None and file.place == shard.place}


def _kept(config: Config, shards: Sequence[Shard], there: Manifest, overwrite: bool, extend: bool) -> dict[str, File]:
    """Of another corpus, what stays: name -> the file as it will be called. Raises ConfigError where it is refused."""
    here, before = _flat(config.identity()), _flat(there.identity)
    different = [key for key in here | before if here.get(key) != before.get(key)]
    grows = all(re.fullmatch(r"n|split\.sets\.[^.]+\.n", key) for key in different) and all(
        split.rows <= config.find(split.name).rows for split in restore(there.identity, config.out).splits
    )
    if extend and grows:
        by_place = {shard.place: shard.file for shard in shards}
        renamed = {name: by_place.get(file.place) for name, file in there.files.items()}
        return {name: replace(there.files[name], file=new) for name, new in renamed.items() if new is not None}
    if overwrite:
        return {}
    remedy = "choose another folder, or overwrite=true, which removes it"
    if extend:
        remedy = "extend=true goes where n alone differs and no split gets fewer rows; choose another folder"
    elif grows:
        remedy += "; extend=true adds the rows that are missing"
    lines = [f"{key}: {before.get(key)} there, {here.get(key)} here" for key in different]
    raise ConfigError("\n  ".join([f"out={config.out}: holds another corpus; {remedy}", *lines]))


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one from dotted keys to values."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        key: value for name in tree for key, value in _flat(tree[name], f"{prefix}.{name}" if prefix else name).items()
    }


def _names(out: Path) -> list[str]:
    """Paths below `out` of what fastgen wrote there, the manifest aside: listed or not, but nothing else's."""
    names = [
        path.relative_to(out).as_posix() for path in (*out.glob("data/*/*.parquet"), *(out / each for each in BESIDE))
    ]
    return [name for name in names if made_here(name) and (out / name).is_file()]


def _move(out: Path, moves: Mapping[str, str | None]) -> None:
    """Rename and remove what is still to be; then folders that are empty. To do it twice does no harm."""
    for name, to in moves.items():
        if to is None:
            (out / name).unlink(missing_ok=True)
        elif (out / name).is_file():
            (out / name).replace(out / to)
    for folder in {(out / name).parent for name in moves}:
        if folder.is_dir():
            sync(folder)
    for folder in {(out / name).parent for name, to in moves.items() if to is None} - {out}:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _shown(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())

"""Rows as Arrow tables and Parquet files, and the folder around them: manifest, chains, dataset card.

    out/README.md  out/manifest.json  out/chains.parquet  out/tokenizer.json  out/tokenizer_config.json
    out/data/split=<name>/<name>-00000-of-000NN.parquet

The split is named in the file's name too: readers that do not know `split=` folders would put every row into train.
Nothing but these files lies under data/, where a foreign one breaks readers; unfinished ones are in out/.staging/.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from fastgen import __version__
from fastgen.ceiling import ceiling
from fastgen.engine import Rows, dtypes
from fastgen.settings import Config, restore
from fastgen.split import contained, exposures
from fastgen.text import render, tokenizer, tokens
from fastgen.trace import steps_before
from fastgen.values import ConfigError

GROUP_BYTES = 64 * 2**20
"""A row group holds at most this, uncompressed: a worker's memory is bounded at any length."""

FILE_BYTES = 2**30
"""So does a file, uncompressed."""

STAGING = ".staging"
"""Where files are until they are finished, below `out`: on the same file system, so that they can be moved at once."""


BESIDE = ("README.md", "chains.parquet", "tokenizer.json", "tokenizer_config.json")
"""What stands beside the data and the manifest."""


@dataclass(frozen=True)
class Column:
    """A column of the corpus: its Arrow type for a config, and its array for `Rows` whose first has index `start`."""

    type: Callable[[Config], pa.DataType]
    array: Callable[[Config, Rows, int], pa.Array]
    encoding: str
    """dictionary, plain, or a name that Parquet gives (see the measurements in `options`)."""
    statistics: bool = False


def _list(dtype: np.dtype[Any]) -> pa.DataType:
    return pa.list_(pa.field("element", pa.from_numpy_dtype(dtype), nullable=False))


def _ragged(values: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[: offsets[-1]]), type=_list(values.dtype))


def _string(name: str, rows: Rows) -> pa.Array:
    offsets, text = rows.texts.columns[name]
    return pa.StringArray.from_buffers(rows.count, pa.py_buffer(offsets), pa.py_buffer(text[: offsets[rows.count]]))


def _of_tokens(name: str, dtype: Callable[[Config], np.dtype[Any]]) -> Column:
    return Column(
        lambda config: _list(dtype(config)),
        lambda config, rows, start: _ragged(rows.tokens.columns[name], rows.tokens.offsets[: rows.count + 1]),
        encoding="dictionary",
    )


def _of_solutions(name: str) -> Column:
    return Column(
        lambda config: pa.uint16(),
        lambda config, rows, start: pa.array(rows.solutions[name][: rows.count]),
        encoding="dictionary",
        statistics=True,
    )


def _of_exposure(which: int) -> Column:
    return Column(
        lambda config: pa.uint8(),
        lambda config, rows, start: pa.array(_exposures(config)[which, rows.chain_id[: rows.count]]),
        encoding="dictionary",
        statistics=True,
    )


@lru_cache(maxsize=8)
def _exposures(config: Config) -> np.ndarray[Any, Any]:
    """uint8[2, chain]: the two numbers of `split.exposures`."""
    return np.array(exposures(config.splits[0], config.chains), np.uint8).T


@lru_cache(maxsize=8)
def _chains(config: Config) -> pa.Array:
    """The chain of every id, as it is written: the dictionary of the column `chain`."""
    return pa.array([" ".join(chain.heads) for chain in config.chains])


COLUMNS: Mapping[str, Column] = {
    "index": Column(
        lambda config: pa.uint64(),
        lambda config, rows, start: pa.array(np.arange(start, start + rows.count, dtype=np.uint64)),
        encoding="DELTA_BINARY_PACKED",
        statistics=True,
    ),
    "x": Column(
        lambda config: _list(dtypes(config)[0]),
        lambda config, rows, start: _ragged(rows.x, rows.offsets[: rows.count + 1]),
        encoding="dictionary",
    ),
    "y": Column(
        lambda config: _list(dtypes(config)[0]),
        lambda config, rows, start: _ragged(rows.y, rows.offsets[: rows.count + 1]),
        encoding="dictionary",
    ),
    "chain_id": Column(
        lambda config: pa.uint16(),
        lambda config, rows, start: pa.array(rows.chain_id[: rows.count]),
        encoding="dictionary",
        statistics=True,
    ),
    "chain": Column(
        lambda config: pa.dictionary(pa.int16(), pa.string()),
        lambda config, rows, start: pa.DictionaryArray.from_arrays(
            rows.chain_id[: rows.count].view(np.int16), _chains(config), safe=False
        ),
        encoding="dictionary",
    ),
    "trace": Column(
        lambda config: _list(dtypes(config)[1]),
        lambda config, rows, start: _ragged(rows.trace, rows.trace_offsets[: rows.count + 1]),
        encoding="dictionary",
    ),
    "prompt": Column(
        lambda config: pa.string(),
        lambda config, rows, start: _string("prompt", rows),
        encoding="plain",
    ),
    "completion": Column(
        lambda config: pa.string(),
        lambda config, rows, start: _string("completion", rows),
        encoding="plain",
    ),
    "n_solutions": _of_solutions("n_solutions"),
    "n_train_solutions": _of_solutions("n_train_solutions"),
    "longest_train_part": _of_exposure(0),
    "n_unseen_pairs": _of_exposure(1),
    "input_ids": _of_tokens("input_ids", lambda config: tokens.dtypes(config)[0]),
    "labels": _of_tokens("labels", lambda config: tokens.dtypes(config)[1]),
    "roles": _of_tokens("roles", lambda config: np.dtype(np.uint8)),
}
"""name -> column, in the order of the files."""


def schema(config: Config) -> pa.Schema:
    """The columns that the config asks for. None has nulls: they would cost the writer three times the time."""
    return pa.schema([pa.field(name, COLUMNS[name].type(config), nullable=False) for name in config.columns])


def as_table(config: Config, rows: Rows, start: int) -> pa.Table:
    """The filled `rows`, of which the first has index `start`, as a table over the same memory."""
    arrays = [COLUMNS[name].array(config, rows, start) for name in config.columns]
    return pa.Table.from_arrays(arrays, schema=schema(config))


def options(config: Config) -> dict[str, Any]:
    """Arguments of `pyarrow.parquet.ParquetWriter`.

    Measured with zstd, ns and bytes per row: index 6 and 0.01 with DELTA_BINARY_PACKED against 22 and 1.0 plain; x 121
    and 3.5 with a dictionary against 143 and 6.1; trace 450 against 529 ns. Statistics of lists would tell nothing.
    """
    leaves = {
        name: f"{name}.list.element" if pa.types.is_list(COLUMNS[name].type(config)) else name
        for name in config.columns
    }
    by_encoding = {name: COLUMNS[name].encoding for name in config.columns}
    return {
        "compression": config.parquet.codec,
        "compression_level": config.parquet.level,
        "use_dictionary": [leaves[name] for name, encoding in by_encoding.items() if encoding == "dictionary"],
        "column_encoding": {
            leaves[name]: encoding for name, encoding in by_encoding.items() if encoding not in ("dictionary", "plain")
        },
        "write_statistics": [leaves[name] for name in config.columns if COLUMNS[name].statistics],
        "write_page_checksum": True,
        "data_page_version": "1.0",
    }


def row_bytes(config: Config) -> int:
    """The most bytes that a row takes in memory: a function of the config alone, as all sizes below are.

    One row stays below 2^31, so that no row group's text is more than 32-bit offsets reach: 16 transformations of
    65,536 steps are 3.1 million numbers, each of at most 64 bytes and a blank (`grammar.LONGEST_WORD`), and 1 million
    commas.
    """
    vector, code = dtypes(config)
    steps = int(steps_before(config.chain.max, config.longest))
    columns = {name: COLUMNS[name].type(config) for name in ("input_ids", "labels", "roles") if name in config.columns}
    token = sum(kind.value_type.bit_width // 8 for kind in columns.values())
    text = sum(render.most(config).values()) + (tokens.most(config) * token if columns else 0)
    return 24 + 2 * config.longest * vector.itemsize + steps * code.itemsize + text


def group_rows(config: Config) -> int:
    """Rows of a row group."""
    return max(1, min(config.parquet.row_group, config.shard, GROUP_BYTES // row_bytes(config)))


def file_rows(config: Config) -> int:
    """Rows of a file."""
    return max(1, min(config.shard, FILE_BYTES // row_bytes(config)))


@dataclass(frozen=True)
class File:
    """A finished file, as the manifest lists it."""

    file: str
    """Path below the folder `out`."""
    split: str
    rows: int
    first: int
    """Index of its first example."""
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Staged:
    """A file that is written, with the rows it should hold, and waits below `.staging` for its place."""

    path: Path
    rows: int


def stage_parquet(out: Path, name: str, schema: pa.Schema, tables: Iterable[pa.Table], **options: Any) -> Staged:
    """Write tables, a row group each, as what will be the file `name` below `out`.

    Nothing stays if anything is raised: pyarrow closes its writer on an exception too, and leaves a short file that
    reads as a whole one.
    """
    staged = out / STAGING / Path(name).name
    try:
        rows = 0
        with pq.ParquetWriter(staged, schema, **options) as writer:
            for table in tables:
                writer.write_table(table, row_group_size=max(1, table.num_rows))
                rows += table.num_rows
        return Staged(staged, rows)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def check(staged: Staged) -> tuple[int, str]:
    """Bytes and SHA-256 of a staged file whose footer says that it is whole; else it is removed. Raises OSError."""
    try:
        try:
            found = pq.read_metadata(staged.path).num_rows
        except pa.ArrowInvalid as error:
            raise OSError(f"{staged.path} can't be read back: {error}") from error
        if found != staged.rows:
            raise OSError(f"{staged.path} holds {found} rows instead of {staged.rows}")
        with staged.path.open("rb") as file:
            return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except BaseException:
        staged.path.unlink(missing_ok=True)
        raise


def publish(staged: Path, path: Path) -> None:
    """Move a staged file to its place, once it is on the disk; remove it if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged.open("r+b") as file:
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def write_text(out: Path, name: str, text: str) -> None:
    """Write a small file below `out`: the old one or the new one is there, never a part."""
    staged = out / STAGING / name
    staged.write_text(text, encoding="utf-8", newline="\n")
    publish(staged, out / name)


# The folder


def prepare(config: Config) -> None:
    """Make the folders of a corpus, and remove what an earlier run that was cut off left unfinished."""
    staging = Path(config.out) / STAGING
    staging.mkdir(parents=True, exist_ok=True)
    for left in staging.iterdir():
        left.unlink()


def tidy(config: Config) -> None:
    """Remove the staging folder of a finished run."""
    (Path(config.out) / STAGING).rmdir()


def fingerprint(config: Config) -> str:
    """SHA-256 of the config's identity."""
    return hashlib.sha256(json.dumps(config.identity(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What a manifest says of a corpus: its identity, whether it is whole, and the files, by name, that are there."""

    identity: Mapping[str, Any]
    complete: bool
    files: Mapping[str, File]


def read_manifest(out: Path) -> Manifest | None:
    """The manifest of the corpus in a folder, with those of its files that have the size it says; None without one.

    Raises ConfigError where it can't be read.
    """
    if not (out / "manifest.json").exists():
        return None
    try:
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        files = {entry["file"]: File(**entry) for entry in manifest["files"]}
        there = {name: file for name, file in files.items() if _size(out / name) == file.bytes}
        beside = all((out / name).exists() for name in BESIDE) and not (out / STAGING).exists()
        return Manifest(dict(manifest["config"]), manifest["complete"] is True and beside, there)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        rule = f"its manifest.json can't be read ({error!r}); choose another folder, or remove this one"
        raise ConfigError(f"out={out}: {rule}") from error


def load(path: str | Path) -> Config:
    """The config of the corpus in a folder. Raises ConfigError where there is none."""
    manifest = read_manifest(Path(path))
    if manifest is None:
        raise ConfigError(f"{path}: holds no manifest.json; name the folder that fastgen.run wrote (its `out`)")
    return restore(manifest.identity, str(path))


def already(config: Config) -> Manifest | None:
    """The manifest of this very corpus in `config.out`, or None where nothing is.

    Raises ConfigError where `out` holds another corpus, or what is not fastgen's.
    """
    out = Path(config.out)
    manifest = read_manifest(out)
    if manifest is None:
        for name in (*BESIDE, "data"):
            if (out / name).exists():
                rule = f"holds {name}, but no manifest.json: fastgen did not make it; choose another folder"
                raise ConfigError(f"out={config.out}: {rule}")
        return None
    here, there = _flat(config.identity()), _flat(manifest.identity)
    if different := [key for key in here | there if here.get(key) != there.get(key)]:
        lines = [f"{key}: {there.get(key)} there, {here.get(key)} here" for key in different]
        first = f"out={config.out}: holds another corpus; choose another folder, or remove this one"
        raise ConfigError("\n  ".join([first, *lines]))
    return manifest


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one from dotted keys to values."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        key: value for name in tree for key, value in _flat(tree[name], f"{prefix}.{name}" if prefix else name).items()
    }


def write_manifest(config: Config, files: Iterable[File], complete: bool) -> None:
    """manifest.json: all that is needed to make the data again and to check this copy. No times, no hosts."""
    files = sorted(files, key=lambda file: file.file)
    manifest = {
        "fastgen": __version__,
        "complete": complete,
        "fingerprint": fingerprint(config),
        "config": config.identity(),
        "versions": {"numpy": np.__version__, "pyarrow": pa.__version__},
        "splits": {
            split.name: {
                "rows": split.rows,
                "chains": len(split.chains),
                "of": split.of,
                "length": vars(split.length),
                "tokens": dict(zip(("mean", "largest"), tokens.mean_and_largest(config, split), strict=True)),
            }
            for split in config.splits
        },
        **({"roles": tokens.ROLES} if "roles" in config.columns else {}),
        "files": [asdict(file) for file in files],
    }
    write_text(Path(config.out), "manifest.json", json.dumps(manifest, indent=1) + "\n")


def write_tokenizer(config: Config) -> None:
    """tokenizer.json and tokenizer_config.json: with them, the folder is a tokenizer that transformers load."""
    for name, text in tokenizer.files(config.grammar).items():
        write_text(Path(config.out), name, text)


def write_chains(config: Config) -> None:
    """chains.parquet: every chain with its id, heads, length, split and number of paths, and which function it is.

    `split` is null where the chain is left out. `class` is a number for each function, `canonical` the id of its
    shortest chain, `decided` how it is known that the chains of the class are equal, and are what the flags say.
    """
    classes = config.classes
    fields = {
        "chain_id": (pa.uint16(), range(len(config.chains))),
        "chain": (pa.list_(pa.field("element", pa.string(), nullable=False)), [chain.heads for chain in config.chains]),
        "length": (pa.uint8(), map(len, config.chains)),
        "split": (pa.string(), [config.owners.get(chain_id) for chain_id in range(len(config.chains))]),
        "paths": (pa.uint16(), [chain.paths for chain in config.chains]),
        "class": (pa.uint16(), classes.number),
        "canonical": (pa.uint16(), [classes.canonical[number] for number in classes.number]),
        "decided": (pa.string(), [classes.decided[number] for number in classes.number]),
        "identity": (pa.bool_(), classes.identity),
        "constant": (pa.bool_(), classes.constant),
        "redundant": (pa.bool_(), classes.redundant),
    }
    chains = pa.table(
        [pa.array(values, kind) for kind, values in fields.values()],
        schema=pa.schema([pa.field(name, kind, nullable=name == "split") for name, (kind, _) in fields.items()]),
    )
    out = Path(config.out)
    staged = stage_parquet(out, "chains.parquet", chains.schema, [chains], write_page_checksum=True)
    check(staged)
    publish(staged.path, out / "chains.parquet")


CARD = """\
---
{front}---

# Vectors, chains of transformations, and every step

Made by fastgen {version}. A vector `x` of integers mod k goes through a chain of transformations; `y` is the result.
A model that is shown `x` and `y` must write the trace: which transformations, and every step of each.

{splits}

Splits have disjoint sets of chains (`chains.parquet`), except a control, which has the chains of another split.
{contained}
{ceilings}

Several chains can map one `x` to one `y`, and no model can know which was meant: `ceiling` is the best accuracy in
naming the chain, of a model that knows which chains the split has; `blind` of one that knows the graph alone. `several`
is the share of examples that more than one chain explains, `by {first}` of those that a chain of `{first}` explains.

## One example

```
{example}
```

## Columns

{columns}

A step code is `op | a << {bits} | b << {two} | r << {three}`: the code of the transformation, two operands, the result.

## Limits

Data made by a program: it shows arithmetic modulo k on short vectors, and nothing of language. Chains that differ as
lists can be the same function, and several chains can explain one `(x, y)`: score a trace by executing it, not by
comparing it with this one.

## Made by

```yaml
{config}```
"""

MEANINGS = {
    "index": "position within the split: with the config, it determines the example",
    "x": "input vector",
    "y": "output vector",
    "chain_id": "row of `chains.parquet`",
    "chain": "the transformations, separated by a space",
    "trace": "step codes, `length` of them per transformation",
    "prompt": "what a model is given",
    "completion": "what it is to write; begins with a space",
    "n_solutions": "how many chains of the graph map x to y",
    "n_train_solutions": "how many of the first split's do",
    "longest_train_part": "the longest run of the chain that occurs in a chain of the first split",
    "n_unseen_pairs": "neighbours in the chain that are neighbours in no chain of the first split",
    "input_ids": "tokens of prompt and completion, and `<eos>`, by `tokenizer.json`",
    "labels": "the same, but -100 on the prompt",
    "roles": "what each token is: a place in the list `roles` of `manifest.json`",
}


def write_card(config: Config, files: Iterable[File], example: str) -> None:
    """README.md: the dataset card that Hugging Face reads, which also checks the number of examples by it."""
    sizes = dict.fromkeys((split.name for split in config.splits), 0)
    for file in files:
        sizes[file.split] += file.bytes
    front = {
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split.name, "path": f"data/split={split.name}/*.parquet"} for split in config.splits
                ],
            }
        ],
        "dataset_info": {
            "splits": [  # without num_bytes, `datasets` ignores them all, and does not check
                {"name": split.name, "num_bytes": sizes[split.name], "num_examples": split.rows}
                for split in config.splits
            ],
        },
    }
    first, *others = config.splits
    shares = {split.name: float(contained(split, first, config.chains)) for split in others if split.of is None}
    kinds = {field.name: field.type for field in schema(config)}
    bits = dtypes(config)[1].itemsize * 2
    text = CARD.format(
        front=yaml.safe_dump(front, sort_keys=False),
        version=__version__,
        splits=markdown(
            ["split", "examples", "chains", "length"],
            [
                [split.name, f"{split.rows:,}", len(split.chains), f"{split.length.min}-{split.length.max}"]
                for split in config.splits
            ],
        ),
        contained="".join(
            f"{share:.0%} of `{name}` runs a chain that stands whole inside a longer chain of `{first.name}`.\n"
            for name, share in shares.items()
        ),
        first=first.name,
        ceilings=markdown(*ceilings(config)),
        example=example,
        columns=markdown(
            ["column", "type", "meaning"], [[name, kinds[name], MEANINGS[name]] for name in config.columns]
        ),
        bits=bits,
        two=2 * bits,
        three=3 * bits,
        config=yaml.safe_dump(config.identity(), sort_keys=False),
    )
    write_text(Path(config.out), "README.md", text)


def ceilings(config: Config) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of ceilings: what can be reached on each split."""
    header = ["split", "ceiling", "blind", "several", f"by {config.splits[0].name}"]
    return header, [
        [split.name, *(f"{share:.1%}" for share in astuple(ceiling(config, split)))] for split in config.splits
    ]


def markdown(header: list[str], body: Iterable[list[Any]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)

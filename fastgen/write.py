"""Rows as Arrow tables and Parquet files, and the folder around them: manifest, chains, dataset card.

    out/README.md  out/manifest.json  out/chains.parquet  out/tokenizer.json  out/tokenizer_config.json
    out/data/split=<name>/<name>-00000-of-000NN.parquet

The split is named in the file's name too: readers that do not know `split=` folders would put every row into train.
Nothing but these files lies under data/, where a foreign one breaks readers; unfinished ones are in out/.staging/.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from fastgen import __version__, digest
from fastgen.ceiling import ceiling
from fastgen.commit import STAGING, append, check, lines, make, publish, stage_parquet, write_text
from fastgen.engine import Rows, dtypes
from fastgen.settings import CRITIC, TOKENS, Config, restore
from fastgen.split import contained, exposures
from fastgen.text import render, tokenizer, tokens
from fastgen.trace import steps_before
from fastgen.values import ConfigError
from fastgen.verdict.kinds import KINDS

GROUP_BYTES = 64 * 2**20
"""A row group holds at most this, uncompressed: a worker's memory is bounded at any length."""

FILE_BYTES = 2**30
"""So does a file, uncompressed."""

VERSIONS = {"numpy": np.__version__, "pyarrow": pa.__version__}

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
    return render.strings(offsets[: rows.count + 1], text)


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


def _of_critic(name: str, kind: pa.DataType, encoding: str = "dictionary", statistics: bool = False) -> Column:
    return Column(
        lambda config: kind, lambda config, rows, start: rows.corrupted[name].cast(kind), encoding, statistics
    )


def _tells_of_errors(config: Config) -> bool:
    """Whether `verdict.critic` has to be imported: that takes 0.04 s, 4 % of the start."""
    return any(name in CRITIC for name in config.columns)


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
    "corrupted": _of_critic("corrupted", pa.string(), encoding="plain"),
    "error": _of_critic("error", pa.dictionary(pa.int8(), pa.string())),
    "error_depth": _of_critic("error_depth", pa.uint16(), statistics=True),
    "error_step": _of_critic("error_step", pa.uint16(), statistics=True),
    "step_labels": _of_critic("step_labels", _list(np.dtype(np.uint8))),
}
"""name -> column, in the order of the files."""


def schema(config: Config) -> pa.Schema:
    """The columns that the config asks for. None has nulls: they would cost the writer three times the time."""
    return pa.schema([pa.field(name, COLUMNS[name].type(config), nullable=False) for name in config.columns])


def as_table(config: Config, rows: Rows, start: int) -> pa.Table:
    """The filled `rows`, of which the first has index `start`, as a table over the same memory."""
    if _tells_of_errors(config):
        from fastgen.verdict import critic

        critic.fill(rows, config, start)
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
    columns = {name: COLUMNS[name].type(config) for name in TOKENS if name in config.columns}
    token = sum(kind.value_type.bit_width // 8 for kind in columns.values())
    text = sum(render.most(config).values()) + (tokens.most(config) * token if columns else 0)
    if _tells_of_errors(config):
        from fastgen.verdict import critic

        text += critic.most(config)
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
    digest: Mapping[str, str]
    """Column -> content digest, as `digest.written` writes it."""

    @property
    def place(self) -> tuple[str, int, int]:
        """Which examples: the name of the split, the first, and how many."""
        return self.split, self.first, self.rows


# The folder


def prepare(config: Config, files: Iterable[File] = ()) -> None:
    """Make `out` ready for a run, of whose files some are there, and clear what an earlier one left unfinished.

    The manifest comes first: the journal, which is among what is cleared, may know of files that it did not list.
    """
    staging = Path(config.out) / STAGING
    make(staging)
    write_manifest(config, files, complete=False)
    for left in staging.iterdir():
        left.unlink()


def tidy(config: Config) -> None:
    """Remove the staging folder of a finished run."""
    staging = Path(config.out) / STAGING
    journal(staging.parent, config.identity()).unlink(missing_ok=True)
    staging.rmdir()


def fingerprint(config: Config) -> str:
    """SHA-256 of the config's identity."""
    return _sha256_of(config.identity())


def _sha256_of(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What a manifest and its journal say of a corpus."""

    identity: Mapping[str, Any]
    complete: bool
    files: Mapping[str, File]
    """By name, those that are there and have the size that they should."""
    moves: Mapping[str, str | None]
    """Files that are to be renamed, or removed (None), before anything else: see `folder`."""
    versions: Mapping[str, Any]


def journal(out: Path, identity: Mapping[str, Any]) -> Path:
    """Where a run notes each finished file, in a line of JSON, until the manifest lists them.

    A manifest of thousands of files, written anew after each of them, would take longer than the data. The identity is
    in the name, so that no manifest takes the journal of another for its own.
    """
    return out / STAGING / f"finished-{_sha256_of(identity)[:16]}.jsonl"


def record(config: Config, file: File) -> None:
    """Note a file that has come to its place."""
    append(journal(Path(config.out), config.identity()), json.dumps(asdict(file)))


def read_manifest(out: Path) -> Manifest | None:
    """The manifest of the corpus in a folder, with what the journal adds to it; None without one.

    Raises ConfigError where it can't be read.
    """
    if not (out / "manifest.json").exists():
        return None
    try:
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        listed = [*map(_file, manifest["files"]), *_recorded(journal(out, manifest["config"]))]
        files = {file.file: file for file in listed}
        there = {name: file for name, file in files.items() if _size(out / name) == file.bytes}
        beside = all((out / name).exists() for name in BESIDE) and not (out / STAGING).exists()
        moves, versions = dict(manifest.get("moves", {})), dict(manifest["versions"])
        if foreign := [name for pair in moves.items() for name in pair if name is not None and not made_here(name)]:
            raise ValueError(f"moves {foreign[0]!r}")
        return Manifest(dict(manifest["config"]), manifest["complete"] is True and beside, there, moves, versions)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        rule = f"its manifest.json can't be read ({error!r}); choose another folder, or remove this one"
        raise ConfigError(f"out={out}: {rule}") from error


def _recorded(journal: Path) -> Iterator[File]:
    """The files that a journal lists. A line that a crash or a full disk has cut is none, whatever follows in it."""
    for line in lines(journal):
        try:
            yield _file(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue


def _file(entry: Mapping[str, Any]) -> File:
    """The file of an entry. Raises ValueError, KeyError, TypeError or AttributeError where it is none."""
    digest.read(entry["digest"])
    return File(**entry)


def made_here(name: str) -> bool:
    """Whether a path below `out` is such as this module gives to files, manifest aside."""
    return name in BESIDE or re.fullmatch(r"data/split=([a-z0-9_]+)/\1-\d+-of-\d+\.parquet", name) is not None


def load(path: str | Path) -> Config:
    """The config of the corpus in a folder. Raises ConfigError where there is none."""
    manifest = read_manifest(Path(path))
    if manifest is None:
        raise ConfigError(f"{path}: holds no manifest.json; name the folder that fastgen.run wrote (its `out`)")
    return restore(manifest.identity, str(path))


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def write_manifest(
    config: Config, files: Iterable[File], complete: bool, moves: Mapping[str, str | None] | None = None
) -> None:
    """manifest.json: all that is needed to make the data again and to check this copy. No times, no hosts."""
    out = Path(config.out)
    beside = {name: _as_it_is(out / name) for name in BESIDE} if complete else None
    write_text(out, "manifest.json", sealed(manifest(config, files, beside, moves)))


def manifest(
    config: Config,
    files: Iterable[File],
    beside: Mapping[str, Any] | None,
    moves: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """What stands in the manifest of these files; `beside`, of a complete corpus, says what stands beside the data."""
    complete = beside is not None
    files = sorted(files, key=lambda file: file.file)
    digests = {split.name: _digest_of(split.name, files) for split in config.splits} if complete else {}
    return {
        "fastgen": __version__,
        "complete": complete,
        "fingerprint": fingerprint(config),
        **({"digest": f"{digest.whole(digests.values()):032x}"} if complete else {}),
        "config": config.identity(),
        "versions": VERSIONS,
        "splits": {
            split.name: {
                "rows": split.rows,
                "chains": len(split.chains),
                "of": split.of,
                "length": vars(split.length),
                "tokens": dict(zip(("mean", "largest"), tokens.mean_and_largest(config, split), strict=True)),
                **({"digest": digest.written(digests[split.name])} if complete else {}),
            }
            for split in config.splits
        },
        **({"roles": list(tokens.ROLES)} if "roles" in config.columns else {}),
        **({"kinds": list(KINDS)} if "step_labels" in config.columns else {}),
        **({"moves": moves} if moves else {}),
        **({"beside": beside} if complete else {}),
        "files": [asdict(file) for file in files],
    }


def _digest_of(split: str, files: Iterable[File]) -> dict[str, int]:
    return digest.add(digest.read(file.digest) for file in files if file.split == split)


def _as_it_is(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def sealed(manifest: Mapping[str, Any]) -> str:
    """The text of a manifest, with the SHA-256 of itself at the end: of the text that has zeros there."""
    text = json.dumps({**manifest, "sha256": _ZEROS}, indent=1) + "\n"
    before, _, after = text.rpartition(_ZEROS)
    return before + hashlib.sha256(text.encode()).hexdigest() + after


def is_sealed(text: bytes) -> bool:
    """Whether a manifest is as `sealed` wrote it."""
    before, key, after = text.rpartition(b'"sha256": "')
    zeros = before + key + _ZEROS.encode() + after[64:]
    return after[:64] == hashlib.sha256(zeros).hexdigest().encode()


_ZEROS = "0" * 64


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
    "corrupted": "the completion with one error, to train critics",
    "error": "of which kind it is",
    "error_depth": "the transformation that has it, from 0; their number: the y behind the last, or no place",
    "error_step": "its step, or element of y, from 0",
    "step_labels": "of every step in `corrupted`: a place in the list `kinds` of `manifest.json`; 0 is right",
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

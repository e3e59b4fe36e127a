"""A written corpus, read back block by block. Nothing in it is taken for granted: whoever wrote the files may be wrong.

A row is read from the columns x, y and chain_id (or chain), or else from prompt and completion.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fastgen.settings import Config
from fastgen.solve import SLACK
from fastgen.text.batch import Batch, parse_batch
from fastgen.text.grammar import FIELDS
from fastgen.text.parse import MISSING
from fastgen.trace import vector_dtype
from fastgen.values import MOST_VERTICES, ConfigError
from fastgen.write import load

BLOCK_ROWS = 131_072
TEXT_ROWS = 16_384
"""The most rows of a block; of text fewer, because what is parsed of it takes up to 70 times as much."""

BLOCK_BYTES = 2**25
"""What the vectors of a block take at most."""

NO_CHAIN = 2**16 - 1
"""Where a written chain is none of the config, whose ids are below 2000."""

NEEDED = "needs the columns x, y and chain_id (or chain), or prompt and completion"


class Block(NamedTuple):
    """Some rows. The vector x of row r is x[x_offsets[r]:x_offsets[r + 1]], as y is."""

    x: np.ndarray[Any, Any]
    """uint8|uint16[element], each below k; so is y"""
    x_offsets: np.ndarray[Any, Any]
    """int32[row + 1]; so are y_offsets"""
    y: np.ndarray[Any, Any]
    y_offsets: np.ndarray[Any, Any]
    chain_id: np.ndarray[Any, Any]
    """uint16[row]"""
    unlike: int
    """How many rows have a chain that is not the one of their chain_id."""


@dataclass(frozen=True)
class Part:
    """A row group of a file: what is read at a time."""

    split: str
    path: Path
    metadata: pq.FileMetaData
    group: int

    @property
    def rows(self) -> int:
        """How many it says to have."""
        return int(self.metadata.row_group(self.group).num_rows)


class Unreadable(ConfigError):
    """A corpus, or a file of one, can't be read."""

    def __init__(self, path: Path | str, why: object) -> None:
        super().__init__(f"{path}: {str(why).strip().partition(chr(10))[0][:300]}")


def open_corpus(data: str) -> Config:
    """The config of the corpus in a folder. Raises ConfigError where there is none, or none that can be read."""
    try:
        return load(data)
    except (ConfigError, OSError) as error:
        raise ConfigError(f"data={data}: can't be read\n  {error}") from error


def parts(config: Config) -> list[Part]:
    """Every row group of every file under data/, whatever the manifest lists: what a reader of the folder gets.

    Raises Unreadable for files that are no Parquet, for a split that the config does not have, and for one without
    rows.
    """
    data = Path(config.out) / "data"
    names = [split.name for split in config.splits]
    found = []
    for path in sorted(data.glob("*/*.parquet")):
        name = path.parent.name.removeprefix("split=")
        if name not in names or path.parent.name == name:
            raise Unreadable(path, f"lies in no folder of a split; the config has {', '.join(names)}")
        try:
            metadata = pq.read_metadata(path)
        except (OSError, pa.ArrowException) as error:
            raise Unreadable(path, error) from error
        found += [Part(name, path, metadata, group) for group in range(metadata.num_row_groups)]
    for name in names:
        if not sum(part.rows for part in found if part.split == name):
            raise Unreadable(data / f"split={name}", "holds no rows; the config has this split")
    return found


def chains_unlike(config: Config) -> int:
    """How many rows of chains.parquet do not give the heads and the split of the config's chain. Raises Unreadable."""
    path = Path(config.out) / "chains.parquet"
    expected = [(i, list(chain.heads), config.owners.get(i)) for i, chain in enumerate(config.chains)]
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if file.metadata.num_rows != len(expected):
                raise ValueError(f"holds {file.metadata.num_rows} chains; the config has {len(expected)}")
            table = file.read(["chain_id", "chain", "split"])
        found = zip(*(table[name].to_pylist() for name in ("chain_id", "chain", "split")), strict=True)
        return sum(row != right for row, right in zip(found, expected, strict=True))
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise Unreadable(path, error) from error


def blocks(config: Config, part: Part) -> Iterator[Block]:
    """The rows of a part, in their order. Raises Unreadable, which names the file and what is wrong in it."""
    try:
        with pq.ParquetFile(part.path, metadata=part.metadata, page_checksum_verification=True) as file:
            names, rows = _columns(config, part, file.schema_arrow.names)
            rows = max(1, min(rows, BLOCK_BYTES // (2 * config.longest * vector_dtype(config.k).itemsize)))
            for batch in file.iter_batches(rows, row_groups=[part.group], columns=names, use_threads=False):
                columns = {name: _whole(name, batch.column(name)) for name in names}
                yield _from_text(config, columns) if "prompt" in columns else _from_columns(config, columns)
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise Unreadable(part.path, error) from error


def first_rows(config: Config, parts: Iterable[Part], count: int) -> tuple[Any, Any, Any]:
    """x, y and offsets of the first rows of some parts, at most `count` of them, ready to be solved."""
    found: list[Block] = []
    missing = count
    for block in chain.from_iterable(blocks(config, part) for part in parts):
        found.append(block)
        missing -= len(block.chain_id)
        if missing <= 0:
            break
    offsets = np.cumsum([0, *np.concatenate([np.diff(block.x_offsets) for block in found])[:count]], dtype=np.int32)
    slack = np.zeros(SLACK, vector_dtype(config.k))
    x = np.concatenate([*(block.x[block.x_offsets[0] : block.x_offsets[-1]] for block in found), slack])
    y = np.concatenate([*(block.y[block.y_offsets[0] : block.y_offsets[-1]] for block in found), slack])
    return x, y, offsets


def _columns(config: Config, part: Part, there: Sequence[str]) -> tuple[list[str], int]:
    """Which columns to read, and how many rows at a time."""
    chain = [name for name in ("chain_id", "chain") if name in there]
    if not {"x", "y"} <= set(there) or not chain:
        if not {"prompt", "completion"} <= set(there):
            raise ValueError(f"{NEEDED}; it has {', '.join(there)}")
        return ["prompt", "completion"], TEXT_ROWS
    group = part.metadata.row_group(part.group)
    for i in range(group.num_columns):  # before memory is given to it
        column = group.column(i)
        if column.path_in_schema.partition(".")[0] in ("x", "y") and column.num_values > part.rows * config.longest:
            raise ValueError(f"column {column.path_in_schema} holds vectors longer than the longest, {config.longest}")
    return ["x", "y", *chain], BLOCK_ROWS


def _whole(name: str, array: pa.Array) -> pa.Array:
    if array.null_count:
        raise ValueError(f"column {name} holds nulls")
    return array


def _from_columns(config: Config, columns: dict[str, pa.Array]) -> Block:
    x, x_offsets = _vectors(config, "x", columns["x"])
    y, y_offsets = _vectors(config, "y", columns["y"])
    _same_lengths(x_offsets, y_offsets)
    named = _ids_of(config, columns["chain"]) if "chain" in columns else None
    if "chain_id" not in columns:
        assert named is not None
        return Block(x, x_offsets, y, y_offsets, named, 0)
    chain_id: np.ndarray[Any, Any] = columns["chain_id"].cast(pa.uint16()).to_numpy()
    if chain_id.size and chain_id.max() >= len(config.chains):
        raise ValueError(f"chain_id {chain_id.max()} is of no chain: there are {len(config.chains)}")
    unlike = 0 if named is None else int((named != chain_id).sum())
    return Block(x, x_offsets, y, y_offsets, chain_id, unlike)


def _vectors(config: Config, name: str, array: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Elements and offsets of a column of vectors, without a copy where it is as fastgen writes it."""
    kind = pa.list_(pa.from_numpy_dtype(vector_dtype(config.k)))
    if not pa.types.is_list(array.type) or array.type.value_type != kind.value_type:
        array = array.cast(kind)
    values, offsets = _whole(name, array.values).to_numpy(), array.offsets.to_numpy()
    values.flags.writeable = False  # of one type for compiled code, whoever owns the memory
    _below(config, name, values, offsets)
    return values, offsets


def _below(config: Config, name: str, values: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]) -> None:
    used = values[offsets[0] : offsets[-1]]
    if used.size and used.max() >= config.k:
        raise ValueError(f"{name} holds the element {used.max()}; k is {config.k}")


def _same_lengths(x_offsets: np.ndarray[Any, Any], y_offsets: np.ndarray[Any, Any]) -> None:
    if (np.diff(x_offsets) != np.diff(y_offsets)).any():
        raise ValueError("x and y differ in length")


@lru_cache(maxsize=8)
def _ids(config: Config) -> dict[str, int]:
    return {" ".join(chain.heads): chain_id for chain_id, chain in enumerate(config.chains)}


def _ids_of(config: Config, array: pa.Array) -> np.ndarray[Any, Any]:
    """The chain_id of every written chain."""
    if not pa.types.is_dictionary(array.type):
        array = array.cast(pa.large_string()).dictionary_encode()
    written = array.dictionary.cast(pa.large_string()).to_pylist()
    ids = np.array([_ids(config).get(heads, NO_CHAIN) for heads in written], np.uint16)
    of_row: np.ndarray[Any, Any] = ids[array.indices.to_numpy()]
    if (of_row == NO_CHAIN).any():
        heads = written[array.indices[int((of_row == NO_CHAIN).argmax())].as_py()]
        raise ValueError(f"chain {str(heads)[:80]} is none of the config")
    return of_row


# Text


def _from_text(config: Config, columns: dict[str, pa.Array]) -> Block:
    parsed = parse_batch(columns["completion"], config, columns["prompt"])
    if parsed.fault_count.any():
        row = int(parsed.fault_count.argmax())
        fault = parsed.row(row).faults[0]
        text = str(columns["completion"][row])
        raise ValueError(f"a completion that does not parse, {fault.kind} at token {fault.token}: {text!r}")
    for name in ("x", "y"):
        if not (parsed.seen >> FIELDS.index(name) & 1).all():
            raise ValueError(f"its text does not show {name}; {NEEDED}")
    _same_lengths(parsed.x_offsets, parsed.y_offsets)
    x, x_offsets = _narrow(config, "x", parsed.x, parsed.x_offsets)
    y, y_offsets = _narrow(config, "y", parsed.y, parsed.y_offsets)
    ids = chain_ids(config, parsed)
    if (ids == NO_CHAIN).any():
        found = parsed.row(int((ids == NO_CHAIN).argmax()))
        chain = [segment.head for segment in found.segments] or found.chain or ()
        raise ValueError(f"chain {' '.join(chain)} is none of the config")
    return Block(x, x_offsets, y, y_offsets, ids, 0)


def _narrow(
    config: Config, name: str, values: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Parsed elements and offsets in the types of columns."""
    _below(config, name, values, offsets)
    narrow = values.astype(vector_dtype(config.k))
    narrow.flags.writeable = False
    return narrow, offsets.astype(np.int32)


def chain_ids(config: Config, parsed: Batch) -> np.ndarray[Any, Any]:
    """uint16[row]: the chain_id of every text, of the transformations that it works, or of the chain that it is given.

    NO_CHAIN where that is no chain of the config.
    """
    worked = parsed.segments[-1] > 0
    edges = parsed.segments if worked else parsed.chain
    op, argument = (parsed.op, parsed.argument) if worked else (parsed.chain_op, parsed.chain_argument)
    op, argument, counts = op[: edges[-1]], argument[: edges[-1]], np.diff(edges)

    labels = {(vertex.record.code, vertex.argument): label for label, vertex in enumerate(config.graph.vertices, 1)}
    label = np.full(op.size, 255, np.uint8)  # a byte for each transformation, 0 for none, 255 for one of another graph
    for (code, given), number in labels.items():
        label[(op == code) & (argument == (MISSING if given is None else given))] = number
    heads = np.zeros((counts.size, MOST_VERTICES + 1), np.uint8)
    place = np.minimum(np.arange(op.size) - np.repeat(edges[:-1], counts), MOST_VERTICES)
    heads[np.repeat(np.arange(counts.size), counts), place] = label
    ids = {
        bytes(labels[each.record.code, each.argument] for each in chain.transformations): chain_id
        for chain_id, chain in enumerate(config.chains)
    }
    written, rows = np.unique(heads.view(f"S{heads.shape[1]}").ravel(), return_inverse=True)
    of_row: np.ndarray[Any, Any] = np.array([ids.get(chain, NO_CHAIN) for chain in written.tolist()], np.uint16)[rows]
    return of_row

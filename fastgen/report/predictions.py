"""Predictions: what models wrote, read from files, each row with the example that it answers.

Files are untrusted, and no row of them is dropped in silence: every row has a state, and the states are counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import glob
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from fastgen.corpus import NO_CHAIN, chain_ids
from fastgen.settings import Config
from fastgen.shard import table
from fastgen.text.batch import Batch, parse_batch
from fastgen.text.grammar import FIELDS
from fastgen.text.parse import FAULTS
from fastgen.values import ConfigError

TEXT = ("prediction", "generated_text", "output", "response")
"""Columns that may hold what a model wrote, if there is only one of them."""

COMPLETION = "completion"
"""So may this one where none of them is there: beside them it is the right answer, as in a corpus."""

LARGE = 2**20
"""Bytes of a text above which it is counted apart: no right answer of up to 4096 elements is as long."""

JUDGED = ("text", "no text", "not UTF-8", "over 1 MiB")
NOT_JUDGED = ("duplicate", "no key", "unknown split", "no such example", "another config", "damaged")
STATES = (*JUDGED, *NOT_JUDGED)
"""What a row can be. Those of JUDGED are judged, one without text as an empty one. Of the others, `duplicate` repeats
key and sample of an earlier row, `no key` lacks them, `another config` has a prompt that is not the example's or not of
this config, `damaged` is a line that is no JSON object."""

CHUNK = 16_384
"""Lines of JSON that are read before they become arrays."""

NEAR = 1024
"""Indices closer than this are made in one run: as fast as ten calls."""


@dataclass(frozen=True)
class Predictions:
    """One file of predictions, or a folder of such: what a model wrote at one time."""

    name: str
    text_column: str
    counts: Mapping[str, int]
    """State -> rows; the sum is the number of rows read."""
    missing: Mapping[str, int]
    """Split that is expected -> its examples for which there is no text."""
    split: pa.Array
    """string[row], null where the key is the prompt; so is `index`, uint64[row]. These and the following of the rows
    that are judged."""
    index: pa.Array
    sample: np.ndarray[Any, Any]
    """uint32[row]"""
    prompt: pa.Array
    """large_binary[row]; so is `text`, null where there is none."""
    text: pa.Array
    given: Batch
    """The prompts, parsed."""
    intended: np.ndarray[Any, Any]
    """int32[row]: the chain of the example, or -1 where it is not known."""
    logprobs: pa.Array | None
    """list<double>[row]: of each token of the text, where the file has them."""

    def __len__(self) -> int:
        return len(self.text)


class Source(NamedTuple):
    """Where one set of predictions is: its name, and the file, or the folder, with its files."""

    name: str
    path: Path


def sources(patterns: Sequence[str]) -> list[Source]:
    """The files and folders that paths and patterns name, in natural order: step-9 before step-10.

    Raises ConfigError for one that names nothing.
    """
    found: list[Path] = []
    for pattern in patterns:
        paths = [pattern] if Path(pattern).exists() else glob(pattern)
        if not paths:
            raise ConfigError(
                f"predictions={pattern}: there is no such file; name a .jsonl or .parquet file, or several"
            )
        found += [Path(path) for path in sorted(paths, key=_natural)]
    stems = [path.stem if path.is_file() else path.name for path in found]
    return [
        Source(stem if stems.count(stem) == 1 else str(path), path)
        for stem, path in zip(stems, dict.fromkeys(found), strict=False)
    ]


def _natural(path: str) -> list[Any]:
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", path)]


def load(source: Source, config: Config, text_column: str | None = None, expect: Sequence[str] = ()) -> Predictions:
    """Read one set of predictions. Raises ConfigError where it can't be read, or its columns can't be told apart."""
    table, text_column, damaged = _read(source, text_column)
    rows = _Rows(config, table)
    counts = dict.fromkeys(STATES, 0) | {"damaged": damaged}
    prompts = rows.keyed() if {"split", "index"} <= set(table.column_names) else rows.prompted()
    given = parse_batch(pa.nulls(len(rows), pa.large_binary()), config, prompts)
    rows.mark("another config", ~_fits(config, given))
    rows.mark("duplicate", _repeated(rows.state, *rows.keys))
    text = _bytes(table["text"])
    rows.mark("no text", ~_there(text))
    rows.mark("over 1 MiB", pc.fill_null(pc.binary_length(text), 0).to_numpy(zero_copy_only=False) > LARGE)
    rows.mark("not UTF-8", ~_utf8(text))
    for state, count in zip(*np.unique(rows.state, return_counts=True), strict=True):
        counts[STATES[state]] += int(count)
    if expect and rows.splits is None:
        raise ConfigError(f"expect={expect[0]}: {source.path} has no columns split and index, by which to miss any")

    kept = np.flatnonzero(rows.state < len(JUDGED))
    if kept.size < len(rows):
        given = parse_batch(pa.nulls(kept.size, pa.large_binary()), config, prompts.take(pa.array(kept)))
    take = pa.array(kept)
    split, index = rows.names()
    return Predictions(
        name=source.name,
        text_column=text_column,
        counts=counts,
        missing={name: rows.missing(name, kept) for name in expect},
        split=split.take(take),
        index=index.take(take),
        sample=rows.sample[kept],
        prompt=prompts.take(take),
        text=text.take(take),
        given=given,
        intended=rows.intended[kept],
        logprobs=_logprobs(table, take),
    )


class _Rows:
    """What becomes known of the rows of a file, one look after the other."""

    def __init__(self, config: Config, table: pa.Table) -> None:
        self.config, self.table = config, table
        self.state = np.zeros(table.num_rows, np.uint8)
        self.splits: np.ndarray[Any, Any] | None = None
        """int32[row]: place of the split in the config"""
        self.index = np.zeros(table.num_rows, np.uint64)
        sample = _whole(table, "sample", np.uint32)
        self.sample = np.zeros(table.num_rows, np.uint32) if sample is None else sample[0]
        self.intended = np.full(table.num_rows, -1, np.int32)
        self.keys: tuple[Any, ...] = ()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def mark(self, state: str, rows: np.ndarray[Any, Any]) -> None:
        """Give rows a state that have none yet."""
        self.state[rows & (self.state == 0)] = STATES.index(state)

    def keyed(self) -> pa.Array:
        """Look rows up by split and index, whose examples are made again. Returns their prompts."""
        names = [split.name for split in self.config.splits]
        written = _strings(self.table["split"])
        found = pc.index_in(written, pa.array(names, pa.large_string()))
        self.splits = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        index, there = _whole(self.table, "index", np.uint64) or (self.index, np.zeros(len(self), np.bool_))
        self.index = index
        self.mark("no key", ~(there & _there(written)))
        self.mark("unknown split", self.splits < 0)
        most = np.array([*(split.rows for split in self.config.splits), 0], np.uint64)
        self.mark("no such example", index >= most[self.splits])
        prompts = self._made()
        if "prompt" in self.table.column_names:
            self.mark("another config", ~_holds(_bytes(self.table["prompt"]), prompts))
        self.keys = (self.splits, self.index, self.sample)
        return prompts

    def _made(self) -> pa.Array:
        """The prompts of the examples, made again; the intended chains with them."""
        config = replace(self.config, columns=("chain_id", "prompt"))
        assert self.splits is not None
        pieces, places, last = [pa.array([""], pa.string())], np.zeros(len(self), np.int64), 1
        for number, split in enumerate(config.splits):
            rows = np.flatnonzero((self.state == 0) & (self.splits == number))
            for run in _runs(self.index[rows]):
                start, stop = int(run[0]), int(run[-1]) + 1
                made = table(config, split.name, start, stop)
                here = rows[(self.index[rows] >= start) & (self.index[rows] < stop)]
                offset = (self.index[here] - np.uint64(start)).astype(np.int64)
                self.intended[here] = made["chain_id"].to_numpy()[offset]
                places[here] = last + np.searchsorted(run, self.index[here])
                pieces.append(made["prompt"].combine_chunks().take(pa.array((run - run[0]).astype(np.int64))))
                last += run.size
        whole = pa.chunked_array([_chunk(piece) for piece in pieces])
        return whole.combine_chunks().take(pa.array(places))

    def prompted(self) -> pa.Array:
        """Rows that have only their prompt as a key, and a gold column, if any, for the chain that was meant."""
        prompts = _bytes(self.table["prompt"])
        self.mark("no key", ~_there(prompts))
        codes = prompts.dictionary_encode().indices.fill_null(0).to_numpy(zero_copy_only=False)
        self.keys = (codes, self.sample)
        for column, read in GOLD.items():
            if column in self.table.column_names:
                chain = read(self.config, self.table)
                self.intended = np.where(chain == NO_CHAIN, -1, chain.astype(np.int32))
                break
        return prompts

    def names(self) -> tuple[pa.Array, pa.Array]:
        """string[row] and uint64[row]: split and index, or nulls."""
        if self.splits is None:
            return pa.nulls(len(self), pa.string()), pa.nulls(len(self), pa.uint64())
        names = pa.array([*(split.name for split in self.config.splits), None], pa.string())
        return names.take(pa.array(np.where(self.splits < 0, len(names) - 1, self.splits))), pa.array(self.index)

    def missing(self, name: str, kept: np.ndarray[Any, Any]) -> int:
        """How many examples of a split have no row that is judged."""
        assert self.splits is not None
        number = [split.name for split in self.config.splits].index(name)
        found = np.unique(self.index[kept[self.splits[kept] == number]])
        return self.config.splits[number].rows - int(found.size)


def _runs(index: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """Distinct indices in ascending order, cut where two are far apart, and where a run gets long."""
    index = np.unique(index)
    if index.size:
        for run in np.split(index, np.flatnonzero(np.diff(index) > NEAR) + 1):
            yield from np.split(run, range(65_536, run.size, 65_536))


def _fits(config: Config, given: Batch) -> np.ndarray[Any, Any]:
    """bool[row]: whether a prompt is of this config: its grammar, a length of its splits, elements below k."""
    fits = np.ones(len(given.k), np.bool_)
    first = given.faults[:-1][given.fault_count > 0]
    fits[given.fault_count > 0] = given.kind[first] != FAULTS.index("prompt")
    fits &= (given.k == config.k) | (given.seen >> FIELDS.index("k") & 1 == 0)
    for values, offsets in ((given.x, given.x_offsets), (given.y, given.y_offsets)):
        size = np.diff(offsets)
        lengths = [np.arange(split.length.min, split.length.max + 1) for split in config.splits]
        fits &= np.isin(size, [0, *np.concatenate(lengths)])
        large = np.concatenate([[0], np.cumsum((values < 0) | (values >= config.k))])
        fits &= large[offsets[1:]] == large[offsets[:-1]]
    return fits


def _repeated(state: np.ndarray[Any, Any], *keys: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """bool[row]: whether an earlier row, both without a state yet, has the same keys."""
    rows = np.flatnonzero(state == 0)
    order = rows[np.lexsort([key[rows] for key in reversed(keys)])]
    same = np.ones(max(0, order.size - 1), np.bool_)
    for key in keys:
        same &= key[order[1:]] == key[order[:-1]]
    repeated = np.zeros(state.size, np.bool_)
    repeated[order[1:][same]] = True
    return repeated


# Files


def _read(source: Source, asked: str | None) -> tuple[pa.Table, str, int]:
    """Columns of a file or folder; the name of the one with the text, now called `text`; how many lines are damaged."""
    try:
        files = _files(source.path)
        if _is_parquet(files[0]):
            data = ds.dataset(str(source.path), format="parquet", partitioning="hive")
            column, kept = _columns(source, data.schema.names, asked)
            read, damaged = data.to_table(columns=kept, use_threads=False), 0
        else:
            lines, damaged, pieces = _objects(files), 0, []
            column, kept = "", list[str]()
            while chunk := list(islice(lines, CHUNK)):
                good = [line for line in chunk if line is not None]
                damaged += len(chunk) - len(good)
                if good and not kept:
                    column, kept = _columns(source, list(dict.fromkeys(name for line in good for name in line)), asked)
                pieces.append({name: _column("" if name == column else name, good, name) for name in kept})
            if not kept:
                raise ConfigError(f"predictions={source.path}: holds no line that is a JSON object, and is no Parquet")
            read = pa.concat_tables(pa.table(piece) for piece in pieces if piece)
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"predictions={source.path}: can't be read: {str(error).partition(chr(10))[0]}") from error
    names = ["text" if name == column else name for name in read.column_names]
    return read.rename_columns(names), column, damaged


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(path.rglob("*.parquet")) or sorted(path.rglob("*.jsonl"))
    if not files:
        raise ConfigError(f"predictions={path}: is a folder without .parquet or .jsonl files")
    return files


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _objects(files: Iterable[Path]) -> Iterator[dict[str, Any] | None]:
    """Every line of files of JSON that is not blank; None where it is no object."""
    for path in files:
        with path.open("rb") as file:
            for line in file:
                if line.isspace():
                    continue
                try:
                    found = json.loads(line)
                except (ValueError, RecursionError):
                    found = None
                yield found if isinstance(found, dict) else None


def _columns(source: Source, names: Sequence[str], asked: str | None) -> tuple[str, list[str]]:
    """The column with the text, and those to read. Raises ConfigError where it can't be told which."""
    there = f"{source.path} has the columns {', '.join(names)[:300]}"
    if asked is not None and asked not in names:
        raise ConfigError(f"text_column={asked}: {there}")
    found = [name for name in TEXT if name in names] or [name for name in names if name == COMPLETION]
    if asked is None and not found:
        raise ConfigError(f"text_column: {there}; which one holds what the model wrote?")
    if asked is None and len(found) > 1:
        rule = f"{', '.join(found)} could all hold what the model wrote, and one of them the right answer"
        raise ConfigError(f"text_column: {source.path}: {rule}; say which, text_column={found[0]}")
    column = asked or found[0]
    if not {"split", "index"} <= set(names) and "prompt" not in names:
        raise ConfigError(f"predictions: {there}; needed are split and index, or prompt")
    keys = [name for name in ("split", "index", "prompt", "sample", *GOLD, "token_logprobs") if name in names]
    return column, [*(name for name in keys if name != column), column]


_JSON: dict[str, tuple[Any, type]] = {
    "split": (pa.large_binary(), str),
    "index": (pa.uint64(), int),
    "sample": (pa.uint32(), int),
    "chain_id": (pa.uint32(), int),
    "chain": (pa.large_binary(), str),
    "token_logprobs": (pa.list_(pa.float64()), list),
}
"""Column -> its type, and the one that its values have in JSON; others are null. Columns not named here are texts."""


def _column(meaning: str, lines: Sequence[dict[str, Any]], name: str) -> pa.Array:
    kind, known = _JSON.get(meaning, (pa.large_binary(), str))
    values: list[Any] = [value if type(value := line.get(name)) is known else None for line in lines]
    if known is str:
        return pa.array([None if text is None else text.encode("utf-8", "surrogatepass") for text in values], kind)
    if known is int:
        limit = 2**kind.bit_width
        return pa.array([None if n is None or not 0 <= n < limit else n for n in values], kind)
    return pa.array([_floats(value) for value in values], kind)


def _floats(value: list[Any] | None) -> list[float] | None:
    good = value is not None and all(type(each) in (int, float) for each in value)
    return [float(each) for each in value or ()] if good else None


# Arrow


def _chunk(array: Any) -> pa.Array:
    """As one array of bytes."""
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if isinstance(array, pa.ChunkedArray):
        array = array.cast(pa.large_binary()).combine_chunks()
        return array if isinstance(array, pa.Array) else pa.array([], pa.large_binary())
    return array.cast(pa.large_binary())


def _bytes(array: Any) -> pa.Array:
    """Texts as bytes; what is no text is null."""
    try:
        return _chunk(array)
    except pa.ArrowException:
        return pa.nulls(len(array), pa.large_binary())


def _strings(array: Any) -> pa.Array:
    """Texts as strings; those that are not UTF-8 are null."""
    found = _bytes(array)
    return pc.if_else(pa.array(_utf8(found)), found, pa.scalar(None, pa.large_binary())).cast(pa.large_string())


def _there(array: pa.Array) -> np.ndarray[Any, Any]:
    there: np.ndarray[Any, Any] = array.is_valid().to_numpy(zero_copy_only=False)
    return there


def _utf8(array: pa.Array) -> np.ndarray[Any, Any]:
    """bool[row]: whether bytes are UTF-8, as a null is."""
    try:
        array.cast(pa.large_string())
        return np.ones(len(array), np.bool_)
    except pa.ArrowException:
        if len(array) == 1:
            return np.zeros(1, np.bool_)
        half = len(array) // 2
        return np.concatenate([_utf8(array[:half]), _utf8(array[half:])])


def _whole(table: pa.Table, name: str, dtype: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """dtype[row] and bool[row], whether it is there, of a column of whole numbers; None without such a column."""
    if name not in table.column_names or not pa.types.is_integer(table[name].type):
        return None
    array = table[name].combine_chunks()
    there = _there(array) & pc.fill_null(pc.greater_equal(array, 0), False).to_numpy(zero_copy_only=False)
    values = array.fill_null(0).to_numpy(zero_copy_only=False)
    there &= values.astype(np.uint64) <= np.iinfo(dtype).max
    return np.where(there, values, 0).astype(dtype), there


def _holds(texts: pa.Array, parts: pa.Array) -> np.ndarray[Any, Any]:
    """bool[row]: whether a text is, or holds, its part; a null does. (A chat template stands around a prompt.)"""
    holds: np.ndarray[Any, Any] = pc.fill_null(pc.equal(texts, parts), True).to_numpy(zero_copy_only=False).copy()
    for row in np.flatnonzero(~holds):
        holds[row] = parts[row].as_py() in texts[row].as_py()
    return holds


def _logprobs(table: pa.Table, take: pa.Array) -> pa.Array | None:
    """The column token_logprobs, if it is one."""
    if "token_logprobs" not in table.column_names:
        return None
    array = table["token_logprobs"].combine_chunks()
    return array.cast(pa.list_(pa.float64())).take(take) if pa.types.is_list(array.type) else None


# Gold


def _gold_chain(config: Config, table: pa.Table) -> np.ndarray[Any, Any]:
    ids = {" ".join(chain.heads): chain_id for chain_id, chain in enumerate(config.chains)}
    written = _strings(table["chain"])
    if pa.types.is_list(table["chain"].type):
        written = pc.binary_join(table["chain"].combine_chunks().cast(pa.list_(pa.string())), " ").cast(
            pa.large_string()
        )
    encoded = written.dictionary_encode()
    known = np.array([*(ids.get(heads, NO_CHAIN) for heads in encoded.dictionary.to_pylist()), NO_CHAIN], np.uint16)
    chains: np.ndarray[Any, Any] = known[encoded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]
    return chains


def _gold_id(config: Config, table: pa.Table) -> np.ndarray[Any, Any]:
    found, there = _whole(table, "chain_id", np.uint16) or (np.zeros(table.num_rows, np.uint16), False)
    return np.where(there & (found < len(config.chains)), found, NO_CHAIN)


def _gold_completion(config: Config, table: pa.Table) -> np.ndarray[Any, Any]:
    return chain_ids(config, parse_batch(_bytes(table["completion"]), config, _bytes(table["prompt"])))


GOLD = {"chain": _gold_chain, "chain_id": _gold_id, COMPLETION: _gold_completion}
"""Column that says which chain was meant -> uint16[row], NO_CHAIN where it says none. The first of them is read."""

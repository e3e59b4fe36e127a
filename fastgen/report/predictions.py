"""Predictions: what models wrote, read from files, each row with the example that it answers.

Files are untrusted, and no row of them is dropped in silence: every row has a state, and the states are counted.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

LOGPROBS = "token_logprobs"
"""A column of lists of numbers: of each token of the text, how likely the model held it."""

COMPLETION = "completion"
"""So may this one where none of them is there: beside them it is the right answer, as in a corpus."""

LARGE = 2**20
"""Bytes of a text above which it is counted apart: no right answer of up to 4096 elements is as long."""

JUDGED = ("text", "no text", "not UTF-8", "over 1 MiB")
NOT_JUDGED = ("duplicate", "no key", "unknown split", "no such example", "another config", "damaged")
STATES = (*JUDGED, *NOT_JUDGED)
"""What a row can be. Those of JUDGED are judged, one without text as an empty one. Of the others, `duplicate` repeats
key and sample of an earlier row, `no key` lacks one of them, `another config` has a prompt that is not the example's or
not of this config, `damaged` is a line that is no JSON object."""

KEYS = ("split", "index", "prompt", "sample")
"""Columns that say what a row answers."""

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
    read: pa.Table
    """Every row of the file, in its order: split, index, sample (as below) and state, one of STATES."""
    judged: np.ndarray[Any, Any]
    """int64[row]: which of them are judged, as are the rows of all that follows."""
    split: pa.Array
    """string[row], null where the key is the prompt; so is `index`, uint64[row]."""
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
        paths = [pattern] if os.path.exists(pattern) else list(filter(os.path.exists, glob(pattern)))
        if not paths:
            raise ConfigError(
                f"predictions={pattern}: there is no such file; name a .jsonl or .parquet file, or several"
            )
        found += [Path(path) for path in sorted(paths, key=_natural)]
    found = list(dict.fromkeys(found))
    stems = [path.stem if path.is_file() else path.name for path in found]
    return [
        Source(stem if stems.count(stem) == 1 else str(path), path) for stem, path in zip(stems, found, strict=True)
    ]


def _natural(path: str) -> list[Any]:
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", path)]


def files(source: Source) -> list[Path]:
    """The file, or those of a folder, in natural order. Raises ConfigError where there are none, or of two kinds."""
    if source.path.is_file():
        return [source.path]
    if not source.path.is_dir():  # a pipe could not be looked into and then read from its beginning
        raise ConfigError(f"predictions={source.path}: is neither a file nor a folder; write it to a file first")
    ends = (".parquet", ".jsonl")
    found = [path for path in source.path.rglob("*") if path.suffix in ends and path.is_file()]
    if len({path.suffix for path in found}) != 1:
        rule = f"is a folder with {'both ' if found else 'no '}{' and '.join(ends)} files; name files"
        raise ConfigError(f"predictions={source.path}: {rule}")
    return sorted(found, key=lambda path: _natural(str(path)))


def size(source: Source) -> int:
    """Bytes of its files."""
    return sum(path.stat().st_size for path in files(source))


def load(
    source: Source,
    config: Config,
    text_column: str | None = None,
    expect: Sequence[str] = (),
    progress: Callable[[int], Any] = lambda size: None,
) -> Predictions:
    """Read one set of predictions. Raises ConfigError where it can't be read, or its columns can't be told apart.

    `progress` is told of every bytes that were read.
    """
    table, damaged, text_column = _read(source, text_column, progress)
    keyed = {"split", "index"} <= set(table.column_names)
    if expect and not keyed:
        raise ConfigError(f"expect={expect[0]}: {source.path} has no columns split and index, by which to miss any")
    rows = _Rows(config, table, damaged)
    prompts = rows.keyed() if keyed else rows.prompted()
    given = parse_batch(pa.nulls(len(rows), pa.large_binary()), config, prompts)
    rows.mark("another config", ~_fits(config, given))
    rows.mark("duplicate", _repeated(rows.state, *rows.keys))
    text = _bytes(table["text"])
    rows.mark("no text", ~_there(text))
    rows.mark("over 1 MiB", pc.fill_null(pc.binary_length(text), 0).to_numpy(zero_copy_only=False) > LARGE)
    rows.mark("not UTF-8", ~_utf8(text))

    judged = np.flatnonzero(rows.state < len(JUDGED))
    read, logprobs = rows.read(), _logprobs(table)
    columns = [read["split"], read["index"], prompts, text, *([] if logprobs is None else [logprobs])]
    if judged.size < len(rows):
        columns = [column.take(pa.array(judged)) for column in columns]
        given = parse_batch(pa.nulls(judged.size, pa.large_binary()), config, columns[2])
    split, index, prompts, text, *more = columns
    return Predictions(
        name=source.name,
        text_column=text_column,
        counts=dict(zip(STATES, np.bincount(rows.state, minlength=len(STATES)).tolist(), strict=True)),
        missing={name: rows.missing(name, judged) for name in expect},
        read=read,
        judged=judged,
        split=split.combine_chunks(),
        index=index.combine_chunks(),
        sample=rows.sample[judged],
        prompt=prompts,
        text=text,
        given=given,
        intended=rows.intended[judged],
        logprobs=more[0] if more else None,
    )


class _Rows:
    """What becomes known of the rows of a file, one look after the other."""

    def __init__(self, config: Config, table: pa.Table, damaged: np.ndarray[Any, Any]) -> None:
        self.config, self.table = config, table
        self.state = np.zeros(table.num_rows, np.uint8)
        self.splits: np.ndarray[Any, Any] | None = None
        """int32[row]: place of the split in the config"""
        self.index = np.zeros(table.num_rows, np.uint64)
        self.indexed = np.zeros(table.num_rows, np.bool_)
        """bool[row]: whether it has an index"""
        self.sample = np.zeros(table.num_rows, np.uint32)
        self.intended = np.full(table.num_rows, -1, np.int32)
        self.keys: tuple[Any, ...] = ()
        self.mark("damaged", damaged)
        if "sample" in table.column_names:
            self.sample, there = _whole(table["sample"], np.uint32)
            self.mark("no key", ~there & _there(table["sample"]))

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
        self.index, self.indexed = _whole(self.table["index"], np.uint64)
        self.mark("no key", ~(self.indexed & _there(written)))
        self.mark("unknown split", self.splits < 0)
        most = np.array([*(split.rows for split in self.config.splits), 0], np.uint64)
        self.mark("no such example", self.index >= most[self.splits])
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

    def read(self) -> pa.Table:
        """split and index (null where they are not there), sample and state."""
        split, index = pa.nulls(len(self), pa.string()), pa.nulls(len(self), pa.uint64())
        if self.splits is not None:
            names = pa.array([*(split.name for split in self.config.splits), None], pa.string())
            split = names.take(pa.array(np.where(self.splits < 0, len(names) - 1, self.splits)))
            index = pa.array(self.index, mask=~self.indexed)
        state = pa.array(STATES).take(pa.array(self.state))
        return pa.table({"split": split, "index": index, "sample": self.sample, "state": state})

    def missing(self, name: str, judged: np.ndarray[Any, Any]) -> int:
        """How many examples of a split have no row that is judged."""
        assert self.splits is not None
        number = [split.name for split in self.config.splits].index(name)
        found = np.unique(self.index[judged[self.splits[judged] == number]])
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


def _read(
    source: Source, asked: str | None, progress: Callable[[int], Any]
) -> tuple[pa.Table, np.ndarray[Any, Any], str]:
    """Columns of a file or folder, bool[row], which are damaged, and the name of the column now called `text`."""
    if asked in KEYS:
        raise ConfigError(f"text_column={asked}: says which example a row answers; name the column with the text")
    wanted = (*KEYS, *GOLD, LOGPROBS, *(TEXT if asked is None else (asked,)))
    try:
        paths = files(source)
        if _is_parquet(paths[0]):
            read, names = _parquet(paths, wanted)
            damaged = np.zeros(read.num_rows, np.bool_)
            progress(sum(path.stat().st_size for path in paths))
        else:
            read, names, damaged = _lines(paths, wanted, asked, progress)
    except (OSError, pa.ArrowException) as error:
        why = str(error).partition("\n")[0][:300]
        raise ConfigError(f"predictions={source.path}: can't be read: {why}") from error
    if damaged.all():
        rule = "holds no row: no line of it is a JSON object, and it is no Parquet with rows"
        raise ConfigError(f"predictions={source.path}: {rule}; write one object a line")
    column = _text_column(source, names, asked)
    renamed = ["text" if name == column else name for name in read.column_names]
    return read.rename_columns(renamed), damaged, column


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _parquet(paths: Sequence[Path], wanted: Sequence[str]) -> tuple[pa.Table, list[str]]:
    """The columns that are wanted, and the names of all there are; folders such as split=train are one too."""
    data = ds.dataset(list(map(str, paths)), format="parquet", partitioning="hive")
    data = data.replace_schema(
        pa.unify_schemas([data.schema, *(file.physical_schema for file in data.get_fragments())])
    )
    names = data.schema.names
    return data.to_table(columns=[name for name in names if name in wanted]), names


def _lines(
    paths: Iterable[Path], wanted: Sequence[str], asked: str | None, progress: Callable[[int], Any]
) -> tuple[pa.Table, list[str], np.ndarray[Any, Any]]:
    """The same of JSON lines, and bool[row]: which are no object."""
    lines, pieces, damaged = _objects(paths, progress), [], list[bool]()
    names: dict[str, None] = {}
    while chunk := list(islice(lines, CHUNK)):
        damaged += [line is None for line in chunk]
        good = [line or {} for line in chunk]
        there = dict.fromkeys(name for line in good for name in line)
        names |= there
        kept = dict.fromkeys((*KEYS, *(name for name in wanted if name in there)))  # KEYS: a table has rows by columns
        pieces.append(pa.table({name: _column("text" if name == asked else name, good, name) for name in kept}))
    if not pieces:
        return pa.table({}), [], np.zeros(0, np.bool_)
    read = pa.concat_tables(pieces, promote_options="default")
    return read.select([name for name in read.column_names if name in names]), list(names), np.array(damaged)


def _objects(paths: Iterable[Path], progress: Callable[[int], Any]) -> Iterator[dict[str, Any] | None]:
    """Every line of files of JSON that is not blank; None where it is no object. Bytes that are no UTF-8 are kept."""
    for path in paths:
        with path.open("rb") as file:
            size = 0
            for number, line in enumerate(file):
                size += len(line)
                if size > 2**20:
                    progress(size)
                    size = 0
                text = line.removeprefix(codecs.BOM_UTF8 if number == 0 else b"").decode("utf-8", "surrogateescape")
                if not text.isspace():
                    try:
                        found = json.loads(text)
                    except (ValueError, RecursionError):
                        found = None
                    yield found if isinstance(found, dict) else None
            progress(size)


def _text_column(source: Source, names: Sequence[str], asked: str | None) -> str:
    """The column with the text. Raises ConfigError where it can't be told which, or where there is no key."""
    there = f"{source.path} has the columns {', '.join(names)[:300]}"
    if not {"split", "index"} <= set(names) and "prompt" not in names:
        raise ConfigError(f"predictions: {there}; needed are split and index, or prompt")
    if asked is not None:
        if asked not in names:
            raise ConfigError(f"text_column={asked}: {there}")
        return asked
    found = [name for name in TEXT if name in names] or [name for name in names if name == COMPLETION]
    if not found:
        raise ConfigError(f"text_column=null: {there}; which one holds what the model wrote?")
    if len(found) > 1:
        rule = f"{', '.join(found)} could all hold what the model wrote, and one of them the right answer"
        raise ConfigError(f"text_column=null: {source.path}: {rule}; say which, text_column={found[0]}")
    return found[0]


def _column(meaning: str, lines: Sequence[dict[str, Any]], name: str) -> pa.Array:
    """The values of a name, of the type that its meaning has; others are null."""
    kind, read = _JSON.get(meaning, (pa.large_binary(), _text))
    values = [read(line.get(name)) for line in lines]
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([value if value is None else _encoded(value) for value in values], kind)


def _text(value: Any) -> str | None:
    return value if type(value) is str else None


def _heads(value: Any) -> str | None:
    return " ".join(map(str, value)) if type(value) is list else _text(value)


def _number(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**63 else None


def _floats(value: Any) -> list[float] | None:
    good = type(value) is list and all(
        type(each) is float or (type(each) is int and abs(each) < 2**63) for each in value
    )
    return [float(each) for each in value] if good else None


_JSON: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "index": (pa.uint64(), _number),
    "sample": (pa.int64(), lambda value: value if value is None or _number(value) is not None else -1),
    "chain_id": (pa.uint64(), _number),
    "chain": (pa.large_binary(), _heads),
    LOGPROBS: (pa.list_(pa.float64()), _floats),
}
"""Column -> its type and the reader of its values; the others are text. What is no sample is -1, and not null as where
there is none."""


def _encoded(text: str) -> bytes:
    """Bytes that were no UTF-8 as they were; halves of surrogate pairs, which are none either, as they would be."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


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


def _there(array: Any) -> np.ndarray[Any, Any]:
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


def _whole(column: Any, dtype: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """dtype[row] and bool[row], whether it is there, of a column of whole numbers, if it is one."""
    if not pa.types.is_integer(column.type):
        return np.zeros(len(column), dtype), np.zeros(len(column), np.bool_)
    array = column.combine_chunks()
    there = _there(array) & pc.fill_null(pc.greater_equal(array, pa.scalar(0, array.type)), False).to_numpy(
        zero_copy_only=False
    )
    values = array.fill_null(0).to_numpy(zero_copy_only=False)
    there &= values.astype(np.uint64) <= np.iinfo(dtype).max
    return np.where(there, values, 0).astype(dtype), there


def _holds(texts: pa.Array, parts: pa.Array) -> np.ndarray[Any, Any]:
    """bool[row]: whether a text is, or holds, its part; a null does. (A chat template stands around a prompt.)"""
    holds: np.ndarray[Any, Any] = pc.fill_null(pc.equal(texts, parts), True).to_numpy(zero_copy_only=False).copy()
    for row in np.flatnonzero(~holds):
        holds[row] = parts[row].as_py() in texts[row].as_py()
    return holds


def _logprobs(table: pa.Table) -> pa.Array | None:
    """The column token_logprobs, if it is one."""
    if LOGPROBS not in table.column_names:
        return None
    try:
        return table[LOGPROBS].combine_chunks().cast(pa.list_(pa.float64()))
    except pa.ArrowException:
        return None


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
    found, there = _whole(table["chain_id"], np.uint16)
    return np.where(there & (found < len(config.chains)), found, NO_CHAIN)


def _gold_completion(config: Config, table: pa.Table) -> np.ndarray[Any, Any]:
    return chain_ids(config, parse_batch(_bytes(table["completion"]), config, _bytes(table["prompt"])))


GOLD = {"chain": _gold_chain, "chain_id": _gold_id, COMPLETION: _gold_completion}
"""Column that says which chain was meant -> uint16[row], NO_CHAIN where it says none. The first of them is read."""

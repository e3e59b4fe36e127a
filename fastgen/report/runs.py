"""A run: one set of predictions with its verdicts, as arrays of rows and of steps, of which every statistic is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastgen.overlap import hash_rows, mix_rows
from fastgen.report.baselines import Solved, solved
from fastgen.report.predictions import Predictions
from fastgen.settings import Config
from fastgen.text.parse import MISSING
from fastgen.transforms import RECORDS, Record
from fastgen.verdict.batch import Verdicts

NO_SPLIT = "no split"
"""The split of a row that does not say one."""

UNKNOWN, NOTHING = -1, -2
"""Instead of a place in `heads`: something that is no transformation, and no more of the chain."""

BLOCK = 2**18
"""Steps that are counted at a time: what is made of them on the way stays in the second cache."""


class Steps(NamedTuple):
    """Every step that was judged, as arrays; -1 is a number that is not there."""

    row: np.ndarray[Any, Any]
    """int32[step], ascending"""
    head: np.ndarray[Any, Any]
    """int16[step]: a place in `heads` of the run, or -1"""
    kind: np.ndarray[Any, Any]
    """uint8[step]: a place in KINDS, 0 is right; this and the others are those of `verdict.kinds.Step`"""
    after: np.ndarray[Any, Any]
    op: np.ndarray[Any, Any]
    other: np.ndarray[Any, Any]
    depth: np.ndarray[Any, Any]
    """int32[step]: of which transformation; so are those that follow"""
    step: np.ndarray[Any, Any]
    a: np.ndarray[Any, Any]
    b: np.ndarray[Any, Any]
    r: np.ndarray[Any, Any]
    due_a: np.ndarray[Any, Any]
    due_b: np.ndarray[Any, Any]
    expected: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Run:
    """One set of predictions, judged. Arrays of rows are of those that were judged."""

    name: str
    config: Config
    heads: tuple[str, ...]
    """Those of the graph, then what else was written: `add*` is `add` with an argument of which the graph has none."""
    splits: tuple[str, ...]
    split: np.ndarray[Any, Any]
    """int32[row]: a place in `splits`"""
    index: np.ndarray[Any, Any] | None
    """uint64[row], where any row has one"""
    sample: np.ndarray[Any, Any]
    """uint32[row]: which of several generations"""
    prompt: np.ndarray[Any, Any]
    """uint64[row]: equal where the example is the same: a hash of split and index, or else of the prompt"""
    intended: np.ndarray[Any, Any]
    """int32[row]: the chain that was meant, or -1"""
    chain: np.ndarray[Any, Any]
    """int32[row]: `intended` where that is known of any row, else the chain written; -1 where it is not known"""
    known: bool
    """Whether it is the chain that was meant"""
    length: np.ndarray[Any, Any]
    """int32[row]: of the vector"""
    written: np.ndarray[Any, Any]
    """int32[row]: the chain written, a place in `chains`"""
    chains: np.ndarray[Any, Any]
    """int16[chain, depth], one deeper than those of the graph: places in `heads`, UNKNOWN or NOTHING. The chains of the
    config, then the others that were written."""
    parsed: np.ndarray[Any, Any]
    """bool[row]; so are `valid`, `answer` and `forced`. All of these, to `error_step`, as in `verdict.kinds.Verdict`"""
    valid: np.ndarray[Any, Any]
    answer: np.ndarray[Any, Any]
    forced: np.ndarray[Any, Any]
    exact: np.ndarray[Any, Any]
    """int8[row]: 1, 0, or -1 where it is not known"""
    whose: np.ndarray[Any, Any]
    """uint8[row]: a place in WHOSE"""
    error: np.ndarray[Any, Any]
    """uint8[row]: a place in KINDS"""
    error_depth: np.ndarray[Any, Any]
    """int32[row], or -1; so are `error_step` and `error_head`, a place in `heads`"""
    error_step: np.ndarray[Any, Any]
    error_head: np.ndarray[Any, Any]
    steps: Steps
    solved: Solved | None
    logprobs: pa.Array | None
    """list<double>[row]: of each token of the text"""
    words: np.ndarray[Any, Any] | None
    """int32[row]: how many words between blanks the text has, where there are logprobs"""

    @property
    def right(self) -> np.ndarray[Any, Any]:
        """bool[row]: every step is right, and the last vector is y."""
        right: np.ndarray[Any, Any] = self.valid & self.answer
        return right

    @property
    def cluster(self) -> np.ndarray[Any, Any]:
        """int64[row]: the chain, and one more for rows without."""
        return np.where(self.chain < 0, len(self.config.chains), self.chain).astype(np.int64)

    @property
    def clusters(self) -> int:
        """How many there may be."""
        return len(self.config.chains) + 1

    @property
    def owner(self) -> np.ndarray[Any, Any]:
        """int32[row]: the split that has the chain written, a place in the config's; -1 where none has."""
        names = [split.name for split in self.config.splits]
        owners = np.full(len(self.config.chains) + 1, -1, np.int32)
        for chain, name in self.config.owners.items():
            owners[chain] = names.index(name)
        found: np.ndarray[Any, Any] = owners[np.minimum(self.written, owners.size - 1)]
        return found

    def counts(self, group: Any, groups: int, rows: Any = None) -> np.ndarray[Any, Any]:
        """int64[group, split, cluster]: how many rows are in each of the groups, int[row], negative ones in none.

        With `rows: int[...]`, of these rows, and `group` is of them.
        """
        cell = self._cell if rows is None else self._cell[rows]
        place = np.asarray(group, np.int64) * self._cells + cell
        return self._shaped(np.bincount(place[place >= 0], minlength=groups * self._cells))

    def step_counts(self, group: Callable[[slice], Any], groups: int) -> np.ndarray[Any, Any]:
        """`counts` of steps: `group` gives those of a slice, because a million rows have too many for 64 bits each."""
        cell, row = self._cell, self.steps.row

        def place(block: slice) -> Any:
            return np.asarray(group(block), np.int64) * self._cells + cell[row[block]]

        return self._shaped(self.tally(place, groups * self._cells))

    def tally(self, group: Callable[[slice], Any], groups: int) -> np.ndarray[Any, Any]:
        """int64[group]: how many steps are in each, by a function as of `step_counts`."""
        counts = np.zeros(groups, np.int64)
        for start in range(0, self.steps.row.size, BLOCK):
            found = group(slice(start, start + BLOCK))
            counts += np.bincount(found[found >= 0], minlength=groups)
        return counts

    @property
    def _cell(self) -> np.ndarray[Any, Any]:
        cell: np.ndarray[Any, Any] = self.split * np.int64(self.clusters) + self.cluster
        return cell

    @property
    def _cells(self) -> int:
        return len(self.splits) * self.clusters

    def _shaped(self, counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return counts.reshape(-1, len(self.splits), self.clusters)


def name_of(head: str) -> str:
    """The transformation of one of a run's `heads`."""
    return head.rstrip("0123456789*")


COMPUTED, COPIED = "result, computed", "result, copied"


def number_roles(record: Record) -> tuple[str, str, str]:
    """What the three numbers of its steps are, results apart that only repeat an element."""
    a, b, _ = record.roles
    return a, b, COPIED if "source" in record.roles else COMPUTED


def run_of(name: str, config: Config, predictions: Predictions, verdicts: Verdicts) -> Run:
    """Predictions and their verdicts, row by row, as a run."""
    names = [split.name for split in config.splits]
    place = pc.index_in(predictions.split, pa.array(names, predictions.split.type)).fill_null(-1)
    of = place.to_numpy(zero_copy_only=False).astype(np.int32)
    there = np.unique(of)
    splits = tuple(names[i] if i >= 0 else NO_SPLIT for i in np.roll(there, -1 if -1 in there else 0))
    index = None
    if predictions.index.null_count < len(predictions):
        index = predictions.index.fill_null(0).to_numpy(zero_copy_only=False)
    intended = predictions.intended.astype(np.int32)
    known = bool((intended >= 0).any())
    rows = verdicts.rows
    heads = _Heads(config)
    chains, written = _chains(config, verdicts, heads)
    row = np.repeat(np.arange(written.size, dtype=np.int32), np.diff(verdicts.offsets))
    head = _step_heads(verdicts.steps, row, chains, written, heads)
    depth = np.where(rows["error_depth"] < 0, chains.shape[1], rows["error_depth"])
    return Run(
        name=name,
        config=config,
        heads=tuple(heads.names),
        splits=splits or (NO_SPLIT,),
        split=np.where(of < 0, len(splits) - 1, np.searchsorted(there[there >= 0], of)).astype(np.int32),
        index=index,
        sample=predictions.sample,
        prompt=_keys(config, predictions, of, index),
        intended=intended,
        chain=intended if known else rows["chain_id"],
        known=known,
        length=np.diff(predictions.given.x_offsets).astype(np.int32),
        written=written,
        chains=chains,
        **{field: rows[field] for field in ("parsed", "valid", "answer", "forced", "exact", "whose", "error")},
        error_depth=rows["error_depth"],
        error_step=rows["error_step"],
        error_head=np.maximum(_at(chains, written, depth), UNKNOWN),
        steps=Steps(row, head, **verdicts.steps),
        solved=solved(config, predictions.given, of),
        logprobs=predictions.logprobs,
        words=None if predictions.logprobs is None else _words(predictions.text),
    )


class _Heads:
    """What heads are called: those of the graph, and behind them others in the order in which they are met."""

    def __init__(self, config: Config) -> None:
        self.names = list(config.grammar.heads)
        self.place = {head: i for i, head in enumerate(self.names)}
        listed = {each.head: each for chain in config.chains for each in chain.transformations}
        self.graph = [(listed[head].record.code, listed[head].argument) for head in self.names if head in listed]

    def of(self, name: str) -> int:
        """The place of a transformation with an argument that the graph does not have."""
        head = name if RECORDS[name].argument is None else f"{name}*"
        if head not in self.place:
            self.place[head] = len(self.names)
            self.names.append(head)
        return self.place[head]

    def places(self, op: Any, argument: Any) -> np.ndarray[Any, Any]:
        """int16[...]: those of heads as they were written, UNKNOWN where there is no such transformation."""
        found = np.full(op.shape, UNKNOWN, np.int16)
        for record in RECORDS.values():
            if (here := op == record.code).any():
                known = [(code, given) for code, given in self.graph if code == record.code]
                masks = [here & (argument == (MISSING if given is None else given)) for _, given in known]
                for (_, given), mask in zip(known, masks, strict=True):
                    found[mask] = self.place[record.name + ("" if given is None else str(given))]
                if (others := here & (found == UNKNOWN)).any():
                    found[others] = self.of(record.name)
        return found


def _chains(config: Config, verdicts: Verdicts, heads: _Heads) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Every chain that was written, as in a run, and which is that of each row."""
    written = verdicts.rows["chain_id"].astype(np.int32)
    others = np.flatnonzero(written < 0)
    deepest = config.chain.max + 1
    starts, sizes = verdicts.head_offsets[others], np.diff(verdicts.head_offsets)[others]
    there = np.arange(deepest) < sizes[:, None]
    at = (starts[:, None] + np.arange(deepest))[there]
    found = np.full(there.shape, NOTHING, np.int16)
    found[there] = heads.places(verdicts.head_op[at], verdicts.head_argument[at])
    distinct, which = np.unique(found, axis=0, return_inverse=True)
    written[others] = len(config.chains) + which.reshape(-1)
    graph = [[heads.place[head] for head in chain.heads] for chain in config.chains]
    listed = np.array([each + [NOTHING] * (deepest - len(each)) for each in graph], np.int16)
    return np.concatenate([listed, distinct]), written


def _at(chains: Any, written: Any, depth: Any) -> Any:
    """int16[...]: what is there in a chain, NOTHING beyond the end."""
    deepest = chains.shape[1]
    return np.where(depth < deepest, chains[written, np.minimum(depth, deepest - 1)], np.int16(NOTHING))


def _step_heads(
    steps: dict[str, np.ndarray[Any, Any]], row: Any, chains: Any, written: Any, heads: _Heads
) -> np.ndarray[Any, Any]:
    """int16[step]: the head of every step, a place in `heads`.

    It is that of the chain written, or where that has another transformation there (a plan that is not kept to), the
    one that was worked, whose argument is then not known.
    """
    worked = np.full(256, UNKNOWN, np.int16)
    for record in RECORDS.values():
        if (steps["op"] == record.code).any():
            worked[record.code] = heads.of(record.name)
    codes = np.array([*(RECORDS[name_of(head)].code for head in heads.names), 0, 0], np.uint8)
    found = np.empty(row.size, np.int16)
    for start in range(0, row.size, BLOCK):
        block = slice(start, start + BLOCK)
        head, op = _at(chains, written[row[block]], steps["depth"][block]), steps["op"][block]
        found[block] = np.where(codes[head] == op, head, worked[op])
    return found


def _keys(config: Config, predictions: Predictions, split: Any, index: Any) -> np.ndarray[Any, Any]:
    """uint64[row]: a hash of the example. Of a million different ones, two are alike with a chance of 3e-8."""
    keys = np.zeros(len(predictions), np.uint64)
    data, edges = _bytes(predictions.prompt)
    seeds = np.diff(edges).astype(np.uint64)
    mix_rows(seeds, np.zeros_like(seeds))
    hash_rows(data, edges, seeds, keys)
    if index is not None:
        known = np.flatnonzero(split >= 0)
        streams = np.array([each.stream for each in config.splits], np.uint64)[split[known]]
        mix_rows(streams, np.ones_like(streams))
        found = index[known].copy()
        mix_rows(found, streams)
        keys[known] = found
    return keys


def _words(texts: pa.Array) -> np.ndarray[Any, Any]:
    """int32[row]: how many words between blanks each text has, without a loop over a hundred million of them."""
    data, edges = _bytes(texts)
    words = np.zeros(edges.size - 1, np.int32)
    for first in range(0, words.size, BLOCK // 64):
        here = edges[first : first + BLOCK // 64 + 1]
        blank = np.isin(data[here[0] : here[-1]], np.frombuffer(b" \t\n\r\v\f", np.uint8))
        before = np.append(True, blank[:-1])[: blank.size]
        begins = here[:-1] - here[0]
        before[begins[begins < blank.size]] = True
        found = np.append(0, np.cumsum(before & ~blank))
        words[first : first + begins.size] = np.diff(found[here - here[0]])
    return words


def _bytes(texts: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """uint8[byte] and int64[row + 1]: the bytes of texts, null is none, and where those of each row begin."""
    texts = texts.cast(pa.large_binary()).fill_null(b"")
    _, offsets, data = texts.buffers()
    edges = np.frombuffer(offsets, np.int64, len(texts) + 1, 8 * texts.offset) if len(texts) else np.zeros(1, np.int64)
    return np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8), edges

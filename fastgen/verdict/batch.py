"""Verdicts on many texts at once, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgen.settings import Config
from fastgen.text.batch import Batch, parse_blocks
from fastgen.text.parse import FAULTS, MISSING
from fastgen.verdict.judge import Arrays, has_x, judge, rules
from fastgen.verdict.kinds import AFTER, CLASS_OF, KINDS, WHOSE, Step, Verdict
from fastgen.verdict.reference import verify_one

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on many texts, as arrays; what they hold is what `verify_one` says of each."""

    rows: dict[str, np.ndarray[Any, Any]]
    """By name, one per text: as `Verdict`; codes of FAULTS, WHOSE and KINDS in uint8, MISSING for None in int32."""
    offsets: np.ndarray[Any, Any]
    """int64[row + 1]: where a text's steps begin."""
    steps: dict[str, np.ndarray[Any, Any]]
    """By name, one per step, as `Step`: kind and after (places in KINDS and AFTER), op, other in uint8; else int32."""
    head_offsets: np.ndarray[Any, Any]
    """int64[row + 1]: where a text's heads begin."""
    head_op: np.ndarray[Any, Any]
    """uint8[head]; 0 where it is unknown"""
    head_argument: np.ndarray[Any, Any]
    """int64[head]; MISSING where there is none"""
    owners: dict[int, str]
    """chain id -> the split that has it."""

    @cached_property
    def heads(self) -> pa.DictionaryArray:
        """The heads as strings, empty where unknown; each different one is there once."""
        import pyarrow as pa

        from fastgen.transforms import by_code

        names = {code: record.name for code, record in by_code().items()}
        arguments = pa.array(self.head_argument).dictionary_encode()
        pairs = pa.array(arguments.indices.to_numpy().astype(np.int64) * 256 + self.head_op).dictionary_encode()
        said = [divmod(pair, 256) for pair in pairs.dictionary.to_pylist()]
        known = arguments.dictionary.to_pylist()
        spelled = [names.get(op, "") + ("" if known[place] == MISSING else str(known[place])) for place, op in said]
        return pa.DictionaryArray.from_arrays(pairs.indices, pa.array(spelled, pa.string()))

    @cached_property
    def chains(self) -> list[tuple[str, ...]]:
        """Heads of every text; one object where they are the same."""
        import pyarrow as pa
        import pyarrow.compute as pc

        places, names = self.heads.indices.cast(pa.string()), self.heads.dictionary.to_pylist()
        joined = pc.binary_join(pa.LargeListArray.from_arrays(self.head_offsets, places), " ").dictionary_encode()
        found = [tuple(names[int(place)] for place in text.split()) for text in joined.dictionary.to_pylist()]
        return [found[i] for i in joined.indices.to_pylist()]

    def row(self, r: int) -> Verdict:
        """One of them as `verify_one` gives it."""
        rows = {name: values[r].item() for name, values in self.rows.items()}
        names = {"fault": FAULTS, "whose": WHOSE, "error": KINDS}
        said = {name: words[rows.pop(name)] for name, words in names.items()}
        known = {name: None if rows[name] < 0 else rows.pop(name) for name in ("chain_id", "error_depth", "error_step")}
        exact, depth = rows.pop("exact"), known["error_depth"]
        chain = tuple(self.heads[self.head_offsets[r] : self.head_offsets[r + 1]].to_pylist())
        chosen = range(self.offsets[r], self.offsets[r + 1])
        listed = zip(*(values[chosen.start : chosen.stop].tolist() for values in self.steps.values()), strict=True)
        return Verdict(
            **{**rows, **known},
            chain=chain,
            owner=self.owners.get(known["chain_id"] if known["chain_id"] is not None else MISSING),
            fault=said["fault"] or None,
            whose=said["whose"],
            error=said["error"] or None,
            exact=None if exact < 0 else bool(exact),
            error_head=(chain[depth] or None) if depth is not None and depth < len(chain) else None,
            steps=tuple(Step(KINDS[kind], AFTER[after], *rest) for kind, after, *rest in listed),
        )

    def table(self) -> pa.Table:
        """One row per text; see the README for the columns."""
        return _table(self)


def verify(
    prompts: Any,
    texts: Any,
    config: Config,
    intended: Any = None,
    chat: bool = False,
    progress: Callable[[int], None] = lambda rows: None,
) -> Verdicts:
    """`verify_one` for every text of an Arrow array with its prompt.

    `intended`: integers, an array or an Arrow array: each text's chain id, -1 or null where it is not known. `progress`
    is called with the number of texts of each block. Raises TypeError and ValueError as `parse_batch` does, and where
    there are not as many of them as texts.
    """
    batches = parse_blocks(texts, config, prompts, chat)
    batch: Batch | None = next(batches)
    count, start = len(texts), 0
    wanted, known = _intended(intended, count, len(config.chains)), rules(config)
    rows = {name: np.zeros(count, dtype) for name, dtype in _ROWS.items()}
    offsets, steps = np.zeros(count + 1, np.int64), _steps(0)
    heads: list[tuple[np.ndarray[Any, Any], ...]] = []
    while batch is not None:
        stop = start + batch.fault_count.size
        edges = offsets[start : stop + 1]
        edges[1:] = edges[0] + np.cumsum(np.where(has_x(batch), np.diff(batch.steps[batch.segments]), 0))
        if edges[-1] > len(steps["kind"]):
            more = edges[-1] * (count - stop) // stop
            steps = _grown(steps, edges[0], edges[-1] + more + more // 32)
        steps["written"][edges[0] : edges[-1]] = _written(batch, config)
        said = {name: values[start:stop] for name, values in rows.items()}
        plain = judge(batch, known, wanted[start:stop], edges, said, steps)
        _put_plain(plain, batch, config, wanted[start:stop], edges, said, steps)
        heads.append(_heads(batch, config))
        progress(stop - start)
        start, batch = stop, next(batches, None)
    _tell_same_function(rows, wanted, config)
    sizes, ops, arguments = (np.concatenate(arrays) for arrays in zip(*heads, strict=True))
    return Verdicts(
        rows,
        offsets,
        _by_name({name: values[: offsets[-1]] for name, values in steps.items()}),
        np.concatenate([[0], np.cumsum(sizes)]),
        ops,
        arguments,
        config.owners,
    )


_ROWS: dict[str, Any] = {
    **dict.fromkeys(("parsed", "valid", "answer", "forced"), np.bool_),
    **dict.fromkeys(("fault", "whose", "error"), np.uint8),
    **dict.fromkeys(("faults", "chain_id", "error_depth", "error_step"), np.int32),
    "exact": np.int8,
}


def _steps(size: int) -> Arrays:
    """Room for what is said of `size` steps; `written` and `due`: a, b and r."""
    return {
        **{name: np.zeros(size, np.uint8) for name in ("kind", "after", "op", "other")},
        **{name: np.empty(size, np.int32) for name in ("depth", "step")},
        **{name: np.empty((size, 3), np.int32) for name in ("written", "due")},
    }


def _grown(steps: Arrays, used: int, size: int) -> Arrays:
    """Room for `size` steps, with those that are used."""
    grown = _steps(size)
    for name, values in steps.items():
        grown[name][:used] = values[:used]
    return grown


def _by_name(steps: Arrays) -> Arrays:
    """The arrays in the order of a `Step`, no copies."""
    written, due = steps["written"].T, steps["due"].T
    arrays = {**steps, **dict(zip(("a", "b", "r", "due_a", "due_b", "expected"), (*written, *due), strict=True))}
    return {name: arrays[name] for name in Step._fields}


def _written(batch: Batch, config: Config) -> np.ndarray[Any, Any]:
    """int32[step, 3]: a, b and r, of texts whose steps are judged."""
    shown, read = config.grammar.step, has_x(batch)
    numbers = batch.numbers if read.all() else batch.numbers[np.repeat(read, np.diff(batch.steps[batch.segments]))]
    if shown == ("a", "b", "r"):
        return numbers
    missing = np.full(len(numbers), MISSING, np.int32)
    return np.stack([numbers[:, shown.index(field)] if field in shown else missing for field in "abr"], axis=1)


def _heads(batch: Batch, config: Config) -> tuple[np.ndarray[Any, Any], ...]:
    """How many heads each text wrote, their codes and arguments."""
    if not any(item.field == "chain" for item in config.grammar.completion):
        return np.diff(batch.segments), batch.op.astype(np.uint8), batch.argument.copy()
    read = has_x(batch)
    sizes = np.where(read, np.diff(batch.chain), np.diff(batch.segments))
    starts = np.where(read, batch.chain[:-1], batch.segments[:-1] + batch.chain_op.size)
    places = np.arange(sizes.sum()) + np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
    ops = np.concatenate([batch.chain_op, batch.op]).astype(np.uint8)
    return sizes, ops[places], np.concatenate([batch.chain_argument, batch.argument])[places]


def _tell_same_function(rows: Arrays, wanted: np.ndarray[Any, Any], config: Config) -> None:
    """Of chains that explain a pair, those that are the same function as the one that was meant."""
    chosen = np.flatnonzero((rows["whose"] == WHOSE.index("explains")) & (wanted >= 0))
    if chosen.size:
        number = np.array(config.classes.number)
        same = number[rows["chain_id"][chosen]] == number[wanted[chosen]]
        rows["whose"][chosen[same]] = WHOSE.index("same function")


def _intended(intended: Any, count: int, chains: int) -> np.ndarray[Any, Any]:
    """int64[row], -1 where it is not known."""
    if intended is None:
        return np.full(count, MISSING, np.int64)
    values = intended.to_pylist() if hasattr(intended, "to_pylist") else intended
    if not isinstance(values, np.ndarray):
        values = [MISSING if value is None else value for value in values]
    found = np.array(values, np.int64)
    if found.size != count:
        raise ValueError(f"intended: there are {found.size}, and {count} texts; give one for each, null if unknown")
    if found.size and (found.min() < MISSING or found.max() >= chains):
        raise ValueError(f"intended: must be chain ids from 0 to {chains - 1}, or -1; is {found.min()}..{found.max()}")
    return found


def _put_plain(
    chosen: np.ndarray[Any, Any],
    batch: Batch,
    config: Config,
    wanted: np.ndarray[Any, Any],
    offsets: np.ndarray[Any, Any],
    rows: Arrays,
    steps: Arrays,
) -> None:
    """What plain Python says of some texts."""
    arrays = _by_name(steps)
    for r in chosen.tolist():
        verdict = verify_one(batch.row(r), config, None if wanted[r] < 0 else int(wanted[r]))
        for name, values in rows.items():
            values[r] = _code(name, getattr(verdict, name))
        for at, step in enumerate(verdict.steps, start=int(offsets[r])):
            for name, value in zip(Step._fields, step, strict=True):
                arrays[name][at] = _code(name, value)


_WORDS: dict[str, Sequence[str]] = {"fault": FAULTS, "whose": WHOSE, "error": KINDS, "kind": KINDS, "after": AFTER}


def _code(name: str, value: Any) -> Any:
    if name in _WORDS:
        return _WORDS[name].index(value or _WORDS[name][0])
    return MISSING if value is None else value


def _table(verdicts: Verdicts) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    rows, count = verdicts.rows, verdicts.offsets.size - 1

    def words(codes: np.ndarray[Any, Any], names: Iterable[str]) -> Any:
        dictionary = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array([name or None for name in names]))
        return dictionary.cast(pa.string())

    def known(values: np.ndarray[Any, Any], dtype: Any) -> Any:
        return pa.array(values, mask=values < 0).cast(dtype)

    row_of_step = np.repeat(np.arange(count), np.diff(verdicts.offsets))

    def tally(chosen: np.ndarray[Any, Any]) -> Any:
        return pa.array(np.bincount(row_of_step[chosen], minlength=count).astype(np.uint32))

    after, kind, error = verdicts.steps["after"], verdicts.steps["kind"], rows["error"]
    edges, heads = verdicts.head_offsets, verdicts.heads
    names = pc.if_else(pc.equal(heads.dictionary, ""), None, heads.dictionary)
    spelled = pc.fill_null(names, "?").take(heads.indices)
    depth, depths = np.diff(edges), rows["error_depth"]
    there = (depths >= 0) & (depths < depth)
    at = pa.array(np.where(there, edges[:-1] + depths, 0), mask=~there)
    splits = list(dict.fromkeys(verdicts.owners.values()))
    owner = np.full(max([*verdicts.owners, int(rows["chain_id"].max(initial=0))], default=0) + 1, len(splits), np.int32)
    for chain_id, name in verdicts.owners.items():
        owner[chain_id] = splits.index(name)
    owned = np.where(rows["chain_id"] < 0, len(splits), owner[rows["chain_id"]])
    return pa.table(
        {
            "parsed": rows["parsed"],
            "fault": words(rows["fault"], FAULTS),
            "faults": rows["faults"].astype(np.uint32),
            "depth": np.minimum(depth, 255).astype(np.uint8),
            "chain": pc.binary_join(pa.LargeListArray.from_arrays(edges, spelled), " ").cast(pa.string()),
            "chain_id": known(rows["chain_id"], pa.uint16()),
            "owner": words(owned, [*splits, ""]),
            "whose": words(rows["whose"], WHOSE),
            "valid": rows["valid"],
            "answer": rows["answer"],
            "exact": known(rows["exact"], pa.bool_()),
            "error": words(error, KINDS),
            "error_class": words(error, ("", *(CLASS_OF[name] for name in KINDS[1:]))),
            "error_depth": known(depths, pa.uint16()),
            "error_step": known(rows["error_step"], pa.uint16()),
            "error_head": names.take(heads.indices.take(at)),
            "steps": pa.array(np.diff(verdicts.offsets).astype(np.uint32)),
            "wrong": tally(kind > 0),
            "propagated": tally(after == AFTER.index("propagated")),
            "restored": tally(after == AFTER.index("restored")),
            "new": tally(after == AFTER.index("new error")),
            "forced": rows["forced"],
        }
    )

"""Verdicts on many texts at once, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastgen.settings import Config
from fastgen.text.batch import Batch, parse_batch
from fastgen.text.parse import FAULTS, MISSING
from fastgen.verdict.kinds import AFTER, CLASS_OF, KINDS, WHOSE, Step, Verdict
from fastgen.verdict.reference import verify_one
from fastgen.verdict.right import right_chains

if TYPE_CHECKING:
    import pyarrow as pa


class Verdicts(NamedTuple):
    """The verdicts on many texts, as arrays; what they hold is what `verify_one` says of each."""

    rows: dict[str, np.ndarray[Any, Any]]
    """By name, one per text: as `Verdict`; codes of FAULTS, WHOSE and KINDS in uint8, MISSING for None in int32."""
    chains: list[tuple[str, ...]]
    """Heads of every text; shared where they are the same."""
    offsets: np.ndarray[Any, Any]
    """int64[row + 1]: where a text's steps begin."""
    steps: dict[str, np.ndarray[Any, Any]]
    """By name, one per step, as `Step`: kind and after (places in KINDS and AFTER), op, other in uint8; else int32."""
    owners: dict[int, str]
    """chain id -> the split that has it."""

    def row(self, r: int) -> Verdict:
        """One of them as `verify_one` gives it."""
        rows = {name: values[r].item() for name, values in self.rows.items()}
        names = {"fault": FAULTS, "whose": WHOSE, "error": KINDS}
        said = {name: words[rows.pop(name)] for name, words in names.items()}
        known = {name: None if rows[name] < 0 else rows.pop(name) for name in ("chain_id", "error_depth", "error_step")}
        exact, depth, chain = rows.pop("exact"), known["error_depth"], self.chains[r]
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


def verify(prompts: Any, texts: Any, config: Config, intended: Any = None, chat: bool = False) -> Verdicts:
    """`verify_one` for every text of an Arrow array with its prompt.

    `intended`: integers, an array or an Arrow array: each text's chain id, -1 or null where it is not known. Raises
    TypeError and ValueError as `parse_batch` does, and where there are not as many of them as texts.
    """
    batch = parse_batch(texts, config, prompts, chat)
    count = batch.fault_count.size
    wanted = _intended(intended, count, len(config.chains))
    chain_id = right_chains(batch, config)
    others = np.flatnonzero(chain_id < 0)
    slow = {r: verify_one(batch.row(r), config, _known(wanted[r])) for r in others.tolist()}
    rows = _right_rows(chain_id, wanted, config)
    counts = np.diff(batch.steps[batch.segments])
    counts[others] = [len(verdict.steps) for verdict in slow.values()]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    steps = _right_steps(batch, counts, config)
    chains = [config.chains[i].heads if i >= 0 else slow[r].chain for r, i in enumerate(chain_id.tolist())]
    _put(rows, others, _ROWS, slow.values())
    listed = [step for verdict in slow.values() for step in verdict.steps]
    _put(steps, np.flatnonzero(np.repeat(chain_id < 0, counts)), _STEPS, listed)
    return Verdicts(rows, chains, offsets, steps, config.owners)


def _right_rows(
    chain_id: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], config: Config
) -> dict[str, np.ndarray[Any, Any]]:
    """What is said of a text that is right throughout; the others are filled in later."""
    count = chain_id.size
    rows = {name: np.zeros(count, dtype) for name, dtype in _ROWS.items()}
    for name in ("parsed", "valid", "answer"):
        rows[name][:] = True
    rows["error_depth"][:] = rows["error_step"][:] = MISSING
    rows["chain_id"][:] = chain_id
    known, intended = wanted >= 0, chain_id == wanted
    rows["exact"][:] = np.where(known, intended, MISSING)
    rows["whose"][:] = np.where(known & intended, WHOSE.index("intended"), WHOSE.index("explains"))
    differ = np.flatnonzero(known & ~intended & (chain_id >= 0))
    if differ.size:
        number = np.array(config.classes.number)
        same = number[chain_id[differ]] == number[wanted[differ]]
        rows["whose"][differ[same]] = WHOSE.index("same function")
    return rows


def _right_steps(batch: Batch, counts: np.ndarray[Any, Any], config: Config) -> dict[str, np.ndarray[Any, Any]]:
    """The steps as they were written, of texts that anything is said of, as if all were right."""
    said = np.diff(batch.steps[batch.segments])
    sizes = np.diff(batch.steps)
    if (said != counts).any():  # of some no step is judged
        sizes = np.where(np.repeat(said == counts, np.diff(batch.segments)), sizes, 0)
        numbers = batch.numbers[np.repeat(said == counts, said)]
    else:
        numbers = batch.numbers
    depth = np.arange(sizes.size) - np.repeat(batch.segments[:-1], np.diff(batch.segments))
    starts = np.cumsum(sizes) - sizes
    total = int(sizes.sum())
    steps = {name: np.zeros(total, dtype) for name, dtype in _STEPS.items()}
    steps["op"] = np.repeat(batch.op.astype(np.uint8), sizes)
    steps["depth"] = np.repeat(depth.astype(np.int32), sizes)
    steps["step"] = np.arange(total, dtype=np.int32) - np.repeat(starts.astype(np.int32), sizes)
    for field in "abr":
        shown = field in config.grammar.step
        steps[field] = (
            np.ascontiguousarray(numbers[:, config.grammar.step.index(field)])
            if shown
            else np.full(total, MISSING, np.int32)
        )
    for due, written in (("due_a", "a"), ("due_b", "b"), ("expected", "r")):
        steps[due] = steps[written].copy()
    return steps


def _known(value: Any) -> int | None:
    return None if value < 0 else int(value)


def _intended(intended: Any, count: int, chains: int) -> np.ndarray[Any, Any]:
    """int64[row], -1 where it is not known."""
    if intended is None:
        return np.full(count, -1, np.int64)
    values = intended.to_pylist() if hasattr(intended, "to_pylist") else intended
    found = np.array([-1 if value is None else value for value in values], np.int64)
    if found.size != count:
        raise ValueError(f"intended: there are {found.size}, and {count} texts; give one for each, null if unknown")
    if found.size and (found.min() < -1 or found.max() >= chains):
        raise ValueError(f"intended: must be chain ids from 0 to {chains - 1}, or -1; is {found.min()}..{found.max()}")
    return found


_ROWS: dict[str, Any] = {
    **dict.fromkeys(("parsed", "valid", "answer", "forced"), np.bool_),
    **dict.fromkeys(("fault", "whose", "error"), np.uint8),
    **dict.fromkeys(("faults", "chain_id", "error_depth", "error_step"), np.int32),
    "exact": np.int8,
}
_STEPS = {name: np.uint8 if name in ("kind", "after", "op", "other") else np.int32 for name in Step._fields}


def _put(
    arrays: dict[str, np.ndarray[Any, Any]], places: np.ndarray[Any, Any], dtypes: dict[str, Any], values: Iterable[Any]
) -> None:
    """Fields of verdicts or steps, one after the other, to their places in the arrays."""
    codes: dict[str, tuple[str, ...]] = {"fault": FAULTS, "whose": WHOSE, "error": KINDS, "kind": KINDS, "after": AFTER}
    listed = list(values)
    for name in dtypes if listed else ():
        found = [getattr(value, name) for value in listed]
        if name in codes:
            code = {word: i for i, word in enumerate(codes[name])}
            found = [code[word or codes[name][0]] for word in found]
        arrays[name][places] = [MISSING if value is None else value for value in found]


def _table(verdicts: Verdicts) -> pa.Table:
    import pyarrow as pa

    rows, count = verdicts.rows, len(verdicts.chains)

    def words(codes: np.ndarray[Any, Any], names: Sequence[str]) -> Any:
        dictionary = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array([name or None for name in names]))
        return dictionary.cast(pa.string())

    def known(values: np.ndarray[Any, Any], dtype: Any) -> Any:
        return pa.array(values, mask=values < 0).cast(dtype)

    row_of_step = np.repeat(np.arange(count), np.diff(verdicts.offsets))

    def tally(chosen: np.ndarray[Any, Any]) -> Any:
        return pa.array(np.bincount(row_of_step[chosen], minlength=count).astype(np.uint32))

    after, kind, error = verdicts.steps["after"], verdicts.steps["kind"], rows["error"]
    depths, heads = rows["error_depth"], verdicts.chains
    at = [h[d] if 0 <= d < len(h) else None for h, d in zip(heads, depths.tolist(), strict=True)]
    return pa.table(
        {
            "parsed": rows["parsed"],
            "fault": words(rows["fault"], FAULTS),
            "faults": rows["faults"].astype(np.uint32),
            "depth": pa.array([min(len(chain), 255) for chain in heads], pa.uint8()),
            "chain": pa.array([" ".join(head or "?" for head in chain) for chain in heads], pa.string()),
            "chain_id": known(rows["chain_id"], pa.uint16()),
            "owner": pa.array([verdicts.owners.get(chain) for chain in rows["chain_id"].tolist()], pa.string()),
            "whose": words(rows["whose"], WHOSE),
            "valid": rows["valid"],
            "answer": rows["answer"],
            "exact": known(rows["exact"], pa.bool_()),
            "error": words(error, KINDS),
            "error_class": words(error, ("", *(CLASS_OF[name] for name in KINDS[1:]))),
            "error_depth": known(depths, pa.uint16()),
            "error_step": known(rows["error_step"], pa.uint16()),
            "error_head": pa.array([head or None for head in at], pa.string()),
            "steps": pa.array(np.diff(verdicts.offsets).astype(np.uint32)),
            "wrong": tally(kind > 0),
            "propagated": tally(after == AFTER.index("propagated")),
            "restored": tally(after == AFTER.index("restored")),
            "new": tally(after == AFTER.index("new error")),
            "forced": rows["forced"],
        }
    )

"""Runs whose figures are known: of texts with errors made on purpose, judged, and of verdicts drawn at random."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fastgen.engine import example
from fastgen.report.predictions import Predictions, Source, load
from fastgen.report.runs import NOTHING, Run, Steps, run_of
from fastgen.settings import Config
from fastgen.shard import table
from fastgen.verdict.batch import Verdicts, verify
from fastgen.verdict.corrupt import corrupt, lacks
from fastgen.verdict.kinds import AFTER, KINDS, WHOSE


def predictions(columns: dict[str, Any], config: Config, name: str = "run") -> tuple[Predictions, Verdicts]:
    """Read from a file, and judged."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.parquet"
        pq.write_table(pa.table(columns), path)
        read = load(Source(name, path), config)
    intended = read.intended if (read.intended >= 0).any() else None
    return read, verify(read.prompt, read.text, config, intended)


def columns(config: Config, rows: int = 60, seed: int = 0) -> dict[str, list[Any]]:
    """Examples of every split: a third right, a third with an error of one step, and texts of other kinds."""
    random, found = Random(seed), dict[str, list[Any]]({"split": [], "index": [], "prediction": []})
    for split in config.splits:
        right = table(config, split.name, 0, rows)["completion"].to_pylist()
        for index, text in enumerate(right):
            each = example(config, split.name, index)
            match index % 12:
                case 0 | 1 | 6 | 7:
                    pass
                case 2 | 3 | 8 | 9:
                    text = _corrupted(each, config, random) or text
                case 4:
                    text = right[(index + 1) % rows]  # right steps of another example
                case 10:
                    text = text.replace(each.chain[0], random.choice(config.grammar.heads), 1)
                case 5 | 11:
                    text = random.choice(
                        ("", "sort", text[: len(text) // 2], " add25" + text, "\x00\xff ;;; 7 7", "9" * 40)
                    )
            for column, value in zip(found, (split.name, index, text), strict=True):
                found[column].append(value)
    return found


def _corrupted(each: Any, config: Config, random: Random) -> str | None:
    """A completion with an error of any kind that its text can have."""
    for _ in range(20):
        kind = random.choice([kind for kind in KINDS[1:] if not lacks(kind, config)])
        place = random.randrange(len(each.chain)), random.randrange(len(each.x))
        try:
            return corrupt(
                each, config, kind, *(place if kind != "wrong chain" else ()), consistent=random.random() < 0.5
            )
        except ValueError:
            continue
    return None


def real(config: Config, rows: int = 60, seed: int = 0, name: str = "run") -> Run:
    """A run of such texts."""
    return run_of(name, config, *predictions(columns(config, rows, seed), config, name))


DRAWN = ("position", "copy", "off by one", "wrong result", "format")
"""Kinds of the errors of `run`."""


def run(config: Config, rows: int = 3000, seed: int = 0, slip: float = 0.03, name: str = "run", **values: Any) -> Run:
    """Verdicts of texts of the config's splits; each step slips with this chance, more often where the chain is odd."""
    random = np.random.default_rng(seed)
    split = np.sort(random.integers(0, len(config.splits), rows)).astype(np.int32)
    chain = np.array([random.choice(config.splits[i].chains) for i in split], np.int32)
    depth = np.array([len(each) for each in config.chains])[chain]
    length = int(config.longest)
    heads = config.grammar.heads
    chains = np.full((len(config.chains), config.chain.max + 1), NOTHING, np.int16)
    for i, each in enumerate(config.chains):
        chains[i, : len(each)] = [heads.index(head) for head in each.heads]

    count = depth * length
    row = np.repeat(np.arange(rows, dtype=np.int32), count)
    place = (np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)).astype(np.int32)
    head = chains[chain[row], place // length]
    codes = {each.head: each.record.code for one in config.chains for each in one.transformations}
    wrong = random.random(row.size) < slip * np.where(chain[row] % 2, 1.5, 0.5)
    drawn = np.array([KINDS.index(kind) for kind in DRAWN])
    kind = np.where(wrong, drawn[random.integers(0, len(DRAWN), row.size)], 0).astype(np.uint8)
    due = random.integers(0, config.k, (3, row.size)).astype(np.int32)
    result = np.where(wrong, (due[2] + 1) % config.k, due[2]).astype(np.int32)

    first = np.full(rows, row.size)
    np.minimum.at(first, row[wrong], np.flatnonzero(wrong))
    failed = first < row.size
    at = np.minimum(first, row.size - 1)
    following = np.where(wrong, AFTER.index("new error"), random.integers(1, 3, row.size))
    after = np.where(np.arange(row.size) <= first[row], 0, following)
    valid, answer = ~failed, ~failed | (random.random(rows) < 0.2)
    whose = np.where(random.random(rows) < 0.9, WHOSE.index("intended"), random.integers(0, len(WHOSE), rows))
    answer &= valid <= (whose > 0)
    steps = Steps(
        row=row,
        head=head,
        kind=kind,
        after=after.astype(np.uint8),
        op=np.array([codes[each] for each in heads], np.uint8)[head],
        other=np.zeros(row.size, np.uint8),
        depth=place // length,
        step=place % length,
        a=due[0],
        b=due[1],
        r=result,
        due_a=due[0],
        due_b=due[1],
        expected=due[2],
    )
    error = np.where(failed, kind[at], np.where(answer, 0, KINDS.index("wrong chain")))
    fields: dict[str, Any] = {
        "splits": tuple(each.name for each in config.splits),
        "split": split,
        "index": np.arange(rows, dtype=np.uint64),
        "sample": np.zeros(rows, np.uint32),
        "prompt": np.arange(rows, dtype=np.uint64),
        "intended": chain,
        "chain": chain,
        "known": True,
        "length": np.full(rows, length, np.int32),
        "written": chain,
        "chains": chains,
        "parsed": np.ones(rows, np.bool_),
        "valid": valid,
        "answer": answer,
        "forced": np.zeros(rows, np.bool_),
        "exact": (valid & answer & (whose == WHOSE.index("intended"))).astype(np.int8),
        "whose": whose.astype(np.uint8),
        "error": error.astype(np.uint8),
        "error_depth": np.where(failed, place[at] // length, -1).astype(np.int32),
        "error_step": np.where(failed, place[at] % length, -1).astype(np.int32),
        "error_head": np.where(failed, head[at], -1).astype(np.int16),
        "steps": steps,
        "solved": None,
        "logprobs": None,
        "words": None,
    }
    return Run(name, config, heads, **(fields | values))

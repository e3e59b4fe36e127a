"""A run as the verifier would give it, drawn at random: what the figures must be follows from how it was drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgen.report.tables import Run, Steps
from fastgen.settings import Config

KINDS = ("", "position", "copy", "off by one", "wrong result", "format")
CLASSES = {
    "position": "control",
    "copy": "retrieval",
    "off by one": "computation",
    "wrong result": "computation",
    "format": "format",
}


def run(config: Config, rows: int = 3000, seed: int = 0, slip: float = 0.03, name: str = "run", **values: Any) -> Run:
    """Texts of the config's splits; each step slips with this chance, more often where the chain's id is odd."""
    random = np.random.default_rng(seed)
    split = np.sort(random.integers(0, len(config.splits), rows)).astype(np.int32)
    chain = np.array([random.choice(config.splits[i].chains) for i in split], np.int32)
    depth = np.array([len(each) for each in config.chains])[chain]
    length = int(config.longest)
    heads = tuple(sorted({head for each in config.chains for head in each.heads}))
    owner = np.full(len(config.chains), -1, np.int32)
    for number, each in enumerate(config.splits):
        if each.of is None:
            owner[list(each.chains)] = number

    count = depth * length
    row = np.repeat(np.arange(rows, dtype=np.int32), count)
    place = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
    head = np.array([heads.index(h) for i in chain for h in config.chains[i].heads], np.int16).repeat(length)
    wrong = random.random(row.size) < slip * np.where(chain[row] % 2, 1.5, 0.5)
    kind = np.where(wrong, random.integers(1, len(KINDS), row.size), 0).astype(np.uint8)
    expected = random.integers(0, config.k, (row.size, 3)).astype(np.int32)
    written = expected.copy()
    written[wrong, 2] = (written[wrong, 2] + 1) % config.k

    first = np.full(rows, row.size)
    np.minimum.at(first, row[wrong], np.flatnonzero(wrong))
    failed = first < row.size
    at = np.minimum(first, row.size - 1)
    after = np.where(np.arange(row.size) < first[row], 0, np.where(wrong, 4, random.integers(2, 4, row.size)))
    after[first[failed]] = 1
    valid, answer = ~failed, ~failed | (random.random(rows) < 0.2)
    whose = np.where(random.random(rows) < 0.9, 1, random.integers(0, 5, rows)).astype(np.uint8)
    answer &= valid <= (whose > 0)
    steps = Steps(
        row,
        kind,
        after.astype(np.uint8),
        head,
        (place // length).astype(np.uint8),
        (place % length).astype(np.uint16),
        written,
        expected,
    )
    fields: dict[str, Any] = {
        "splits": tuple(each.name for each in config.splits),
        "split": split,
        "index": np.arange(rows, dtype=np.uint64),
        "sample": np.zeros(rows, np.uint32),
        "prompt": np.arange(rows),
        "chain": chain,
        "known": True,
        "length": np.full(rows, length, np.int32),
        "parsed": np.ones(rows, np.bool_),
        "valid": valid,
        "answer": answer,
        "exact": (valid & (whose == 1)).astype(np.int8),
        "whose": whose,
        "owner": owner[chain],
        "error": np.where(failed, kind[at], 0).astype(np.uint8),
        "error_depth": np.where(failed, place[at] // length, -1).astype(np.int32),
        "error_step": np.where(failed, place[at] % length, -1).astype(np.int32),
        "error_head": np.where(failed, head[at], -1).astype(np.int16),
        "steps": steps,
        "solved": None,
    }
    return Run(name, config, KINDS, CLASSES, heads, **(fields | values))

"""The loss of the tokens that a model wrote, by what they are; where the predictions have the column token_logprobs.

A token is a word between blanks, as the grammar's own tokenizer splits texts. What each token of a text is follows from
its chain and its length, if it keeps to the grammar; the text of another tokenizer has another number of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastgen.engine import Example
from fastgen.report.rates import Mean, Table, mean_of
from fastgen.report.runs import Run, number_roles
from fastgen.settings import Config
from fastgen.text.tokens import IGNORED, tokens
from fastgen.trace import steps_before
from fastgen.transforms import RECORDS

ROWS = 4096
"""Texts whose tokens are added up at a time."""


def losses(run: Run) -> list[Table]:
    """Mean loss in nats by role, depth and transformation, of the texts whose tokens are known."""
    if run.logprobs is None or run.words is None:
        return []
    numbers = dict.fromkeys(role for record in RECORDS.values() for role in number_roles(record))
    labels = {
        "role": ["head", *numbers, "answer", "punctuation", "end"],
        "depth": [str(depth) for depth in range(run.config.chain.max)],
        "transformation": [*RECORDS],
    }
    cells = len(run.splits) * run.clusters
    sums = {name: np.zeros((3, len(each), cells)) for name, each in labels.items()}
    aligned = 0
    for rows, said, loss in _aligned(run):
        aligned += rows.size
        cell = run.split[rows] * np.int64(run.clusters) + run.cluster[rows]
        size = np.bincount(cell, minlength=cells)
        for name, total in sums.items():
            places = np.array([labels[name].index(each) if each else -1 for each in said[name][: loss.shape[1]]])
            for place in np.unique(places[places >= 0]):
                here = loss[:, places == place]
                total[0, place] += np.bincount(cell, here.sum(axis=1), cells)
                total[1, place] += np.bincount(cell, np.square(here).sum(axis=1), cells)
                total[2, place] += size * here.shape[1]
    note = (
        f"In nats, -token_logprobs, of {aligned:,} texts. {len(run.words) - aligned:,} are left out: those that do not "
        "keep to the grammar, name no chain of the graph, or do not have a logprob for each word between blanks (one "
        "more, for the end of the text, may follow)."
    )
    more = {"role": "", "depth": " Head and steps of a transformation.", "transformation": " The numbers of its steps."}
    tables = []
    for name, each in labels.items():
        shaped = sums[name].reshape(3, len(each), len(run.splits), run.clusters)
        lines: list[tuple[Any, ...]] = [
            (label, *(mean_of(*cell, unit="nats") for cell in np.moveaxis(shaped[:, i], 1, 0)))
            for i, label in enumerate(each)
            if shaped[2, i].any()
        ]
        if not aligned and name == "role":
            lines = [("no text", *(Mean(math.nan, 0, math.nan, math.nan, "nats") for _ in run.splits))]
        tables.append(Table(f"loss_{name}", f"Loss, by {name}", note + more[name], (name, *run.splits), lines))
    return tables


def _aligned(run: Run) -> Iterator[tuple[np.ndarray[Any, Any], dict[str, list[str]], np.ndarray[Any, Any]]]:
    """Rows of one chain and length, what their tokens are, and the loss of each: float64[row, token]."""
    assert run.logprobs is not None
    assert run.words is not None
    offsets = run.logprobs.offsets.to_numpy().astype(np.int64)
    values = run.logprobs.values.fill_null(np.nan).to_numpy(zero_copy_only=False)
    there = run.logprobs.is_valid().to_numpy(zero_copy_only=False) & run.parsed
    written = run.written
    if not {"chain", "trace"} & {item.field for item in run.config.grammar.completion}:
        written = np.zeros_like(written)  # the text names no chain: that of every one is the same
    there &= (written < len(run.config.chains)) & np.isin(np.diff(offsets) - run.words, (0, 1))
    kept = np.flatnonzero(there)
    key = np.stack([written[kept], run.length[kept], np.diff(offsets)[kept], run.words[kept]])
    order = np.lexsort(key)
    kept, key = kept[order], key[:, order]
    starts = np.flatnonzero((np.diff(key, axis=1) != 0).any(axis=0)) + 1
    for rows in np.split(kept, starts):
        if not rows.size:
            continue
        said = _said(run.config, int(written[rows[0]]), int(run.length[rows[0]]))
        if len(said["role"]) - 1 != run.words[rows[0]]:
            continue
        size = int(offsets[rows[0] + 1] - offsets[rows[0]])
        for some in np.split(rows, range(ROWS, rows.size, ROWS)):
            loss = -values[offsets[some][:, None] + np.arange(size)]
            good = (np.isfinite(loss) & (loss >= 0)).all(axis=1)
            yield some[good], said, loss[good]


def _said(config: Config, chain_id: int, length: int) -> dict[str, list[str]]:
    """What each token of a completion of this chain is: its role, the depth and the transformation it belongs to.

    Empty where it belongs to none; with the end of the text.
    """
    chain = config.chains[chain_id]
    steps = [(0, 0, 0, 0)] * steps_before(len(chain), length)
    _, learnt, roles = tokens(Example(0, chain_id, chain.heads, [0] * length, [0] * length, steps), config)
    roles = [role for label, role in zip(learnt, roles, strict=True) if label != IGNORED]
    depths, names = [""] * len(roles), [""] * len(roles)
    sizes = {"x": length, "y": length, "chain": 2 * len(chain) - 1}
    places = [sizes.get(item.field, 1) for item in config.grammar.completion]
    fields = [item.field for item in config.grammar.completion]
    if "trace" in fields:
        at = fields.index("trace")
        depth = -1
        for i in range(sum(places[:at]), len(roles) - 1 - sum(places[at + 1 :])):
            depth += roles[i] == "head"
            record = chain.transformations[depth].record
            if roles[i] in record.roles:
                names[i] = record.name
                roles[i] = number_roles(record)[2] if roles[i] == "result" else roles[i]
            if roles[i] != "punctuation":
                depths[i] = str(depth)
    return {"role": roles, "depth": depths, "transformation": names}

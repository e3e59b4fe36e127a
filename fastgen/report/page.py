"""The report: tables, pictures and failing examples in one page that needs no network.

What models wrote is untrusted. It stands in the page as JSON in which no character of markup is left, scripts set it as
text alone, and the page's policy lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np
import pyarrow as pa

from fastgen import display
from fastgen.report import plots
from fastgen.report.rates import Difference, Mean, Rate, Table, show
from fastgen.report.runs import Run, name_of
from fastgen.report.tables import Heat, heats
from fastgen.settings import Config
from fastgen.text.parse import ANSWER, HEAD, parse_places
from fastgen.transforms import by_code
from fastgen.verdict.kinds import KINDS

MOST_EXAMPLES = 600
"""Failing examples in a page, of all runs."""

EACH = 8
"""Of each kind, transformation, split and run."""

AROUND = 1500
"""Bytes of a text that are shown before and behind its first wrong step."""

SEARCHED = 2**16
"""Bytes of a text in which its first wrong step is looked for."""

NOT_JUDGED = "not judged"
"""The kind of a row without an error that is not right: nothing is known of its prompt."""

Sections = Sequence[tuple[Table, Sequence[Heat]]]


def sections(run: Run, tables: Sequence[Table]) -> Sections:
    """The tables, each with the heat maps that belong to it."""
    found = heats(run)
    return [(table, found.get(table.name, [])) for table in tables]


def page(title: str, parts: Sections, examples: Sequence[Mapping[str, Any]], counts: Table) -> str:
    """The page: the score and the counts of rows first, then a section for each table, then the examples."""
    plots.available()
    script, style = (files("fastgen.report").joinpath(f"page.{kind}").read_text("utf-8") for kind in ("js", "css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    named = [(table, heats) for table, heats in parts if table.rows]
    return Template(files("fastgen.report").joinpath("page.html").read_text("utf-8")).substitute(
        title=escape(title),
        hash=digest,
        style=style,
        script=script,
        summary=_score([table for table, _ in named if table.name == "score"]) + _table(counts),
        contents="\n".join(f'<a href="#{table.name}">{escape(table.title)}</a>' for table, _ in named)
        + '\n<a href="#browser">Failing examples</a>',
        sections="\n".join(_section(table, heats) for table, heats in named),
        examples=embedded(examples),
    )


def embedded(value: Any) -> str:
    """JSON for a script element: what could end the element, or begin another, is written as an escape."""
    text = json.dumps(value, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _score(tables: Sequence[Table]) -> str:
    """The right rows of each split, large."""
    boxes = []
    for table in tables:
        column = table.header.index("right")
        for row in table.rows:
            cell = row[column]
            if cell.of:
                interval = f"{100 * cell.low:.1f} to {100 * cell.high:.1f}%, {cell.count:,} of {cell.of:,}"
                boxes.append(f"<div>right on {escape(row[0])}<b>{cell.share:.1%}</b><span>{interval}</span></div>")
    return f'<div class="score">{"".join(boxes)}</div>'


def _section(table: Table, heats: Sequence[Heat]) -> str:
    parts = [f'<h2 id="{table.name}">{escape(table.title)}</h2>', f'<p class="note">{escape(table.note)}</p>']
    if table.name in plots.PICTURES and len(table.rows) > 1:
        parts.append(f'<div class="wide">{plots.PICTURES[table.name](table)}</div>')
    if heats:
        pictures = (plots.heat(found, f"{table.name}-{i}") for i, found in enumerate(heats))
        parts.append(f'<div class="pictures">{"".join(pictures)}</div>')
    folded = len(table.rows) > 12
    parts.append(
        f"<details><summary>{len(table.rows)} rows</summary>{_table(table)}</details>" if folded else _table(table)
    )
    return "\n".join(parts)


def _table(table: Table) -> str:
    texts = [isinstance(cell, str) for cell in table.rows[0]]
    head = "".join(
        f'<th class="text">{escape(name)}</th>' if text else f"<th>{escape(name)}</th>"
        for name, text in zip(table.header, texts, strict=True)
    )
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


def _cell(cell: Any) -> str:
    if isinstance(cell, Rate | Mean | Difference):
        share, _, interval = show(cell).partition(" ")
        return f"<td>{share} <small>{interval} of {cell.of:,}</small></td>" if cell.of else "<td>-</td>"
    return f'<td class="text">{escape(cell)}</td>' if isinstance(cell, str) else f"<td>{escape(show(cell))}</td>"


# Examples


def failing(
    run: Run, prompts: pa.Array, texts: pa.Array, chat: bool, most: int = MOST_EXAMPLES
) -> list[dict[str, Any]]:
    """Rows that are not right, a few of each kind, transformation and split, as plain values for the page."""
    wrong = np.flatnonzero(~run.right)
    groups = np.stack([run.split[wrong], run.error[wrong], run.error_head[wrong]])
    order = np.lexsort(groups)
    groups, wrong = groups[:, order], wrong[order]
    fresh = np.concatenate([[True], (np.diff(groups) != 0).any(axis=0)]) if wrong.size else np.zeros(0, np.bool_)
    starts = np.flatnonzero(fresh)
    sizes = np.diff([*starts, wrong.size])
    place = np.arange(wrong.size) - np.repeat(starts, sizes)
    size = np.repeat(sizes, sizes)
    turn = place * EACH // np.maximum(size, 1)  # of EACH equal parts of a group, the first row
    first = (place == 0) | (turn != np.concatenate([[0], turn[:-1]]))
    rank = np.where(size > EACH, turn, place)
    chosen = np.flatnonzero(first | (size <= EACH))
    chosen = chosen[np.argsort(rank[chosen], kind="stable")][:most]
    return [_example(run, int(row), prompts, texts, chat) for row in sorted(wrong[chosen].tolist())]


def _example(run: Run, row: int, prompts: pa.Array, texts: pa.Array, chat: bool) -> dict[str, Any]:
    text, prompt = texts[row].as_py() or b"", prompts[row].as_py() or b""
    kind = KINDS[run.error[row]] or NOT_JUDGED
    head = run.heads[run.error_head[row]] if run.error_head[row] >= 0 else ""
    start, stop = len(text), len(text)
    if run.error_depth[row] >= 0:
        place = int(run.error_depth[row]), int(run.error_step[row])
        start, stop = span(run.config, text, prompt, kind, *place, chat)
        stop = min(stop, start + AROUND)
    where = f"{run.splits[run.split[row]]}" + ("" if run.index is None else f" {run.index[row]}")
    return {
        "title": f"{where}: {kind}" + (f" in {head}" if head else ""),
        "run": run.name,
        "split": run.splits[run.split[row]],
        "kind": kind,
        "transformation": name_of(head),
        "prompt": prompt[-AROUND:].decode("utf-8", "replace"),
        "before": ("… " if start > AROUND else "") + text[max(0, start - AROUND) : start].decode("utf-8", "replace"),
        "wrong": text[start:stop].decode("utf-8", "replace") or "‸",
        "after": text[stop : stop + AROUND].decode("utf-8", "replace") + (" …" if len(text) > stop + AROUND else ""),
        "expected": _expected(run, row, kind),
    }


def _expected(run: Run, row: int, kind: str) -> str:
    """What would have been right at the first wrong step, in the words of the text."""
    depth, step = int(run.error_depth[row]), int(run.error_step[row])
    if kind == "wrong chain":
        return "Every step is right, and the chain does not lead to y."
    if depth < 0:
        return ""
    place = f"transformation {depth + 1}, step {step + 1}"
    steps, grammar = run.steps, run.config.grammar
    first, last = np.searchsorted(steps.row, np.array([row, row + 1], steps.row.dtype))  # else 25 ms, to convert all
    here = first + np.flatnonzero((steps.depth[first:last] == depth) & (steps.step[first:last] == step))
    if not here.size:
        return f"In {place}."
    at = int(here[0])
    due = {"a": int(steps.due_a[at]), "b": int(steps.due_b[at]), "r": int(steps.expected[at])}
    shown = [name for name in "ab" if name in grammar.step]
    if any(due[name] != getattr(steps, name)[at] for name in shown):  # expected follows from the operands written
        record = by_code().get(int(steps.op[at]))
        due["r"] = record.of_operands(due["a"], due["b"], run.config.k) if record and record.of_operands else -1
    if kind == "skipped":
        return f"Steps are left out before {place}."
    if due[grammar.step[0]] < 0:
        return f"In {place}."
    words = (grammar.number(due[name]) if due[name] >= 0 else "…" for name in grammar.step)
    return f"Due there: {' '.join(words)} ({place})."


def span(
    config: Config, text: bytes, prompt: bytes, kind: str, depth: int, step: int, chat: bool = False
) -> tuple[int, int]:
    """Where an error stands in a text, in bytes; the end of the text where nothing of it is there.

    A fault of the parser stands where the parser found it, one of a head at the head; any other at its step.

    >>> from fastgen import config
    >>> text = b" sort 0 1 1 , 1 3 1 , 2 0 3 , 3 2 4 ; add3 1 3 4 , 1 3 4 , 3 3 7 , 4 3 7 ."
    >>> start, stop = span(config("length=4"), text, b"3 1 4 1 -> 4 4 6 7 :", "off by one", 1, 2)
    >>> text[start:stop]
    b'3 3 7'
    """
    parsed, places = parse_places(text[:SEARCHED], config, prompt, chat)
    behind = depth >= len(parsed.segments)
    own = [fault for fault in parsed.faults if fault.kind != "prompt"]
    faults = [
        fault.token
        for fault in own
        if (fault.depth, fault.step or 0) == (depth, step) or (behind and fault.depth is None)
    ]
    key = (depth, HEAD) if kind == "disobeyed" else (ANSWER, step) if behind else (depth, step)
    found = [places.steps[key]] if kind != "format" and key in places.steps else []
    found += [places.tokens[token] for token in faults if token < len(places.tokens)]
    return found[0] if found else (len(text), len(text))


# The terminal


SHOWN = ("score", "baselines", "crossed", "whose", "planned", "kind", "compared", "curve_score", "pass")
"""Tables that are printed."""


def printed(tables: Sequence[Table]) -> str:
    """Tables in columns, for the terminal."""
    return "\n\n".join(f"{table.title}\n{aligned(table)}" for table in tables if table.name in SHOWN and table.rows)


def aligned(table: Table) -> str:
    """A table in columns: its first to the left, the others to the right."""
    lines = [list(map(str, table.header)), *([show(cell) for cell in row] for row in table.rows)]
    return display.aligned(lines, [i > 0 for i in range(len(table.header))])

"""python tests/derived.py: write anew what is derived from the records and the config, and only kept for people.

- README.md: the tables of transformations, strategies, validation sets and config keys, the grammar (each between its
  pair of comments)
- tests/golden/codes.txt: every code ever given. It only grows: files hold these codes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from fastgen import digest
from fastgen.ceiling import ceiling
from fastgen.doors import compose
from fastgen.engine import Example
from fastgen.shard import table
from fastgen.split import contained
from fastgen.strategies import STRATEGIES
from fastgen.text.grammar import ebnf
from fastgen.text.render import render
from fastgen.trace import unpack
from fastgen.transforms import RECORDS, Step
from fastgen.transforms.base import OWN_CODES, Record
from fastgen.verdict.corrupt import corrupt
from fastgen.verdict.kinds import KINDS, RECORD_OF_KINDS
from fastgen.verdict.likely import expected
from fastgen.verdict.reference import by_value

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CODES = ROOT / "tests/golden/codes.txt"
DIGESTS = ROOT / "tests/golden/digests.json"

YAML = (
    ("", "common.yaml"),
    ("", "run.yaml"),
    ("graph.", "graph/default.yaml"),
    ("split.", "split/default.yaml"),
    ("text.", "text/full.yaml"),
    ("task.", "task/infer.yaml"),
    ("spelling.", "spelling/numbers.yaml"),
)
"""Prefixes of keys, and the files under conf/ in which they and their defaults stand."""

_KEY = re.compile(r"(?P<indent> *)(?P<name>\w+):(?: (?P<value>[^#]*?))?(?: *# (?P<comment>.*))?")


def own() -> list[Record]:
    """fastgen's records by code, without those of other packages that happen to be installed."""
    return sorted((record for record in RECORDS.values() if record.code in OWN_CODES), key=lambda record: record.code)


def transformations() -> str:
    """The Markdown table of fastgen's own transformations."""
    rows: list[tuple[str, ...]] = []
    for record in own():
        definition, step = " ".join((record.__doc__ or "").partition(">>>")[0].split()).split(" A step is ")
        head = f"`{record.name}`" + ("" if record.argument is None else "c")
        a, b, _ = record.roles
        rows.append((str(record.code), head, record.family, definition, step.rstrip("."), f"{a}, {b}"))
    return _table(("code", "written", "family", "definition", "a step (a, b, r)", "a, b are"), rows)


def strategies() -> str:
    """The Markdown table of strategies, from what their docstrings say."""
    rows: list[tuple[str, ...]] = []
    for name, record in STRATEGIES.items():
        text = " ".join((record.function.__doc__ or "").split())
        held, rest = text.split(" Constant: ")
        constant, share = rest.split(" Share: ")
        rows.append((f"`{name}`", held.rstrip("."), constant.rstrip("."), share.rstrip(".")))
    return _table(("strategy", "shares out, or holds out", "constant", "share of the chains"), rows)


MEASURED = (
    *("split=default", "graph=mixed", "graph=mixed split=functional", "graph=mixed chain.reject=[redundant]"),
    *("split=functional", "split=functional split.certified=true", "split=parts"),
)
"""Configs of which README says what their validation set measures."""


def validation() -> str:
    """The Markdown table of what validation sets measure, each figure by the function that the commands print it by."""
    rows: list[tuple[str, ...]] = []
    for overrides in MEASURED:
        config = compose(*overrides.split())
        train, held = config.splits
        numbers = config.classes.number
        shown = {numbers[chain_id] for chain_id in train.drawn}
        same = sum(weight for i, weight in zip(held.chains, held.weights, strict=True) if numbers[i] in shown)
        found = ceiling(config, held)
        shares = (contained(held, train, config.chains), same, found.train, found.several, found.best, found.blind)
        rows.append((f"`{overrides}`", *(f"{float(share):.1%}" for share in shares)))
    header = ("config", "inside a train chain", "a function of train", "solved by train", "several", "ceiling", "blind")
    return _table(header, rows)


def keys() -> str:
    """The Markdown table of the config's keys: default and meaning, from the comments in conf/."""
    rows = [row for prefix, path in YAML for row in _commented(prefix, path)]
    return _table(("key", "default", "meaning"), rows)


def _commented(prefix: str, path: str) -> Iterator[tuple[str, ...]]:
    """(key, default, comment) of the keys that have a comment: above the first of several, or behind."""
    sections: list[tuple[int, str]] = []
    above, depth_above, open_ = "", 0, False
    for line in (ROOT / "conf" / path).read_text("utf-8").partition("\nhydra:")[0].splitlines():
        if line.lstrip().startswith("# "):
            above, depth_above = f"{above if open_ else ''} {line.lstrip(' #')}".lstrip(), line.index("#")
            open_ = True
            continue
        open_ = False
        if match := _KEY.fullmatch(line):
            depth = len(match["indent"])
            sections = [section for section in sections if section[0] < depth] + [(depth, match["name"])]
            if comment := match["comment"] or (above if depth == depth_above else ""):
                key = prefix + ".".join(name for _, name in sections)
                yield f"`{key}`", f"`{match['value']}`" if match["value"] else f"see `conf/{path}`", comment
        else:
            above = ""


def grammar() -> str:
    """The rules of the default text."""
    with_argument = {record.name for record in own() if record.argument}
    found = compose().grammar
    mine = replace(found, names={record.name: found.names[record.name] for record in own()})
    return f"```ebnf\n{ebnf(mine, with_argument)}\n```"


def errors() -> str:
    """The Markdown table of the kinds of errors: what chance gives, by the function that reports it, and an example."""
    chance = {kind: f"{share:.0%}" for kind, (share, _) in _by_chance().items()}
    rows = [(f"`{kind.name}`", *kind[1:], chance.get(kind.name, ""), *_error(kind.name)) for kind in RECORD_OF_KINDS]
    return _table(("kind", "class", "what it is", "by chance", "for example", "there"), rows)


def _by_chance() -> dict[str, tuple[float, int]]:
    """Of the default config: if results of steps that compute were wrong, and sources of steps that order."""
    config = compose()
    op, a, b, _ = unpack(table(config, "train", 0, 10_000)["trace"].combine_chunks().flatten().to_numpy())
    computing = [record.code for record in own() if record.of_operands]
    ordering = [record.code for record in own() if "source" in record.roles and by_value(record)]
    codes = {"wrong result": computing, "source": ordering}
    kind = sum(KINDS.index(name) * np.isin(op, listed) for name, listed in codes.items())
    return expected(config, {"op": op, "a": a, "b": b, "kind": kind})


def _error(kind: str) -> tuple[str, str]:
    """A text of one transformation of three steps with this error, and which of them is wrong."""
    config = compose("length=3", "chain.min=1", *(["task=execute"] if kind == "disobeyed" else []))
    places: list[tuple[int, ...]] = [()] if kind == "wrong chain" else [(0, step) for step in (1, 0, 2)]
    for x, head, place in product(([3, 1, 9], [3, 1, 3]), config.grammar.heads, places):
        chain = next(chain for chain in config.chains if chain.heads == (head,))
        steps: list[Step] = []
        y = chain.transformations[0](x, config.k, steps)
        drawn = Example(0, 0, chain.heads, x, y, steps)
        try:
            text = corrupt(drawn, config, kind, *place)
        except ValueError:
            continue
        return f"`{render(drawn, config)[0]}{text}`", f"step {place[1]}" if place else ""
    raise ValueError(f"no example of {kind}")


VECTORS = (
    ("train", "x", 0, bytes([3, 1, 4, 1])),
    ("train", "x", 1, bytes([3, 1, 4, 1])),
    ("validation", "prompt", 2**64 - 1, b""),
    ("train", "completion", 5, b" sort 0 1 1 , 1 3 1 ."),
    ("train", "trace", 7, bytes(range(256)) * 17),
)
"""Split, column, index and value of which README gives the hash."""


def digests() -> str:
    """The Markdown tables of test vectors of the content digest, and of the digests of whole corpora."""

    def shown(value: bytes) -> str:
        return value.hex(" ") if len(value) < 32 else f"{value[:3].hex(' ')} ... ({len(value):,} bytes, each 1 more)"

    rows = [
        (split, column, f"{index:,}", f"`{shown(value)}`", f"`{digest.row_hash(split, column, index, value):032x}`")
        for split, column, index, value in VECTORS
    ]
    whole = [
        (f"`n=80_000 {overrides}`".replace(" `", "`"), f"`{digest.whole(map(digest.read, splits.values())):032x}`")
        for overrides, splits in json.loads(DIGESTS.read_text("utf-8")).items()
    ]
    vectors = _table(("split", "column", "index", "value", "hash of the row"), rows)
    return f"{vectors}\n\n{_table(('corpus', 'digest'), whole)}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, tuple("---" for _ in head), *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def readme(text: str) -> str:
    """README.md with its tables as they should be. Raises ValueError where a table's place is missing."""
    parts = {
        "transformations": transformations(),
        "strategies": strategies(),
        "validation": validation(),
        "keys": keys(),
        "grammar": grammar(),
        "errors": errors(),
        "digests": digests(),
    }
    for name, rows in parts.items():
        opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, found, rest = text.partition(opening)
        _, closed, after = rest.partition(closing)
        if not (found and closed):
            raise ValueError(f"README.md has no {opening} ... {closing}")
        text = f"{before}{opening}\n{rows}\n{closing}{after}"
    return text


def codes(text: str) -> str:
    """codes.txt with the codes that it lacks."""
    given = text.splitlines()
    current = (f"{record.code} {record.name}" for record in own())
    return "".join(f"{line}\n" for line in (*given, *(line for line in current if line not in given)))


if __name__ == "__main__":
    README.write_text(readme(README.read_text("utf-8")), "utf-8")
    CODES.write_text(codes(CODES.read_text("utf-8")), "utf-8")

"""What a config and its examples look like to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastgen import digest
from fastgen.engine import Example, example
from fastgen.settings import REJECTED, Config
from fastgen.split import contained, novelties
from fastgen.text.render import render
from fastgen.text.tokens import mean_and_largest
from fastgen.trace import steps_before
from fastgen.transforms import RECORDS, split_head
from fastgen.write import File, ceilings

if TYPE_CHECKING:
    from fastgen.findings import Audit, Finding

USUAL_LIMIT = 1024
"""The tokens after which trainers cut an example, unless they are told otherwise (TRL's `max_length`)."""


NAMED = 4
"""New runs, orders or places that are named: of most there are hundreds."""


def show_example(example: Example) -> str:
    """One example in the words of the text format, a transformation per line, with what its steps consist of."""
    width = max(map(len, example.chain))
    lines = [f"{_numbers(example.x)} -> {_numbers(example.y)} :"]
    for depth, head in enumerate(example.chain):
        name, _ = split_head(head) or ("", None)
        first, last = (steps_before(number, len(example.x)) for number in (depth, depth + 1))
        end = "." if depth == len(example.chain) - 1 else ";"
        written = " , ".join(f"{a} {b} {r}" for _, a, b, r in example.steps[first:last])
        lines.append(f"  {head:{width}} {written} {end}   ({', '.join(RECORDS[name].roles)})")
    return "\n".join(lines)


def show_text(config: Config, example: Example) -> str:
    """Prompt and completion of an example, as they are in the files."""
    prompt, completion = render(example, config)
    return f"prompt      {prompt}\ncompletion  {completion}"


def show_tokens(counts: Mapping[str, tuple[float, int]]) -> str:
    """Mean and largest number of tokens per example of each split, with a warning where trainers would cut."""
    rows: list[Sequence[Any]] = [["split", "tokens per example, mean", "largest"]]
    rows += [[name, f"{mean:,.1f}", largest] for name, (mean, largest) in counts.items()]
    longest = max(largest for _, largest in counts.values())
    warning = f"\n{longest:,} tokens: trainers cut at {USUAL_LIMIT:,} unless they are told not to"
    return columns(rows) + (warning if longest > USUAL_LIMIT else "")


def count_tokens(config: Config) -> dict[str, tuple[float, int]]:
    """split -> mean and largest number of tokens per example, by the corpus' own tokenizer."""
    return {split.name: mean_and_largest(config, split) for split in config.splits}


def show_first(config: Config) -> str:
    """The first example of the first split, which stands for the others in the summary and in the card."""
    return show_example(example(config, config.splits[0].name, 0))


def show_layers(config: Config) -> str:
    """The graph: a line per layer, the vertices with their labels, then how many paths and chains there are."""
    graph = config.graph
    cells = [
        [f"{layer * graph.width + place}:{vertex.head}" for place, vertex in enumerate(graph.layer(layer))]
        for layer in range(graph.layers)
    ]
    rows = [[f"layer {layer}", *line] for layer, line in enumerate(cells)]
    counts = [
        [length, graph.paths(length), sum(len(chain) == length for chain in config.chains)]
        for length in range(config.chain.min, config.chain.max + 1)
    ]
    return columns(rows) + "\n\n" + columns([["chain length", "paths", "chains"], *counts])


def show_splits(config: Config) -> str:
    """The splits: rows, chains, their share of all chains and the share that was asked for, lengths."""
    rows: list[Sequence[Any]] = [["split", "examples", "chains", "share", "asked", "length", "chains of"]]
    for split, record in zip(config.splits, config.split.sets, strict=True):
        low, high = split.length.min, split.length.max
        shares = ("", "") if record.chains is None else (f"{float(s):.1%}" for s in (split.share, record.chains))
        length = low if low == high else f"{low}-{high}"
        rows.append([split.name, split.rows, len(split.chains), *shares, length, split.of or ""])
    return columns(rows)


def show_novelties(config: Config) -> str:
    """What the chains of each held-out split have that train never shows, the first few of each kind by name."""
    train, *others = config.splits
    lines = []
    for split in others:
        for kind, found in novelties(split, train, config.chains).items() if split.of is None else ():
            if found:
                more = ", ..." if len(found) > NAMED else ""
                lines.append([f"new in {split.name}", kind, len(found), ", ".join(found[:NAMED]) + more])
    return columns(lines) if lines else ""


def show_summary(config: Config, files: Mapping[str, File], rows: int, seconds: float) -> str:
    """What a run made: `rows` examples in `seconds`, of all that the corpus holds; and one example, whole."""
    total = sum(file.bytes for file in files.values())
    speed = amount(rows / seconds, "examples/s")
    lines = [
        show_splits(config),
        "",
        f"{len(files)} files, {amount(total, 'B')}, in {config.out}; {seconds:.1f} s, {speed}",
        f"digest {digest.whole(digest.read(file.digest) for file in files.values()):032x}",
    ]
    train = config.splits[0]
    for split in config.splits[1:]:
        if split.of is None:
            share = float(contained(split, train, config.chains))
            lines.append(f"{share:.0%} of {split.name} runs a chain that stands whole inside a chain of {train.name}")
    lines += [
        show_functions(config),
        "",
        show_ceilings(config),
        "",
        show_tokens(count_tokens(config)),
        "",
        f"{train.name} 0",
        show_first(config),
    ]
    return "\n".join(lines)


def show_functions(config: Config) -> str:
    """How many functions the chains are, how that is known, and at which single lengths they are fewer."""
    found = config.classes
    functions = len(found.canonical)
    known = {found.decided[number] for number, count in Counter(found.number).items() if count > 1}
    equal = f" (equal ones: {' or '.join(sorted(known))})" if known else ""
    lines = [f"{functions} function{'s' * (functions != 1)} among {len(config.chains)} chains{equal}"]
    lines += [f"at length {n} alone they are {count}" for n, count in found.at_length if count < functions]
    kinds = {kind: sum(getattr(found, kind)) for kind in REJECTED}
    if any(kinds.values()):
        lines.append("chains that are " + ", ".join(f"{kind}: {count}" for kind, count in kinds.items() if count))
    return "\n".join(lines)


def show_ceilings(config: Config) -> str:
    """What can be reached on each split, because several chains explain an example."""
    header, rows = ceilings(config)
    return columns([header, *rows])


def show_audit(audit: Audit) -> str:
    """An audit: a line per finding, what is broken marked, and the verdict."""
    lines: list[Sequence[str]] = [["", "", "found", "expected", "p", "at most", ""]]
    before: tuple[str, ...] = ()
    for finding in audit.findings:
        broken = audit.breaks(finding)
        lines.append(
            [
                ", ".join(finding.splits) if finding.splits != before else "",
                finding.what,
                _found(finding, finding.found),
                _expected(finding.expected),
                "" if finding.p is None else f"{finding.p:.1g}",
                "" if finding.limit is None else _found(finding, finding.limit),
                "BROKEN" if broken else "",
            ]
        )
        before = finding.splits
    table = aligned(lines, [place not in (0, 1, 6) for place in range(len(lines[0]))])
    note = "x, examples and (x, y) are compared by hashes of 64 bits, all of them"
    if audit.slices > 1:
        note = f"x, examples and (x, y) are compared by hashes of 64 bits, one in {audit.slices:,}:"
        note += "\nthe numbers are of that part, and m of them are off by about sqrt(m)"
    tested = f"{audit.tests} tests; chance is ruled out below p = {audit.least:.1g}"
    verdict = f"broken: {len(audit.broken)} of {len(audit.findings)} lines" if audit.broken else "holds"
    return "\n".join([table, "", note, f"{verdict} ({tested})"])


def _expected(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.1f}"


def _found(finding: Finding, number: float) -> str:
    """A number as its unit is read."""
    if finding.unit == "share":
        return f"{number:.2%}"
    return f"{number:,.1f}" if finding.unit == "chi-square" else f"{number:,.0f}"


def columns(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as aligned columns: numbers to the right, with thousands separated, where the last row has one."""
    rows = list(rows)
    text = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    return aligned(text, [isinstance(cell, int) for cell in rows[-1]])


def aligned(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Lines of cells as columns, each to the left or to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def amount(number: float, unit: str) -> str:
    """A size for reading: 4.07 GB, 38.2 M examples/s.

    >>> amount(4_070_000_000, "B"), amount(123, "examples/s")
    ('4.07 GB', '123 examples/s')
    """
    for prefix, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {prefix}{unit}" if unit == "B" else f"{number / size:.3g} {prefix} {unit}"
    return f"{number:.0f} {unit}"


def _numbers(vector: Sequence[int]) -> str:
    return " ".join(map(str, vector))

"""python -m fastgen.show: print what a config means, and examples of it; nothing is written."""

from __future__ import annotations

from typing import Any

from fastgen.doors import command
from fastgen.settings import Config
from fastgen.values import optional, whole, yes_or_no

SAMPLE = 1000
"""Examples of each split of which a user's tokenizer counts the tokens."""


def path(value: Any) -> str:
    """The reader of a file's path."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be the path of a tokenizer.json")
    return value


def job(config: Config, examples: int, tokenizer: str | None, ceiling: bool) -> None:
    """Print the graph, the splits, how long examples are in tokens, and `examples` examples of each split."""
    from fastgen import display, engine  # they import Numba, which --help does without

    print(display.show_layers(config), display.show_splits(config), sep="\n\n")
    if novelties := display.show_novelties(config):
        print("", novelties, sep="\n")
    if ceiling:
        print("", display.show_functions(config), "", display.show_ceilings(config), sep="\n")
    counts = display.count_tokens(config) if tokenizer is None else _counted(config, tokenizer)
    print("", display.show_tokens(counts), sep="\n")
    for split in config.splits:
        for index in range(min(examples, split.rows)):
            example = engine.example(config, split.name, index)
            print(
                f"\n{split.name} {index}", display.show_example(example), display.show_text(config, example), sep="\n"
            )


def _counted(config: Config, path: str) -> dict[str, tuple[float, int]]:
    """Mean and largest number of tokens of the first examples of each split, by the tokenizer in a file."""
    from dataclasses import replace

    from fastgen.shard import table
    from fastgen.text.tokenizer import lengths

    text = replace(config, columns=("prompt", "completion"))
    counts = {}
    for split in config.splits:
        rows = table(text, split.name, 0, min(SAMPLE, split.rows)).to_pydict()
        found = lengths(path, map("".join, zip(rows["prompt"], rows["completion"], strict=True)))
        counts[split.name] = (sum(found) / len(found), max(found))
    return counts


if __name__ == "__main__":
    command("show", job, examples=whole(0, 1000), tokenizer=optional(path), ceiling=yes_or_no)

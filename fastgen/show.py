"""python -m fastgen.show: print what a config means, and examples of it; nothing is written."""

from __future__ import annotations

import sys

from fastgen.settings import Config, command, whole


def job(config: Config, examples: int) -> None:
    """Print the graph, the splits and `examples` examples of each split."""
    from fastgen import display, engine  # they import Numba, which --help does without

    for warning in config.warnings:
        print(f"fastgen: warning: {warning}", file=sys.stderr)
    print(display.show_layers(config), display.show_splits(config), sep="\n\n")
    for split in config.splits:
        for index in range(min(examples, split.rows)):
            print(f"\n{split.name} {index}")
            print(display.show_example(engine.example(config, split.name, index)))


if __name__ == "__main__":
    command("show", job, examples=whole(0, 1000))

"""python tests/fuzz_parse.py [-runs=N] [FOLDER]: look for a text that the parser's reference and its kernel read apart.

Coverage of the reference guides the search (atheris, libFuzzer). The first two bytes of an input choose the config,
the prompt and `chat`; the rest is the text. It begins with rendered examples, and the inputs in FOLDER if there is one.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import product
from pathlib import Path
from types import FunctionType

import atheris
import pyarrow as pa

from fastgen.engine import example
from fastgen.settings import Config, compose
from fastgen.text import parse
from fastgen.text.render import render

CONFIGS: list[Config] = [
    compose(*overrides)
    for overrides in (
        [],
        ["k=257", "length={min:1,max:9}"],
        ["text=result", "spelling=letters"],
        ["text=names", "task=plan"],
        ["task=execute", "text=result"],
        ["task=direct", "text.preamble=short"],
        ['task.prompt="{x} -> {y} : {depth} of {k} :"', 'task.completion=" so : {chain} --> {trace} -- end"'],
        ["+spelling.words.sort='ñandú'", "+spelling.words.add='más'", "task=execute"],
    )
]
PROMPTS = [None, *(render(example(CONFIGS[0], "train", index), CONFIGS[0])[0].encode() for index in (0, 1)), b"3 1 :"]


def check(data: bytes) -> None:
    """Read one input both ways. Raises AssertionError where they differ."""
    choice = int.from_bytes(data[:2], "little")
    config = CONFIGS[choice % len(CONFIGS)]
    prompt = PROMPTS[choice // 8 % len(PROMPTS)]
    chat, text = bool(choice // 32 % 2), data[2:]
    expected = parse.parse(text, config, prompt, chat)
    prompts = None if prompt is None else pa.array([prompt], pa.binary())
    found = parse.parse_batch(pa.array([text], pa.binary()), config, prompts, chat).row(0)
    assert found == expected, (choice, text, found, expected)


def seeds(folder: Path) -> None:
    """Write rendered examples of every config as inputs."""
    for (number, config), index in product(enumerate(CONFIGS), range(4)):
        _, completion = render(example(config, "train", index), config)
        (folder / f"{number}-{index}").write_bytes(bytes([number, 0]) + completion.encode())


def instrument() -> None:
    """Count branches in the reference's functions: not in the whole module, for Numba can't read changed bytecode."""
    for function in (*vars(parse).values(), *vars(parse._Reader).values()):
        if isinstance(function, FunctionType) and function.__module__ == parse.__name__:
            atheris.instrument_func(function)


if __name__ == "__main__":
    instrument()
    with tempfile.TemporaryDirectory() as folder:
        seeds(Path(folder))
        atheris.Setup([*sys.argv, folder], check)
        atheris.Fuzz()

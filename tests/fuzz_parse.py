"""Look for a text on which the kernel is not the reference, or on which one of them fails, guided by coverage.

    python tests/fuzz_parse.py -runs=1000000 [FOLDER]

Options are those of libFuzzer; what it finds is kept in FOLDER, and first read from there. Of an input, the first byte
picks the config and whether it is a chat, and a zero byte ends the prompt, if there is one. Needs atheris.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FunctionType

import atheris
import pyarrow as pa

from fastgen.doors import compose
from fastgen.engine import example
from fastgen.settings import restore
from fastgen.text import batch, parse
from fastgen.text.render import render

FOREIGN = {
    "words": {"sort": "ordena", "add": "más", ";": "luego", "->": "da", ".": "。", ",": "、"},
    "numbers": list("零一二三四五六七八九十"),
}
SIGNS = {"words": {":": "-", ";": "->>", ",": "-->", ".": "--"}, "numbers": None}
"""Each of them begins like another."""

ENDED = {"prompt": "{x} -> {y} : {depth} mod {k} :", "completion": " {chain} so {trace} end ."}
CONFIGS = [
    compose("length=2"),
    compose("length=2", "spelling=letters", "task=plan"),
    compose("length=2", "text=result", "task=execute"),
    compose("length=3", "k=300", "text=names", "task=plan"),
    compose("length=2", "task=direct", "text.preamble=short"),
    restore(compose("length=2", "task=execute").identity() | {"spelling": FOREIGN}, "out"),
    restore(compose("length={min:1,max:4}").identity() | {"spelling": SIGNS}, "out"),
    restore(compose("length=2", "text.step=[r,a]").identity() | {"task": ENDED}, "out"),
]


CHILD = "in-this-process"


def compare(data: bytes) -> None:
    """The property: one input, both ways."""
    which, rest = data[0] if data else 0, data[1:]
    config, chat = CONFIGS[which % len(CONFIGS)], which >= 128
    before, zero, behind = rest.partition(b"\0")
    prompt, text = (before, behind) if zero else (None, rest)
    prompts = None if prompt is None else pa.array([prompt], pa.binary())
    rows = batch.parse_batch(pa.array([text], pa.binary()), config, prompts, chat)
    assert rows.row(0) == parse.parse(text, config, prompt, chat)


def instrument() -> None:
    """Have the fuzzer see which branches of the reference are taken; the kernel is compiled without them."""
    methods = [method for _, method in inspect.getmembers(parse._Reader, inspect.isfunction)]
    functions = [found for found in vars(parse).values() if isinstance(found, FunctionType)]
    for function in [*methods, *functions]:
        if function.__module__ == parse.__name__:
            atheris.instrument_func(function)


def put_seeds(folder: Path, dictionary: Path) -> None:
    """Texts that are right, as they are and behind their prompts, and the words of which they are made."""
    words: set[bytes] = set()
    for which, config in enumerate(CONFIGS):
        words |= {word.encode() for word in config.grammar.vocabulary[:40]}
        for index in range(4):
            prompt, completion = (text.encode() for text in render(example(config, "train", index), config))
            (folder / f"{which}-{index}").write_bytes(bytes([which]) + completion)
            (folder / f"{which}-{index}-given").write_bytes(bytes([which]) + prompt + b"\0" + completion)
            (folder / f"{which}-{index}-chat").write_bytes(bytes([which + 128]) + b"```\n" + completion + b"\n```")
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in sorted(words)]
    dictionary.write_text("\n".join(lines) + "\n")


def fuzz(arguments: list[str]) -> None:
    """Does not return."""
    for which in range(len(CONFIGS)):  # compiled before libFuzzer's clock runs
        compare(bytes([which]) + b" sort\0 sort")
    instrument()
    atheris.Setup(arguments, compare)
    atheris.Fuzz()


def main() -> int:
    """Fuzz in a process of its own: libFuzzer ends it without a chance to tidy up."""
    with tempfile.TemporaryDirectory() as scratch:
        seeds, words = Path(scratch, "seeds"), Path(scratch, "words")
        seeds.mkdir()
        put_seeds(seeds, words)
        options = [*sys.argv[1:], str(seeds), f"-dict={words}", "-max_len=400"]
        return subprocess.call([sys.executable, __file__, CHILD, *options])


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        fuzz([sys.argv[0], *sys.argv[2:]])
    sys.exit(main())

"""The tokenizer of a corpus, as transformers reads it, and the token counts of a user's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
from helpers import ROOT, variant

from fastgen import engine
from fastgen.doors import compose
from fastgen.settings import Config
from fastgen.text.grammar import SPECIALS
from fastgen.text.render import render
from fastgen.text.tokenizer import files, lengths
from fastgen.text.tokens import tokens
from fastgen.values import ConfigError

PREVIOUS = "FASTGEN_TRANSFORMERS_PREVIOUS"
"""A folder with the previous major version of transformers: pip install --target FOLDER 'transformers<5'."""

ROWS = 25
FOREIGN = {
    "words": {"sort": "ordena", "add": "más", ";": "luego", ",": "、", "->": "da", ".": "。", ":": "🙂"},
    "numbers": ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", 'd"i\\ez'],
}


TASK = {"prompt": "{x} to {y} of {depth} mod {k} :", "completion": " {chain} : {trace} end"}

default = cache(compose)

CONFIGS: dict[str, Callable[[], Config]] = {
    "default": default,
    "letters": cache(lambda: compose("spelling=letters", "task=execute", "length={min:1,max:9}")),
    "foreign": cache(lambda: variant(default(), spelling=FOREIGN)),
    "template": cache(lambda: variant(default(), task=TASK)),
    "preamble": cache(
        lambda: replace(default(), grammar=replace(default().grammar, preamble="Some words (3, 1)\nand sort .\n\n"))
    ),
    "full preamble": cache(lambda: compose("text.preamble=full", "task=plan", "text=result")),
    "wide": cache(lambda: compose("k=65536", "length=3")),
}


def write(folder: Path, config: Config) -> Path:
    for name, text in files(config.grammar).items():
        (folder / name).write_text(text, encoding="ascii")
    return folder


def transformers(folder: Path, config: Config, previous: str | None = None) -> str:
    """What the program prints that compares our ids with those of transformers: its version, and how many rows."""
    examples = [engine.example(config, "train", index) for index in range(ROWS)]
    lines = []
    for example in examples:
        prompt, completion = render(example, config)
        row = {"prompt": prompt, "completion": completion, "input_ids": tokens(example, config)[0]}
        lines.append(json.dumps(row))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": previous or ""}
    done = subprocess.run(
        [sys.executable, ROOT / "tests/tokenize_like_transformers.py", write(folder, config)],
        cwd=folder,
        env=environment,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    used, *rows = done.stdout.split()
    assert rows == [str(ROWS)] * 2
    return used


@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_makes_the_same_ids(name: str, tmp_path: Path) -> None:
    transformers(tmp_path, CONFIGS[name]())


@pytest.mark.skipif(not os.environ.get(PREVIOUS), reason=f"{PREVIOUS} names no folder with that version")
@pytest.mark.parametrize("name", CONFIGS)
def test_so_does_the_previous_major_version(name: str, tmp_path: Path) -> None:
    used = transformers(tmp_path, CONFIGS[name](), os.environ[PREVIOUS])
    assert major(used) == major(version("transformers")) - 1


def major(number: str) -> int:
    return int(number.partition(".")[0])


def test_files_are_json_and_hold_the_vocabulary() -> None:
    for make in CONFIGS.values():
        config = make()
        made = files(config.grammar)
        assert list(made) == ["tokenizer.json", "tokenizer_config.json"]
        assert made == files(replace(config.grammar)), "not the same at another time"
        tokenizer, settings = map(json.loads, made.values())
        assert tuple(tokenizer["model"]["vocab"]) == config.grammar.vocabulary
        assert list(tokenizer["model"]["vocab"].values()) == list(range(len(config.grammar.vocabulary)))
        assert [(token["id"], token["content"]) for token in tokenizer["added_tokens"]] == list(enumerate(SPECIALS))
        assert (settings["eos_token"], settings["pad_token"]) == ("<eos>", "<pad>")


# A user's own tokenizer


def test_lengths_are_those_of_the_ids(tmp_path: Path) -> None:
    config = CONFIGS["letters"]()
    examples = [engine.example(config, "train", index) for index in range(ROWS)]
    found = lengths(
        str(write(tmp_path, config) / "tokenizer.json"), ["".join(render(each, config)) for each in examples]
    )
    assert found == [len(tokens(each, config)[0]) - 1 for each in examples]
    assert len(set(found)) > 5


def changed(folder: Path, **values: object) -> str:
    """The path of a tokenizer.json of ours with other values."""
    tokenizer = json.loads(files(default().grammar)["tokenizer.json"])
    path = folder / "changed.json"
    path.write_text(json.dumps(tokenizer | values))
    return str(path)


TRUNCATION = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
PADDING = {
    "strategy": {"Fixed": 9},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "<pad>",
}
BEGINS = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<bos>": {"id": "<bos>", "ids": [1], "tokens": ["<bos>"]}},
}


def test_nothing_is_cut_or_padded(tmp_path: Path) -> None:
    path = changed(tmp_path, truncation=TRUNCATION, padding=PADDING)
    assert lengths(path, ["1 2 3 4 5", "1", ""]) == [5, 1, 0]


def test_tokens_that_it_adds_are_counted(tmp_path: Path) -> None:
    assert lengths(changed(tmp_path, post_processor=BEGINS), ["1 2 3"]) == [4]


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "no json", '{"version":"1.0"}', '{"version":"1.0","model":{"type":"None"}}', "\xff\0"],
)
def test_a_file_that_is_no_tokenizer(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"^tokenizer=.*tokenizer\.json: is no tokenizer .*; name a tokenizer\.json"):
        lengths(str(path), ["1 2"])


def test_a_tokenizer_that_has_no_token_for_a_word(tmp_path: Path) -> None:
    path = changed(tmp_path, added_tokens=[], model={"type": "WordLevel", "vocab": {"1": 0}, "unk_token": "<unk>"})
    assert lengths(path, ["1 1"]) == [2]
    with pytest.raises(ConfigError, match=r"^tokenizer=.*is no tokenizer that can be used"):
        lengths(path, ["1 2"])


@pytest.mark.parametrize("path", ["", ".", "missing.json", "a\0b", "/dev/zero"])
def test_a_path_that_is_no_file(path: str) -> None:
    with pytest.raises(ConfigError, match=r"^tokenizer=.*: is no file; name a tokenizer\.json"):
        lengths(path, ["1 2"])


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ConfigError, match=r"^tokenizer=.*pip install 'fastgen\[tokenizers\]'"):
        lengths(changed(tmp_path), ["1 2"])


def test_a_panic_of_the_package_is_a_fault_of_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where its Rust code panics, it raises what is no Exception; an interrupt passes."""
    import tokenizers

    class Panic(BaseException):
        pass

    class Tokenizer:
        raised: type[BaseException] = Panic

        @classmethod
        def from_file(cls, path: str) -> None:
            raise cls.raised("index out of bounds")

    monkeypatch.setattr(tokenizers, "Tokenizer", Tokenizer)
    with pytest.raises(ConfigError, match=r"^tokenizer=.*index out of bounds"):
        lengths(changed(tmp_path), ["1 2"])
    Tokenizer.raised = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        lengths(changed(tmp_path), ["1 2"])

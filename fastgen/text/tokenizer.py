"""Tokenizers: the files of the grammar's own, and how a user's splits the texts.

`AutoTokenizer.from_pretrained(folder)` of transformers loads the two files. Its tokens are the words between blanks; it
adds none of its own: trainers put `<eos>` behind the completion.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from fastgen.text.grammar import BOS, EOS, PAD, SPECIALS, UNKNOWN, Grammar
from fastgen.values import ConfigError


def files(grammar: Grammar) -> dict[str, str]:
    """Name -> text (JSON in ASCII) of the files that make a folder a tokenizer of the grammar."""
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": place, "content": token} | special for place, token in enumerate(SPECIALS)],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {token: place for place, token in enumerate(grammar.vocabulary)},
            "unk_token": SPECIALS[UNKNOWN],
        },
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIALS[PAD],
        "bos_token": SPECIALS[BOS],
        "eos_token": SPECIALS[EOS],
        "unk_token": SPECIALS[UNKNOWN],
        "clean_up_tokenization_spaces": False,  # decoding would join "1 ," to "1,"
        "model_input_names": ["input_ids", "attention_mask"],
    }
    return {"tokenizer.json": _json(tokenizer), "tokenizer_config.json": _json(config)}


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def lengths(path: str, texts: Iterable[str]) -> list[int]:
    """How many tokens the tokenizer in the file `path` (a tokenizer.json) makes of each text, those it adds included.

    Raises ConfigError where the package `tokenizers` is missing, or the file is none of its.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        remedy = "pip install 'fastgen[tokenizers]'"
        raise ConfigError(f"tokenizer={path}: needs the package tokenizers; {remedy}") from None
    if not Path(path).is_file():
        raise ConfigError(f"tokenizer={path}: is no file; name a tokenizer.json, such as out/tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(path)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return [len(encoded.ids) for encoded in tokenizer.encode_batch(list(texts))]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # Rust code that panics raises what is no Exception
        rule = f"is no tokenizer that can be used ({error}); name a tokenizer.json that transformers saved"
        raise ConfigError(f"tokenizer={path}: {rule}") from error

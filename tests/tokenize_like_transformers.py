"""python tests/tokenize_like_transformers.py FOLDER < LINES: compare with what transformers makes of the texts.

FOLDER holds a tokenizer. A line is JSON: prompt, completion, input_ids. Prints the version of transformers and how many
lines there are. A program of its own, so that a test can run it with another transformers; there must be no network.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from typing import Any

SPECIALS = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}


def check(tokenizer: Any, lines: Iterable[str]) -> int:
    """How many lines there are, all being right. Raises AssertionError where one is wrong."""
    assert {name: getattr(tokenizer, name) for name in SPECIALS} == SPECIALS
    assert tokenizer.convert_tokens_to_ids(list(SPECIALS.values())) == [0, 1, 2, 3]
    assert encode(tokenizer, "zzz <pad><eos> <unk>") == [3, 0, 2, 3]
    assert tokenizer.model_max_length > 10**9, "it would warn, or cut"
    count = 0
    for line in lines:
        row = json.loads(line)
        prompt, completion, ids = row["prompt"], row["completion"], row["input_ids"]
        whole, end, end_id = prompt + completion, tokenizer.eos_token, tokenizer.eos_token_id
        assert [*encode(tokenizer, prompt), *encode(tokenizer, completion), end_id] == ids, row
        assert [*encode(tokenizer, whole), end_id] == ids, row
        assert encode(tokenizer, whole + end) == ids, row
        assert tokenizer.convert_ids_to_tokens(ids) == [*whole.split(), end], row
        assert tokenizer.decode(ids) == " ".join([*whole.split(), end]), row
        assert tokenizer.decode(ids, skip_special_tokens=True) == " ".join(whole.split()), row
        count += 1
    return count


def encode(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text; the attention mask has to be 1 on all of them."""
    encoded = dict(tokenizer(text))
    assert encoded.pop("attention_mask") == [1] * len(encoded["input_ids"])
    ids = encoded.pop("input_ids")
    assert not encoded
    return list(ids)


if __name__ == "__main__":
    import transformers

    original = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
    given = sys.stdin.read().splitlines()
    with tempfile.TemporaryDirectory() as saved:
        original.save_pretrained(saved)
        reloaded = transformers.AutoTokenizer.from_pretrained(saved)
    assert reloaded.get_vocab() == original.get_vocab()
    assert len(original) == len(original.get_vocab()) == original.vocab_size
    print(transformers.__version__, check(original, given), check(reloaded, given))

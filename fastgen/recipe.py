"""python -m fastgen.recipe: train a small transformer on a corpus, and write down what it says of every split.

An example is a function of config, split and index, so the corpus' rows are not read but made again when they are due.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgen import transformer
from fastgen.doors import corpus_command
from fastgen.settings import Config, workers_of
from fastgen.values import ConfigError, exact, folder, lies_inside, whole

if TYPE_CHECKING:
    from torch import Tensor

AT_ONCE = 512
"""Texts that are generated together."""


def width_of(value: Any) -> int:
    """The reader of the width of a model."""
    width = whole(1, 4096)(value)
    if width % transformer.HEAD:
        raise ValueError(f"must be a multiple of {transformer.HEAD}, the width of a head")
    return width


def job(
    data: str,
    out: str,
    width: int,
    layers: int,
    steps: int,
    batch: int,
    rate: Any,
    checkpoints: int,
    examples: int,
    seed: int,
    workers: int,
) -> None:
    """Train on the first split of the corpus in `data`; write `out`/step-*.jsonl and `out`/model.safetensors.

    Raises ConfigError where the corpus can't be read, `out` can't be written, or PyTorch is missing.
    """
    try:
        import torch
        from safetensors.torch import save_file
    except ImportError as error:
        raise ConfigError(f"the recipe needs the package {error.name}; pip install 'fastgen[torch]'") from None
    from tqdm import tqdm

    from fastgen.corpus import open_corpus
    from fastgen.text.tokens import IGNORED, most

    config = replace(open_corpus(data), columns=("input_ids", "labels"))
    made = _make(data, out)
    torch.set_num_threads(workers)
    weights = transformer.weights(len(config.grammar.vocabulary), most(config), width, layers, seed)
    print(f"{sum(weight.numel() for weight in weights.values()):,} weights")

    optimizer = torch.optim.AdamW(weights.values(), lr=float(rate), betas=(0.9, 0.98), weight_decay=0.01)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, float(rate), total_steps=steps + 1, pct_start=0.1)
    due = {steps * number // checkpoints for number in range(1, checkpoints + 1)}
    with tqdm(total=steps, unit=" steps", disable=None) as bar:
        for step, (ids, labels) in zip(range(1, steps + 1), batches(config, batch), strict=False):
            guessed = transformer.logits(weights, ids[:, :-1]).flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(guessed, labels[:, 1:].flatten(), ignore_index=IGNORED)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
            optimizer.step()
            pace.step()
            bar.set_postfix_str(f"loss {loss.item():.3f}", refresh=False)
            bar.update()
            if step in due:
                lines = [json.dumps(prediction) + "\n" for prediction in predictions(config, weights, examples)]
                (made / f"step-{step}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
    save_file({name: weight.detach() for name, weight in weights.items()}, made / "model.safetensors")
    print(f"{len(due)} files of predictions and model.safetensors, in {out}. Where does it go wrong?\n")
    print(f"python -m fastgen.evaluate data={data} predictions={out}/step-{steps}.jsonl")
    print(f"python -m fastgen.evaluate data={data} predictions='{out}/step-*.jsonl'")


def _make(data: str, out: str) -> Path:
    """The folder `out`. Raises ConfigError where it can't be made, or would mix two runs, or change the corpus."""
    path = Path(out)
    if fault := lies_inside(out, data):
        raise ConfigError(fault)
    if any(path.glob("step-*.jsonl")):
        raise ConfigError(f"out={out}: holds predictions of another run; choose another folder, or remove them")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out={out}: {error.strerror or error}; name a folder that can be written") from error
    return path


def batches(config: Config, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and labels of the first split's examples, as they stand in its files, again and again."""
    train = config.splits[0]
    while True:
        for start in range(0, train.rows, size):
            yield tokens(config, train.name, start, min(start + size, train.rows))


def tokens(config: Config, split: str, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Ids and labels of examples, int64[row, token], padded to the longest."""
    import torch

    from fastgen.shard import table
    from fastgen.text.grammar import PAD
    from fastgen.text.tokens import IGNORED

    found = table(config, split, start, stop)
    columns = [(found[name].combine_chunks(), pad) for name, pad in (("input_ids", PAD), ("labels", IGNORED))]
    ids, labels = (
        torch.from_numpy(padded(column.offsets.to_numpy(), column.values.to_numpy(), pad)) for column, pad in columns
    )
    return ids, labels


def padded(offsets: np.ndarray[Any, Any], values: np.ndarray[Any, Any], pad: int) -> np.ndarray[Any, Any]:
    """int64[row, token]: row r is values[offsets[r]:offsets[r + 1]], and `pad` behind it.

    >>> padded(np.array([0, 2, 5]), np.array([7, 8, 4, 5, 6]), 0)
    array([[7, 8, 0],
           [4, 5, 6]])
    """
    sizes = np.diff(offsets)
    there = np.arange(sizes.max()) < sizes[:, None]
    found = np.full(there.shape, pad, np.int64)
    found[there] = values[offsets[0] : offsets[-1]]
    return found


def predictions(config: Config, weights: dict[str, Tensor], examples: int) -> Iterator[dict[str, Any]]:
    """What the model writes for the first examples of every split, as lines of a file: split, index, prediction."""
    from fastgen.text.grammar import EOS, PAD
    from fastgen.text.tokens import IGNORED

    words = config.grammar.vocabulary
    for split in config.splits:
        ids, labels = tokens(config, split.name, 0, min(examples, split.rows))
        sizes = ((labels == IGNORED) & (ids != PAD)).sum(1)  # of the prompts
        texts = [""] * len(ids)
        for size in sizes.unique().tolist():  # together those of one size, so that nothing is padded
            for rows in (sizes == size).nonzero()[:, 0].split(AT_ONCE):
                for row, said in zip(
                    rows.tolist(), transformer.generate(weights, ids[rows, :size], EOS).tolist(), strict=True
                ):
                    end = said.index(EOS) if EOS in said else len(said)
                    texts[row] = "".join(f" {words[token]}" for token in said[:end])
        yield from ({"split": split.name, "index": index, "prediction": text} for index, text in enumerate(texts))


if __name__ == "__main__":
    corpus_command(
        "recipe",
        job,
        {
            "data": folder,
            "out": folder,
            "width": width_of,
            "layers": whole(1, 64),
            "steps": whole(1, 10**7),
            "batch": whole(1, 2**16),
            "rate": exact,
            "checkpoints": whole(1, 1000),
            "examples": whole(1, 10**6),
            "seed": whole(0, 2**63 - 1),
            "workers": workers_of,
        },
    )

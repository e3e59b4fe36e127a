"""`python -m fastgen.recipe`: a transformer that is trained in seconds, and what it wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from helpers import fastgen as run
from helpers import files

import fastgen
from fastgen import recipe, transformer
from fastgen.doors import CONF
from fastgen.engine import example
from fastgen.settings import Config
from fastgen.text import tokens

CONFIG = ("n=60", "k=3", "length=2", "graph=small", "chain.min=1", "chain.max=1", "split.sets.train.chains=3/4")
CONFIG = (*CONFIG, "split.sets.validation.chains=1/4")
SMALL = ("width=32", "layers=2", "steps=300", "batch=48", "rate=0.005", "checkpoints=3", "examples=12", "workers=1")


@pytest.fixture
def torch() -> Any:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    done = run("run", *CONFIG, "out=out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def config() -> Config:
    return replace(fastgen.config("n=60", "length={min:2,max:5}"), columns=("input_ids", "labels"))


# Without PyTorch


def test_help_is_there_without_pytorch(python: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(name='torch')")
    done = python("-m", "fastgen.recipe", "--help", path=(tmp_path,))
    assert done.returncode == 0, done.stderr
    assert "pip install 'fastgen[torch]'" in done.stdout


def test_help_names_every_key_with_its_default() -> None:
    text = (CONF / "recipe.yaml").read_text("utf-8")
    defaults = {key: value for key, value in yaml.safe_load(text).items() if key not in ("defaults", "hydra")}
    shown = dict(re.findall(r"^        ([a-z]+)=(\S+)", text.partition("template:")[2], re.MULTILINE))
    assert shown == {key: str(value) for key, value in defaults.items()}
    assert list(shown) == list(signature(recipe.job).parameters)


def test_without_pytorch_it_says_what_to_install(python: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(name='torch')")
    done = python("-m", "fastgen.recipe", path=(tmp_path,))
    assert done.returncode == 2
    assert done.stderr == "fastgen: the recipe needs the package torch; pip install 'fastgen[torch]'\n"


def test_every_fault_of_the_keys_is_named(tmp_path: Path) -> None:
    done = run("recipe", "steps=0", "rate=fast", "width=33", "workers=none", cwd=tmp_path)
    assert done.returncode == 2
    for key in (
        "steps=0: must be a whole",
        "rate=fast: must be a number",
        "width=33: must be",
        "workers=none: must be",
    ):
        assert f"  {key}" in done.stderr
    assert "Traceback" not in done.stderr
    assert files(tmp_path) == {}


# The model


def test_a_cache_changes_nothing(torch: Any) -> None:
    weights = transformer.weights(20, 12, 64, 2, seed=1)
    ids = torch.randint(20, (3, 12), generator=torch.Generator().manual_seed(0))
    whole, past = transformer.logits(weights, ids), []
    parts = [transformer.logits(weights, part, past) for part in (ids[:, :5], *ids[:, 5:].split(1, 1))]
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)
    assert [tuple(layer.shape) for layer in past] == [(2, 3, 2, 12, transformer.HEAD)] * 2


def test_no_token_sees_a_later_one(torch: Any) -> None:
    weights = transformer.weights(20, 12, 32, 2, seed=1)
    ids = torch.randint(20, (4, 12), generator=torch.Generator().manual_seed(0))
    other = ids.clone()
    other[:, 7] = (ids[:, 7] + 1) % 20
    one, two = transformer.logits(weights, ids), transformer.logits(weights, other)
    assert torch.equal(one[:, :7], two[:, :7])
    assert not torch.isclose(one[:, 7:], two[:, 7:]).all(-1).any()


def test_what_is_generated_is_the_likeliest_token_every_time(torch: Any) -> None:
    weights = transformer.weights(20, 12, 32, 2, seed=3)
    prompts = torch.randint(20, (5, 4), generator=torch.Generator().manual_seed(0))
    said = transformer.generate(weights, prompts, end=99)
    assert said.shape == (5, 8)
    ids = prompts
    for _ in range(8):
        ids = torch.cat([ids, transformer.logits(weights, ids)[:, -1:].argmax(-1)], 1)
    assert torch.equal(ids[:, 4:], said)
    assert len({tuple(row) for row in said.tolist()}) > 1


def test_it_stops_when_every_row_has_ended_and_not_before(torch: Any) -> None:
    weights = transformer.weights(20, 12, 32, 2, seed=3)
    prompts = torch.randint(20, (5, 4), generator=torch.Generator().manual_seed(0))
    said = transformer.generate(weights, prompts, end=99)
    end = int(said[0, 0])
    assert transformer.generate(weights, prompts[:1], end).tolist() == [[end]]
    assert not (said == end).any(1).all()
    assert torch.equal(transformer.generate(weights, prompts, end), said)


# The data


def test_batches_are_the_examples_of_train_again_and_again(torch: Any, config: Config) -> None:
    assert config.splits[0].rows == 48
    found = [*islice(recipe.batches(config, 20), 6)]
    assert [len(ids) for ids, _ in found] == [20, 20, 8] * 2
    index = 0
    for ids, labels in found:
        assert ids.shape == labels.shape
        for row, label in zip(ids.tolist(), labels.tolist(), strict=True):
            right, learnt, _ = tokens.tokens(example(config, "train", index % 48), config)
            fill = len(row) - len(right)
            assert row == right + [0] * fill
            assert label == learnt + [tokens.IGNORED] * fill
            index += 1


def test_an_answer_belongs_to_its_prompt(torch: Any, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that repeats its prompt backwards: prompts have several lengths, and rows come back in their order."""
    end = torch.tensor([[2, 9]])

    def backwards(weights: Any, prompts: Any, ends: int) -> Any:
        assert ends == 2
        return torch.cat([prompts.flip(1), end.expand(len(prompts), 2)], 1)

    monkeypatch.setattr(transformer, "generate", backwards)
    monkeypatch.setattr(recipe, "AT_ONCE", 5)
    lines = [*recipe.predictions(config, {}, 10**6)]
    assert len(lines) == 60
    for name, rows in (("train", 48), ("validation", 12)):
        said = [line for line in lines if line["split"] == name]
        assert [line["index"] for line in said] == [*range(rows)]
        for line in said:
            prompt, _ = fastgen.render(example(config, name, line["index"]), config)
            assert line["prediction"] == "".join(f" {word}" for word in reversed(prompt.split()))


# The command


def test_it_learns_and_writes_down_what_it_says(torch: Any, corpus: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    before = files(corpus)
    done = run("recipe", f"data={corpus}", "out=model", *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert files(corpus) == before
    assert sorted(files(tmp_path)) == [
        "model/model.safetensors",
        *(f"model/step-{step}.jsonl" for step in (100, 200, 300)),
    ]
    assert f"python -m fastgen.evaluate data={corpus} predictions=model/step-300.jsonl" in done.stdout
    config = fastgen.load(corpus)
    lines = [json.loads(line) for line in (tmp_path / "model" / "step-300.jsonl").read_text("utf-8").splitlines()]
    assert [(line["split"], line["index"]) for line in lines] == [
        (split, index) for split in ("train", "validation") for index in range(12)
    ]
    prompts = fastgen.table(config, "train", 0, 12)["prompt"]
    said = fastgen.verify(prompts, pa.array([line["prediction"] for line in lines[:12]]), config)
    assert (said.rows["valid"] & said.rows["answer"]).mean() > 0.9

    weights = load_file(tmp_path / "model" / "model.safetensors")
    again = recipe.predictions(replace(config, columns=("input_ids", "labels")), weights, 12)
    assert [*again] == lines


def test_the_same_seed_gives_the_same_predictions(torch: Any, corpus: Path, tmp_path: Path) -> None:
    few = (*SMALL[:2], "steps=5", *SMALL[3:])
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run("recipe", f"data={corpus}", f"out={out}", f"seed={seed}", *few, cwd=tmp_path).returncode == 0
    found = files(tmp_path)
    assert found["a/model.safetensors"] == found["b/model.safetensors"] != found["c/model.safetensors"]
    assert found["a/step-5.jsonl"] == found["b/step-5.jsonl"]


def test_what_it_refuses(torch: Any, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "step-1.jsonl").touch()
    (tmp_path / "file").touch()
    cases = {
        ("data=none",): "data=none: can't be read",
        (f"data={corpus}", f"out={corpus}/model"): "which is only read",
        (f"data={corpus}", "out=old"): "out=old: holds predictions of another run",
        (f"data={corpus}", "out=file/model"): "name a folder that can be written",
    }
    for overrides, message in cases.items():
        done = run("recipe", *overrides, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert [*files(tmp_path)] == ["file", "old/step-1.jsonl"]

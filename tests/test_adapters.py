"""Adapters, by the call shapes that other libraries document, and by the libraries where they are installed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from helpers import fastgen as run

import fastgen
from fastgen import adapters
from fastgen.settings import Config
from fastgen.values import ConfigError

OTHERS = ("inspect_ai", "lm_eval", "reasoning_gym", "torch", "transformers", "trl")

theirs = pytest.mark.filterwarnings("default")  # what other packages warn of is not ours


@pytest.fixture(scope="module")
def config() -> Config:
    return fastgen.config("n=100", "k=7", "length=4", "chain.max=2")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    done = run("run", "n=100", "k=7", "length=4", "chain.max=2", "out=out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "out"


def texts(config: Config, count: int = 8) -> tuple[list[str], list[str]]:
    """Prompts and right completions of validation."""
    table = fastgen.table(config, "validation", 0, count)
    return table["prompt"].to_pylist(), table["completion"].to_pylist()


def spoilt(completion: str) -> str:
    """The same with its last number wrong."""
    words = completion.split()
    words[-2] = str((int(words[-2]) + 2) % 7)
    return " " + " ".join(words)


def user(prompt: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": "Think."}, {"role": "user", "content": prompt}]


def assistant(completion: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": f"Here it is:\n```\n{completion.strip()}\n```\nI hope this helps."}]


# Scores


def test_scores_of_right_and_wrong_texts(config: Config) -> None:
    prompts, completions = texts(config)
    for prompt, completion in zip(prompts, completions, strict=True):
        assert adapters.scores(prompt, completion, config) == dict.fromkeys(adapters.SCORES, 1.0)
        wrong = adapters.scores(prompt, spoilt(completion), config)
        assert wrong["parsed"] == 1
        assert wrong["solved"] == wrong["valid"] == wrong["answer"] == 0
        assert 0 < wrong["reward"] < 1
        assert adapters.scores(prompt, "", config) == dict.fromkeys(adapters.SCORES, 0.0)


def test_a_right_answer_that_is_not_derived_is_not_solved(config: Config) -> None:
    prompts, _ = texts(config)
    y = prompts[0].split("->")[1].split()[:4]
    said = adapters.scores(prompts[0], " sort " + " , ".join(f"{i} {i} {r}" for i, r in enumerate(y)) + " .", config)
    assert said["parsed"] == said["answer"] == 1
    assert said["solved"] == said["valid"] == 0
    assert said["reward"] < 0.7


def test_a_foreign_prompt_is_refused_and_not_scored_as_nothing(config: Config) -> None:
    with pytest.raises(ValueError, match="is no prompt of this config"):
        adapters.scores("Solve: 1 2 3 4 -> 1 2 3 4 :", "", config)
    with pytest.raises(ValueError, match="is no prompt of this config"):
        adapters.trl_reward(config)(prompts=["what?"], completions=[""])


def test_nothing_is_imported_that_is_not_called(python: Callable[..., Any]) -> None:
    done = python(
        "-c",
        f"import sys, fastgen.adapters, fastgen.recipe, fastgen.transformer; print({{*sys.modules}} & {{*{OTHERS}}})",
    )
    assert done.stdout.strip() == "set()", done.stderr


# TRL


def test_trl_calls_with_lists_of_strings_and_all_other_columns(config: Config) -> None:
    prompts, completions = texts(config)
    said = completions[:4] + [spoilt(completion) for completion in completions[4:]]
    rewards = adapters.trl_reward(config)(
        prompts=prompts,
        completions=said,
        completion_ids=[[1, 2]] * 8,
        trace=[[1]] * 8,
        trainer_state=None,
        log_extra=print,
        log_metric=print,
    )
    assert rewards == fastgen.reward(prompts, said, config)
    assert rewards[:4] == [1.0] * 4
    assert all(0 < reward < 1 for reward in rewards[4:])


def test_trl_calls_with_chats(config: Config) -> None:
    prompts, completions = texts(config)
    parts = [[{"role": "assistant", "content": [{"type": "text", "text": completions[0]}]}]]
    silent: list[list[dict[str, Any]]] = [[{"role": "assistant", "content": None}], []]
    chats = [*parts, *map(assistant, completions[1:6]), *silent]
    rewards = adapters.trl_reward(config)(prompts=[*map(user, prompts)], completions=chats)
    assert rewards == [1.0] * 6 + [0.0] * 2


def test_words_around_an_answer_are_for_chats_alone(config: Config) -> None:
    prompts, completions = texts(config, 1)
    reward = adapters.trl_reward(config)
    said = assistant(completions[0])[0]["content"]
    assert reward(prompts=prompts, completions=[said])[0] < 1
    assert reward(prompts=[user(prompts[0])], completions=[assistant(completions[0])]) == [1.0]


@theirs
def test_trl_trains_with_it(corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trl = pytest.importorskip("trl", reason="TRL is not installed")
    import torch
    from datasets import load_dataset
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(corpus, padding_side="left")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **ends))
    config = fastgen.load(corpus)
    seen: list[list[float]] = []

    def fastgen_reward(**columns: Any) -> list[float]:
        assert "completion" not in columns
        assert len(columns["trace"]) == len(columns["prompts"])
        seen.append(adapters.trl_reward(config)(**columns))
        return seen[-1]

    files = {"train": str(corpus / "data" / "split=train" / "*.parquet")}
    data = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    settings = trl.GRPOConfig(
        output_dir=str(tmp_path / "grpo"),
        per_device_train_batch_size=4,
        num_generations=2,
        max_completion_length=8,
        max_steps=2,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        bf16=False,
    )
    for reward in (fastgen_reward, adapters.trl_reward(config)):
        trainer = trl.GRPOTrainer(
            model=model, reward_funcs=reward, args=settings, train_dataset=data, processing_class=tokenizer
        )
        trainer.train()
    assert any("rewards/fastgen/mean" in entry for entry in trainer.state.log_history)
    assert seen
    assert all(0 <= reward <= 1 for rewards in seen for reward in rewards)


# reasoning-gym


def test_reasoning_gym_asks_and_scores(config: Config) -> None:
    data = adapters.ReasoningGym(config, "validation", 5)
    prompts, completions = texts(config, 5)
    entries = list(data)
    assert len(data) == len(entries) == 5
    assert [entry["question"] for entry in entries] == prompts
    assert [entry["answer"] for entry in entries] == completions
    assert data[4] == entries[4]
    for index, entry in enumerate(entries):
        assert entry["metadata"]["source_index"] == index
        assert json.loads(json.dumps(entry)) == entry
        assert data.score_answer(entry["answer"], entry) == data.score_answer(entry["answer"].strip(), entry) == 1
        assert data.score_answer(None, entry) == data.score_answer("", entry) == 0
        assert 0 < data.score_answer(spoilt(entry["answer"]), entry) < 1
    with pytest.raises(IndexError, match="from 0 to 4"):
        data[5]


def test_reasoning_gym_gives_no_credit_for_the_entrys_answer_inside_another(config: Config) -> None:
    data = adapters.ReasoningGym(config, "validation", 1)
    assert data.score_answer(f"sort 0 0 0{data[0]['answer']}", data[0]) < 0.6


@theirs
def test_reasoning_gym_takes_it_for_one_of_its_own(config: Config) -> None:
    gym = pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed")
    from reasoning_gym.coaching.score_board import ScoreBoard
    from reasoning_gym.utils import extract_answer

    own, data = gym.create_dataset("number_sorting", size=3, seed=1), adapters.ReasoningGym(config, "train", 3)
    board = ScoreBoard()
    for one, other in zip(own, data, strict=True):
        assert set(one) == set(other)
        assert {"source_dataset", "source_index", "difficulty"} <= set(one["metadata"]) & set(other["metadata"])
        answer = extract_answer(f"<think>hm</think><answer>{other['answer']}</answer>")
        board.add_score("fastgen", data.score_answer(answer, other), other["metadata"])
    groups = board.aggregate()["fastgen"].scores
    assert [score for group in groups.values() for score in group] == [1.0] * 3


# inspect_ai


def sample(prompt: str, text: str) -> SimpleNamespace:
    return SimpleNamespace(input_text=prompt, output=SimpleNamespace(completion=text))


def test_inspect_scores_a_state(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the package, only what its documentation says a scorer is made of."""
    package, module = ModuleType("inspect_ai"), ModuleType("inspect_ai.scorer")
    given: dict[str, Any] = {}

    def scorer(metrics: dict[str, Any]) -> Callable[[Any], Any]:
        given.update(metrics)
        return lambda factory: factory

    made = {"Score": SimpleNamespace, "mean": lambda: "mean", "scorer": scorer, "stderr": lambda: "stderr"}
    vars(module).update(made)
    monkeypatch.setitem(sys.modules, "inspect_ai", package)
    monkeypatch.setitem(sys.modules, "inspect_ai.scorer", module)
    score = adapters.inspect_scorer(config)
    assert given == {key: ["mean", "stderr"] for key in adapters.SCORES}
    prompts, completions = texts(config)
    for text in (completions[0], spoilt(completions[0]), assistant(completions[0])[0]["content"]):
        said = asyncio.run(score(sample(prompts[0], text), None))
        assert said.value == adapters.scores(prompts[0], text, config)


@theirs
def test_inspect_evaluates_with_it(config: Config, tmp_path: Path) -> None:
    inspect_ai = pytest.importorskip("inspect_ai", reason="inspect_ai is not installed")
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    prompts, completions = texts(config)
    said = [*completions[:6], spoilt(completions[6]), "I don't know."]
    outputs = [ModelOutput.from_content("mockllm/model", text) for text in said]
    for output in outputs:
        output.usage = ModelUsage()  # else it counts tokens, by a tokenizer that it would download
    model = get_model("mockllm/model", custom_outputs=outputs)
    task = inspect_ai.Task(dataset=[Sample(input=prompt) for prompt in prompts], scorer=adapters.inspect_scorer(config))
    (log,) = inspect_ai.eval(task, model=model, log_dir=str(tmp_path), display="none", max_samples=1, max_connections=1)
    assert log.status == "success", log.error
    found = {score.name: score.metrics["mean"].value for score in log.results.scores}
    assert found["solved"] == found["valid"] == found["answer"] == 6 / 8
    assert found["parsed"] == 7 / 8
    assert 6 / 8 < found["reward"] < 7 / 8


# lm-evaluation-harness


class _Tasks(yaml.SafeLoader):
    """Reads a task; of a function, its name."""


_Tasks.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def test_lm_eval_tasks_say_what_to_ask_and_how_to_score(corpus: Path, tmp_path: Path) -> None:
    names = adapters.lm_eval_task(str(corpus), str(tmp_path / "tasks"))
    assert names == ["fastgen_train", "fastgen_validation"]
    task = yaml.load((tmp_path / "tasks" / "fastgen_validation.yaml").read_text("utf-8"), _Tasks)
    assert Path(task["dataset_kwargs"]["data_files"]["validation"]).parent == corpus / "data" / "split=validation"
    file, _, function = task["process_results"].partition(".")
    spec = spec_from_file_location(file, tmp_path / "tasks" / f"{file}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    config = fastgen.load(corpus)
    prompts, completions = texts(config)
    for text in (completions[0], spoilt(completions[0]), ""):
        said = getattr(module, function)({"prompt": prompts[0]}, [text])
        assert said == adapters.scores(prompts[0], text, config)
        assert [*said] == [metric["metric"] for metric in task["metric_list"]]


def test_lm_eval_tasks_need_a_corpus_with_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no manifest"):
        adapters.lm_eval_task(str(tmp_path), str(tmp_path / "tasks"))
    assert run("run", "n=10", "columns=[x,y]", "out=out", cwd=tmp_path).returncode == 0
    with pytest.raises(ConfigError, match="needed are prompt and completion"):
        adapters.lm_eval_task(str(tmp_path / "out"), str(tmp_path / "tasks"))
    assert not (tmp_path / "tasks").exists()


@theirs
def test_lm_eval_runs_them(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm_eval = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    config = fastgen.load(corpus)
    prompts, completions = texts(config, 20)
    right = dict(zip(prompts, completions, strict=True))

    class Three(LM):
        """Right three times out of four."""

        def generate_until(self, requests: list[Any]) -> list[str]:
            assert all(request.args[1]["until"] == [] for request in requests)
            asked = [request.args[0] for request in requests]
            return [right[prompt] if prompts.index(prompt) % 4 else spoilt(right[prompt]) for prompt in asked]

        def loglikelihood(self, requests: list[Any]) -> Any:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    names = adapters.lm_eval_task(str(corpus), str(tmp_path / "tasks"))
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    found = lm_eval.simple_evaluate(model=Three(), tasks=names[1:], task_manager=manager)["results"][names[1]]
    assert found["solved,none"] == 0.75
    assert found["parsed,none"] == 1
    assert 0.75 < found["reward,none"] < 1

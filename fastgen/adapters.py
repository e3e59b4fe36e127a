"""`fastgen.reward` in the shapes that other libraries ask for. None of them is imported before its function is called.

What is said of a text is what `verify` says, and in a chat what it says with `chat=True`: words around an answer are
skipped, but the answer itself has to be derived, step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from fastgen.engine import example
from fastgen.settings import Config
from fastgen.text.parse import parse
from fastgen.text.render import render
from fastgen.text.tokens import most
from fastgen.values import ConfigError
from fastgen.verdict.batch import verify
from fastgen.verdict.reward import reward, rewards
from fastgen.write import load

SCORES = ("reward", "solved", "parsed", "valid", "answer")
"""What `scores` says of a text, each from 0 to 1: `fastgen.reward`; valid and answer together; it keeps to the grammar;
every step is right; its last vector is y."""


def scores(prompt: str, text: str, config: Config) -> dict[str, float]:
    """SCORES of a text, in a chat or not, by name. Raises ValueError where the prompt is none of the config."""
    _check(prompt, config)
    found = verify(pa.array([prompt]), pa.array([text]), config, chat=True)
    verdict, worth = found.row(0), rewards(found, config)
    said = (verdict.valid and verdict.answer, verdict.parsed, verdict.valid, verdict.answer)
    return dict(zip(SCORES, (*worth, *map(float, said)), strict=True))


def trl_reward(config: Config) -> Callable[..., list[float]]:
    """A reward function for TRL: `GRPOTrainer(reward_funcs=trl_reward(config), train_dataset=...)`.

    The data set needs the column `prompt` alone, as it is, or as the content of a chat's last message. TRL removes the
    column `completion`; others may be there, and are not looked at. Raises ValueError for prompts of another config.
    """

    def fastgen(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
        chat = any(not isinstance(completion, str) for completion in completions)
        return _rewards([*map(_content, prompts)], [*map(_content, completions)], config, chat)

    return fastgen


@dataclass(frozen=True)
class ReasoningGym:
    """A split in the shape of a reasoning-gym data set, of its first `size` examples.

    An entry has question, answer and metadata; `score_answer` is the reward of any answer, not only of the entry's own.
    """

    config: Config
    split: str
    size: int

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.__getitem__, range(self.size))

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.size:
            raise IndexError(f"{index}: must be from 0 to {self.size - 1}")
        made = example(self.config, self.split, index)
        prompt, completion = render(made, self.config)
        source = {"source_dataset": "fastgen", "source_index": index, "split": self.split, "chain": list(made.chain)}
        difficulty = {"length": len(made.x), "depth": len(made.chain)}
        return {"question": prompt, "answer": completion, "metadata": {**source, "difficulty": difficulty}}

    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> float:
        """From 0 to 1, as `fastgen.reward` has it; no answer is worth nothing."""
        return _rewards([entry["question"]], [answer or ""], self.config, chat=True)[0]


def inspect_scorer(config: Config) -> Any:
    """A scorer for inspect_ai, of SCORES: `Task(dataset=[Sample(input=prompt), ...], scorer=...)`.

    The prompt is a sample's input, or the last message of a user in it.
    """
    from inspect_ai.scorer import Score, mean, scorer, stderr

    def fastgen() -> Any:
        async def score(state: Any, target: Any) -> Score:
            return Score(value=scores(state.input_text, state.output.completion, config))

        return score

    return scorer(metrics={name: [mean(), stderr()] for name in SCORES})(fastgen)()


def lm_eval_task(data: str, folder: str) -> list[str]:
    """Write tasks for lm-evaluation-harness into a folder, one for each split of the corpus in `data`, with SCORES.

    Returns their names, `fastgen_validation` and so on: `lm_eval --include_path FOLDER --tasks fastgen_validation`. An
    answer has room for four tokens per word of the longest text. Raises ConfigError where there is no corpus with text.
    """
    config, where = load(data), Path(data).resolve()
    if not {"prompt", "completion"} <= set(config.columns):
        raise ConfigError(f"data={data}: has the columns {', '.join(config.columns)}; needed are prompt and completion")
    Path(folder).mkdir(parents=True, exist_ok=True)
    scorer = TASK_SCORER.format(data=str(where))
    (Path(folder) / "fastgen_scores.py").write_text(scorer, encoding="utf-8", newline="\n")
    names = [f"fastgen_{split.name}" for split in config.splits]
    for name, split in zip(names, config.splits, strict=True):
        files = (where / "data" / f"split={split.name}" / "*.parquet").as_posix()
        task = {
            "task": name,
            "dataset_path": "parquet",
            "dataset_kwargs": {"data_files": {split.name: files}},
            "test_split": split.name,
            "output_type": "generate_until",
            "doc_to_text": "prompt",
            "doc_to_target": "completion",
            "target_delimiter": "",  # a completion begins with its space
            "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": 4 * most(config)},
            "metric_list": [{"metric": score, "aggregation": "mean", "higher_is_better": True} for score in SCORES],
        }
        text = yaml.safe_dump(task, sort_keys=False) + "process_results: !function fastgen_scores.process_results\n"
        (Path(folder) / f"{name}.yaml").write_text(text, encoding="utf-8", newline="\n")
    return names


TASK_SCORER = '''\
"""What fastgen says of an answer: the tasks beside this file name it."""

from fastgen import load
from fastgen.adapters import scores

config = load({data!r})


def process_results(doc, results):
    return scores(doc["prompt"], results[0], config)
'''
"""The file beside the tasks that scores a text. (A task names a function by file, and gives it nothing else.)"""


def _rewards(prompts: list[str], texts: list[str], config: Config, chat: bool) -> list[float]:
    """Raises ValueError where the first prompt is none of the config: all would be worth nothing, and nobody told."""
    for prompt in prompts[:1]:
        _check(prompt, config)
    return reward(prompts, texts, config, chat)


def _check(prompt: str, config: Config) -> None:
    if any(fault.kind == "prompt" for fault in parse("", config, prompt).faults):
        raise ValueError(f"{prompt[:200]!r} is no prompt of this config; give the column prompt as it is")


def _content(said: Any) -> str:
    """Of a text, itself; of a chat, the content of its last message, which may be in parts."""
    content = said if isinstance(said, str) else said[-1]["content"] if said else ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())

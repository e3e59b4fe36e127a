"""The reward of a text, for training by reinforcement."""

from __future__ import annotations

from typing import Any

from fastgen.settings import Config
from fastgen.verdict.batch import verify


def reward(prompts: Any, completions: Any, config: Config, chat: bool = False) -> list[float]:
    """From 0 to 1 for each text of two lists of strings, as trainers ask for it: the mean of three parts.

    Parsed; the share of right steps before the first error, of those that were written and of those that a chain of
    one transformation has, whichever is more; the answer, which counts only where everything is right. So a text that
    states y without deriving it has nothing of the third part, and a chain that stops early nothing of it either.
    Without steps in the text the second part is the third. An empty text, or one without any right step, gets nothing.
    With `chat`, what a chat model puts around its answer is skipped, as `parse` does.
    """
    import pyarrow as pa

    found = verify(pa.array(prompts, pa.string()), pa.array(completions, pa.string()), config, chat=chat)
    rewards = []
    for r in range(len(found.chains)):
        verdict = found.row(r)
        right = float(verdict.valid and verdict.answer)
        share = right
        if config.grammar.step and verdict.steps:
            wrong = next((i for i, step in enumerate(verdict.steps) if step.kind), len(verdict.steps))
            share = wrong / max(len(verdict.steps), config.splits[0].length.min)
        rewards.append((verdict.parsed + share + right) / 3 if share else 0.0)
    return rewards

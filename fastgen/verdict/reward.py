"""The reward of a text, for training by reinforcement."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgen.settings import Config
from fastgen.verdict.batch import Verdicts, verify


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
    return rewards(found, config)


def rewards(found: Verdicts, config: Config) -> list[float]:
    """`reward` of texts that are judged."""
    right = (found.rows["valid"] & found.rows["answer"]).astype(np.float64)
    share = _right_share(found, config, right) if config.grammar.step else right
    worth: list[float] = np.where(share > 0, (found.rows["parsed"] + share + right) / 3, 0.0).tolist()
    return worth


def _right_share(found: Verdicts, config: Config, right: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float64[row]: the share of steps before the first wrong one; `right` where no step was written."""
    starts, written = found.offsets[:-1], np.diff(found.offsets)
    wrong = np.append(np.flatnonzero(found.steps["kind"]), found.offsets[-1])
    first = np.minimum(wrong[np.searchsorted(wrong, starts)] - starts, written)
    share = first / np.maximum(written, config.splits[0].length.min)
    return np.where(written > 0, share, right)

"""python tests/campaign_verdict.py [WRONG] [RIGHT] [SEED]: errors made on purpose are found, and no others.

WRONG texts with one error each (100,000), of every kind that a config's texts can have, at a place and of a value drawn
at random: the verdict has to name kind and place, and where the text goes on consistently, no second error (`forced`
and `other transformation` are several steps of their transformation). RIGHT texts (1,000,000): no error may be named.
Over graphs, k, lengths, formats and tasks. Prints what was made, by kind and transformation, and fails at the first
text of which something else is said.
"""

from __future__ import annotations

import sys
from collections import Counter
from random import Random

import numpy as np
import pyarrow as pa

from fastgen.doors import compose
from fastgen.engine import Example, example
from fastgen.settings import Config
from fastgen.shard import table
from fastgen.text.render import render
from fastgen.transforms import split_head
from fastgen.verdict.batch import verify
from fastgen.verdict.corrupt import corrupt, lacks
from fastgen.verdict.kinds import AFTER, KINDS

CONFIGS = (
    "",
    "graph=mixed",
    "graph=repeated",
    "graph=deep",
    "graph=wide",
    "graph=small",
    "k=2",
    "k=5 length=4",
    "k=256 length=16",
    "k=300",
    "length={min:1,max:9}",
    "spelling=letters",
    "text=result",
    "text=names",
    "task=execute",
    "task=execute text=result graph=mixed",
    "task=execute text=names",
    "task=plan",
    "task=plan text=result k=7",
    "task=plan text=names",
    "task=direct",
    "text.step=[a,r]",
    "text.step=[r,b]",
    "text.step=[a,b]",
    "text.step=[a]",
    "text.step=[b] task=plan",
    "text.step=[r,b,a] length=5",
)
"""Of the overrides' groups, each choice at least once."""

Made = Counter[tuple[str, str]]
"""(kind, transformation) -> how many texts; the transformation is empty where the error is of no single one."""


def draw(config: Config, drawn: Example, kind: str, random: Random) -> tuple[str, bool, tuple[int, int] | None] | None:
    """A text with an error of the kind, whether it goes on consistently, and where the error is; None if it has none.

    Places are tried in a random order.
    """
    consistent, choice = random.random() < 0.5, random.randrange(1 << 20)
    if kind == "wrong chain":
        places: list[tuple[int, int] | None] = [None]
    else:
        steps = [(depth, step) for depth in range(len(drawn.chain) + 1) for step in range(len(drawn.x))]
        places = [*random.sample(steps, len(steps))]
    for place in places:
        try:
            return corrupt(drawn, config, kind, *(place or ()), consistent=consistent, choice=choice), consistent, place
        except ValueError:
            continue
    return None


def wrong(config: Config, count: int, random: Random) -> Made:
    """About `count` texts with an error each, all kinds in turn. Raises AssertionError where one is not found."""
    kinds = [kind for kind in KINDS[1:] if not lacks(kind, config)]
    made: Made = Counter()
    prompts, texts, said = [], [], []
    for number in range(count):
        split = config.splits[number % len(config.splits)]
        drawn, kind = example(config, split.name, random.randrange(2**64)), kinds[number % len(kinds)]
        if found := draw(config, drawn, kind, random):
            text, consistent, place = found
            prompt, right = render(drawn, config)
            assert text != right, (config, kind, text)
            prompts.append(prompt)
            texts.append(text)
            said.append((kind, consistent, place))
            known = place and place[0] < len(drawn.chain) and kind != "forced"  # that is of another chain
            head = split_head(drawn.chain[place[0]]) if place and known else None
            made[kind, head[0] if head else ""] += 1
    verdicts = verify(pa.array(prompts, pa.string()), pa.array(texts, pa.string()), config)
    rows = verdicts.rows
    row = np.repeat(np.arange(len(texts)), np.diff(verdicts.offsets))
    behind = verdicts.steps["after"] == AFTER.index("new error")
    more = behind & (verdicts.steps["kind"] != KINDS.index("other transformation"))
    again = np.bincount(row[more], minlength=len(texts))
    named = zip(rows["error"], rows["error_depth"], rows["error_step"], again, strict=True)
    for prompt, text, (kind, consistent, place), (code, depth, step, new) in zip(
        prompts, texts, said, named, strict=True
    ):
        where = None if place is None else (int(depth), int(step))
        assert (KINDS[code], where) == (kind, place), (config.text, config.task, prompt, text, kind, place, depth, step)
        assert not (consistent and new) or kind == "forced", (config.text, config.task, prompt, text, kind, place)
    return made


def right(config: Config, count: int, seed: int) -> int:
    """Right texts of all splits, of which nothing else may be said; how many there were."""
    each = -(-count // len(config.splits))
    for split in config.splits:
        start = seed << 32
        rows = table(config, split.name, start, start + each)
        found = verify(rows["prompt"], rows["completion"], config, rows["chain_id"]).rows
        alarms = np.flatnonzero((found["error"] > 0) | ~found["valid"] | ~found["answer"] | (found["exact"] != 1))
        assert not alarms.size, (config.text, config.task, rows["completion"][int(alarms[0])])
    return each * len(config.splits)


def main(texts: int = 100_000, rights: int = 1_000_000, seed: int = 0) -> None:
    """Make and judge them, config by config."""
    made: Made = Counter()
    good = 0
    for keys in CONFIGS:
        config = compose(*keys.split())
        found = wrong(config, -(-texts // len(CONFIGS)), Random(f"{seed} {keys}"))
        good += right(config, -(-rights // len(CONFIGS)), seed)
        made += found
        print(
            f"{keys or 'default':40} {sum(found.values()):9,} errors of {len({kind for kind, _ in found})} kinds",
            flush=True,
        )
    names = sorted({name for _, name in made})
    print(f"\n{'':22}" + "".join(f"{name or 'whole'[:9]:>10.9}" for name in names))
    for kind in KINDS[1:]:
        print(f"{kind:22}" + "".join(f"{made[kind, name] or '':>10}" for name in names))
    print(f"\n{sum(made.values()):,} errors, all found at their place; {good:,} right texts, no false alarm")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))

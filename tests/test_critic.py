"""Columns to train a critic: what they say is what `verify` says, and each is a function of config, split and index."""

from __future__ import annotations

import json
import shlex
import unittest.mock
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import ended, fastgen, make, variant

from fastgen import engine, rng, write
from fastgen.doors import compose
from fastgen.engine import example
from fastgen.settings import CRITIC, Config
from fastgen.shard import table
from fastgen.text.parse import parse
from fastgen.values import ConfigError
from fastgen.verdict import corruptor, critic
from fastgen.verdict.corrupt import corrupt, depths, lacks
from fastgen.verdict.kinds import KINDS
from fastgen.verdict.reference import verify_one

ALL = f"columns=[prompt,completion,{','.join(CRITIC)}]"

CONFIGS = {
    "": 16,
    "task=plan graph=mixed": 17,
    "task=execute": 15,
    "task=execute text=result": 6,
    "task=direct": 1,
    "text=result": 7,
    "text=names": 2,
    "text=names task=execute": 2,
    "text.step=[b,a]": 5,
    "k=2 length={min:1,max:4} chain.min=1": 10,
    "k=26 length=3 spelling=letters text.preamble=full": 12,
    "split=functional split.certified=true": 12,
}
"""Overrides, and how many kinds occur in 200 rows, at least."""


@cache
def made(keys: str, rows: int = 200) -> tuple[Config, list[dict[str, Any]]]:
    config = compose(*shlex.split(keys), ALL)
    return config, table(config, config.splits[-1].name, 5, 5 + rows).to_pylist()


@pytest.mark.parametrize("keys", CONFIGS)
def test_columns_are_the_verdict(keys: str) -> None:
    config, rows = made(keys)
    for row in rows:
        found = verify_one(parse(row["corrupted"], config, row["prompt"]), config)
        assert row["corrupted"] != row["completion"]
        assert found.error == row["error"], row
        place = (found.error_depth, found.error_step)
        if row["error"] == "wrong chain":
            assert place == (None, None)
            assert (row["error_depth"], row["error_step"]) == (found.depth, 0)
            assert not any(row["step_labels"])
        else:
            assert place == (row["error_depth"], row["error_step"]), row
        assert row["step_labels"] == [KINDS.index(step.kind) for step in found.steps]
    assert len({row["error"] for row in rows}) >= CONFIGS[keys]


@pytest.mark.parametrize(
    "keys",
    [
        *CONFIGS,
        *(f"text.step=[{shown}]" for shown in ("r", "a", "b", "a,r", "r,b", "r,b,a")),
        "task=plan length=2 k=3",
        "task=plan text.step=[r] k=5",
        "graph=wide k=257 length={min:1,max:5}",
        "graph=deep k=65536 length=3",
        "length=300 graph=small k=256",
        """'task.completion=" {depth} : {trace} -> {chain} ."'""",
        "graph.layers=2 graph.width=1 graph.vertices=[cumsum,cumsum] chain.min=1 "
        "split.sets.train.chains=0.5 split.sets.validation.chains=0.5",
    ],
)
def test_columns_are_the_reference(keys: str) -> None:
    """Of each example by itself, however many rows are made with it."""
    config, rows = made(keys)
    split = config.splits[-1]
    for index, row in enumerate(rows, start=5):
        assert critic.draw(config, split, example(config, split.name, index)) == tuple(row[name] for name in CRITIC[:4])


def test_where_a_result_can_not_be_compiled_plain_python_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    config, rows = made("", 40)
    known = corruptor.rules(config)
    monkeypatch.setattr(corruptor, "rules", lambda _: known._replace(numbers={**known.numbers, "plain": 1}))
    monkeypatch.setattr(critic, "draw", unittest.mock.Mock(wraps=critic.draw))
    corruptor._tables.cache_clear()
    assert table(config, config.splits[-1].name, 5, 45).to_pylist() == rows
    assert critic.draw.call_count == 40
    corruptor._tables.cache_clear()


def test_every_kind_occurs_and_both_continuations() -> None:
    counts: Counter[str] = Counter()
    for keys in ("", "task=plan"):
        config, rows = made(keys, 1500)
        here = Counter(row["error"] for row in rows)
        assert set(here) == {kind for kind in KINDS[1:] if not lacks(kind, config)}
        counts += here
    assert set(counts) == set(KINDS[1:])
    config, rows = made("", 1500)
    again: Counter[bool] = Counter()
    for row in rows:
        if row["error"] == "off by one" and row["error_depth"] == 0:
            steps = verify_one(parse(row["corrupted"], config, row["prompt"]), config).steps
            again[any(step.after == "new error" for step in steps)] += 1
    assert again[False] > 10 < again[True]


def test_kinds_places_and_values_are_uniform_where_all_are_possible() -> None:
    """Every y may be wrong anywhere and by any value: 3 x 10 cells."""
    _, rows = made("task=direct length=3", 3000)
    cells: Counter[tuple[int, int]] = Counter()
    for row in rows:
        pairs = list(zip(row["completion"].split(), row["corrupted"].split(), strict=True))
        [place] = [i for i, (right, wrong) in enumerate(pairs) if right != wrong]
        assert place == row["error_step"]
        right, wrong = map(int, pairs[place])
        cells[place, (wrong - right) % 11] += 1
    assert len(cells) == 30
    assert sum((count - 100) ** 2 / 100 for count in cells.values()) < 65  # 29 degrees: p = 1.4e-4 by chance


def test_draws_are_of_their_own() -> None:
    """No attempt at a vector has the number of a turn, and no draw of a turn runs into the next."""
    assert critic.FIRST >= engine.ATTEMPTS
    assert critic.FIRST + critic.TURNS <= 1 << 32 - rng.ATTEMPT
    assert (1 + critic.PLACES + 1) // 2 <= 1 << rng.ATTEMPT
    config = compose("n=100")
    [word, *_] = rng.words(config.seed, config.splits[0].stream, 0, 1, critic.FIRST)
    assert word not in rng.words(config.seed, config.splits[0].stream, 0, 1000)


def test_a_seed_a_split_and_an_index_are_others() -> None:
    base = compose("task=direct", ALL)
    tables = [
        table(base, "train", 0, 50),
        table(base, "train", 50, 100),
        table(base, "validation", 0, 50),
        table(variant(base, seed=1), "train", 0, 50),
    ]
    places = [tuple(each["error_step"].to_pylist()) for each in tables]
    assert len(set(places)) == 4


def test_when_no_turn_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for keys in ("", "text=names", "task=execute text=names"):
        config, rows = made(keys)
        monkeypatch.setattr(critic, "TURNS", 0)
        drawn = example(config, config.splits[-1].name, 5)
        found = critic.draw(config, config.splits[-1], drawn)
        [row] = table(config, config.splits[-1].name, 5, 6).to_pylist()
        assert found == tuple(row[name] for name in CRITIC[:4])
        monkeypatch.undo()
        assert found == (corrupt(drawn, config, "format", 0, 0), "format", 0, 0)
        verdict = verify_one(parse(found.text, config, rows[0]["prompt"]), config)
        assert (verdict.error, verdict.error_depth, verdict.error_step) == ("format", 0, 0)


@pytest.mark.parametrize("keys", ["task=direct", "'{y}'"])
def test_a_wrong_y_is_possible_everywhere(keys: str) -> None:
    """So that without a trace the first turn is accepted, and none needs a missing number."""
    completion = [] if keys == "task=direct" else ['task.completion=" {y} ."', 'task.prompt="{x} : {chain} :"']
    config = compose(*(["task=direct"] if keys == "task=direct" else completion), "k=2", "length=3")
    for index in range(20):
        drawn = example(config, "train", index)
        assert [*depths("wrong result", config, len(drawn.chain))] == [len(drawn.chain)]
        assert all(corrupt(drawn, config, "wrong result", len(drawn.chain), step) for step in range(3))


# Rows


def test_any_rows_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a larger run, in row groups, and judged in other pieces."""
    config = compose("n=400", "length={min:1,max:6}", ALL)
    whole = table(config, "train", 0, 300)
    assert whole.slice(123, 50).equals(table(config, "train", 123, 173))
    assert table(variant(config, n=100_000), "train", 0, 300).equals(whole)
    groups = table(replace(config, parquet=replace(config.parquet, row_group=7)), "train", 0, 300)
    assert groups.equals(whole)
    monkeypatch.setattr(critic, "CHUNK", 200)
    assert table(config, "train", 0, 300).equals(whole)
    last = table(config, "train", 2**64 - 3, 2**64)
    assert last.num_rows == 3
    assert table(config, "train", 5, 5).schema == whole.schema


def test_shards_and_workers_change_no_row(tmp_path: Path) -> None:
    expected = None
    for number, overrides in enumerate((["shard=70"], ["shard=64", "parquet.row_group=9"], ["parquet.codec=none"])):
        for workers in (1, 3):
            out = tmp_path / f"{number}-{workers}"
            config = make(out, "n=300", ALL, *overrides, workers=workers)
            manifest = json.loads((out / "manifest.json").read_text("utf-8"))
            assert manifest["kinds"] == list(KINDS)
            digests = {name: about["digest"] for name, about in manifest["splits"].items()}
            assert digests == (expected := expected or digests)
            for split in config.splits:
                files = sorted((out / "data" / f"split={split.name}").iterdir())
                found = pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])
                assert found.cast(write.schema(config)).equals(table(config, split.name, 0, split.rows))


@pytest.mark.parametrize("name", CRITIC)
def test_each_column_alone(name: str, tmp_path: Path) -> None:
    config = make(tmp_path, "n=100", f"columns=[{name}]")
    both = table(compose("n=100", ALL), "validation", 0, 20)
    assert table(config, "validation", 0, 20).equals(both.select([name]))
    manifest = json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    assert ("kinds" in manifest) == (name == "step_labels")
    assert f"| {name} |" in (tmp_path / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "k=300 length=40",
        "text=names",
        "text=names graph=deep",
        "k=2 length=1 chain.min=1",
        "task=direct",
        "k=65536",
    ],
)
@pytest.mark.parametrize("columns", [*CRITIC, ",".join(CRITIC)])
def test_rows_take_no_more_than_is_said(keys: str, columns: str) -> None:
    config = compose(*keys.split(), f"columns=[{columns}]")
    rows = table(config, "train", 0, 40)
    assert max(rows.slice(r, 1).nbytes for r in range(40)) <= critic.most(config) + 8 + _words(config)
    plain = write.row_bytes(replace(config, columns=("index",)))
    assert write.row_bytes(config) == plain + critic.most(config)


def _words(config: Config) -> int:
    """The dictionary of kinds, which a table holds once."""
    return sum(map(len, KINDS)) + 4 * (len(KINDS) + 1) if "error" in config.columns else 0


def test_long_vectors() -> None:
    config = compose(
        "length=1000", "graph=small", "columns=[prompt,corrupted,error,error_depth,error_step,step_labels]"
    )
    for row in table(config, "train", 0, 4).to_pylist():
        found = verify_one(parse(row["corrupted"], config, row["prompt"]), config)
        assert found.error == row["error"]
        assert row["step_labels"] == [KINDS.index(step.kind) for step in found.steps]


# Refused


def test_a_text_without_room_for_errors_is_refused(tmp_path: Path) -> None:
    planned = 'task.completion=" {chain} ."'
    compose(planned)
    with pytest.raises(ConfigError, match=r"columns=\[corrupted,step_labels\]: .*ask for \{trace\} or \{y\}"):
        compose(planned, "columns=[x,step_labels,corrupted]")
    done = fastgen("run", planned, "columns=[error]", "n=100", cwd=tmp_path)
    ended(done, 2)
    assert "columns=[error]: task.completion has no room" in done.stderr
    assert not (tmp_path / "out").exists()


def test_codes_of_kinds_never_change() -> None:
    """Files hold them. More may come, at the end."""
    assert KINDS[:19] == (
        *("", "format", "position", "skipped", "repeated", "argument", "operand", "copy", "source", "unstable"),
        *("count", "off by one", "no modulo", "other operation", "wrong result", "disobeyed", "other transformation"),
        *("forced", "wrong chain"),
    )

"""Certified splits, how many chains explain an example, what train shows of it, and chains that are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from helpers import fastgen, files, variant

from fastgen import engine, rng, solve
from fastgen.doors import compose
from fastgen.settings import restore
from fastgen.shard import table
from fastgen.text.render import render
from fastgen.trace import pack
from fastgen.values import ConfigError
from fastgen.write import load

CERTIFIED = (
    ("split=functional", "split.certified=true"),
    ("split=functional", "split.certified=true", "length={min:5,max:9}", "graph.vertices.0=add5"),
    ("split=functional", "split.certified=true", "k=300", "length=6"),
    ("split=functional", "split.certified=true", "graph=mixed", "chain.reject=[redundant]"),
    ("split=parts", "split.certified=true", "split.sets.train.chains=0.7", "+split.sets.test.chains=0.1"),
    ("split=functional", "split.certified=true", "chain.weights=[0,1,0]"),
)
COUNT = 300


@pytest.fixture(scope="module", params=CERTIFIED, ids=" ".join)
def config(request):
    return compose(*request.param, "columns=[index,x,y,chain_id,trace,prompt,completion,n_solutions,n_train_solutions]")


def chains_of_train(config):
    """Those that have a weight: no other occurs in train."""
    chains = [config.chains[chain_id] for chain_id in config.splits[0].chains]
    return [chain for chain in chains if config.chain.by_length[len(chain)]]


def train_solves(config, x, y):
    return bool(solve.solutions(chains_of_train(config), config.k, x, y))


def test_rows_are_the_references(config):
    """Field by field, trace and text too; and no chain of train maps x to y."""
    for split in config.splits:
        rows = table(config, split.name, 7, 7 + COUNT).to_pylist()
        for row in rows[:: 1 if split.certified else 10]:
            example = engine.example(config, split.name, row["index"])
            assert (row["chain_id"], row["x"], row["y"]) == (example.chain_id, example.x, example.y)
            assert row["trace"] == [pack(step, engine.dtypes(config)[1]) for step in example.steps]
            assert (row["prompt"], row["completion"]) == render(example, config)
            assert train_solves(config, example.x, example.y) != split.certified
            assert (row["n_train_solutions"] == 0) == split.certified
    assert [split.certified for split in config.splits] == [False, *[True] * (len(config.splits) - 1)]


def test_only_what_train_solves_is_drawn_again(config):
    """Chains and lengths stay, and so does every example whose first vector was certified."""
    plain = replace(config, splits=tuple(replace(split, certified=False) for split in config.splits))
    before = table(plain, "validation", 0, 2000)
    after = table(config, "validation", 0, 2000)
    assert before["chain_id"].equals(after["chain_id"])
    assert pc.list_value_length(before["x"]).equals(pc.list_value_length(after["x"]))
    solved = np.array(before["n_train_solutions"]) > 0
    assert 0 < solved.sum() < 1500
    same = np.array([a == b for a, b in zip(before["x"].to_pylist(), after["x"].to_pylist(), strict=True)])
    assert (same == ~solved).all()


def test_where_a_call_begins_does_not_show(config, monkeypatch):
    whole = table(config, "validation", 0, 900)
    for start, stop in ((0, 1), (1, 900), (449, 451), (899, 900)):
        assert table(config, "validation", start, stop).equals(whole.slice(start, stop - start))
    monkeypatch.setattr(engine, "BLOCK", 64)
    assert table(config, "validation", 0, 900).equals(whole)


def test_files_of_a_certified_split(tmp_path):
    """The same bytes for any number of workers, and what the tables say."""
    overrides = ("n=4000", "split=functional", "split.certified=true", "shard=500", "columns=[x,y,n_train_solutions]")
    for workers in (1, 3):
        done = fastgen("run", *overrides, f"workers={workers}", f"out=out{workers}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert files(tmp_path / "out1") == files(tmp_path / "out3")
    config = load(tmp_path / "out1")
    assert config.split.certified
    found = pa.concat_tables(
        pq.read_table(path, partitioning=None) for path in sorted((tmp_path / "out1/data/split=validation").iterdir())
    )
    assert found.num_rows == 800
    assert found.equals(table(config, "validation", 0, 800))
    assert set(found["n_train_solutions"].to_pylist()) == {0}


def test_controls_are_certified_as_the_split_whose_chains_they_have():
    more = ("+split.sets.seen={of:train,n:50}", "+split.sets.again={of:validation,n:50}")
    config = compose("split=functional", "split.certified=true", *more, "columns=[n_train_solutions]")
    assert {split.name: split.certified for split in config.splits} == {
        "train": False,
        "validation": True,
        "seen": False,
        "again": True,
    }
    assert min(table(config, "seen", 0, 50)["n_train_solutions"].to_pylist()) >= 1
    assert set(table(config, "again", 0, 500)["n_train_solutions"].to_pylist()) == {0}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "sort_descending rank reverse at length 8 for 100% of the vectors"),
        (("graph=mixed",), "; and "),
        (("split=functional", "length={min:1,max:8}"), "at length 1 for"),
        (("split=functional", "graph=mixed", "chain.reject=[redundant]", "k=7"), "at length 8 for 99% of the vectors"),
        (("split.certified=maybe",), "split.certified=maybe: must be true or false"),
    ],
)
def test_what_can_not_be_certified_is_refused(tmp_path, overrides, message):
    done = fastgen("run", "split.certified=true", *overrides, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


EXPLICIT = ("split=explicit", "split.rest=train", "split.certified=true", "chain.min=1")
LINE = (*EXPLICIT, "graph={layers:3,width:1,vertices:[sort,cummax,negate]}")
SQUARE = (*EXPLICIT, "graph={layers:2,width:2,vertices:[rotate17,negate,rotate17,negate]}")


@pytest.mark.parametrize(
    ("overrides", "refused"),
    [
        ((*LINE, "split.file={validation:['sort cummax']}"), "sort cummax at length 8 for 100%"),
        ((*LINE, "split.file={validation:['sort cummax']}", "chain.weights=[0,1,0]"), None),  # train has no sort
        ((*LINE, "split.file={validation:['sort cummax',negate]}", "chain.weights=[1,0,0]"), None),
        # rotate17 rotate17 is the identity where the length divides 34
        ((*SQUARE, "split.file={validation:['rotate17 rotate17']}", "length={min:18,max:34}"), "rotate17 at length 34"),
    ],
)
def test_chains_that_occur_are_tried_at_the_shortest_lengths_and_the_longest(overrides, refused):
    if refused:
        with pytest.raises(ConfigError, match=refused):
            compose(*overrides)
    else:
        config = compose(*overrides, "columns=[n_train_solutions]")
        assert set(table(config, "validation", 0, 200)[0].to_pylist()) == {0}


def test_attempts_come_to_an_end():
    """Beyond what a config is let through with."""
    config = compose("graph=mixed", "k=2", "length=2")
    certified = replace(config, splits=(config.splits[0], replace(config.splits[1], certified=True)))
    with pytest.raises(
        engine.Uncertified, match=r"validation, example \d+: train solves all 1024 vectors of length 2 that"
    ):
        table(certified, "validation", 0, 200)
    bad = next(i for i in range(200) if _uncertain(certified, i))
    with pytest.raises(engine.Uncertified, match=f"example {bad}"):
        engine.example(certified, "validation", bad)


def test_as_many_attempts_as_the_references(monkeypatch):
    """Where they are few, the same examples come to an end, and the first of a call is named, in whichever block."""
    monkeypatch.setattr(engine, "ATTEMPTS", 3)
    monkeypatch.setattr(engine, "BLOCK", 16)
    config = compose("split=functional", "split.certified=true", "graph=mixed", "chain.reject=[redundant]")
    told = {}
    for index in range(300):
        try:
            engine.example(config, "validation", index)
        except engine.Uncertified as error:
            told[index] = str(error)
    after = -1
    for index, message in told.items():
        table(config, "validation", after + 1, index)
        with pytest.raises(engine.Uncertified) as caught:
            table(config, "validation", after + 1, 300)
        assert str(caught.value) == message
        after = index
    assert 1 < len(told) < 100


def test_a_length_that_was_not_tried_ends_the_run_in_one_line(tmp_path):
    """Of more than 17 lengths not all are."""
    overrides = (*SQUARE, "split.file={validation:['rotate17 rotate17']}", "length={min:18,max:35}", "n=2000")
    done = fastgen("run", *overrides, cwd=tmp_path)
    assert done.returncode == 2
    told = "train solves all 1024 vectors of length 34 that were drawn for rotate17 rotate17; split.strategy=functional"
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in (tmp_path / "out").rglob("*.parquet") if "split=validation" in str(path)]


def _uncertain(config, index):
    try:
        table(config, "validation", index, index + 1)
    except engine.Uncertified:
        return True
    return False


def test_attempts_draw_other_words():
    """No attempt at an example shares a word with another one, at the most elements and attempts there are."""
    most = 1 + 65_536 // 2
    assert (most + 1) // 2 <= 1 << rng.ATTEMPT
    assert engine.ATTEMPTS <= 1 << 32 - rng.ATTEMPT
    words = [rng.words(5, 7, 11, 10, attempt) for attempt in range(20)]
    assert len({word for attempt in words for word in attempt}) == 200
    assert words[0] == rng.words(5, 7, 11, 10)


@pytest.mark.parametrize(
    "overrides",
    [
        ("split=controls",),
        ("graph=mixed", "k=3", "length={min:1,max:5}"),
        ("graph=deep", "k=300", "chain.max=4"),
        ("graph=repeated", "k=2", "length=2", "chain.weights=[1,1,0]"),
    ],
)
def test_columns_of_ambiguity_and_exposure(overrides):
    names = ("n_solutions", "n_train_solutions", "longest_train_part", "n_unseen_pairs")
    config = compose(*overrides, f"columns=[x,y,chain_id,{','.join(names)}]")
    train = chains_of_train(config)
    texts = [f" {' '.join(chain.heads)} " for chain in train]
    for split in config.splits:
        for row in table(config, split.name, 0, 40).to_pylist():
            heads = config.chains[row["chain_id"]].heads
            runs = [heads[i:j] for i in range(len(heads)) for j in range(i + 1, len(heads) + 1)]
            seen = {run: any(f" {' '.join(run)} " in text for text in texts) for run in runs}
            assert [row[name] for name in names] == [
                len(solve.solutions(config.chains, config.k, row["x"], row["y"])),
                len(solve.solutions(train, config.k, row["x"], row["y"])),
                max((len(run) for run in runs if seen[run]), default=0),
                sum(not seen[run] for run in runs if len(run) == 2),
            ]


@pytest.mark.parametrize("name", ["n_solutions", "n_train_solutions"])
def test_one_column_of_ambiguity_alone(name):
    config = compose("graph=mixed", "columns=[n_solutions,n_train_solutions]")
    alone = variant(config, columns=[name])
    assert table(alone, "validation", 5, 500)[name].equals(table(config, "validation", 5, 500)[name])


@pytest.mark.parametrize("kinds", [["identity"], ["constant"], ["redundant"], ["identity", "constant", "redundant"]])
def test_rejected_chains_are_in_no_split(tmp_path, kinds):
    config = compose("graph=mixed", "chain.min=1", "n=3000", f"chain.reject=[{','.join(kinds)}]", f"out={tmp_path}")
    plain = compose("graph=mixed", "chain.min=1")
    assert config.chains == plain.chains
    classes = plain.classes
    out = {i for kind in kinds for i, flag in enumerate(getattr(classes, kind)) if flag}
    assert out
    kept = sorted(i for split in config.splits for i in split.chains)
    assert kept == [i for i in range(len(config.chains)) if i not in out]
    for split in config.splits:
        assert sum(split.weights) == 1
    assert sum(split.share for split in config.splits) == 1
    assert restore(config.identity(), config.out) == config

    assert fastgen("run", *_overrides(config, kinds), f"out={tmp_path}/out", cwd=tmp_path).returncode == 0
    chains = pq.read_table(tmp_path / "out/chains.parquet").to_pylist()
    assert {row["chain_id"] for row in chains if row["split"] is None} == out
    for row in chains:
        assert (row["identity"], row["constant"], row["redundant"]) == (
            classes.identity[row["chain_id"]],
            classes.constant[row["chain_id"]],
            classes.redundant[row["chain_id"]],
        )
        assert row["class"] == classes.number[row["chain_id"]]
        assert row["canonical"] == classes.canonical[row["class"]]
        assert row["decided"] == classes.decided[row["class"]]
    for path in (tmp_path / "out/data").rglob("*.parquet"):
        assert not out & set(pq.read_table(path, partitioning=None)["chain_id"].to_pylist())


def _overrides(config, kinds):
    return ("graph=mixed", "chain.min=1", f"n={config.n}", f"chain.reject=[{','.join(kinds)}]")


def test_two_spellings_of_what_is_rejected_are_one_corpus():
    one, other = (
        compose("graph=mixed", f"chain.reject=[{kinds}]") for kinds in ("redundant,identity", "identity,redundant")
    )
    assert one == other
    assert one.identity() == other.identity()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["chain.reject=[identiy]"], "chain.reject=[identiy]: must be a list of kinds of chains, any of identity,"),
        (["chain.reject=identity"], "chain.reject=identity: must be a list"),
        (
            ["graph={layers:1,width:1,vertices:[add0]}", "chain.reject=[redundant]"],
            "chain.reject=[redundant]: leaves none of the 1 chains; leave out fewer kinds",
        ),
    ],
)
def test_rejections_that_are_refused(overrides, message):
    with pytest.raises(ConfigError) as caught:
        compose(*overrides)
    assert message in str(caught.value)

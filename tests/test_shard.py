"""Tables and shards: one schema, the same rows whatever asks for them, a plan that covers every row once."""

from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import variant

from fastgen import engine, write
from fastgen.doors import compose
from fastgen.settings import COLUMNS
from fastgen.shard import generate, plan, table
from fastgen.text.render import SLACK, render
from fastgen.trace import pack

CONFIGS = [
    ("n=3000", "shard=700", "parquet.row_group=300"),
    ("n=1000", "k=256", "length={min:4,max:9}", "graph=mixed", "shard=333", "seed=5"),
    ("n=500", "k=300", "graph=wide", "shard=200", "parquet.row_group=64", "+split.sets.seen={of:train,n:50,length:17}"),
    ("n=500", "k=7", "length=300", "graph=small", "shard=200", "parquet.codec=none"),
]


@pytest.fixture(params=CONFIGS, ids=range(len(CONFIGS)))
def config(request, tmp_path):
    made = replace(compose(*request.param), out=str(tmp_path))
    write.prepare(made)
    return made


def as_rows(config, split, start, stop):
    """The rows of a table, from the references."""
    dtype = engine.dtypes(config)[1]
    for index in range(start, stop):
        example = engine.example(config, split, index)
        yield {
            "index": index,
            "x": example.x,
            "y": example.y,
            "chain_id": example.chain_id,
            "chain": " ".join(example.chain),
            "trace": [pack(step, dtype) for step in example.steps],
            **dict(zip(("prompt", "completion"), render(example, config), strict=True)),
        }


def test_files_hold_the_rows_of_the_table_and_of_the_references(config, tmp_path):
    for split in config.splits:
        shards = [shard for shard in plan(config) if shard.split is split]
        made = [generate(config, shard) for shard in shards]
        pieces = [pq.read_table(tmp_path / file.file, partitioning=None) for file in made]
        whole = pa.concat_tables(pieces)
        assert whole.cast(write.schema(config)).equals(table(config, split.name, 0, split.rows))
        assert whole.to_pylist() == list(as_rows(config, split.name, 0, split.rows))
        for shard, file, piece in zip(shards, made, pieces, strict=True):
            path = tmp_path / file.file
            assert (file.file, file.split, file.first, file.rows) == (
                shard.file,
                split.name,
                shard.start,
                piece.num_rows,
            )
            assert file.bytes == path.stat().st_size
            groups = pq.ParquetFile(path).metadata
            sizes = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
            assert sizes == [
                min(write.group_rows(config), file.rows - done)
                for done in range(0, file.rows, write.group_rows(config))
            ]


def test_rows_are_used_again_by_other_shards(config, tmp_path):
    shards = plan(config)
    fresh = [generate(config, shard) for shard in shards]
    used = engine.Rows(config, write.group_rows(config))
    assert [generate(config, shard, used) for shard in reversed(shards)] == fresh[::-1]


def test_progress_counts_every_row_and_can_end_a_shard(config, tmp_path):
    shard = plan(config)[0]
    counts = []
    generate(config, shard, progress=counts.append)
    assert sum(counts) == shard.stop - shard.start
    (tmp_path / shard.file).unlink()

    def stop(rows):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        generate(config, shard, progress=stop)
    assert not (tmp_path / shard.file).exists()
    assert not list((tmp_path / ".staging").iterdir())


def test_any_range_of_a_table(config):
    split = config.splits[0]
    whole = table(config, split.name, 0, split.rows)
    for start, stop in ((0, 0), (0, 1), (17, 18), (63, 65), (299, 301), (1, 400), (split.rows, split.rows)):
        stop = min(stop, split.rows)
        piece = table(config, split.name, start, stop)
        assert piece.schema == whole.schema
        assert piece.equals(whole.slice(start, stop - start))
    beyond = table(config, split.name, split.rows - 1, split.rows + 2)
    assert beyond.to_pylist() == list(as_rows(config, split.name, split.rows - 1, split.rows + 2))


def test_a_table_ends_at_the_last_index_there_is():
    config = compose("n=100")
    found = table(config, "train", 2**64 - 3, 2**64)
    assert found.to_pylist() == list(as_rows(config, "train", 2**64 - 3, 2**64))


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (4, 3), (2**64 - 1, 2**64 + 1), (2**64, 2**64 + 1)])
def test_no_range(start, stop):
    with pytest.raises(ValueError, match="0 <= start <= stop <= 2"):
        table(compose("n=100"), "train", start, stop)


def test_no_split():
    with pytest.raises(ValueError, match="unknown split; the nearest is validation"):
        table(compose("n=100"), "validatoin", 0, 1)


@pytest.mark.parametrize(
    ("k", "length", "vector", "code"),
    [
        (2, 8, pa.uint8(), pa.uint32()),
        (256, 256, pa.uint8(), pa.uint32()),
        (256, 257, pa.uint8(), pa.uint64()),
        (257, 8, pa.uint16(), pa.uint64()),
        (65_536, {"min": 1, "max": 9}, pa.uint16(), pa.uint64()),
    ],
)
def test_schema(k, length, vector, code):
    def listed(kind):
        return pa.list_(pa.field("element", kind, nullable=False))

    config = variant(compose("n=100", "graph=small"), k=k, length=length, columns=list(COLUMNS))
    kinds = {
        "index": pa.uint64(),
        "x": listed(vector),
        "y": listed(vector),
        "chain_id": pa.uint16(),
        "chain": pa.dictionary(pa.int16(), pa.string()),
        "trace": listed(code),
        "prompt": pa.string(),
        "completion": pa.string(),
        "n_solutions": pa.uint16(),
        "n_train_solutions": pa.uint16(),
        "longest_train_part": pa.uint8(),
        "n_unseen_pairs": pa.uint8(),
        "input_ids": listed(pa.uint32() if k > 65_500 else pa.uint16() if k > 200 else pa.uint8()),
        "labels": listed(pa.int32() if k > 32_000 else pa.int16()),
        "roles": listed(pa.uint8()),
        "corrupted": pa.string(),
        "error": pa.dictionary(pa.int8(), pa.string()),
        "error_depth": pa.uint16(),
        "error_step": pa.uint16(),
        "step_labels": listed(pa.uint8()),
    }
    assert tuple(kinds) == tuple(write.COLUMNS) == COLUMNS
    expected = pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])
    assert write.schema(config) == expected
    assert table(config, "train", 0, 3).schema == expected
    assert table(config, "train", 0, 0).schema == expected
    columns = ("x", "trace")
    some = replace(config, columns=columns)
    assert write.schema(some) == pa.schema([expected.field(name) for name in columns])
    assert table(some, "train", 0, 50).equals(table(config, "train", 0, 50).select(columns))


@pytest.mark.parametrize(
    "overrides",
    [
        ("n=5",),
        ("n=1_000_003", "shard=1000"),
        ("n=2_000_000", "split=controls", "shard=10_000"),
        ("n=10", "shard=1"),
        ("n=100_000_000",),
    ],
)
def test_the_plan_covers_every_row_once(overrides):
    config = compose(*overrides)
    shards = plan(config)
    names = [shard.file for shard in shards]
    assert len(set(names)) == len(names)
    assert sum(split.rows for split in config.splits) == config.n
    for split in config.splits:
        own = [shard for shard in shards if shard.split is split]
        assert own[0].start == 0
        assert own[-1].stop == split.rows
        assert all(one.stop == other.start for one, other in pairwise(own))
        assert all(0 < shard.stop - shard.start <= config.shard for shard in own)
        assert [shard.file for shard in own] == [
            f"data/split={split.name}/{split.name}-{i:05}-of-{len(own):05}.parquet" for i in range(len(own))
        ]


def test_a_run_of_n_is_a_prefix_of_a_larger_one():
    """Split by split; what a shard holds does not depend on n either, except the last."""
    base = compose("split=controls", "n=100_000")
    configs = [variant(base, n=n) for n in (100_000, 100_001, 100_002, 200_000)]
    for smaller, larger in pairwise(configs):
        for one, other in zip(smaller.splits, larger.splits, strict=True):
            assert one.rows <= other.rows
            end = one.rows
            assert table(smaller, one.name, end - 30, end).equals(table(larger, one.name, end - 30, end))
            assert table(smaller, one.name, 0, 30).equals(table(larger, one.name, 0, 30))


@pytest.mark.parametrize("k", [11, 257])
@pytest.mark.parametrize("length", [1, 8, 64, 1000, 65_536])
@pytest.mark.parametrize("graph", ["small", "default", "deep"])
def test_groups_and_files_are_bounded_at_every_length(k, length, graph):
    config = variant(compose(f"graph={graph}"), k=k, length=length)
    groups, rows = write.group_rows(config), write.file_rows(config)
    assert 1 <= groups <= 131_072
    assert groups <= rows <= 1_048_576
    arrays = engine.Rows(config, 1)
    exact = sum(array.nbytes for array in (arrays.x, arrays.y)) - 16
    exact += sum(text.nbytes - SLACK for _, text in arrays.texts.columns.values())
    steps = max(map(len, config.chains)) * length * arrays.trace.itemsize
    assert groups * (exact + steps) <= 64 * 2**20
    assert rows * (exact + steps) <= 2**30
    few = replace(config, shard=3)
    assert write.file_rows(few) == write.group_rows(few) == 3

"""The content digest: its kernels are its definition, no layout changes it, and every change of a value does."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import variant
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgen import digest, write
from fastgen.doors import compose
from fastgen.run import job
from fastgen.shard import table

GOLDEN = Path(__file__).parent / "golden/digests.json"


def as_bytes(kind: pa.DataType, value: Any) -> bytes:
    """A value as the definition takes it, spelled out once more."""
    if isinstance(value, str):
        return value.encode()
    element = kind.value_type if pa.types.is_list(kind) else kind
    signed = pa.types.is_signed_integer(element)
    numbers = value if isinstance(value, list) else [value]
    return b"".join(number.to_bytes(element.bit_width // 8, "little", signed=signed) for number in numbers)


def defined(split: str, start: int, table: pa.Table) -> dict[str, int]:
    """The digest by the reference."""
    return {
        field.name: sum(
            digest.row_hash(split, field.name, start + row, as_bytes(field.type, value))
            for row, value in enumerate(table[field.name].to_pylist())
        )
        % 2**128
        for field in table.schema
    }


def of_manifest(out: Path) -> dict[str, dict[str, str]]:
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    return {name: about["digest"] for name, about in manifest["splits"].items()}


ALL = "columns=[" + ",".join(write.COLUMNS) + "]"
CONFIGS = {
    "default": [ALL],
    "wide": [ALL, "k=65536", "length={min:3,max:20}", "graph=wide", "seed=1"],
    "long": [ALL, "k=97", "length=300", "graph=deep"],
    "short": [ALL, "k=2", "length={min:1,max:3}"],
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_kernels_are_the_definition(name: str) -> None:
    config = compose("n=1000", *CONFIGS[name])
    for split, start in itertools.product(config.splits, (0, 7, 2**63)):
        rows = table(config, split.name, start, start + 9)
        found = digest.of_table(split.name, start, rows)
        assert found == defined(split.name, start, rows)
        assert len(set(found.values())) == len(rows.schema)


def strings(values: list[str]) -> pa.Table:
    return pa.table({"prompt": pa.array(values, pa.string())})


@pytest.mark.parametrize("size", [*range(35), 4095, 4096, 4097, 4111, 4112, 8192, 8193, 12_300])
def test_values_of_every_size(size: int) -> None:
    """At the end of the memory that they lie in, too, where no word may be read past it."""
    values = ["a" * size, "", chr(0) * size, "b" * size]
    for some in (values, values[::-1], values[:1]):
        assert digest.of_table("train", 5, strings(some)) == defined("train", 5, strings(some))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(st.integers(0, 65_535), max_size=40), max_size=20), st.integers(0, 2**64 - 1), st.data())
def test_any_lists(values: list[list[int]], start: int, data: st.DataObject) -> None:
    rows = pa.table({"x": pa.array(values, pa.list_(pa.uint16()))})
    start = min(start, 2**64 - 1 - len(values))
    assert digest.of_table("s", start, rows) == defined("s", start, rows)
    cut = data.draw(st.integers(0, len(values)))
    pieces = [digest.of_table("s", start, rows.slice(0, cut)), digest.of_table("s", start + cut, rows.slice(cut))]
    assert digest.add(pieces) == digest.of_table("s", start, rows)
    assert digest.whole(pieces) == sum(defined("s", start, rows).values()) % 2**128


def test_chunks_and_dictionaries_change_nothing() -> None:
    rows = table(compose("n=1000"), "train", 3, 500)
    expected = digest.of_table("train", 3, rows)
    pieces = pa.concat_tables([rows.slice(0, 1), rows.slice(1, 299), rows.slice(300)])
    assert pieces["x"].num_chunks == 3
    assert digest.of_table("train", 3, pieces) == expected
    plain = rows.set_column(4, "chain", rows["chain"].cast(pa.string()))
    assert digest.of_table("train", 3, plain) == expected
    other = rows.set_column(4, "chain", rows["chain"].cast(pa.string()).dictionary_encode())
    assert digest.of_table("train", 3, other) == expected


def test_what_no_column_is() -> None:
    for values in (pa.array([1.5]), pa.array([[[1]]]), pa.array([["a"]]), pa.array([b"a"])):
        with pytest.raises(ValueError, match="no column is "):
            digest.of_table("train", 0, pa.table({"x": values}))
    with pytest.raises(ValueError, match="column x holds nulls"):
        digest.of_table("train", 0, pa.table({"x": [1, None]}))


# What it tells apart


def test_every_bit_of_a_value_counts() -> None:
    """And the place, the split, the column; what zeros fill up is not taken for zeros that are there."""
    seen = {}
    for size in (0, 1, 7, 8, 9, 15, 16, 17, 40):
        value = bytes(range(size))
        flips = itertools.product(range(size), range(8))
        flipped = [value[:i] + bytes([value[i] ^ 1 << bit]) + value[i + 1 :] for i, bit in flips]
        for split, column, index in (("train", "x", 0), ("train", "x", 1), ("train", "y", 0), ("validation", "x", 0)):
            for each in (value, value + b"\0", *flipped):
                seen[split, column, index, each] = digest.row_hash(split, column, index, each)
    assert len(set(seen.values())) == len(seen) > 3000


@pytest.mark.parametrize("columns", [2, 1])
def test_small_changes_of_few_rows(columns: int) -> None:
    """Every single change, and every two, of an element in a small column, and every order of its rows: all differ."""
    values = [[1, 2], [3, 0], [0, 0], [1, 2]][: 2 + columns]
    made = {tuple(map(tuple, values))}
    for (row, i), (other, j) in itertools.product(itertools.product(range(len(values)), range(2)), repeat=2):
        for a, b in itertools.product(range(4), repeat=2):
            changed = [list(value) for value in values]
            changed[row][i], changed[other][j] = a, b
            made |= set(itertools.permutations(map(tuple, changed)))
    found = {
        digest.of_table("train", 0, pa.table({"x": pa.array([list(row) for row in rows], pa.list_(pa.uint8()))}))["x"]
        for rows in made
    }
    assert len(found) == len(made) > 300


def test_rows_in_another_order_with_the_same_sums() -> None:
    """abba and baab: a sum of index times value could not tell them apart."""
    one, other = ([[1], [2], [2], [1]], [[2], [1], [1], [2]])
    digests = [
        digest.of_table("train", 0, pa.table({"x": pa.array(rows, pa.list_(pa.uint8()))})) for rows in (one, other)
    ]
    assert digests[0] != digests[1]


# Layouts

LAYOUTS = [
    *([f"workers={workers}", "shard=1000"] for workers in (1, 2, 3, 8)),
    *([f"shard={shard}"] for shard in (77, 1024, 65_536)),
    *([f"parquet.row_group={rows}"] for rows in (13, 999)),
    *([f"parquet.codec={codec}", "shard=700"] for codec in ("snappy", "lz4", "gzip", "brotli", "none")),
    ["columns=[y,chain,prompt]", "shard=300"],
    ["columns=[prompt,input_ids,x]"],
]


def test_one_digest_in_every_layout(tmp_path: Path) -> None:
    """In the manifest of the command's job; of the columns that are in both."""
    base = compose(
        "n=3000",
        f"columns=[{','.join(write.COLUMNS)}]",
        "split=controls",
        *(f"split.sets.{name}.n=500" for name in ("validation", "seen", "longer")),
    )
    expected = {
        split.name: digest.written(digest.of_table(split.name, 0, table(base, split.name, 0, split.rows)))
        for split in base.splits
    }
    for number, layout in enumerate(LAYOUTS):
        values = dict(each.split("=", 1) for each in layout)
        workers = int(values.pop("workers", 2))
        if "columns" in values:
            values["columns"] = values["columns"].strip("[]").split(",")
        if "parquet.row_group" in values or "parquet.codec" in values:
            codec, rows = values.pop("parquet.codec", "zstd"), int(values.pop("parquet.row_group", 131_072))
            level = 1 if codec in ("zstd", "gzip", "brotli") else None
            values["parquet"] = {"codec": codec, "level": level, "row_group": rows}
        config = replace(variant(base, **values), out=str(tmp_path / str(number)), workers=workers)
        job(config)
        for split, found in of_manifest(tmp_path / str(number)).items():
            assert found == {column: expected[split][column] for column in config.columns}, layout


def test_a_run_of_n_has_the_digest_of_its_rows_in_a_larger_one() -> None:
    smaller, larger = (compose(f"n={n}") for n in (2000, 5000))
    for split in smaller.splits:
        whole = table(larger, split.name, 0, larger.find(split.name).rows)
        mine = digest.of_table(split.name, 0, table(smaller, split.name, 0, split.rows))
        assert digest.of_table(split.name, 0, whole.slice(0, split.rows)) == mine
        rest = digest.of_table(split.name, split.rows, whole.slice(split.rows))
        assert digest.add([mine, rest]) == digest.of_table(split.name, 0, whole)


def test_resumed_or_not(tmp_path: Path) -> None:
    config = replace(compose("n=3000", "shard=500"), out=str(tmp_path))
    job(config)
    before = (tmp_path / "manifest.json").read_bytes()
    for path in sorted(tmp_path.glob("data/*/*.parquet"))[1::2]:
        path.unlink()
    job(config)
    assert (tmp_path / "manifest.json").read_bytes() == before


# The same everywhere


@pytest.mark.parametrize(
    "case", ["", "k=256 graph=mixed seed=18446744073709551615", "split=controls text=result task=plan"]
)
def test_golden(case: str) -> None:
    """Anyone gets these."""
    config = compose("n=80_000", *case.split())
    found = {
        split.name: digest.of_table(split.name, 0, table(config, split.name, 0, split.rows)) for split in config.splits
    }
    assert {name: digest.written(each) for name, each in found.items()} == json.loads(GOLDEN.read_text("utf-8"))[case]


def test_the_seal_of_a_manifest(tmp_path: Path) -> None:
    text = write.sealed({"files": [], "note": "0" * 64}).encode()
    assert json.loads(text).keys() == {"files", "note", "sha256"}
    assert write.is_sealed(text)
    for i in range(len(text)):
        assert not write.is_sealed(text[:i] + bytes([text[i] ^ 1]) + text[i + 1 :])
        assert not write.is_sealed(text[:i])
    assert not write.is_sealed(text + b" ")


def test_files_hold_what_the_manifest_says(tmp_path: Path) -> None:
    """Read back from the files, by file and by split."""
    config = replace(compose("n=3000", "shard=900", ALL), out=str(tmp_path))
    job(config)
    manifest = json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    total = 0
    for entry in manifest["files"]:
        rows = pq.ParquetFile(tmp_path / entry["file"]).read()
        assert digest.written(digest.of_table(entry["split"], entry["first"], rows)) == entry["digest"]
    for name, about in manifest["splits"].items():
        parts = [digest.read(entry["digest"]) for entry in manifest["files"] if entry["split"] == name]
        assert digest.written(digest.add(parts)) == about["digest"]
        total += digest.whole(parts)
    assert manifest["digest"] == f"{total % 2**128:032x}"
    beside = manifest["beside"]
    assert set(beside) == set(write.BESIDE)
    assert (tmp_path / "chains.parquet").stat().st_size == beside["chains.parquet"]["bytes"]

"""The folder of a corpus: its files, manifest and card; the same bytes for the same config; what other tools read."""

import hashlib
import json
from collections import Counter

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import yaml
from helpers import files, make

from fastgen import __version__, digest, write
from fastgen.engine import example
from fastgen.settings import restore
from fastgen.shard import plan, table
from fastgen.values import ConfigError


def rows(out, split, columns=None):
    """All rows of a split, in the order of its files."""
    parts = sorted((out / "data" / f"split={split}").iterdir())
    return pa.concat_tables([pq.read_table(part, partitioning=None, columns=columns) for part in parts])


CONTROLS = "split=controls", "n=3000", *(f"split.sets.{name}.n=500" for name in ("validation", "seen", "longer"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus with three files of train and one of validation: (folder, config)."""
    out = tmp_path_factory.mktemp("corpus") / "deep" / "out"
    return out, make(out, "n=3000", "shard=1000")


@pytest.fixture(scope="module")
def controls(tmp_path_factory):
    out = tmp_path_factory.mktemp("controls")
    return out, make(out, *CONTROLS)


def test_the_folder_holds_this_and_nothing_else(corpus):
    out, _ = corpus
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == [
        "README.md",
        "chains.parquet",
        "data",
        "data/split=train",
        "data/split=train/train-00000-of-00003.parquet",
        "data/split=train/train-00001-of-00003.parquet",
        "data/split=train/train-00002-of-00003.parquet",
        "data/split=validation",
        "data/split=validation/validation-00000-of-00001.parquet",
        "manifest.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_files_hold_the_rows_of_the_table(corpus):
    out, config = corpus
    for split in config.splits:
        found = rows(out, split.name)
        assert found.cast(write.schema(config)).equals(table(config, split.name, 0, split.rows))
        assert found["index"].to_pylist() == list(range(split.rows))
        last = example(config, split.name, split.rows - 1)
        row = found.slice(split.rows - 1).to_pylist()[0]
        assert (row["x"], row["y"], row["chain"].split(" ")) == (last.x, last.y, list(last.chain))


def test_manifest(corpus):
    out, config = corpus
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert {"fastgen", "complete", "fingerprint", "config", "versions", "splits", "files"} <= set(manifest)
    assert manifest["fastgen"] == __version__
    assert manifest["complete"] is True
    assert manifest["config"] == config.identity()
    assert manifest["config"]["stream_version"] == 1
    assert restore(manifest["config"], config.out) == config
    assert manifest["fingerprint"] == hashlib.sha256(json.dumps(config.identity(), sort_keys=True).encode()).hexdigest()
    assert manifest["versions"]["pyarrow"] == pa.__version__
    for split in config.splits:
        about = manifest["splits"][split.name]
        assert (about["rows"], about["chains"], about["of"]) == (split.rows, len(split.chains), None)
        assert about["length"] == {"min": 8, "max": 8}
    assert list(manifest["splits"]) == ["train", "validation"]
    assert [entry["file"] for entry in manifest["files"]] == sorted(shard.file for shard in plan(config))
    for entry, shard in zip(manifest["files"], sorted(plan(config), key=lambda shard: shard.file), strict=True):
        data = (out / entry["file"]).read_bytes()
        assert entry == {
            "file": shard.file,
            "split": shard.split.name,
            "rows": shard.stop - shard.start,
            "first": shard.start,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "digest": digest.written(
                digest.of_table(shard.split.name, shard.start, pq.ParquetFile(out / shard.file).read())
            ),
        }


def test_a_corpus_is_loaded_by_its_folder(corpus, tmp_path):
    out, config = corpus
    assert write.load(out) == write.load(str(out)) == config
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=r"holds no manifest\.json; name the folder that fastgen\.run wrote"):
            write.load(path)


def test_nothing_says_when_or_where(corpus, tmp_path):
    """The same config in another folder: the same bytes, all of them."""
    out, _ = corpus
    make(tmp_path / "elsewhere", "n=3000", "shard=1000")
    assert files(tmp_path / "elsewhere") == files(out)
    for name in ("manifest.json", "README.md"):
        text = (out / name).read_text("utf-8")
        assert str(out) not in text
        assert "out:" not in text
        assert '"out"' not in text


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_workers_change_no_byte(corpus, tmp_path, workers):
    make(tmp_path, "n=3000", "shard=1000", workers=workers)
    assert files(tmp_path) == files(corpus[0])


@pytest.mark.parametrize("overrides", [("shard=77",), ("shard=4096",), ("parquet.row_group=13",), ("shard=1",)])
def test_shards_and_row_groups_change_no_row(tmp_path, overrides):
    n = "n=60" if overrides == ("shard=1",) else "n=3000"
    config = make(tmp_path, n, *overrides)
    for split in config.splits:
        assert rows(tmp_path, split.name).cast(write.schema(config)).equals(table(config, split.name, 0, split.rows))


@pytest.mark.parametrize("codec", ["zstd", "snappy", "lz4", "gzip", "brotli", "none"])
def test_codecs(tmp_path, codec):
    config = make(tmp_path, "n=300", f"parquet.codec={codec}")
    found = rows(tmp_path, "train")
    assert found.cast(write.schema(config)).equals(table(config, "train", 0, 240))
    part = pq.ParquetFile(next((tmp_path / "data" / "split=train").iterdir())).metadata.row_group(0)
    assert {part.column(i).compression for i in range(part.num_columns)} == {
        "UNCOMPRESSED" if codec == "none" else codec.upper()
    }


def test_levels_are_used(tmp_path):
    sizes = []
    for level in (1, 19):
        make(tmp_path / str(level), "n=20_000", f"parquet.level={level}")
        sizes.append(sum(path.stat().st_size for path in (tmp_path / str(level) / "data").rglob("*.parquet")))
    assert sizes[1] < 0.97 * sizes[0]


def test_pages_have_checksums(corpus, tmp_path):
    path = corpus[0] / "data/split=train/train-00000-of-00003.parquet"
    assert pq.read_table(path, partitioning=None, page_checksum_verification=True).num_rows == 1000
    column = pq.ParquetFile(path).metadata.row_group(0).column(5)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    (tmp_path / "flipped.parquet").write_bytes(data)
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(tmp_path / "flipped.parquet", page_checksum_verification=True)


def test_files_have_no_nulls(corpus):
    for path in (corpus[0] / "data").rglob("*.parquet"):
        schema = pq.ParquetFile(path).schema
        assert all(
            schema.column(i).max_definition_level <= schema.column(i).max_repetition_level for i in range(len(schema))
        )


def test_chains(corpus):
    out, config = corpus
    found = pq.read_table(out / "chains.parquet")
    functions = ["class", "canonical", "decided", "identity", "constant", "redundant"]
    assert found.schema.names == ["chain_id", "chain", "length", "split", "paths", *functions]
    assert [field.name for field in found.schema if field.nullable] == ["split"]
    assert found.schema.field("chain").type.value_type == pa.string()
    assert found["chain_id"].to_pylist() == list(range(432))
    for row, chain in zip(found.to_pylist(), config.chains, strict=True):
        assert tuple(row["chain"]) == chain.heads
        assert (row["length"], row["paths"]) == (len(chain), chain.paths)
        assert row["chain_id"] in config.find(row["split"]).chains


SPLITS = [
    (),
    ("graph=mixed", "chain.min=1"),
    ("split.seed=9", "k=7", "graph=small"),
    ("split=functional",),
    ("split=parts",),
    ("split=order", "graph=repeated"),
    ("split=length",),
    ("split=new_context", "chain.min=1"),
    ("split=hash",),
    ("split=explicit", "split.file={validation:[sort cumsum,rank add3]}", "split.rest=train"),
    ("split.folds=5", "split.fold=3"),
    ("split.limit.train=20",),
]


@pytest.mark.parametrize("overrides", SPLITS, ids="-".join)
def test_splits_are_disjoint_over_the_files(tmp_path, overrides):
    """By what the files say, chains as text; and every chain lies in the split that chains.parquet gives it."""
    make(tmp_path, "n=20_000", *overrides)
    owner = {" ".join(row["chain"]): row["split"] for row in pq.read_table(tmp_path / "chains.parquet").to_pylist()}
    found = {split: set(rows(tmp_path, split)["chain"].to_pylist()) for split in ("train", "validation")}
    assert not found["train"] & found["validation"]
    for split, chains in found.items():
        assert chains
        assert {owner[chain] for chain in chains} == {split}


def test_a_chain_beyond_a_limit_is_in_no_split(tmp_path):
    make(tmp_path, "n=3000", "split.limit.train=50")
    owners = pq.read_table(tmp_path / "chains.parquet")["split"].to_pylist()
    assert Counter(owners) == {"train": 50, None: 296, "validation": 86}


def test_controls_have_the_chains_of_train_and_other_examples(controls):
    out, _ = controls
    tables = {name: rows(out, name) for name in ("train", "validation", "seen", "longer")}
    assert {name: found.num_rows for name, found in tables.items()} == {
        "train": 1500,
        "validation": 500,
        "seen": 500,
        "longer": 500,
    }
    owner = {row["chain_id"]: row["split"] for row in pq.read_table(out / "chains.parquet").to_pylist()}
    for name, found in tables.items():
        assert {owner[chain] for chain in found["chain_id"].to_pylist()} == {
            "validation" if name == "validation" else "train"
        }
    lengths = {name: set(map(len, found["x"].to_pylist())) for name, found in tables.items()}
    assert lengths == {"train": {8}, "validation": {8}, "seen": {8}, "longer": set(range(9, 17))}
    pairs = {
        name: set(zip(found["chain"].to_pylist(), map(tuple, found["x"].to_pylist()), strict=True))
        for name, found in tables.items()
    }
    assert not pairs["train"] & pairs["seen"]
    eights = {(chain, x[:8]) for chain, x in pairs["longer"]}
    assert not eights & pairs["train"]
    assert not eights & pairs["seen"]
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert {name: about["of"] for name, about in manifest["splits"].items()} == {
        "train": None,
        "validation": None,
        "seen": "train",
        "longer": "train",
    }
    assert manifest["splits"]["longer"]["length"] == {"min": 9, "max": 16}


def front(out):
    """The YAML in front of the card, and the text after it."""
    opening, block, text = (out / "README.md").read_text("utf-8").split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(block), text


@pytest.mark.parametrize("which", ["corpus", "controls"])
def test_card(which, request):
    out, config = request.getfixturevalue(which)
    head, text = front(out)
    assert {split["name"]: split["num_examples"] for split in head["dataset_info"]["splits"]} == {
        split.name: split.rows for split in config.splits
    }
    assert {split["name"]: split["num_bytes"] for split in head["dataset_info"]["splits"]} == {
        split.name: sum(path.stat().st_size for path in (out / "data" / f"split={split.name}").iterdir())
        for split in config.splits
    }
    [about] = head["configs"]
    assert [entry["split"] for entry in about["data_files"]] == [split.name for split in config.splits]
    for entry in about["data_files"]:
        found = sorted(out.glob(entry["path"]))
        assert found == sorted((out / "data" / f"split={entry['split']}").iterdir())
        assert sum(pq.read_metadata(path).num_rows for path in found) == config.find(entry["split"]).rows
    assert yaml.safe_load(text.rpartition("```yaml\n")[2].partition("```")[0]) == config.identity()
    first = example(config, "train", 0)
    assert " ".join(map(str, first.x)) + " -> " + " ".join(map(str, first.y)) in text
    for column in config.columns:
        assert f"| {column} |" in text


def test_columns(tmp_path):
    config = make(tmp_path, "n=300", "columns=[chain,x]")
    assert config.columns == ("x", "chain")
    for split in config.splits:
        found = rows(tmp_path, split.name)
        assert found.schema.names == ["x", "chain"]
        assert found.cast(write.schema(config)).equals(table(config, split.name, 0, split.rows))
    assert "| trace |" not in (tmp_path / "README.md").read_text("utf-8")


def test_a_dataset_sees_the_splits(controls):
    out, config = controls
    found = pyarrow.dataset.dataset(out / "data", partitioning="hive")
    assert set(found.schema.names) == {*config.columns, "split"}
    for split in config.splits:
        here = found.filter(pyarrow.dataset.field("split") == split.name)
        assert here.count_rows() == split.rows
    assert found.count_rows() == config.n

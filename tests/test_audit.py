"""`python -m fastgen.audit`: what it holds, what it catches, what it can't read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import fastgen, files

from fastgen import corpus, overlap, shard
from fastgen.audit import job
from fastgen.ceiling import ceiling
from fastgen.display import show_audit
from fastgen.doors import compose
from fastgen.findings import Audit, Finding, examine
from fastgen.launch import local
from fastgen.run import job as run
from fastgen.values import ConfigError
from fastgen.write import load, prepare

NO_LIMITS = {"pairs": None, "functional": None, "contained": None}


def audit(out: Path, memory: int = 10**9, **limits: Fraction) -> Audit:
    config = load(out)
    return examine(config, corpus.parts(config), memory, NO_LIMITS | limits)


def line(audit: Audit, what: str, *splits: str) -> Finding:
    [found] = [each for each in audit.findings if each.what == what and each.splits == splits]
    return found


def broken(audit: Audit) -> set[tuple[str, ...]]:
    return {(each.what, *each.splits) for each in audit.broken}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`made(*overrides)`: the folder of that corpus, made once; `changed` gives a copy."""
    folders: dict[tuple[str, ...], Path] = {}

    def make(*overrides: str) -> Path:
        if overrides not in folders:
            folders[overrides] = tmp_path_factory.mktemp("made") / "out"
            run(compose(*overrides, f"out='{folders[overrides]}'"))
        return folders[overrides]

    return make


CORPUS = ("n=60_000", "columns=[index,x,y,chain_id,chain]")
SPLIT = "data/split={0}/{0}-00000-of-00001.parquet"


@pytest.fixture
def out(made: Callable[..., Path], tmp_path: Path) -> Path:
    """A corpus to plant faults in."""
    return Path(shutil.copytree(made(*CORPUS), tmp_path / "out"))


def change(out: Path, split: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write the file of a split anew, with another table."""
    path = out / SPLIT.format(split)
    pq.write_table(change(pq.ParquetFile(path).read()), path)


def put(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, pa.array(values))


def vectors(table: pa.Table, name: str = "x") -> np.ndarray[Any, Any]:
    """Vectors of one length: uint8[row, position]."""
    return np.array(table[name].to_pylist())


# It holds

WHOLE = {
    "default": CORPUS,
    "text alone": ("n=30_000", "columns=[prompt,completion]"),
    "lengths": (
        *("n=30_000", "split=controls", "length={min:1,max:9}", "split.sets.validation.n=5000"),
        *("split.sets.seen.n=5000", "split.sets.longer.n=9000", "columns=[x,y,chain]"),
    ),
    "few vectors": ("n=200_000", "k=3", "length=4", "columns=[x,y,chain_id]"),
    "every vector": ("n=100_000", "k=2", "length={min:1,max:3}", "columns=[x,y,chain_id]"),
    "three splits": (
        *("n=30_000", "graph=deep", "split.sets.train.chains=0.7", "+split.sets.test.chains=0.1", "k=300"),
        *("chain.weights=[0,1,2,1,0,0,1]", "columns=[x,y,chain_id]"),
    ),
    "long vectors": ("n=2000", "length={min:60,max:70}", "columns=[x,y,chain_id]"),
    "plan": ("n=3000", "graph=small", "task=plan", "text=names", "spelling=letters", "columns=[prompt,completion]"),
    "execute": ("n=3000", "task=execute", "text.preamble=short", "columns=[prompt,completion]"),
    "direct": ("n=3000", "task=direct", "columns=[prompt,completion]"),
    "one split": (
        "n=3000",
        "graph=small",
        "~split.sets.validation",
        "split.sets.train.chains=1",
        "columns=[x,y,chain_id]",
    ),
}


CERTIFIED = ("split=functional", "split.certified=true", "k=5", "columns=[x,y,chain_id]")
WHOLE |= {
    "certified": ("n=30_000", "length=5", *CERTIFIED),
    "certified, dense": ("n=300_000", "length={min:5,max:6}", "split.sets.validation.n=150_000", *CERTIFIED),
    "two certified": (
        *("n=100_000", "length=5", *CERTIFIED, "split.sets.train.chains=0.6", "+split.sets.test.chains=0.2"),
        *("split.sets.validation.n=40_000", "+split.sets.test.n=40_000"),
    ),
    "left out": ("n=30_000", "graph=mixed", "chain.reject=[identity,redundant]", "columns=[x,y,chain_id]"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_corpus_holds(made: Callable[..., Path], name: str) -> None:
    found = audit(made(*WHOLE[name]))
    assert broken(found) == set()
    assert found.tests >= 5
    assert found.slices == 1


def test_a_certified_split(made: Callable[..., Path], tmp_path: Path) -> None:
    """Its elements are reported; that no chain of train solves any of it is held."""
    out = Path(shutil.copytree(made(*WHOLE["certified"]), tmp_path / "out"))
    found = audit(out, functional=Fraction(0))
    assert broken(found) == set()
    assert line(found, "elements", "validation").found > 50
    assert line(found, "elements", "validation").p is None
    assert line(found, "elements", "train").p is not None
    solved = "solved by the first"
    assert line(found, solved, "validation") == Finding(("validation",), solved, 0, limit=0, unit="share")
    other = made("n=30_000", "length=5", *(each for each in CERTIFIED if "true" not in each))
    shutil.copy(other / SPLIT.format("validation"), out / SPLIT.format("validation"))
    assert broken(audit(out)) == {(solved, "validation")}


def test_the_ceiling_is_the_one_of_show(made: Callable[..., Path]) -> None:
    """Of the same rows, but with chains as often as they are in the files."""
    out = made("n=350_000", "graph=mixed", "columns=[x,y,chain_id]")
    config, found = load(out), audit(out)
    expected = ceiling(config, config.splits[1])
    for what, share in (
        ("ceiling", expected.best),
        ("blind", expected.blind),
        ("several", expected.several),
        ("solved by the first", expected.train),
    ):
        assert line(found, what, "validation").found == pytest.approx(share, abs=2e-3)
    assert line(found, "several", "validation").found == expected.several
    assert not [each for each in found.findings if each.what == "ceiling" and each.splits == ("train",)]


def test_nobody_is_right_where_y_is_wrong(out: Path) -> None:
    change(out, "validation", lambda table: put(table, "y", [[10, 0, 10, 0, 10, 0, 10, 1]] * table.num_rows))
    assert line(audit(out), "ceiling", "validation").found < 0.01


def test_text_and_columns_are_the_same_rows(made: Callable[..., Path]) -> None:
    columns = ("n=20_000", "length={min:2,max:5}", "columns=[x,y,chain_id]")
    text = (*columns[:-1], "columns=[prompt,completion]")
    assert audit(made(*columns)).findings == audit(made(*text)).findings


def test_what_it_says_is_what_sets_say(made: Callable[..., Path]) -> None:
    """Every number that is no probability, against sets of Python's."""
    out = made("n=20_000", "k=3", "length={min:2,max:7}", "graph=mixed", "columns=[x,y,chain_id,chain]")
    found, config = audit(out), load(out)
    rows = {
        split: [
            (tuple(row["x"]), tuple(row["y"]), row["chain"])
            for row in pq.ParquetFile(out / SPLIT.format(split)).read().to_pylist()
        ]
        for split in ("train", "validation")
    }
    kinds = {"x": lambda row: row[0], "examples": lambda row: (row[0], row[2]), "(x, y)": lambda row: row[:2]}
    both = ("train", "validation")
    for kind, of in kinds.items():
        sets = {split: set(map(of, rows[split])) for split in rows}
        shared = len(sets["train"] & sets["validation"])
        if kind == "(x, y)":
            assert line(found, "(x, y) of the first", *both).found == shared / len(sets["validation"])
        else:
            assert line(found, f"{kind} in both", *both).found == shared
        for split in rows:
            assert line(found, f"{kind} repeated", split).found == len(rows[split]) - len(sets[split])
    chains = {split: {row[2] for row in rows[split]} for split in rows}
    assert line(found, "chains in both", *both).found == 0
    inside = [any(f" {row[2]} " in f" {chain} " for chain in chains["train"]) for row in rows["validation"]]
    assert line(found, "inside a chain of the first", *both).found == pytest.approx(np.mean(inside))
    numbers = dict(zip((" ".join(chain.heads) for chain in config.chains), config.classes.number, strict=True))
    known = {numbers[chain] for chain in chains["train"]}
    same = [numbers[row[2]] in known for row in rows["validation"]]
    assert 0 < np.mean(same) < 1
    assert line(found, "a function of the first", *both).found == pytest.approx(np.mean(same))
    elements = np.bincount([element for row in rows["train"] for element in row[0]])
    mean = elements.mean()
    assert line(found, "elements", "train").found == pytest.approx(((elements - mean) ** 2 / mean).sum())


def test_workers_and_blocks_do_not_matter(made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    out = made(*CORPUS)
    config, first = load(out), audit(out)
    monkeypatch.setattr(corpus, "BLOCK_ROWS", 777)
    for workers in (1, 3):
        assert examine(replace(config, workers=workers), corpus.parts(config), 10**9, NO_LIMITS) == first


# Planted faults


def caught(out: Path, *messages: str, overrides: tuple[str, ...] = ()) -> None:
    """The command ends with 1, and its table marks these lines and no traceback."""
    done = fastgen("audit", "data=out", *overrides, cwd=out.parent)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    marked = [" ".join(text.split()) for text in done.stdout.splitlines() if text.endswith("BROKEN")]
    for message in messages:
        assert any(message in text for text in marked), done.stdout
    assert done.stdout.splitlines()[-1].startswith(f"broken: {len(marked)} of ")


def test_a_validation_file_copied_into_train(out: Path) -> None:
    shutil.copy(out / SPLIT.format("validation"), out / "data/split=train/copy.parquet")
    caught(out, "chains in both 86 ", "examples in both 12,000 ", "x in both 11,999", "train chains inf")
    found = audit(out)
    assert line(found, "rows", "train").found == 60_000
    assert line(found, "rows", "train").expected == 48_000
    assert line(found, "(x, y) of the first", "train", "validation").found == 1


def test_a_validation_file_in_place_of_train(out: Path) -> None:
    shutil.copy(out / SPLIT.format("validation"), out / SPLIT.format("train"))
    assert ("chains in both", "train", "validation") in broken(audit(out))


def test_chains_relabelled(out: Path, made: Callable[..., Path]) -> None:
    """Ids of train on validation's rows, with the written chain beside them and without."""
    train = pq.ParquetFile(made(*CORPUS) / SPLIT.format("train")).read(["chain_id"])["chain_id"]

    def relabel(table: pa.Table) -> pa.Table:
        return put(table, "chain_id", train.combine_chunks()[: table.num_rows])

    change(out, "validation", relabel)
    caught(out, "rows unlike chains.parquet 12,000", "chains in both 346")
    change(out, "validation", lambda table: table.drop_columns("chain"))
    assert line(audit(out), "rows unlike chains.parquet", "validation").found == 0
    assert line(audit(out), "chains", "validation").p == 0
    assert ("chains in both", "train", "validation") in broken(audit(out))


def test_chains_parquet_relabelled(out: Path) -> None:
    table = pq.read_table(out / "chains.parquet")
    other = ["validation" if split == "train" else "train" for split in table["split"].to_pylist()]
    pq.write_table(put(table, "split", other), out / "chains.parquet")
    caught(out, "rows of chains.parquet unlike the config 432")


def test_one_chain_in_two_splits(out: Path) -> None:
    """One row is enough."""
    train = pq.ParquetFile(out / SPLIT.format("train")).read()
    change(out, "validation", lambda table: pa.concat_tables([table.slice(1), train.slice(5, 1)]))
    caught(out, "chains in both 1 ", "validation chains inf")


@pytest.mark.parametrize(
    ("bias", "what"),
    [
        (lambda x: np.where(x == 10, 0, x), "elements"),
        (lambda x: np.sort(x, axis=1), "elements by position"),
        (lambda x: np.where(np.arange(len(x))[:, None] % 20 == 0, x // 2, x), "elements"),
        (lambda x: x[np.arange(len(x)) // 2 * 2], "x repeated"),
    ],
)
def test_a_biased_generator(out: Path, bias: Callable[[Any], Any], what: str) -> None:
    change(out, "train", lambda table: put(table, "x", list(bias(vectors(table)))))
    assert (what, "train") in broken(audit(out))
    assert all("train" in found for found in broken(audit(out)))


def test_biased_chains_and_lengths(made: Callable[..., Path], tmp_path: Path) -> None:
    out = Path(shutil.copytree(made("n=30_000", "length={min:4,max:6}", "columns=[x,y,chain_id]"), tmp_path / "out"))

    def thin(table: pa.Table, where: Any) -> pa.Table:
        return table.filter(pa.array(~where | (np.arange(len(where)) % 2 == 0)))

    whole = pq.ParquetFile(out / SPLIT.format("train")).read()
    chain_id, length = whole["chain_id"].to_numpy(), np.array(list(map(len, whole["x"].to_pylist())))
    change(out, "train", lambda table: thin(table, chain_id < 20))
    assert broken(audit(out)) >= {("chains", "train")}
    change(out, "train", lambda table: whole.filter(pa.array(chain_id % 7 != 0)))
    assert ("chains", "train") in broken(audit(out))
    change(out, "train", lambda table: thin(whole, length == 4))
    assert broken(audit(out)) == {("vector lengths", "train")}


def test_a_shared_seed(tmp_path: Path) -> None:
    """Two splits with one random stream: the same vectors, under chains of their own."""
    config = compose(*CORPUS, f"out='{tmp_path / 'out'}'")
    run(config)
    train, validation = config.splits
    shared = replace(config, splits=(train, replace(validation, stream=train.stream)))
    prepare(shared)
    local.run(shared, [each for each in shard.plan(shared) if each.split.name == "validation"], lambda n: None, print)
    caught(tmp_path / "out", "x in both 12,0")
    assert broken(audit(tmp_path / "out")) == {("x in both", "train", "validation")}


def test_another_seed_in_one_split_is_no_fault(out: Path, made: Callable[..., Path]) -> None:
    shutil.copy(made(*CORPUS, "seed=1") / SPLIT.format("validation"), out / SPLIT.format("validation"))
    assert broken(audit(out)) == set()


def test_a_file_twice(out: Path) -> None:
    shutil.copy(out / SPLIT.format("train"), out / "data/split=train/again.parquet")
    caught(out, "train x repeated 48,0", "examples repeated 48,000")


def test_one_row_many_times(out: Path) -> None:
    change(out, "train", lambda table: pa.concat_tables([table, *[table.slice(7, 1)] * 4]))
    assert broken(audit(out)) == {("examples repeated", "train")}


def test_a_control_shares_chains_but_no_examples(made: Callable[..., Path], tmp_path: Path) -> None:
    given = ("n=30_000", "split=controls", "split.sets.validation.n=5000", "split.sets.seen.n=5000")
    out = Path(shutil.copytree(made(*given, "split.sets.longer.n=5000", "columns=[x,y,chain_id]"), tmp_path / "out"))
    held = audit(out, functional=Fraction(1, 50), contained=Fraction(7, 10))
    assert broken(held) == set()
    assert line(held, "chains in both", "train", "seen").found == 346
    assert line(held, "a function of the first", "train", "seen").limit is None
    train = pq.ParquetFile(out / SPLIT.format("train")).read()
    change(out, "seen", lambda table: pa.concat_tables([table.slice(20), train.slice(0, 20)]))
    assert broken(audit(out)) == {("examples in both", "train", "seen"), ("x in both", "train", "seen")}


# Limits


def test_limits(out: Path) -> None:
    found = audit(out)
    for name, what in (
        ("pairs", "(x, y) of the first"),
        ("functional", "a function of the first"),
        ("contained", "inside a chain of the first"),
    ):
        share = line(found, what, "train", "validation").found
        assert broken(audit(out, **{name: Fraction(share)})) == set()
        below = Fraction(share) * 999 / 1000
        assert broken(audit(out, **{name: below})) == ({(what, "train", "validation")} if share else set())
    caught(out, "a function of the first 1.", "inside a chain of", overrides=("max.functional=0", "max.contained=1/2"))


# Slices


def test_a_slice_tells_the_same(made: Callable[..., Path], tmp_path: Path) -> None:
    given = ("n=400_000", "k=7", "length=6", "columns=[x,y,chain_id]")
    whole, part = audit(made(*given)), audit(made(*given), memory=2**20)
    assert (whole.slices, part.slices) == (1, 16)
    assert broken(part) == set()
    for what, *splits in (
        ("x in both", "train", "validation"),
        ("x repeated", "train"),
        ("examples repeated", "train"),
    ):
        exact, sample = line(whole, what, *splits), line(part, what, *splits)
        assert sample.found == pytest.approx(exact.found / 16, abs=6 * np.sqrt(exact.found / 16))
        assert sample.expected == pytest.approx(exact.expected / 16, rel=0.02)
    exact, sample = (line(each, "(x, y) of the first", "train", "validation") for each in (whole, part))
    assert sample.found == pytest.approx(exact.found, abs=6 * np.sqrt(exact.found / 5_000))
    out = Path(shutil.copytree(made(*given), tmp_path / "out"))
    shutil.copy(out / SPLIT.format("validation"), out / "data/split=train/copy.parquet")
    caught(out, "examples in both 5,", "chains in both 86 ", overrides=("memory=1_048_576",))
    assert "hashes of 64 bits, one in 16:\n" in show_audit(part)
    assert "hashes of 64 bits, all of them\n" in show_audit(whole)


def test_the_table_of_the_readme(made: Callable[..., Path], root: Path) -> None:
    """It is the one of the first example there."""
    table = (root / "README.md").read_text("utf-8").partition("<!-- audit -->\n```text\n")[2].partition("```")[0]
    assert show_audit(audit(made("n=1_000_000", "columns=[x,y,chain_id]"))) == table.rstrip("\n")


def test_rows_that_repeat_take_no_memory(out: Path) -> None:
    """Of a row 200,000 times, only a few are held."""
    change(out, "train", lambda table: pa.concat_tables([table, *[table.slice(0, 1000)] * 400]))
    config = load(out)
    tallies, slices = overlap.tallies(config, {"train": 448_000, "validation": 12_000}, 2**20)
    assert slices == 16
    for part in corpus.parts(config):
        for block in corpus.blocks(config, part):
            tallies[part.split].add(block)
    for keys in tallies["train"].keys.values():
        keys.settle()
        assert keys.distinct.size < 4000
    assert ("examples repeated", "train") in broken(audit(out, memory=2**20))


# What can't be read


def unreadable(out: Path, *messages: str) -> None:
    """A fault of the config, in a line or two with these words. (A few go through the command: `test_exit_code_2`.)"""
    with pytest.raises(ConfigError) as caught:
        job(str(out), None, 10**9, NO_LIMITS)
    said = str(caught.value)
    assert len(said.splitlines()) <= 2
    for message in messages:
        assert message in said


def test_a_folder_without_a_corpus(tmp_path: Path) -> None:
    unreadable(tmp_path / "out", "data=", "out: can't be read", "holds no manifest.json; name the folder")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.json").write_text('{"files": 3}')
    unreadable(tmp_path / "out", "manifest.json can't be read")
    (tmp_path / "out/manifest.json").write_bytes(b"\xff\xfe")
    unreadable(tmp_path / "out", "manifest.json can't be read")


def truncate(out: Path) -> None:
    path = out / SPLIT.format("train")
    path.write_bytes(path.read_bytes()[:-100])


def corrupt(out: Path) -> None:
    path = out / SPLIT.format("train")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def without(*names: str) -> Callable[[Path], None]:
    return lambda out: change(out, "validation", lambda table: table.drop_columns(names))


def replaced(name: str, values: Callable[[pa.Table], Any]) -> Callable[[Path], None]:
    return lambda out: change(out, "validation", lambda table: put(table, name, values(table)))


def empty(table: pa.Table) -> pa.Array:
    return pa.array([[None, *row[1:]] for row in table["x"].to_pylist()], pa.list_(pa.uint8()))


UNREADABLE: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "truncated": (truncate, (SPLIT.format("train"),)),
    "corrupt": (corrupt, (SPLIT.format("train"),)),
    "no parquet": (lambda out: (out / SPLIT.format("train")).write_text("x,y"), (SPLIT.format("train"),)),
    "missing file": (lambda out: (out / SPLIT.format("train")).unlink(), ("split=train: holds no rows",)),
    "another split": (
        lambda out: shutil.copytree(out / "data/split=train", out / "data/split=test"),
        ("split=test", "the config has train, validation"),
    ),
    "no split": (
        lambda out: shutil.copytree(out / "data/split=train", out / "data/train"),
        ("lies in no folder of a split",),
    ),
    "no chain": (
        without("chain", "chain_id"),
        ("needs the columns x, y and chain_id (or chain), or prompt", "index, x"),
    ),
    "no y": (without("y"), ("needs the columns x, y",)),
    "null rows": (replaced("x", lambda table: [None, *table["x"].to_pylist()[1:]]), ("column x holds nulls",)),
    "null elements": (replaced("x", empty), ("column x holds nulls",)),
    "null chains": (replaced("chain_id", lambda table: [None] * table.num_rows), ("column chain_id holds nulls",)),
    "ids too large": (replaced("chain_id", lambda table: [432] * table.num_rows), ("chain_id 432 is of no chain",)),
    "negative ids": (replaced("chain_id", lambda table: [-1] * table.num_rows), (SPLIT.format("validation"),)),
    "unknown chains": (
        replaced("chain", lambda table: ["sort sort"] * table.num_rows),
        ("chain sort sort is none of",),
    ),
    "large elements": (replaced("y", lambda table: [[11] * 8] * table.num_rows), ("y holds the element 11; k is 11",)),
    "other types": (replaced("x", lambda table: ["1 2"] * table.num_rows), (SPLIT.format("validation"),)),
    "numbers": (replaced("y", lambda table: [3] * table.num_rows), (SPLIT.format("validation"),)),
    "short y": (replaced("y", lambda table: [[1] * 7] * table.num_rows), ("x and y differ in length",)),
    "long x": (replaced("x", lambda table: [[1] * 9] * table.num_rows), ("holds vectors longer than the longest, 8",)),
    "no chains": (lambda out: (out / "chains.parquet").unlink(), ("chains.parquet",)),
    "other chains": (
        lambda out: pq.write_table(pq.read_table(out / "chains.parquet").slice(1), out / "chains.parquet"),
        ("chains.parquet: holds 431 chains; the config has 432",),
    ),
    "chains of another type": (
        lambda out: pq.write_table(pa.table({"chain_id": range(432)}), out / "chains.parquet"),
        ("chains.parquet",),
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read(out: Path, name: str) -> None:
    spoil, messages = UNREADABLE[name]
    spoil(out)
    unreadable(out, *messages)


@pytest.mark.parametrize("name", ["truncated", "corrupt", "no chain", "ids too large", "null rows"])
def test_exit_code_2(out: Path, name: str) -> None:
    spoil, messages = UNREADABLE[name]
    spoil(out)
    done = fastgen("audit", "data=out", cwd=out.parent)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("fastgen: out/data/")
    for message in messages:
        assert message in done.stderr


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("completion", " sort 1 2", "a completion that does not parse"),
        ("prompt", "1 2 3 ->", "does not parse"),
        ("completion", " sort ; sort ; sort ; sort ; sort .", "none of the config"),
        ("completion", " sort ; rank ; add4 .", ""),
    ],
)
def test_text_that_cannot_be_read(
    made: Callable[..., Path], tmp_path: Path, column: str, text: str, message: str
) -> None:
    out = Path(shutil.copytree(made("n=2000", "text=names", "columns=[prompt,completion]"), tmp_path / "out"))
    change(out, "train", lambda table: put(table, column, [*table[column].to_pylist()[:-1], text]))
    unreadable(out, SPLIT.format("train"), message)


def test_text_without_y(made: Callable[..., Path]) -> None:
    out = made("n=2000", "task.prompt='{x} : {chain} :'", "task.completion=' {trace} .'", "columns=[prompt,completion]")
    with pytest.raises(corpus.Unreadable, match="does not show y; needs the columns x, y"):
        audit(out)


def test_columns_that_others_wrote(out: Path) -> None:
    """Wider integers, large lists, lists of fixed size, plain strings."""
    before = audit(out)

    def widen(table: pa.Table) -> pa.Table:
        table = put(table, "x", pa.array(table["x"].to_pylist(), pa.large_list(pa.int64())))
        table = put(table, "y", pa.array(table["y"].to_pylist(), pa.list_(pa.int32(), 8)))
        table = put(table, "chain", table["chain"].cast(pa.large_string()).combine_chunks())
        return put(table, "chain_id", table["chain_id"].cast(pa.int64()).combine_chunks())

    change(out, "train", widen)
    assert audit(out) == before


# The command


def test_the_command(out: Path, tmp_path: Path) -> None:
    """It writes audit.json and nothing else."""
    before = files(out)
    done = fastgen("audit", "data=out", "out=said", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("holds (14 tests; chance is ruled out below p = 7e-08)")
    assert files(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "said"]
    assert [path.name for path in (tmp_path / "said").iterdir()] == ["audit.json"]
    said = json.loads((tmp_path / "said/audit.json").read_text())
    found = audit(out)
    assert said["holds"] is True
    assert (said["tests"], said["slices"]) == (found.tests, 1)
    assert [(each["what"], tuple(each["splits"]), each["found"], each["p"]) for each in said["findings"]] == [
        (each.what, each.splits, each.found, each.p) for each in found.findings
    ]


def test_audit_json_of_a_broken_corpus(out: Path, tmp_path: Path) -> None:
    shutil.copy(out / SPLIT.format("validation"), out / "data/split=train/copy.parquet")
    with pytest.raises(SystemExit, match="1"):
        job(str(out), str(tmp_path / "said"), 10**9, NO_LIMITS)
    said = json.loads((tmp_path / "said/audit.json").read_text(), parse_constant=pytest.fail)
    assert said["holds"] is False
    assert {tuple(each["splits"]) for each in said["findings"] if not each["holds"]} >= {("train", "validation")}


@pytest.mark.parametrize("where", ["out", "out/audit", "other/../out/data", "link"])
def test_nothing_is_written_into_the_corpus(
    out: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(out)
    (tmp_path / "link").symlink_to(out)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="lies in data=out, which is only read; name another folder, or null"):
        job("out", where, 10**9, NO_LIMITS)
    assert files(out) == before


def test_faults_of_its_config(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = fastgen("audit", "memory=1", "max.pairs=2", "+max.foo=1", "+seed=3", "out=file", "data=file", cwd=tmp_path)
    assert done.returncode == 2
    for message in (
        *(
            "6 faults in the config",
            "memory=1: must be a whole number from",
            "max.pairs=2: must be a share from 0 to 1",
        ),
        *("max.foo=1: unknown key", "seed=3: unknown key", "out=file: is a file", "data=file: is a file"),
    ):
        assert message in done.stderr
    done = fastgen("audit", "max.functonal=0", cwd=tmp_path)
    assert (done.returncode, done.stderr.partition(";")[0]) == (2, "fastgen: max.functonal: unknown key")
    assert "the nearest is functional" in done.stderr


def test_a_folder_that_cannot_be_written(out: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = fastgen("audit", "data=out", "out=file/said", cwd=tmp_path)
    assert done.returncode == 2
    assert "out=file/said: " in done.stderr
    assert "name a folder that can be written" in done.stderr

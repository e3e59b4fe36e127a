"""`python -m fastgen.check`: what is whole, what is not, what it can't read, and what it repairs."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaign_check import campaign
from helpers import command, fastgen, files

from fastgen import digest, integrity, lock, write
from fastgen.check import examine, job
from fastgen.doors import compose
from fastgen.integrity import Fault
from fastgen.run import job as run
from fastgen.values import ConfigError

TRAIN = "data/split=train/train-{:05}-of-00003.parquet"
VALIDATION = "data/split=validation/validation-00000-of-00001.parquet"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three files of train and one of validation."""
    out = tmp_path_factory.mktemp("whole") / "out"
    run(replace(compose("n=3000", "shard=1000", "parquet.row_group=400"), out=str(out)))
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "out"))


def faults(out: Path, digest: bool = False, regenerate: int = 0) -> list[Fault]:
    return examine(integrity.opened(str(out)), digest, Fraction(regenerate))


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def seal(out: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and seal it again, as somebody would who knows how."""
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    change(manifest)
    manifest.pop("sha256")
    (out / "manifest.json").write_text(write.sealed(manifest), "utf-8", newline="\n")


def unfinish(out: Path) -> None:
    """The manifest of a run that was cut off."""
    found = integrity.opened(str(out))
    unfinished = write.manifest(found.config, found.files.values(), None)
    (out / "manifest.json").write_text(write.sealed(unfinished), "utf-8", newline="\n")


def check(out: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    done = fastgen("check", f"data={out.name}", *overrides, cwd=out.parent)
    assert "Traceback" not in done.stderr
    return done


# Whole


def test_a_whole_corpus(made: Path) -> None:
    before = files(made)
    done = check(made)
    assert (done.returncode, done.stderr) == (0, "")
    number = json.loads((made / "manifest.json").read_text("utf-8"))["digest"]
    first, second = done.stdout.splitlines()
    assert first.startswith("whole: 4 files, 3,000 examples, ")
    assert first.endswith(" (every byte by its SHA-256)")
    assert second == f"digest {number}"
    done = check(made, "digest=true", "regenerate=0.3")
    assert done.stdout.splitlines()[0].endswith(
        " (every byte by its SHA-256, every value by its digest, 1,600 examples made again)"
    )
    assert files(made) == before


@pytest.mark.parametrize(
    "overrides",
    [
        ["n=300", "columns=[y]", "parquet.codec=none"],
        ["n=300", "k=300", "length={min:2,max:9}", f"columns=[{','.join(write.COLUMNS)}]", "shard=70"],
        ["n=3000", "split=controls", *(f"split.sets.{name}.n=300" for name in ("validation", "seen", "longer"))],
        ["n=300", "spelling=letters", "task=plan", "text=names"],
    ],
)
def test_every_config_is_whole(tmp_path: Path, overrides: list[str]) -> None:
    run(replace(compose(*overrides), out=str(tmp_path / "out")))
    assert faults(tmp_path / "out", digest=True, regenerate=1) == []


def test_which_row_groups_are_made_again(made: Path) -> None:
    found = integrity.opened(str(made))
    whole = integrity.chosen(found, Fraction(1))
    assert sum(rows for _, _, rows in whole) == 3000
    assert [rows for name, _, rows in whole if name == TRAIN.format(0)] == [400, 400, 200]
    assert integrity.chosen(found, Fraction(0)) == []
    few = integrity.chosen(found, Fraction(1, 10**9))
    assert [(name, first) for name, first, _ in few] == [(TRAIN.format(0), 0), (VALIDATION, 0)]
    some = integrity.chosen(found, Fraction(1, 2))
    assert len(some) == 5 < len(whole) == 9
    assert {found.files[name].split for name, _, _ in some} == {"train", "validation"}


# Faults, one by one


FAULTS: dict[str, tuple[Callable[[Path], Any], list[tuple[str, str]]]] = {
    "a bit": (
        lambda out: flip(out / TRAIN.format(1), 3000),
        [(TRAIN.format(1), r"is not as it was written: its SHA-256 differs; row group 0, column \w+: .*CRC")],
    ),
    "cut": (
        lambda out: (out / VALIDATION).write_bytes((out / VALIDATION).read_bytes()[:5000]),
        [(VALIDATION, r"has 5,000 bytes instead of [\d,]+; Parquet magic bytes not found")],
    ),
    "missing": (lambda out: (out / TRAIN.format(2)).unlink(), [(TRAIN.format(2), "is missing")]),
    "a split": (lambda out: shutil.rmtree((out / VALIDATION).parent), [(VALIDATION, "is missing")]),
    "swapped": (
        lambda out: [
            (out / "x").write_bytes((out / TRAIN.format(0)).read_bytes()),
            (out / TRAIN.format(1)).replace(out / TRAIN.format(0)),
            (out / "x").replace(out / TRAIN.format(1)),
        ],
        [(TRAIN.format(0), ".* bytes instead of "), (TRAIN.format(1), ".* bytes instead of ")],
    ),
    "card": (
        lambda out: flip(out / "README.md", 700),
        [("README.md", "is not as it was written: its SHA-256 differs$")],
    ),
    "tokenizer": (lambda out: (out / "tokenizer.json").unlink(), [("tokenizer.json", "is missing")]),
    "chains": (lambda out: flip(out / "chains.parquet", 300), [("chains.parquet", "is not as it was written")]),
    "a copy": (
        lambda out: shutil.copy(out / VALIDATION, out / "data/split=train/copy.parquet"),
        [("data/split=train/copy.parquet", "is no file of this corpus; move it away")],
    ),
    "a folder": (
        lambda out: (out / "data/split=test").mkdir(),
        [("data/split=test", "is no folder of this corpus; move it away")],
    ),
    "a folder in place of a file": (
        lambda out: [(out / "README.md").unlink(), (out / "README.md").mkdir()],
        [("README.md", "is missing"), ("README.md", "is no folder of this corpus")],
    ),
    "manifest": (
        lambda out: flip(out / "manifest.json", -9),
        [("manifest.json", "is not as it was written: its SHA-256 differs")],
    ),
    "not finished": (
        lambda out: unfinish(out),
        [("manifest.json", "says that the run has not finished; the same command goes on")],
    ),
    "left over": (lambda out: (out / ".staging").mkdir(), [(".staging", "was left by a run")]),
    "a lock": (lambda out: (out / lock.NAME).write_text("{}"), [(lock.NAME, "was left by a run that was killed")]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(out: Path, name: str) -> None:
    plant, expected = FAULTS[name]
    plant(out)
    before = files(out)
    done = check(out)
    assert done.returncode == 1, done.stdout
    *lines, last = done.stdout.splitlines()
    assert len(lines) == len(expected)
    for file, what in expected:
        found = [line.removeprefix(f"{file}: ") for line in lines if line.startswith(f"{file}: ")]
        assert any(re.match(what, each) for each in found), done.stdout
    assert last.startswith(f"{len(expected)} fault")
    assert files(out) == before


def test_a_manifest_that_is_sealed_again(out: Path) -> None:
    """It is held to what its config gives, and to the files."""

    def entry(**values: Any) -> Callable[[dict[str, Any]], None]:
        return lambda said: said["files"][0].update(values)

    changes: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
        (entry(rows=999), "does not list data/split=train/train-00000"),
        (entry(first=1), "does not list"),
        (entry(split="validation"), "does not list"),
        (entry(file="../x"), "does not list"),
        (entry(sha256=None), "does not list"),
        (entry(note=""), "does not list"),
        (lambda said: said["files"].append({"file": "../x"}), "files is not what its config"),
        (lambda said: said["files"].reverse(), "files is not what its config"),
        (
            lambda said: said["files"].clear(),
            "does not list data/split=train/train-00000-of-00003.parquet as its config has it, and 3 more",
        ),
        (lambda said: said.pop("files"), "does not list"),
        (lambda said: said["splits"]["train"].update(rows=5), "splits is not"),
        (lambda said: said["splits"]["train"]["digest"].update(x="0" * 32), "splits is not"),
        (lambda said: said.update(digest="0" * 32), "digest is not"),
        (lambda said: said.update(fingerprint="0"), "its config is not the one that its fingerprint is of"),
        (lambda said: said["config"].update(seed=1), "its config is not the one that its fingerprint is of"),
        (lambda said: said["beside"].pop("README.md"), "does not list what stands beside the data"),
        (lambda said: said.update(beside=3), "does not list what stands beside the data"),
        (lambda said: said.update(note=3), "note is not"),
        (lambda said: said.update(moves={"a": "b"}), "has not finished"),
    ]
    whole = (out / "manifest.json").read_bytes()
    for change, expected in changes:
        (out / "manifest.json").write_bytes(whole)
        seal(out, change)
        said = [fault.what for fault in faults(out) if fault.file == "manifest.json"]
        assert len([what for what in said if expected in what]) == 1, (expected, said)
    (out / "manifest.json").write_bytes(whole)
    seal(out, entry(sha256="0" * 64))
    assert [(fault.file, fault.what.partition(":")[0]) for fault in faults(out)] == [
        (TRAIN.format(0), "is not as it was written")
    ]
    (out / "manifest.json").write_bytes(whole)
    seal(out, lambda said: None)
    assert faults(out) == []


def forge(out: Path, name: str, change: Callable[[pa.Table], pa.Table], redigest: bool = False) -> None:
    """Another table in a file, and a manifest that knows of its bytes, if asked of its digest too."""
    path = out / name
    changed = change(pq.ParquetFile(path).read())
    pq.write_table(changed, path, row_group_size=400, write_page_checksum=True)

    def listed(said: dict[str, Any]) -> None:
        entry = next(each for each in said["files"] if each["file"] == name)
        entry |= write._as_it_is(path)
        if redigest:
            entry["digest"] = digest.written(digest.of_table(entry["split"], entry["first"], changed))
            parts = {
                split: [digest.read(e["digest"]) for e in said["files"] if e["split"] == split]
                for split in said["splits"]
            }
            for split, each in parts.items():
                said["splits"][split]["digest"] = digest.written(digest.add(each))
            said["digest"] = f"{digest.whole(part for each in parts.values() for part in each):032x}"

    seal(out, listed)


def test_values_that_only_digests_find(out: Path) -> None:
    """One element of one row, in a file whose bytes the manifest knows."""

    def change(table: pa.Table) -> pa.Table:
        y = np.array(table["y"].to_pylist(), np.uint8)
        y[617, 3] ^= 1
        return table.set_column(2, table.schema.field("y"), pa.array(list(y), table.schema.field("y").type))

    forge(out, TRAIN.format(1), change)
    assert faults(out) == []
    assert faults(out, digest=True) == [Fault(TRAIN.format(1), "holds other values in y: their digests differ")]
    done = check(out, "digest=true")
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 2)
    forge(out, TRAIN.format(1), lambda table: table, redigest=True)
    assert faults(out, digest=True) == []
    [fault] = faults(out, regenerate=1)
    assert fault.file == TRAIN.format(1)
    assert fault.what.startswith("example 1617, y: [")
    assert check(out, "regenerate=1").returncode == 1


def test_schema_and_rows(out: Path) -> None:
    whole = shutil.copytree(out, out.parent / "whole")
    forge(out, TRAIN.format(0), lambda table: table.drop_columns("trace"))
    assert [fault.what for fault in faults(out)] == ["has other columns, or of other types, than the config asks for"]
    shutil.rmtree(out)
    shutil.copytree(whole, out)
    forge(out, TRAIN.format(0), lambda table: table.slice(1))
    assert [fault.what for fault in faults(out)] == ["holds 999 rows instead of 1,000"]


def test_values_are_told_from_layout(out: Path) -> None:
    """Rows in another order, or of another split, are other values."""
    forge(out, TRAIN.format(0), lambda table: table.take([1, 0, *range(2, 1000)]))
    assert [fault.file for fault in faults(out, digest=True)] == [TRAIN.format(0)]


# What can't be read


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"null",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"config": 1}',
        b'{"config": {}}',
        b'{"config": {"stream_version": 1}}',
    ],
    ids=range(11),
)
def test_a_manifest_that_is_none(out: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (out / "manifest.json").write_bytes(content)
    for repair in (False, True):
        with pytest.raises(
            ConfigError, match=r"its manifest\.json can't be read; run fastgen\.run with the same config"
        ):
            job(str(out), repair=repair)


def test_no_corpus(tmp_path: Path) -> None:
    done = fastgen("check", "data=nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert "data=nowhere: holds no manifest.json; name the folder that fastgen.run wrote" in done.stderr


def test_faults_of_its_config(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = fastgen("check", "data=file", "regenerate=1.5", "digest=3", "repair=maybe", "+seed=3", cwd=tmp_path)
    assert done.returncode == 2
    for message in (
        *("5 faults in the config", "data=file: is a file", "regenerate=1.5: must be a share from 0 to 1"),
        *("digest=3: must be true or false", "repair=maybe: must be true or false", "seed=3: unknown key"),
    ):
        assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# Repair


REPAIRED = [name for name in FAULTS if name not in ("a copy", "a folder", "a folder in place of a file")]


def test_repair(out: Path, made: Path) -> None:
    """All at once: only what is bad is made again, and then all is as it was, byte by byte."""
    whole = files(made)
    for name in REPAIRED:
        if name not in ("swapped", "not finished"):
            FAULTS[name][0](out)
    kept = out / TRAIN.format(0)
    before = kept.stat().st_mtime_ns
    done = check(out, "repair=true")
    assert done.returncode == 0, done.stderr
    assert "out holds 1 of the 4 files already: going on" in done.stderr
    assert f"{TRAIN.format(2)}: is missing" in done.stderr
    assert done.stdout.splitlines()[-2].startswith("whole: 4 files")
    assert files(out) == whole
    assert kept.stat().st_mtime_ns == before
    assert check(out).returncode == 0


@pytest.mark.parametrize("name", ["manifest", "not finished", "swapped", "card", "chains"])
def test_repair_of_one(out: Path, made: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    FAULTS[name][0](out)
    job(str(out), repair=True)
    assert files(out) == files(made)
    assert "whole: 4 files" in capsys.readouterr().out


def test_a_digest_in_a_manifest_that_is_not_sealed(out: Path, made: Path) -> None:
    """Is not kept by a repair, although the bytes of the file are right."""
    path = out / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["files"][1]["digest"]["x"] = "0" * 32
    path.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    job(str(out), repair=True)
    assert files(out) == files(made)


def test_repair_leaves_what_is_not_its_own(out: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out / "notes").write_text("mine")
    (out / TRAIN.format(0)).unlink()
    with pytest.raises(SystemExit, match="1"):
        job(str(out), repair=True)
    assert "notes: is no file of this corpus; move it away\n1 fault in 1 file" in capsys.readouterr().out
    assert files(out).items() - files(made).items() == {("notes", files(out)["notes"])}


def test_repair_of_another_config_is_refused(out: Path) -> None:
    """A config that is not the one of the fingerprint would make another corpus."""
    path = out / "manifest.json"
    path.write_text(path.read_text("utf-8").replace('"seed": 0,', '"seed": 1,'), "utf-8")
    before = files(out)
    with pytest.raises(ConfigError, match=r"can't be repaired: the config in its manifest\.json is not the one"):
        job(str(out), repair=True)
    assert files(out) == before


def test_values_that_come_out_differently(out: Path) -> None:
    """As they would where another version of fastgen had made the corpus."""
    forge(out, TRAIN.format(1), lambda table: table.take([1, 0, *range(2, 1000)]), redigest=True)
    (out / TRAIN.format(1)).unlink()
    done = check(out, "repair=true")
    assert done.returncode == 1
    assert f"{TRAIN.format(1)}: was made again and holds other values than before" in done.stdout


def test_one_writer(out: Path) -> None:
    (out / TRAIN.format(0)).unlink()
    before = files(out)
    with lock.held(out):
        with pytest.raises(ConfigError, match="is being written by process"):
            job(str(out), repair=True)
    assert files(out) == before


@pytest.mark.parametrize("name", ["data", "data/split=train", ".staging", TRAIN.format(0), "README.md"])
def test_nothing_is_written_through_links(out: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    if (out / name).exists():
        (out / name).replace(elsewhere)
    else:
        elsewhere.mkdir()
        (elsewhere / "precious").write_text("")
    (out / name).symlink_to(elsewhere)
    (out / TRAIN.format(1)).unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert [fault.file for fault in faults(out) if "is a link" in fault.what] == [name]
    with pytest.raises(ConfigError, match="is a link; nothing is written through links"):
        job(str(out), repair=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


# Damage of every kind


def test_damage_of_every_kind_is_found() -> None:
    """A small part of tests/campaign_check.py."""
    counts, missed = campaign(210, seed=0, contrast=False)
    assert missed == []
    kinds = {kind.__name__ for kind in damage.DAMAGES}
    assert all(counts[kind, "made"] == counts[kind, "check"] > 10 for kind in kinds)


def test_damage_damages(out: Path, made: Path, tmp_path: Path) -> None:
    """Every kind changes the folder, or the campaign would prove nothing."""
    other = tmp_path / "other"
    run(replace(compose("n=3000", "shard=1000", "seed=1"), out=str(other)))
    for number, kind in enumerate(damage.DAMAGES * 3):
        shutil.rmtree(out)
        shutil.copytree(made, out)
        kind(random.Random(number), out, other)
        assert files(out) != files(made), kind.__name__


def test_a_manifest_of_anything(out: Path, tmp_path: Path) -> None:
    """Its values, one at a time, replaced by garbage: found, without a traceback, and nothing is written."""
    path, rng = out / "manifest.json", random.Random(5)
    whole = path.read_text("utf-8")
    before = files(out)
    outside = sorted(tmp_path.iterdir())
    places = len(damage._leaves(json.loads(whole)))
    for number in rng.sample(range(places), 100):
        manifest = json.loads(whole)
        holder, key = damage._leaves(manifest)[number]
        holder[key] = rng.choice(damage.GARBAGE)
        path.write_text(json.dumps(manifest), "utf-8", errors="surrogatepass")
        try:
            assert faults(out)
        except ConfigError:
            pass
    path.write_text(whole, "utf-8")
    assert files(out) == before
    assert sorted(tmp_path.iterdir()) == outside


def test_help_comes_without_numba(tmp_path: Path) -> None:
    arguments, options = command("check", "--help", cwd=tmp_path)
    arguments[1:1] = ["-X", "importtime"]
    done = subprocess.run(arguments, capture_output=True, check=True, **options)
    assert "python -m fastgen.check data=out repair=true" in done.stdout
    assert "numba" not in done.stderr

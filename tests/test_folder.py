"""What is in `out` already: gone on with, made again, extended, overwritten or refused."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import files, make

from fastgen import commit, folder, lock, write
from fastgen.run import job
from fastgen.shard import plan, table
from fastgen.values import ConfigError


@pytest.fixture
def own(tmp_path):
    """A corpus to damage."""
    return tmp_path, make(tmp_path, "n=3000", "shard=1000")


def times(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def test_a_finished_corpus_is_left_alone(own, capsys):
    out, config = own
    before = times(out)
    capsys.readouterr()
    for workers in (1, 2):
        job(replace(config, workers=workers))
        assert capsys.readouterr().out == f"{out} holds this corpus already, whole: nothing to do\n"
    assert times(out) == before


def test_a_lock_that_is_left_beside_a_whole_corpus_is_removed(own, capsys):
    """A run that is killed behind its last manifest leaves one."""
    out, config = own
    whole = files(out)
    (out / lock.NAME).write_text("{}")
    capsys.readouterr()
    job(config)
    assert "nothing to do" in capsys.readouterr().out
    assert files(out) == whole


@pytest.mark.parametrize(("damage", "kept"), [("delete", 3), ("truncate", 3), ("empty", 3), ("folder", 1)])
def test_a_lost_or_cut_file_is_made_again(own, damage, kept, capsys):
    out, config = own
    whole, before = files(out), times(out)
    path = out / "data/split=train/train-00001-of-00003.parquet"
    if damage == "delete":
        path.unlink()
    elif damage == "folder":
        shutil.rmtree(path.parent)
    else:
        os.truncate(path, path.stat().st_size - 1 if damage == "truncate" else 0)
    untouched = [file for file in out.rglob("data/*/*.parquet") if file != path]
    capsys.readouterr()
    job(config)
    assert f"{out} holds {kept} of the 4 files already: going on" in capsys.readouterr().err
    assert files(out) == whole
    assert not (out / ".staging").exists()
    assert all(file.stat().st_mtime_ns == before[file] for file in untouched)


def test_what_an_earlier_run_left_unfinished_is_removed(own):
    out, config = own
    whole = files(out)
    (out / "data/split=train/train-00001-of-00003.parquet").unlink()
    (out / ".staging").mkdir()
    for name in ("train-00001-of-00003.parquet", "train-00099-of-00100.parquet", "manifest.json"):
        (out / ".staging" / name).write_bytes(b"PAR1 half")
    job(config)
    assert files(out) == whole
    assert not (out / ".staging").exists()


def test_another_corpus_in_the_folder_is_refused(own):
    out, _ = own
    before = times(out)
    for changed in ("n=4000", "k=7", "seed=1", "graph.vertices.9=add5", "split.seed=4", "parquet.level=3", "length=9"):
        key = changed.partition("=")[0]
        with pytest.raises(ConfigError, match="another corpus") as refused:
            make(out, "shard=1000", *([changed] if key == "n" else ["n=3000", changed]))
        named = [line.strip().partition(":")[0] for line in str(refused.value).splitlines()[1:]]
        assert set(named) <= {key, f"{key}.min", f"{key}.max", key.removesuffix(".9")}
        assert named
    assert times(out) == before


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", "null", "{}", "[" * 100_000, '{"config": {}, "complete": true}', '{"config": 1}'],
    ids=lambda content: content[:20],
)
def test_a_manifest_that_is_not_one_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ConfigError, match=r"manifest\.json can't be read"):
        make(tmp_path, "n=3000")
    assert files(tmp_path).keys() == {"manifest.json"}


@pytest.mark.parametrize("name", ["README.md", "chains.parquet", "data"])
def test_a_foreign_folder_is_refused(tmp_path, name):
    (tmp_path / name).mkdir() if name == "data" else (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match=f"holds {name}, but no manifest.json"):
        make(tmp_path, "n=3000")
    assert [path.name for path in tmp_path.iterdir()] == [name]


# Resume


def unfinished(out, whole, kept):
    """A folder as a run leaves it that was killed after so many files of `whole`: they are in the journal alone."""
    manifest = json.loads((whole / "manifest.json").read_text("utf-8"))
    listed = manifest["files"]
    write.write_text(out, "manifest.json", json.dumps(manifest | {"complete": False, "files": []}))
    journal = write.journal(out, manifest["config"])
    for entry in listed[:kept]:
        (out / entry["file"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole / entry["file"], out / entry["file"])
        commit.append(journal, json.dumps(entry))
    return journal


@pytest.mark.parametrize(("workers", "kept"), [(1, 0), (2, 1), (3, 3), (8, 4), (1, 4)])
def test_a_run_goes_on_with_the_files_of_the_journal(own, tmp_path_factory, workers, kept, capsys):
    whole, config = own
    out = tmp_path_factory.mktemp("out")
    commit.make(out / ".staging")
    unfinished(out, whole, kept)
    before = times(out)
    job(replace(config, out=str(out), workers=workers))
    assert files(out) == files(whole)
    said = capsys.readouterr().err
    assert said == (f"{out} holds {kept} of the 4 files already: going on\n" if kept else "")
    assert all(path.stat().st_mtime_ns == before[path] for path in before if path.suffix == ".parquet")


def test_a_line_of_the_journal_that_is_cut_is_no_file(own, tmp_path_factory):
    whole, config = own
    out = tmp_path_factory.mktemp("out")
    commit.make(out / ".staging")
    journal = unfinished(out, whole, 3)
    text = journal.read_text("utf-8")
    first, second, third = text.splitlines(keepends=True)
    for cut in (text[:-1], first + second[:40] + third, first + "\0" * 200 + "\n" + third + "[" * 10**5 + "\n{}\n1\n"):
        journal.write_text(cut, "utf-8")
        assert 1 <= len(write.read_manifest(out).files) <= 2
    job(replace(config, out=str(out)))
    assert files(out) == files(whole)


def test_the_journal_of_another_corpus_is_not_read(own):
    out, config = own
    commit.make(out / ".staging")
    other = replace(config, seed=1)
    files_there = write.read_manifest(out).files
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    write.record(config, next(iter(files_there.values())))
    write.write_text(out, "manifest.json", json.dumps(manifest | {"config": other.identity(), "files": []}))
    assert write.read_manifest(out).files == {}


@pytest.mark.parametrize("complete", [True, False])
def test_rehash_finds_what_has_the_right_size(own, complete, capsys):
    out, config = own
    whole = files(out)
    name = "data/split=train/train-00001-of-00003.parquet"
    data = bytearray((out / name).read_bytes())
    data[500] ^= 1
    (out / name).write_bytes(data)
    if not complete:
        commit.make(out / ".staging")
    capsys.readouterr()
    job(config)
    if complete:
        assert "nothing to do" in capsys.readouterr().out
    assert files(out)[name] != whole[name]
    job(config, resume="rehash")
    said = capsys.readouterr().err
    assert f"{out}/{name} is not as it was written, and is made again" in said
    assert "holds 3 of the 4 files already" in said
    assert files(out) == whole
    job(config, resume="rehash")
    assert "nothing to do" in capsys.readouterr().out


def test_an_entry_that_is_not_of_this_plan_is_not_trusted(own):
    """Of a manifest that somebody has edited: whatever it says, the run makes its own files."""
    out, config = own
    whole = files(out)
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    first = manifest["files"][0]
    outside = {**first, "file": "../outside.parquet"}
    edits = ([outside], [{**first, "split": "nowhere"}], [{**first, "rows": 3}], [{**first, "first": 7}])
    for edit in (*edits, [{**first, "bytes": "many"}]):
        write_manifest = manifest | {"files": edit, "complete": True}
        (out / "manifest.json").write_text(json.dumps(write_manifest))
        assert folder.ready(config, plan(config), False, False) == {}
        job(config)
        assert files(out) == whole
    assert not (out.parent / "outside.parquet").exists()


def test_a_digest_that_is_none_is_refused(own):
    out, config = own
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    for wrong in (None, 3, {"x": "no number"}, {"x": 3}):
        manifest["files"][0]["digest"] = wrong
        (out / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ConfigError, match=r"manifest\.json can't be read"):
            job(config)


@pytest.mark.parametrize(
    "moves",
    [
        {"../mine": None},
        {"data/../../mine": None},
        {"manifest.json": None},
        {"data/split=train/train-00000-of-00003.parquet": "../mine"},
        {"data/split=train/other-00000-of-00003.parquet": None},
        ["README.md"],
    ],
)
def test_a_manifest_moves_nothing_but_what_fastgen_writes(own, moves):
    out, config = own
    (out.parent / "mine").write_text("mine")
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    (out / "manifest.json").write_text(json.dumps(manifest | {"moves": moves}))
    before = files(out)
    with pytest.raises(ConfigError, match=r"manifest\.json can't be read"):
        job(config, overwrite=True)
    assert files(out) == before
    assert (out.parent / "mine").read_text() == "mine"


def test_other_versions_are_said(own, capsys):
    out, config = own
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    old = manifest | {"complete": False, "versions": {"numpy": "1.0", "pyarrow": "2.0"}}
    (out / "manifest.json").write_text(json.dumps(old))
    capsys.readouterr()
    job(config)
    assert "files there were made with numpy 1.0, pyarrow 2.0" in capsys.readouterr().err


# Overwrite, extend


def test_overwrite_removes_what_fastgen_wrote_and_nothing_else(own, tmp_path_factory):
    out, config = own
    unlisted = out / "data/split=train/train-00007-of-00009.parquet"  # of a run that was killed before it was noted
    unlisted.write_bytes(b"old")
    for name in ("mine.txt", "data/split=train/mine.parquet", "data/mine.txt"):
        (out / name).write_text("mine")
    make(out, "n=2000", "k=7", "shard=1000", overwrite=True)
    fresh = tmp_path_factory.mktemp("fresh")
    make(fresh, "n=2000", "k=7", "shard=1000")
    found = files(out)
    assert [found.pop(name) for name in ("mine.txt", "data/split=train/mine.parquet", "data/mine.txt")]
    assert found == files(fresh)
    with pytest.raises(ConfigError, match="k: 7 there, 11 here"):
        job(config)


def test_overwrite_of_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match="fastgen did not make it"):
        make(tmp_path, "n=3000", overwrite=True)
    assert files(tmp_path).keys() == {"README.md"}


def test_splits_that_are_no_more_leave_no_folder(own):
    out, _ = own
    make(
        out,
        "split=controls",
        "n=900",
        *(f"split.sets.{name}.n=100" for name in ("validation", "seen", "longer")),
        overwrite=True,
    )
    assert (out / "data/split=longer").is_dir()
    make(out, "n=2000", overwrite=True)
    assert sorted(path.name for path in (out / "data").iterdir()) == ["split=train", "split=validation"]


@pytest.mark.parametrize("n", [3001, 3600, 4001, 5000, 9000])
def test_a_corpus_is_extended(own, tmp_path_factory, n):
    """To the bytes of one that is made at once; files that stay the same are renamed, and not written again."""
    out, config = own
    kept = {shard: (out / shard.file).stat().st_mtime_ns for shard in plan(config)}
    larger = make(out, f"n={n}", "shard=1000", extend=True)
    fresh = tmp_path_factory.mktemp("fresh")
    make(fresh, f"n={n}", "shard=1000")
    assert files(out) == files(fresh)
    stay = {
        (shard.split.name, shard.start): shard.file
        for shard in plan(larger)
        if any((old.split.name, old.start, old.stop) == (shard.split.name, shard.start, shard.stop) for old in kept)
    }
    assert len(stay) >= 2
    for old, time in kept.items():
        if (old.split.name, old.start) in stay:
            assert (out / stay[old.split.name, old.start]).stat().st_mtime_ns == time


def test_what_is_not_longer_the_same_corpus_is_not_extended(own):
    out, _ = own
    before = files(out)
    for overrides in (("n=2000",), ("n=5000", "k=7"), ("n=4000", "split.sets.validation.n=500")):
        with pytest.raises(ConfigError, match="extend=true goes where n alone differs and no split gets fewer rows"):
            make(out, *overrides, "shard=1000", extend=True)
    with pytest.raises(ConfigError, match="give one of them"):
        make(out, "n=4000", "shard=1000", extend=True, overwrite=True)
    with pytest.raises(ConfigError, match="extend=true adds the rows that are missing"):
        make(out, "n=4000", "shard=1000")
    assert files(out) == before


def test_moves_that_were_cut_off_are_finished_first(own, tmp_path_factory, monkeypatch):
    """Killed after each rename of an extension in turn; then the smaller corpus is refused, the larger one goes on."""
    whole, config = own
    fresh = tmp_path_factory.mktemp("fresh")
    make(fresh, "n=9000", "shard=1000")
    real = Path.replace
    for stop in range(2):
        out = tmp_path_factory.mktemp("out") / "out"
        shutil.copytree(whole, out)
        done = []

        def cut(path, to, done=done, stop=stop):
            if path.parent.name == "split=train":
                if len(done) == stop:
                    raise KeyboardInterrupt
                done.append(path)
            return real(path, to)

        monkeypatch.setattr(Path, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            make(out, "n=9000", "shard=1000", extend=True)
        monkeypatch.setattr(Path, "replace", real)
        with pytest.raises(ConfigError, match="n: 9000 there, 3000 here"):
            job(replace(config, out=str(out)))
        make(out, "n=9000", "shard=1000", extend=True)
        assert files(out) == files(fresh)


@pytest.mark.parametrize(("shard", "workers"), [(150, 1), (1000, 2), (4096, 3), (333, 8)])
def test_layouts_and_interruptions_change_no_value(tmp_path, shard, workers):
    """Files of any size by any number of workers, of a run that lost one, of one that was extended: the same rows."""
    small = make(tmp_path, "n=2000", f"shard={shard}", workers=workers)
    last = plan(small)[-1]
    (tmp_path / last.file).unlink()
    config = make(tmp_path, "n=3000", f"shard={shard}", workers=workers, extend=True)
    for split in config.splits:
        parts = sorted((tmp_path / "data" / f"split={split.name}").iterdir())
        found = pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts])
        assert found.cast(write.schema(config)).equals(table(config, split.name, 0, split.rows))

"""A file's way to its place: the old one or the whole new one, whatever fails, and whoever is killed."""

import errno
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import ROOT, files

from fastgen import commit, write
from fastgen.doors import compose
from fastgen.run import job
from fastgen.shard import plan, table


def test_a_file_that_fails_is_not_there(tmp_path):
    """Whatever is raised while a file is written; and what was there before stays."""
    config = replace(compose("n=3000"), out=str(tmp_path))
    commit.make(tmp_path / ".staging")
    name = "data/split=train/train-00000-of-00001.parquet"

    def broken():
        yield table(config, "train", 0, 10)
        raise KeyboardInterrupt

    def stage(tables):
        return commit.stage_parquet(tmp_path, name, write.schema(config), tables, **write.options(config))

    with pytest.raises(KeyboardInterrupt):
        stage(broken())
    assert files(tmp_path) == {}
    staged = stage([table(config, "train", 0, 10)])
    size, sha256 = commit.check(staged)
    commit.publish(staged.path, tmp_path / name)
    before = files(tmp_path)
    assert before == {name: sha256}
    assert (tmp_path / name).stat().st_size == size
    with pytest.raises(KeyboardInterrupt):
        stage(broken())
    assert files(tmp_path) == before


@pytest.mark.parametrize("cut", [0, 1, 100, None])
def test_a_file_that_is_not_whole_is_found_and_removed(tmp_path, cut):
    """Cut off behind so many bytes, or whole but of fewer rows than were written."""
    config = replace(compose("n=3000"), out=str(tmp_path))
    write.prepare(config)
    made = table(config, "train", 0, 10)
    staged = commit.stage_parquet(tmp_path, "a.parquet", made.schema, [made], **write.options(config))
    if cut is None:
        staged = replace(staged, rows=11)
    else:
        staged.path.write_bytes(staged.path.read_bytes()[:cut])
    with pytest.raises(OSError, match="holds 10 rows instead of 11" if cut is None else "can't be read back"):
        commit.check(staged)
    assert not staged.path.exists()


def test_a_file_that_does_not_get_to_the_disk_does_not_appear(tmp_path, monkeypatch):
    """The disk's error ends the run, is told, and leaves what was finished before it."""
    real, calls = os.fsync, []

    def fails(number):
        calls.append(number)
        if len(calls) == 7:  # manifest, chains, then a file and the manifest, in turns: the third file
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(number)

    monkeypatch.setattr(os, "fsync", fails)
    config = replace(compose("n=3000", "shard=300", "workers=2"), out=str(tmp_path / "out"))
    with pytest.raises(SystemExit) as ended:
        job(config)
    assert ended.value.code == 1
    listed = write.read_manifest(tmp_path / "out").files
    data = {name for name in files(tmp_path / "out") if name.startswith("data/")}
    assert set(listed) <= data
    assert len(data) < 10
    monkeypatch.setattr(os, "fsync", real)
    job(config)
    assert len([name for name in files(tmp_path / "out") if name.startswith("data/")]) == 10


def test_a_file_of_other_columns_is_found(tmp_path):
    config = replace(compose("n=3000"), out=str(tmp_path))
    commit.make(tmp_path / ".staging")
    made = table(config, "train", 0, 10)
    staged = commit.stage_parquet(tmp_path, "a.parquet", made.schema, [made], **write.options(config))
    commit.check(staged)
    with pytest.raises(OSError, match="holds other columns"):
        commit.check(replace(staged, schema=made.select(["x"]).schema))


def test_what_is_at_its_place_is_on_the_disk(tmp_path, monkeypatch):
    """In this order: the data, the name, the folder; then the line of the journal, and at last the manifest."""
    calls = []

    def spy(owner, name, seen):
        real = getattr(owner, name)

        def called(*arguments):
            calls.append((name, seen(*arguments)))
            return real(*arguments)

        monkeypatch.setattr(owner, name, called)

    def place(target):
        path = target if isinstance(target, Path) else Path(os.readlink(f"/proc/self/fd/{target}"))
        return path.relative_to(tmp_path).as_posix()

    spy(os, "fsync", place)
    spy(Path, "replace", lambda path, to: place(path))
    config = replace(compose("n=300", "shard=1000", "workers=1"), out=str(tmp_path / "out"))
    job(config)
    for shard in plan(config):
        staged = f"out/.staging/{Path(shard.file).name}"
        at = calls.index(("fsync", staged))
        journal = f"out/.staging/{write.journal(tmp_path, config.identity()).name}"
        within = [call for call in calls[at : at + 9] if call[1] in (staged, f"out/{Path(shard.file).parent}", journal)]
        assert within[:4] == [
            ("fsync", staged),
            ("replace", staged),
            ("fsync", f"out/{Path(shard.file).parent}"),
            ("fsync", journal),
        ]
    assert calls[-3:] == [
        ("fsync", "out/.staging/manifest.json"),
        ("replace", "out/.staging/manifest.json"),
        ("fsync", "out"),
    ]
    folders = [place for name, place in calls if name == "fsync" and not place.startswith("out/.staging/")]
    assert folders[:3] == [".", "out", "out"]  # the names of out, .staging and manifest.json
    assert "out/data" in folders  # those of the splits' folders


def test_a_failure_ends_all_at_once_and_is_named(tmp_path, monkeypatch, capsys):
    """Where a file can't get to its place: few more are begun, though forty are to do, and the first error passes."""
    config = replace(compose("n=20_000", "shard=500", "workers=2"), out=str(tmp_path / "out"))
    real, begun = commit.publish, []

    def fails(staged, path):
        if path.suffix == ".parquet" and "split=" in path.parent.name:
            begun.append(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(staged))
        real(staged, path)

    monkeypatch.setattr("fastgen.shard.publish", fails)
    with pytest.raises(SystemExit) as ended:
        job(config)
    assert ended.value.code == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"fastgen: {tmp_path}/out/.staging/{begun[0].name}: Input/output error"
    assert second == "fastgen: finished files are kept; the same command goes on when the cause is removed"
    assert len(begun) < 12


def test_a_full_disk_says_what_is_needed(tmp_path, monkeypatch, capsys):
    config = replace(compose("n=20_000", "shard=1000", "workers=1"), out=str(tmp_path / "out"))
    real, count = commit.publish, []

    def fails(staged, path):
        count.append(path)
        if len(count) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(staged))
        real(staged, path)

    monkeypatch.setattr("fastgen.shard.publish", fails)
    with pytest.raises(SystemExit):
        job(config)
    said = capsys.readouterr().err.splitlines()[0]
    needed = re.search(
        r"No space left on device; the 12,000 examples that are missing need (\S+) MB, (\S+) MB are free", said
    )
    assert needed, said
    monkeypatch.undo()
    before = sum(path.stat().st_size for path in (tmp_path / "out/data").rglob("*.parquet"))
    job(config)
    after = sum(path.stat().st_size for path in (tmp_path / "out/data").rglob("*.parquet"))
    assert float(needed[1]) == pytest.approx((after - before) / 1e6, rel=0.05)


def test_what_fails_beside_the_shards_ends_the_run(tmp_path, monkeypatch, capsys):
    def fail(config):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(tmp_path / "chains.parquet"))

    monkeypatch.setattr(write, "write_chains", fail)
    config = compose("n=2_000_000", "shard=10_000", f"out='{tmp_path / 'out'}'", "workers=1", "columns=[index,x]")
    with pytest.raises(SystemExit) as ended:
        job(config)
    assert ended.value.code == 1
    assert "chains.parquet: Input/output error" in capsys.readouterr().err
    assert len([*tmp_path.glob("out/data/*/*.parquet")]) < 100


def test_memory_that_is_not_there(tmp_path, monkeypatch, capsys):
    config = replace(compose("n=3000", "shard=1000", "workers=2"), out=str(tmp_path / "out"))

    def fails(*arguments):
        raise MemoryError

    monkeypatch.setattr("fastgen.launch.local.Rows", fails)
    with pytest.raises(SystemExit) as ended:
        job(config)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert re.match(
        r"fastgen: out of memory \(the workers hold 2 times up to .* MB, row groups of 1,000 examples\); lower workers",
        said,
    )
    assert not list((tmp_path / "out").rglob("data/*/*.parquet"))
    monkeypatch.undo()
    job(config)
    assert len(list((tmp_path / "out").rglob("data/*/*.parquet"))) == 4


# A few of tests/campaign_faults.py


def campaign(*arguments):
    done = subprocess.run(
        [sys.executable, ROOT / "tests/campaign_faults.py", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "all as it should be" in done.stdout.splitlines()[-1]


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="the faults are Linux's, and need a compiler"
)
@pytest.mark.parametrize(("scenario", "fault"), [("new", "EIO"), ("extend", "KILL"), ("overwrite", "ENOSPC")])
def test_faults_of_the_file_system(scenario, fault):
    campaign("operations", scenario, fault, "67")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the campaign forks")
@pytest.mark.parametrize("arguments", [("kills", "extend", "5"), ("starts", "2")])
def test_deaths_and_rivals(arguments):
    campaign(*arguments)

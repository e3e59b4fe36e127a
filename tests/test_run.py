"""`python -m fastgen.run` as a user runs it: what it prints, how it ends, and what it leaves when it is stopped.

All of it holds on Linux, macOS and Windows, except what a test's mark says.
"""

import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers import command, ended, fastgen, files, on_terminal

from fastgen.doors import compose
from fastgen.shard import plan

SMALL = "n=3000", "shard=1000"

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither POSIX signals nor limits of a process")
linux = pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is stated for Linux (KiB)")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A finished run: (folder it ran in, what it printed)."""
    folder = tmp_path_factory.mktemp("run")
    return folder, fastgen("run", *SMALL, "out=a/corpus", "seed=3", "workers=2", cwd=folder)


def test_a_run_writes_its_folder_and_nothing_else(corpus):
    """From another directory than the checkout; no outputs/, no log."""
    folder, done = corpus
    ended(done, 0)
    beside = ("README.md", "chains.parquet", "manifest.json", "tokenizer.json", "tokenizer_config.json")
    names = [f"a/corpus/{name}" for name in beside]
    names += [f"a/corpus/{shard.file}" for shard in plan(compose(*SMALL))]
    assert sorted(files(folder)) == sorted(names)
    assert sorted(path.name for path in folder.iterdir()) == ["a"]
    assert sorted(path.name for path in (folder / "a/corpus").iterdir()) == [
        "README.md",
        "chains.parquet",
        "data",
        "manifest.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_summary(corpus):
    folder, done = corpus
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["split", "examples", "chains", "share", "asked", "length", "chains", "of"],
        ["train", "2,400", "346", "80.1%", "80.0%", "8"],
        ["validation", "600", "86", "19.9%", "20.0%", "8"],
    ]
    assert "4 files, " in lines[4]
    assert "examples/s" in lines[4]
    assert "67% of validation runs a chain that stands whole inside a chain of train" in lines
    row = pq.read_table(folder / "a/corpus/data/split=train/train-00000-of-00003.parquet", partitioning=None)
    first = row.slice(0, 1).to_pylist()[0]
    x, y = (" ".join(map(str, first[name])) for name in "xy")
    heads = first["chain"].split(" ")
    assert lines[-len(heads) - 2 : -len(heads)] == ["train 0", f"{x} -> {y} :"]
    assert [line.split()[0] for line in lines[-len(heads) :]] == heads


def test_no_progress_bar_without_a_terminal(corpus):
    _, done = corpus
    assert done.stderr == ""
    assert "\r" not in done.stdout


def test_the_same_command_again_does_nothing(corpus):
    folder, _ = corpus
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    done = fastgen("run", *SMALL, "out=a/corpus", "seed=3", "workers=1", cwd=folder)
    ended(done, 0)
    assert done.stdout == "a/corpus holds this corpus already, whole: nothing to do\n"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_another_corpus_in_the_same_folder_is_refused(corpus):
    folder, _ = corpus
    before = files(folder)
    done = fastgen("run", "n=4000", "k=7", "shard=1000", "out=a/corpus", "seed=3", cwd=folder)
    ended(done, 2)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("fastgen: out=a/corpus: holds another corpus; choose another folder")
    assert sorted(line.strip() for line in lines[1:3]) == ["k: 11 there, 7 here", "n: 3000 there, 4000 here"]
    assert files(folder) == before


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").write_text("mine")
    done = fastgen("run", *SMALL, "out=.", cwd=tmp_path)
    ended(done, 2)
    assert "out=.: holds data, but no manifest.json" in done.stderr
    assert list(files(tmp_path)) == ["data/mine"]


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    done = fastgen("run", *SMALL, "out=file/below", cwd=tmp_path)
    ended(done, 1)
    assert len(done.stderr.splitlines()) <= 2
    assert "file" in done.stderr.splitlines()[0]
    assert list(files(tmp_path)) == ["file"]


@posix
@pytest.mark.parametrize("limit", [1_000, 20_000])
def test_a_disk_that_fills(corpus, tmp_path, limit):
    """A limit on the size of files fails as a full disk does, in the manifest or in the first file of data."""
    resource = pytest.importorskip("resource")
    arguments, options = command("run", "n=20_000", "shard=5000", "out=out", cwd=tmp_path)

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(arguments, **options, capture_output=True, check=False, preexec_fn=limited, timeout=300)
    ended(done, 1)
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert "File too large" in lines[0]
    assert "the same command goes on" in lines[1]
    assert not list((tmp_path / "out").rglob("data/*/*"))
    if limit == 20_000:
        assert not list((tmp_path / "out/.staging").iterdir())
        again = fastgen("run", "n=20_000", "shard=5000", "out=out", cwd=tmp_path)
        ended(again, 0)
        ended(fastgen("run", "n=20_000", "shard=5000", "out=whole", cwd=tmp_path), 0)
        assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_without_a_cache_for_compiled_code(tmp_path, uncached):
    done = fastgen("run", "graph=small", "n=200", "out=out", cwd=tmp_path, **uncached)
    ended(done, 0)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "NUMBA_CACHE_DIR" in done.stderr
    ended(fastgen("run", "graph=small", "n=200", "out=cached", cwd=tmp_path), 0)
    assert files(tmp_path / "out") == files(tmp_path / "cached")


@posix
def test_progress_on_a_terminal(tmp_path):
    arguments, options = command("run", *SMALL, "out=out", cwd=tmp_path)
    printed, shown = on_terminal(arguments, **options)
    assert "\r" not in printed
    assert "3.00k/3.00k" in shown
    assert "examples/s" in shown


def resident(folder, n):
    """The most memory that a run of n held, in bytes.

    From /proc: `ru_maxrss` would count what this process held when it forked, which is more where it has compiled.
    """
    arguments, options = command("run", f"n={n}", "shard=200_000", "workers=2", f"out=out{n}", cwd=folder)
    running = subprocess.Popen(arguments, **options, stdout=subprocess.DEVNULL)
    peak = 0
    while running.poll() is None:
        status = Path(f"/proc/{running.pid}/status").read_text()
        peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), peak)
        time.sleep(0.01)
    assert running.returncode == 0
    assert peak > 0
    return peak * 1024


@linux
def test_memory_does_not_grow_with_n(tmp_path):
    once, twice = resident(tmp_path, 1_000_000), resident(tmp_path, 2_000_000)
    assert twice < 1.08 * once
    assert twice < 700 * 2**20

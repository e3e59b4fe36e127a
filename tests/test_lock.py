"""One writer to a folder: who comes second is told who writes; who died leaves nothing in the way."""

import json
import os
import platform
import subprocess
import sys
import time
from threading import Event, Thread

import pytest
from helpers import ROOT, command, ended, fastgen, files

from fastgen import lock
from fastgen.values import ConfigError


def written(out, **values):
    """A lock file as another run leaves it."""
    who = {"host": platform.node(), "pid": 1, "since": "2020-02-02T20:20:20+00:00", "run": "other"}
    (out / lock.NAME).write_text(json.dumps(who | values))


@pytest.fixture
def hasty(monkeypatch):
    """A writer is silent after half a second."""
    monkeypatch.setattr(lock, "SILENCE", 0.5)
    monkeypatch.setattr(lock, "BEAT", 0.1)


def test_the_lock_is_there_while_it_is_held_and_not_after(tmp_path):
    with lock.held(tmp_path / "out"):
        assert lock.is_there(tmp_path / "out")
        [path] = (tmp_path / "out").iterdir()
        who = json.loads(path.read_text())
        assert (who["host"], who["pid"]) == (platform.node(), os.getpid())
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(RuntimeError), lock.held(tmp_path / "out"):
        raise RuntimeError
    assert not list((tmp_path / "out").iterdir())


def test_the_second_is_told_who_writes(tmp_path):
    with lock.held(tmp_path), pytest.raises(ConfigError) as refused, lock.held(tmp_path):
        pass
    said = str(refused.value)
    assert said.startswith(f"out={tmp_path}: is being written by process {os.getpid()} on {platform.node()} since 20")
    assert said.endswith("; wait for it, or choose another folder")


def test_a_second_run_is_refused_and_writes_nothing(tmp_path):
    with lock.held(tmp_path / "out"):
        before = files(tmp_path)
        done = fastgen("run", "n=300", "out=out", cwd=tmp_path)
        ended(done, 2)
        assert done.stderr.startswith(f"fastgen: out=out: is being written by process {os.getpid()} on ")
        assert files(tmp_path) == before
    ended(fastgen("run", "n=300", "out=out", cwd=tmp_path), 0)


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path):
    script = "import sys, time; from pathlib import Path; from fastgen import lock\n"
    script += "with lock.held(Path('out')): print('held', flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    assert running.stdout.readline() == b"held\n"
    with pytest.raises(ConfigError, match=f"process {running.pid} "), lock.held(tmp_path / "out"):
        pass
    running.kill()
    running.communicate()
    assert lock.is_there(tmp_path / "out")
    begun = time.monotonic()
    with lock.held(tmp_path / "out"):
        assert time.monotonic() - begun < 1
    assert not lock.is_there(tmp_path / "out")


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}", "[" * 100_000, "\0" * 50])
def test_a_lock_file_that_says_nothing_is_no_lock(tmp_path, content):
    (tmp_path / lock.NAME).write_text(content)
    with lock.held(tmp_path):
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()


def test_another_machine_that_is_silent_is_dead(tmp_path, hasty, capsys):
    written(tmp_path, host="elsewhere", pid=12)
    begun = time.monotonic()
    with lock.held(tmp_path):
        assert time.monotonic() - begun > 0.4
    said = capsys.readouterr().err
    assert "is being written by process 12 on elsewhere since 2020-02-02T20:20:20+00:00" in said
    assert "waiting 0 s for a sign of life" in said


def test_another_machine_that_gives_a_sign_of_life_is_alive(tmp_path, hasty):
    written(tmp_path, host="elsewhere", pid=12)
    before = files(tmp_path)
    over = Event()
    who = json.loads((tmp_path / lock.NAME).read_text())
    beating = Thread(target=lock._beat, args=(tmp_path / lock.NAME, who, over))
    beating.start()
    with pytest.raises(ConfigError, match="process 12 on elsewhere"), lock.held(tmp_path):
        pass
    over.set()
    beating.join()
    assert files(tmp_path) == before


@pytest.mark.parametrize("host", [None, "elsewhere"])
def test_without_locks_of_the_system_signs_of_life_decide(tmp_path, hasty, monkeypatch, host):
    """As on a file system that has none: a lock of this machine is looked at like one of another."""
    monkeypatch.setattr(lock, "_lock", lambda descriptor: None)
    with lock.held(tmp_path), pytest.raises(ConfigError, match=f"process {os.getpid()} "), lock.held(tmp_path):
        pass
    assert not lock.is_there(tmp_path)
    written(tmp_path, **({"host": host} if host else {}))
    with lock.held(tmp_path):
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()


def test_who_was_taken_for_dead_ends(tmp_path):
    script = "import time; from pathlib import Path; from fastgen import lock; lock.BEAT = 0.1\n"
    script += "with lock.held(Path('out')): print('held', flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment, **pipes)
    assert running.stdout.readline() == "held\n"
    written(tmp_path / "out", host="elsewhere", pid=12)
    _, error = running.communicate(timeout=20)
    assert running.returncode == 1
    assert "was taken over, because this run gave no sign of life for 60 s" in error
    assert "process 12 on elsewhere" in error
    assert lock.is_there(tmp_path / "out")


def test_eight_commands_at_once(tmp_path):
    """Exactly one writes. The others are refused, or come when all is done."""
    ended(fastgen("run", "n=3000", "shard=300", "out=whole", cwd=tmp_path), 0)
    arguments, options = command("run", "n=3000", "shard=300", "out=out", cwd=tmp_path)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = [subprocess.Popen(arguments, **options, **pipes) for _ in range(8)]
    done = [(process, *process.communicate(timeout=300)) for process in running]
    wrote = [printed for process, printed, _ in done if process.returncode == 0 and "examples/s" in printed]
    late = [printed for process, printed, _ in done if process.returncode == 0 and "nothing to do" in printed]
    refused = [error for process, _, error in done if process.returncode == 2]
    assert len(wrote) == 1
    assert len(late) + len(refused) == 7
    assert all(error.startswith("fastgen: out=out: is being written by ") for error in refused)
    assert files(tmp_path / "out") == files(tmp_path / "whole")

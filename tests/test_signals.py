"""Signals end a run within seconds, by the exit code of convention; nothing is half there, and the command goes on."""

import json
import signal
import subprocess
import sys
import threading
import time

import pytest
from helpers import SLOW, command, ended, fastgen, files

from fastgen import signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no POSIX signals")

SLOWEST = "n=500_000", "columns=[index,trace]", "parquet.codec=brotli", "parquet.level=11", "workers=1"
"""A row group takes a minute."""


def started(*overrides, cwd, **env):
    arguments, options = command("run", *overrides, cwd=cwd, **env)
    return subprocess.Popen(arguments, **options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(running, appears, folder):
    """Until a file that fits the pattern `appears` in the folder."""
    deadline = time.monotonic() + 120
    while not list(folder.rglob(appears)):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end(running, number, within):
    """The run ends by itself, soon, and says what to do."""
    asked = time.monotonic()
    printed, error = running.communicate(timeout=120)
    assert time.monotonic() - asked < within
    ended(subprocess.CompletedProcess(running.args, running.returncode, printed, error), 128 + number)
    assert printed == ""
    name = signal.Signals(number).name
    expected = f"fastgen: interrupted ({name}); finished files are kept, and the same command goes on"
    assert error.strip().splitlines()[-1] == expected


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_and_the_same_command_again(tmp_path, name):
    number, whole, cut = getattr(signal, name), tmp_path / "whole", tmp_path / "cut"
    ended(fastgen("run", *SLOW[:-1], "out=whole", cwd=tmp_path), 0)
    running = started(*SLOW, "out=cut", cwd=tmp_path)
    wait_for(running, "data/*/*.parquet", cut)
    running.send_signal(number)
    end(running, number, within=4)
    finished = {name: digest for name, digest in files(cut).items() if name.startswith("data/")}
    assert 0 < len(finished) < 10
    assert finished.items() <= files(whole).items()
    [journal] = (cut / ".staging").iterdir()
    assert {json.loads(line)["file"] for line in journal.read_text().splitlines()} == set(finished)
    assert not (cut / ".lock").exists()

    again = fastgen("run", *SLOW, "out=cut", cwd=tmp_path)
    ended(again, 0)
    assert f"cut holds {len(finished)} of the 10 files already: going on" in again.stderr
    assert files(cut) == files(whole)
    assert not (cut / ".staging").exists()


def test_a_second_interrupt_ends_at_once(tmp_path):
    running = started(*SLOWEST, "out=out", cwd=tmp_path)
    wait_for(running, ".staging/*.parquet", tmp_path)
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    end(running, signal.SIGINT, within=2)
    assert not list(tmp_path.rglob("data/*/*"))
    assert not (tmp_path / "out/.lock").exists()


def test_a_row_group_that_takes_long_is_not_waited_for(tmp_path):
    running = started(*SLOWEST, "out=out", cwd=tmp_path)
    wait_for(running, ".staging/*.parquet", tmp_path)
    time.sleep(1)
    running.send_signal(signal.SIGTERM)
    end(running, signal.SIGTERM, within=signals.GRACE + 2)
    assert not list(tmp_path.rglob("data/*/*"))


def test_an_interrupt_while_kernels_are_compiled(tmp_path, uncached):
    """Compiling begins when tokenizer.json is there. No call of LLVM, which may take 10 s, is waited for."""
    for pause in (0, 3):
        running = started("n=3000", f"out=out{pause}", cwd=tmp_path, **uncached)
        wait_for(running, "tokenizer.json", tmp_path / f"out{pause}")
        time.sleep(pause)
        running.send_signal(signal.SIGINT)
        end(running, signal.SIGINT, within=3)
        assert not list(tmp_path.rglob("data/*/*"))


def test_handlers_are_as_before(monkeypatch):
    before = [signal.getsignal(number) for number in signals.NUMBERS]
    with signals.watched() as stop:
        stop.raise_if_asked()
        stop.heeded = True
        signal.raise_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while stop.number is None and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(signals.Stopped, match="SIGTERM") as stopped:
            stop.raise_if_asked()
        assert stopped.value.code == 143
    assert [signal.getsignal(number) for number in signals.NUMBERS] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_other_threads_may_run_jobs_too():
    """Python lets them set no handlers; then nothing is heard."""
    seen = []

    def enter():
        with signals.watched() as stop:
            seen.append(stop.number)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [None]

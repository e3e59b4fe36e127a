"""python tests/campaign_faults.py operations|kills|starts ...: faults of disks, deaths and rivals, by the thousand.

    operations SCENARIO FAULT [EVERY [FIRST]]  fail each operation on the file system in turn, or every EVERYth, until a
                                               run has no more: EIO once, ENOSPC from there on, or KILL (and a write is
                                               done by half)
    kills SCENARIO NUMBER [SEED]               SIGKILL at random times
    starts NUMBER                              eight processes at once on one folder

After each, nothing may be visible under data/ but whole files; the same command must end with the bytes of a run that
nothing happened to; of eight, one must write. Scenarios: new, extend, overwrite. A process that has imported and
compiled all is forked for each run; faults are injected by faults.c below Python and Arrow, which both write files.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from helpers import files

from fastgen.doors import compose
from fastgen.run import job
from fastgen.values import ConfigError

HERE = Path(__file__).parent
FAULTS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "KILL": 0}
OVERRIDES = "n=700", "shard=200", "columns=[index,x,trace]", "workers=2", "graph=small", "text=names"
SCENARIOS = {"new": None, "extend": "n=500", "overwrite": "k=7"}
"""name -> what is other in the corpus that is there before."""


def build(folder: Path) -> Path:
    """The compiled faults.c."""
    library = folder / "faults.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "faults.c", "-ldl"], check=True)
    return library


def forked(action: Callable[[], None], log: Path) -> int:
    """Begin `action` in a child, whose output goes to `log`; its process id."""
    sys.stdout.flush()
    if child := os.fork():
        return child
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = sys.stderr = open(log, "a", buffering=1, encoding="utf-8")
        action()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except ConfigError as error:
        print(f"refused: {error}")
        code = 2
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """The exit code of a child, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Scenario:
    """A command, the folder that it finds, and the one that it must leave."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.keys = {name: True} if name != "new" else {}
        self.config = replace(compose(*OVERRIDES), out=str(self.out))
        self.before: Path | None = None
        if other := SCENARIOS[name]:
            self.before = folder / "before"
            job(replace(compose(*OVERRIDES, other), out=str(self.before)))
        job(self.config)  # in this process and here, so that no child has to compile or to solve examples again
        self.whole = files(self.out)
        self.old = files(self.before) if self.before else {}

    def reset(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        if self.before:
            shutil.copytree(self.before, self.out)

    def begin(self, action: Callable[[], None] | None = None) -> int:
        """The command in a child, or an action that runs it among others."""
        return forked(action or self.run, self.folder / "log")

    def run(self) -> None:
        job(self.config, **self.keys)

    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8")

    def check_visible(self) -> None:
        """Each file under data/ is whole, of the corpus before or of this one; and so is what calls itself complete."""
        found = {name: digest for name, digest in files(self.out).items() if not name.startswith((".staging", ".lock"))}
        for name, digest in found.items():
            if name.startswith("data/"):
                assert digest in (self.whole.get(name), self.old.get(name)), f"{name} is half there"
        if "manifest.json" in found and json.loads((self.out / "manifest.json").read_text("utf-8"))["complete"]:
            assert found in (self.whole, self.old)

    def check_command_again(self) -> None:
        """The same command ends with the bytes that it should."""
        assert ended(self.begin()) == 0, self.log()
        found = files(self.out)
        assert found == self.whole, {name for name in {*found, *self.whole} if found.get(name) != self.whole.get(name)}


def operations(scenario: Scenario, fault: str, every: int = 1, first: int = 1) -> Iterator[int]:
    """Fail one operation after the other until a run has no more of them. Yields the exit codes."""
    shim = ctypes.CDLL(None)
    counted = scenario.folder / "counted"
    for number in itertools.count(first, every):
        scenario.reset()
        counted.unlink(missing_ok=True)

        def action(number: int = number) -> None:
            shim.arm(str(scenario.out).encode(), ctypes.c_long(number), FAULTS[fault])
            try:
                scenario.run()
            finally:
                counted.write_text(str(shim.counted()))

        code = ended(scenario.begin(action))
        log = scenario.log()
        if counted.exists() and int(counted.read_text()) < number:
            assert code == 0, log
            return
        assert code in ((-signal.SIGKILL,) if fault == "KILL" else (1, 0)), (number, code, log)
        assert "Traceback" not in log, (number, log)
        assert code != 1 or log.splitlines()[-1].endswith("the same command goes on when the cause is removed"), log
        scenario.check_visible()
        scenario.check_command_again()
        yield code


def kills(scenario: Scenario, times: int, seed: int = 0) -> Iterator[int]:
    """SIGKILL at random times of a run, of which about one in ten has ended before. Yields the exit codes."""
    scenario.reset()
    begun = time.perf_counter()
    assert ended(scenario.begin()) == 0, scenario.log()
    takes, chance = time.perf_counter() - begun, random.Random(seed)
    for _ in range(times):
        scenario.reset()
        child = scenario.begin()
        time.sleep(chance.uniform(0, 1.1 * takes))
        os.kill(child, signal.SIGKILL)
        yield ended(child)
        scenario.check_visible()
        scenario.check_command_again()


def starts(scenario: Scenario, times: int, processes: int = 8) -> Iterator[Counter[str]]:
    """Processes that start at once. Yields how many wrote, were refused, or came when all was done."""
    for _ in range(times):
        scenario.reset()
        begin = time.monotonic() + 0.5

        def action(begin: float = begin) -> None:
            time.sleep(max(0, begin - time.monotonic()))
            scenario.run()

        logs = [scenario.folder / f"log{number}" for number in range(processes)]
        children = [forked(action, log) for log in logs]
        codes, texts = [ended(child) for child in children], [log.read_text("utf-8") for log in logs]
        found = Counter(
            "wrote" if code == 0 and "examples/s" in text
            else "came late" if code == 0 and "nothing to do" in text
            else "refused" if code == 2 and "is being written by" in text
            else f"{code}: {text}"
            for code, text in zip(codes, texts, strict=True)
        )  # fmt: skip
        assert found["wrote"] == 1, found
        assert set(found) <= {"wrote", "came late", "refused"}, found
        assert files(scenario.out) == scenario.whole
        yield found


@contextlib.contextmanager
def scenario(name: str) -> Iterator[Scenario]:
    """The scenario, in a folder that is removed."""
    with tempfile.TemporaryDirectory() as folder:
        yield Scenario(name, Path(folder))


def main(what: str, *arguments: str) -> None:
    """One campaign; prints what it found."""
    if what == "operations" and "faults.so" not in os.environ.get("LD_PRELOAD", ""):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "LD_PRELOAD": str(build(Path(folder)))}
            sys.exit(subprocess.run([sys.executable, __file__, what, *arguments], env=environment).returncode)
    if what == "operations":
        name, fault, *every = arguments
        with scenario(name) as one:
            found: Counter[object] = Counter(operations(one, fault, *map(int, every)))
    elif what == "kills":
        name, times, *seed = arguments
        with scenario(name) as one:
            found = Counter(kills(one, int(times), *map(int, seed)))
    else:
        with scenario("new") as one:
            found = sum(starts(one, int(arguments[0])), Counter())
    print(what, *arguments, "->", dict(found), "and all as it should be")


if __name__ == "__main__":
    main(*sys.argv[1:])

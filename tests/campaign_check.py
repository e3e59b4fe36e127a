"""python tests/campaign_check.py [damages] [seed]: damage corpora in thousands of ways, and count what finds it.

Each time a whole corpus is copied, damaged in one way (`damage.DAMAGES`, in turns), and looked at by: `check`, in this
process, as the command does it; Parquet's page checksums alone, on every data file that is there; a plain reader, that
reads all of `data/` as one dataset. For the last two, what they read has to be the rows of the whole corpus, or else
they must have failed: a reader does not know how many rows there should be. Exit code 1 if `check` misses any, or lets
anything but its own errors pass.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import replace
from fractions import Fraction
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
from damage import DAMAGES

from fastgen import integrity
from fastgen.check import examine
from fastgen.doors import compose
from fastgen.run import job
from fastgen.settings import Config
from fastgen.values import ConfigError

ERRORS = (OSError, pa.ArrowException, ValueError, KeyError, TypeError, MemoryError, UnicodeDecodeError)
"""What a reader says where it can't read."""

CORPORA = (
    ["n=300", "shard=100"],
    ["n=200", "shard=50", "parquet.codec=none", "columns=[index,x,y,chain,prompt]"],
    ["n=400", "shard=150", "parquet.codec=snappy", "parquet.row_group=40"],
)


def make(folder: Path, overrides: list[str]) -> tuple[Config, Path, Path]:
    """A corpus, and another one with another seed."""
    config = compose(*overrides)
    made = []
    for seed in (0, 1):
        out = folder / str(seed)
        with redirect_stdout(StringIO()):
            job(replace(config, seed=seed, out=str(out), workers=1))
        made.append(out)
    return config, made[0], made[1]


def found_by_check(out: Path) -> bool:
    """Whether the command would end with 1 or 2. What else is raised passes: a traceback is no finding."""
    try:
        return bool(examine(integrity.opened(str(out)), False, Fraction(0)))
    except ConfigError:
        return True


def found_by_pages(out: Path) -> bool:
    """Whether a data file fails to be read with its page checksums verified."""
    try:
        for path in sorted(out.glob("data/*/*.parquet")):
            pq.read_table(path, partitioning=None, page_checksum_verification=True, use_threads=False)
    except ERRORS:
        return True
    return False


def found_by_reader(out: Path) -> bool:
    """Whether data/ fails to be read as a dataset."""
    try:
        pyarrow.dataset.dataset(out / "data", partitioning="hive").to_table(use_threads=False)
    except ERRORS:
        return True
    return False


def campaign(damages: int, seed: int, contrast: bool = True) -> tuple[Counter[tuple[str, str]], list[str]]:
    """How many damages there were, and how many each finder found, of each kind; and what `check` missed."""
    rng, counts, missed = random.Random(seed), Counter[tuple[str, str]](), []
    with tempfile.TemporaryDirectory(prefix="fastgen-campaign-") as scratch:
        corpora = [make(Path(scratch) / str(i), overrides) for i, overrides in enumerate(CORPORA)]
        for number in range(damages):
            _, whole, other = corpora[number % len(corpora)]
            damage = DAMAGES[number // len(corpora) % len(DAMAGES)]
            out = Path(shutil.copytree(whole, Path(scratch) / "out"))
            said = damage(rng, out, other)
            counts[damage.__name__, "made"] += 1
            try:
                found = found_by_check(out)
            except Exception:
                found = False
                said += "\n" + traceback.format_exc()
            if not found:
                missed.append(said)
            counts[damage.__name__, "check"] += found
            if contrast:
                counts[damage.__name__, "page checksums"] += found_by_pages(out)
                counts[damage.__name__, "plain reader"] += found_by_reader(out)
            shutil.rmtree(out)
    return counts, missed


if __name__ == "__main__":
    damages, seed = (int(given) for given in (sys.argv[1:] + ["10000", "0"][len(sys.argv) - 1 :]))
    started = time.perf_counter()
    counts, missed = campaign(damages, seed)
    kinds = [damage.__name__ for damage in DAMAGES]
    finders = ("made", "check", "page checksums", "plain reader")
    print(f"{'damage':16}" + "".join(f"{finder:>16}" for finder in finders))
    for kind in kinds:
        print(f"{kind:16}" + "".join(f"{counts[kind, finder]:16,}" for finder in finders))
    print(f"{'all':16}" + "".join(f"{sum(counts[kind, finder] for kind in kinds):16,}" for finder in finders))
    print(*missed[:20], sep="\n")
    print(f"{len(missed)} missed; {time.perf_counter() - started:.0f} s")
    sys.exit(bool(missed))

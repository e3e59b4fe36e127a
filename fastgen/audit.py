"""python -m fastgen.audit: whether the splits of a written corpus are apart, and as likely as its config says.

It takes the files for what they say, and makes nothing anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from fastgen.doors import corpus_command
from fastgen.settings import Config
from fastgen.values import ConfigError, exact, folder, optional, whole

if TYPE_CHECKING:
    from fastgen.findings import Audit


def share(value: Any) -> Fraction:
    """The reader of a share."""
    number = exact(value)
    if number > 1:
        raise ValueError("must be a share from 0 to 1, or null")
    return number


def job(data: str, out: str | None, memory: int, max: Mapping[str, Fraction | None]) -> None:
    """Print the audit of the corpus in `data`, and write it to `out`/audit.json; SystemExit(1) where it does not hold.

    Raises ConfigError where the corpus can't be read or `out` can't be written.
    """
    from tqdm import tqdm

    from fastgen import corpus, display, findings  # they import Numba and pyarrow, which --help does without

    if out is not None and Path(out).resolve().is_relative_to(Path(data).resolve()):
        raise ConfigError(f"out={out}: lies in data={data}, which is only read; name another folder, or null")
    config = corpus.open_corpus(data)
    parts, lock = corpus.parts(config), Lock()
    with tqdm(total=sum(part.rows for part in parts), unit=" rows", unit_scale=True, disable=None) as bar:

        def progress(rows: int) -> None:
            with lock:
                bar.update(rows)

        audit = findings.examine(config, parts, memory, max, progress)
    print(display.show_audit(audit))
    if out is not None:
        write(config, audit, Path(out))
    if audit.broken:
        raise SystemExit(1)


def write(config: Config, audit: Audit, out: Path) -> None:
    """Write audit.json: what the table shows, for programs. Raises ConfigError where that can't be done."""
    from fastgen import __version__
    from fastgen.write import fingerprint

    report = {
        "fastgen": __version__,
        "fingerprint": fingerprint(config),
        "holds": not audit.broken,
        "tests": audit.tests,
        "least_p": audit.least,
        "slices": audit.slices,
        "findings": [
            vars(finding) | {"found": _finite(finding.found), "holds": not audit.breaks(finding)}
            for finding in audit.findings
        ],
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "audit.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigError(f"out={out}: {error.strerror or error}; name a folder that can be written") from error


def _finite(number: float) -> float | None:
    """JSON knows no infinity."""
    return number if math.isfinite(number) else None


if __name__ == "__main__":
    limits = dict.fromkeys(("pairs", "functional", "contained"), optional(share))
    corpus_command(
        "audit", job, {"data": folder, "out": optional(folder), "memory": whole(2**20, 2**63 - 1), "max": limits}
    )

"""python -m fastgen.audit: whether the splits of a written corpus are apart, and as likely as its config says.

It takes the files for what they say, and makes nothing anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from fastgen import progress
from fastgen.doors import corpus_command
from fastgen.settings import Config
from fastgen.values import ConfigError, folder, lies_inside, optional, share, whole

if TYPE_CHECKING:
    from fastgen.findings import Audit


def job(data: str, out: str | None, memory: int, max: Mapping[str, Fraction | None]) -> None:
    """Print the audit of the corpus in `data`, and write it to `out`/audit.json; SystemExit(1) where it does not hold.

    Raises ConfigError where the corpus can't be read or `out` can't be written.
    """
    from fastgen import corpus, display, findings  # they import Numba and pyarrow, which --help does without

    if out is not None and (fault := lies_inside(out, data)):
        raise ConfigError(f"{fault}, or null")
    config = corpus.open_corpus(data)
    parts = corpus.parts(config)
    with progress.bar(sum(part.rows for part in parts), " rows") as done:
        audit = findings.examine(config, parts, memory, max, done)
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
    limits = dict.fromkeys(
        ("pairs", "functional", "contained"), optional(share("must be a share from 0 to 1, or null"))
    )
    corpus_command(
        "audit", job, {"data": folder, "out": optional(folder), "memory": whole(2**20, 2**63 - 1), "max": limits}
    )

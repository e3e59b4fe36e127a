"""python -m fastgen.check: whether the files of a written corpus are whole, and of its config; and their repair."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from fastgen import progress
from fastgen.doors import corpus_command
from fastgen.values import ConfigError, folder, share, yes_or_no

if TYPE_CHECKING:
    from fastgen.integrity import Fault, Opened


def job(data: str, digest: bool = False, regenerate: Fraction = Fraction(0), repair: bool = False) -> None:
    """Print what is wrong with the corpus in `data`; SystemExit(1) where anything is.

    Raises ConfigError where the corpus can't be read.
    """
    from fastgen import integrity  # it imports Numba and pyarrow, which --help does without

    found = integrity.opened(data)
    # the digests of a manifest that is not as it was written may be wrong, and a repair would keep them
    faults = examine(found, digest or (repair and not found.sealed), regenerate)
    if repair and faults:
        print(_listed(faults), file=sys.stderr)
        faults = _repaired(found, faults)
        found = integrity.opened(data)
        faults = [*faults, *examine(found, False, Fraction(0))]
    if faults:
        print(_listed(faults))
        names = len({fault.file for fault in faults})
        ours = any(not fault.foreign for fault in faults)
        remedy = "; repair=true makes the bad and the missing files again" if ours and not repair else ""
        counted = f"{len(faults)} fault{'s' * (len(faults) > 1)} in {names} file{'s' * (names > 1)}"
        print(f"{counted} of {data}{remedy}")
        raise SystemExit(1)
    print(_whole(found, digest, regenerate))


def examine(found: Opened, digest: bool, regenerate: Fraction) -> list[Fault]:
    """Every fault, by file; values are looked at only in files of which the bytes are right."""
    from fastgen import integrity

    faults = [*integrity.of_manifest(found), *integrity.of_folder(found)]
    with progress.bar(integrity.size(found), "B", "bytes") as done:
        faults += integrity.of_bytes(found, done)
    bad = {fault.file for fault in faults}
    found = replace(found, files={name: file for name, file in found.files.items() if name not in bad})
    if digest:
        with progress.bar(sum(file.rows for file in found.files.values()), " examples", "values") as done:
            faults += integrity.of_values(found, done)
    if groups := integrity.chosen(found, regenerate):
        with progress.bar(sum(rows for _, _, rows in groups), " examples", "again") as done:
            faults += integrity.of_regenerated(found, groups, done)
    return sorted(dict.fromkeys(faults), key=lambda fault: fault.file)


def _repaired(found: Opened, faults: list[Fault]) -> list[Fault]:
    """Make the bad and the missing files again. Returns faults that are left by it: values unlike those before.

    Raises ConfigError where the manifest may be of another corpus, or where files would be written elsewhere.
    """
    from fastgen import integrity, lock, run, write

    config, out = found.config, Path(found.config.out)
    if found.said.get("fingerprint") != write.fingerprint(config):
        rule = "the config in its manifest.json is not the one it was made with; that one stands in README.md too"
        raise ConfigError(f"data={out}: can't be repaired: {rule}; run fastgen.run with it and overwrite=true")
    if links := [fault.file for fault in faults if (out / fault.file).is_symlink()]:
        raise ConfigError(f"data={out}: can't be repaired: {links[0]} is a link; nothing is written through links")
    bad = {fault.file for fault in faults}
    if "moves" not in found.said:  # else the run that was cut off goes on first
        with lock.held(out):
            write.prepare(config, [file for name, file in found.files.items() if name not in bad])
    run.job(config)
    if not found.sealed:
        return []
    again = integrity.opened(str(out)).files
    what = "was made again and holds other values than before: this fastgen is not the one that made it"
    return [
        integrity.Fault(name, what)
        for name, file in found.files.items()
        if name in again and dict(again[name].digest) != dict(file.digest)
    ]


def _listed(faults: list[Fault]) -> str:
    return "\n".join(f"{json.dumps(fault.file)[1:-1]}: {fault.what}" for fault in faults)


def _whole(found: Opened, digest: bool, regenerate: Fraction) -> str:
    """What was compared, and the digest."""
    from fastgen import integrity
    from fastgen.display import amount

    rows = sum(file.rows for file in found.files.values())
    compared = ["every byte by its SHA-256", *(["every value by its digest"] if digest else [])]
    if groups := integrity.chosen(found, regenerate):
        compared.append(f"{sum(count for _, _, count in groups):,} examples made again")
    size = amount(integrity.size(found), "B")
    counted = f"{len(found.files)} files, {rows:,} examples, {size}"
    return f"whole: {counted} ({', '.join(compared)})\ndigest {found.said['digest']}"


if __name__ == "__main__":
    corpus_command(
        "check",
        job,
        {
            "data": folder,
            "digest": yes_or_no,
            "regenerate": share("must be a share from 0 to 1"),
            "repair": yes_or_no,
        },
    )

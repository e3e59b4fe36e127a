"""Damage to the files of a corpus: what disks, networks, programs and people do to them."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[random.Random, Path, Path], str]
"""(random numbers, the folder, another corpus) -> what was done. Every one changes the folder."""


def _files(out: Path) -> list[Path]:
    return sorted(path for path in out.rglob("*") if path.is_file())


def _any(rng: random.Random, out: Path) -> Path:
    """A file: each as likely as the others, so that small ones are hit often."""
    return rng.choice(_files(out))


def _part(rng: random.Random, out: Path) -> Path:
    return rng.choice(sorted(out.glob("data/*/*.parquet")))


def bit(rng: random.Random, out: Path, other: Path) -> str:
    """One bit of any file."""
    return _turned(rng, _any(rng, out))


def bit_of_a_page(rng: random.Random, out: Path, other: Path) -> str:
    """One bit of a Parquet file of the data, anywhere in it."""
    return _turned(rng, _part(rng, out))


def _turned(rng: random.Random, path: Path) -> str:
    data = bytearray(path.read_bytes())
    place = rng.randrange(8 * len(data))
    data[place // 8] ^= 1 << place % 8
    path.write_bytes(data)
    return f"bit {place} of {path.name}"


def stretch(rng: random.Random, out: Path, other: Path) -> str:
    """64 bytes of any file, each with another one."""
    path = _any(rng, out)
    data = bytearray(path.read_bytes())
    start = rng.randrange(max(1, len(data) - 64))
    for i in range(start, min(start + 64, len(data))):
        data[i] ^= rng.randrange(1, 256)
    path.write_bytes(data)
    return f"64 bytes from {start} of {path.name}"


def zeros(rng: random.Random, out: Path, other: Path) -> str:
    """A page of the disk, 4096 bytes, that holds zeros."""
    path = _part(rng, out)
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data)) // 4096 * 4096
    while not any(data[start : start + 4096]):
        start = rng.randrange(len(data)) // 4096 * 4096
    size = len(data[start : start + 4096])
    data[start : start + size] = bytes(size)
    path.write_bytes(data)
    return f"zeros from {start} of {path.name}"


def cut(rng: random.Random, out: Path, other: Path) -> str:
    """A file that ends too early."""
    path = _any(rng, out)
    data = path.read_bytes()
    size = rng.choice([0, len(data) - 1, rng.randrange(len(data))])
    path.write_bytes(data[:size])
    return f"{path.name} cut to {size} of {len(data)}"


def longer(rng: random.Random, out: Path, other: Path) -> str:
    """Something behind the end of a file."""
    path = _any(rng, out)
    tail = rng.choice([b"\0", b"\n", b" ", rng.randbytes(rng.randrange(1, 5000))])
    path.write_bytes(path.read_bytes() + tail)
    return f"{len(tail)} bytes behind {path.name}"


def swapped(rng: random.Random, out: Path, other: Path) -> str:
    """Two files in each other's place."""
    one, two = rng.sample(sorted(out.glob("data/*/*.parquet")), 2)
    a, b = one.read_bytes(), two.read_bytes()
    one.write_bytes(b)
    two.write_bytes(a)
    return f"{one.name} and {two.name} swapped"


def twice(rng: random.Random, out: Path, other: Path) -> str:
    """A file in the place of another one."""
    one, two = rng.sample(sorted(out.glob("data/*/*.parquet")), 2)
    two.write_bytes(one.read_bytes())
    return f"{one.name} in place of {two.name}"


def of_another(rng: random.Random, out: Path, other: Path) -> str:
    """A file of another corpus, with another seed."""
    path = _part(rng, out)
    path.write_bytes((other / path.relative_to(out)).read_bytes())
    return f"another {path.name}"


def deleted(rng: random.Random, out: Path, other: Path) -> str:
    """A file that is gone, or a whole split."""
    path = _any(rng, out)
    if rng.random() < 0.1:
        path = rng.choice(sorted(out.glob("data/*")))
        shutil.rmtree(path)
    else:
        path.unlink()
    return f"{path.name} deleted"


def added(rng: random.Random, out: Path, other: Path) -> str:
    """A file that is not of the corpus: a copy, an empty one, one of a desktop or an editor."""
    folder = rng.choice([out, out / "data", *sorted(out.glob("data/*"))])
    name = rng.choice([".DS_Store", "copy.parquet", "train-00000-of-00004.parquet", "_SUCCESS", "notes~", "x" * 200])
    path = folder / name
    while path.exists():
        path = path.with_name(path.name + "_")
    path.write_bytes(rng.choice([b"", _part(rng, out).read_bytes()]))
    return f"{path.relative_to(out)} added"


def renamed(rng: random.Random, out: Path, other: Path) -> str:
    """A file under another name, or in another folder."""
    path = _any(rng, out)
    to = rng.choice([path.with_name(path.name.upper() + "_"), out / "data" / f"_{path.name}"])
    path.replace(to)
    return f"{path.name} is now {to.name}"


def edited(rng: random.Random, out: Path, other: Path) -> str:
    """A manifest in which one value is another one, written as JSON again, by somebody who means well."""
    path = out / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    places = [*_leaves(manifest)]
    holder, key = rng.choice(places)
    before = holder[key]
    while json.dumps(holder[key]) == json.dumps(before):
        holder[key] = rng.choice(GARBAGE) if rng.random() < 0.5 else _near(rng, before)
    path.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return f"manifest: {key!r} {before!r} -> {str(holder[key])[:80]!r}"


def struck(rng: random.Random, out: Path, other: Path) -> str:
    """A manifest without one of its entries, or with one twice."""
    path = out / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    holder, key = rng.choice([*_leaves(manifest), *((manifest, key) for key in manifest)])
    if isinstance(holder, list) and rng.random() < 0.5:
        holder.append(holder[key])
    else:
        del holder[key]
    path.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return f"manifest: {key!r} struck, or twice"


GARBAGE = (
    *(None, True, False, -1, 0, 1, 2**63, 2**64, 10**400, 1.5, float("inf"), float("nan"), "", "x", "\0", "\ud800"),
    *("../../../etc/passwd", "/etc/passwd", "..\\..\\x", "data/split=train/../../../x", "file:///x", "é" * 500),
    *(
        "_target_",
        "!!python/object:os.system",
        "${oc.env:HOME}",
        "a" * 100_000,
        [],
        {},
        [[[]]],
        {"_target_": "os.system"},
    ),
    *(["../x"] * 3, {"a": {"b": {}}}, "nan", "0x10", "1e400", [None], [0] * 1000, {"": ""}, "data/split=train"),
)
"""What a manifest may hold where something else is due."""


def _leaves(tree: object) -> list[tuple[object, object]]:
    """(mapping or list, key) of every value of a tree, inner ones too."""
    if isinstance(tree, dict | list):
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        return [(tree, key) for key in keys] + [place for key in keys for place in _leaves(tree[key])]
    return []


def _near(rng: random.Random, value: object) -> object:
    """A value like this one."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + rng.choice([-1, 1, 10, -value - 1])
    if isinstance(value, str) and value:
        place = rng.randrange(len(value))
        return value[:place] + rng.choice("0123456789abcdefxyz/.") + value[place + 1 :]
    return rng.choice(GARBAGE)


DAMAGES: tuple[Damage, ...] = (
    *(bit, bit_of_a_page, stretch, zeros, cut, longer, swapped, twice, of_another, deleted, added, renamed, edited),
    struck,
)

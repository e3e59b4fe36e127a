"""Reading values: those of configs come untyped, from the command line, YAML or a manifest.

A reader takes a value and returns what it means, or raises ValueError with the rule. What is refused is a fault: key,
value, rule and remedy, in one line. All faults of a config are reported at once. Values are data: names are looked up,
nothing is executed.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgen.split import Length

if TYPE_CHECKING:  # it imports Numba, which takes longer than all of --help: functions below import it when called
    from fastgen.transforms import Transformation

MOST_VERTICES = 16
LARGEST = 65_536
"""The largest k and length: fields of 16 bits in a step code (`trace.LARGEST`)."""

MISSING = object()
_NUMBER = re.compile(r"[+-]?[0-9]+(_[0-9]+)*((\.[0-9]*)?(e[+-]?[0-9]{1,3})?|/0*[1-9][0-9]*)", re.IGNORECASE)
_LONGEST_TEXT = 100
"""No number or head is longer; more would only cost time."""


class ConfigError(ValueError):
    """The config can't be used. Its text names every fault, one to a line."""


def raise_faults(faults: list[str]) -> None:
    """Raise ConfigError, with all faults, if there are any."""
    if faults:
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise ConfigError("\n  ".join([f"{count} in the config", *faults]))


def section(faults: list[str], key: str, value: Any, known: Sequence[str], missing: object = MISSING) -> dict[str, Any]:
    """The values of a section by key. Keys that are not there are faults, unless a value for them is given."""
    if not isinstance(value, Mapping):
        if value is not MISSING:
            faults.append(f"{key}={shown(value)}: must hold the keys {', '.join(known)}")
        return dict.fromkeys(known, MISSING)
    prefix = key and f"{key}."
    faults += [
        f"{prefix}{shown(name)}={shown(value[name])}: {unknown('key', name, known)}"
        for name in value
        if name not in known
    ]
    if missing is MISSING:
        faults += [f"{prefix}{name}: is missing; --cfg job shows a whole config" for name in known if name not in value]
    return {name: value.get(name, missing) for name in known}


def read(faults: list[str], key: str, value: Any, reader: Callable[[Any], Any]) -> Any:
    """What `reader` makes of a value; None where it is missing, or refused with a ValueError that says the rule."""
    if value is MISSING:
        return None
    try:
        return reader(value)
    except ValueError as rule:
        faults.append(f"{key}={shown(value)}: {rule}")
        return None


def read_all(faults: list[str], key: str, values: Any, readers: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a section by key; where a reader is a mapping of readers, there is a section below it."""
    tree = section(faults, key, values, tuple(readers))
    prefix = key and f"{key}."
    return {
        name: read_all(faults, f"{prefix}{name}", tree[name], reader)
        if isinstance(reader, Mapping)
        else read(faults, f"{prefix}{name}", tree[name], reader)
        for name, reader in readers.items()
    }


def whole(low: int, high: int) -> Callable[[Any], int]:
    """The reader of a whole number from `low` to `high`: an int, or a float or text that means one (1e8, "1_000")."""

    def read(value: Any) -> int:
        number = _fraction(value)
        if number is None or number.denominator != 1 or not low <= number <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(number)

    return read


def exact(value: Any) -> Fraction:
    """The reader of a number that is not negative: 0.1 is exactly 1/10; text may be a ratio, "1/3"."""
    number = _fraction(value)
    if number is None or number < 0:
        raise ValueError("must be a number, not negative, such as 0.2 or 1/3")
    return number


def _fraction(value: Any) -> Fraction | None:
    """The number that a value means as it is written; None where it is no number."""
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT and _NUMBER.fullmatch(value):
        return Fraction(value)
    if isinstance(value, float) and math.isfinite(value):
        return Fraction(str(value))
    return Fraction(value) if isinstance(value, int) and not isinstance(value, bool) else None


def one_of(what: str, known: Iterable[str]) -> Callable[[Any], str]:
    """The reader of one of some names."""
    names = tuple(known)

    def read(value: Any) -> str:
        if value not in names:
            raise ValueError(unknown(what, value, names))
        return str(value)

    return read


def optional(reader: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The reader that lets null pass."""
    return lambda value: None if value is None else reader(value)


def share(rule: str) -> Callable[[Any], Fraction]:
    """The reader of a share, whose message is the rule."""

    def read(value: Any) -> Fraction:
        number = exact(value)
        if number > 1:
            raise ValueError(rule)
        return number

    return read


def yes_or_no(value: Any) -> bool:
    """The reader of true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def lengths_of(value: Any) -> Length:
    """The reader of a length, or of a range `{min, max}`."""
    form = f"must be a whole number from 1 to {LARGEST}, or a range of them such as {{min:4,max:9}}"
    try:
        if not isinstance(value, Mapping):
            value = {"min": value, "max": value}
        if set(value) != {"min", "max"}:
            raise ValueError
        length = Length(whole(1, LARGEST)(value["min"]), whole(1, LARGEST)(value["max"]))
    except ValueError:
        raise ValueError(form) from None
    if length.min > length.max:
        raise ValueError("min is above max; exchange them")
    return length


def folder(value: Any) -> str:
    """The reader of the path of a folder that is there or can be made."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be the path of a folder; a path of digits needs quotes of its own: \"out='2024'\"")
    if os.path.isfile(value):
        raise ValueError("is a file; name a folder")
    return value


def lies_inside(out: str, data: str) -> str:
    """The fault of an `out` that lies in the folder that is read; empty where it does not."""
    if not Path(out).resolve().is_relative_to(Path(data).resolve()):
        return ""
    return f"out={out}: lies in data={data}, which is only read; name another folder"


def transformation(head: Any, k: int | None, lengths: Sequence[Length] | None) -> Transformation:
    """The reader of a transformation, with its argument in canonical form as far as k and the lengths are known."""
    from fastgen.transforms import RECORDS, Transformation, split_head

    match = re.match(r"[a-z_]+", head) if isinstance(head, str) else None
    name = match[0] if match else ""
    if name not in RECORDS:
        records = sorted(RECORDS.values(), key=lambda record: record.code)
        written = ", ".join(record.name + ("<c>" if record.argument else "") for record in records)
        raise ValueError(unknown("transformation", name or head, list(RECORDS), written))
    record = RECORDS[name]
    parsed = split_head(head) if len(head) <= _LONGEST_TEXT else None
    if record.argument is None and parsed != (name, None):
        raise ValueError(f"{name} takes no argument; write {name}")
    if parsed is None or (parsed[1] is None and record.argument):
        raise ValueError(
            f"{name} needs an argument, a whole number of 0 or more glued on; write {name}<c>, such as {name}3"
        )
    argument = parsed[1]
    if argument is not None and record.argument == "modulus" and k:
        argument %= k
    if argument is not None and record.argument == "length" and lengths:
        longest = max(length.max for length in lengths)
        if all(length.min == longest for length in lengths):
            argument %= longest
        elif argument >= longest:
            raise ValueError(f"lengths differ, so the argument must be below the longest, {longest}")
    return Transformation(record, argument)


def as_json(value: Fraction) -> int | float | str:
    """A fraction as a JSON value that `exact` reads back as the same fraction."""
    if value.denominator == 1:
        return int(value)
    return float(value) if Fraction(str(float(value))) == value else str(value)


def shown(value: Any, depth: int = 3) -> str:
    """A value as it is typed on the command line, cut to a part of a line."""
    if value is None or isinstance(value, bool):
        text = "null" if value is None else str(value).lower()
    elif isinstance(value, Mapping | list | tuple) and not depth:
        text = "..."
    elif isinstance(value, Mapping):
        text = "{" + ",".join(f"{shown(key)}:{shown(item, depth - 1)}" for key, item in value.items()) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ",".join(shown(item, depth - 1) for item in value) + "]"
    elif isinstance(value, int) and value.bit_length() > 256:
        text = "..."
    else:
        text = str(value) if str(value).isprintable() and str(value) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def unknown(what: str, value: Any, known: Sequence[str], listed: str = "") -> str:
    """The rule for a name that does not exist."""
    close = get_close_matches(shown(value), known, n=1)
    nearest = f"; the nearest is {close[0]}" if close else ""
    return f"unknown {what}{nearest}; known: {listed or ', '.join(known)}"


# Workers

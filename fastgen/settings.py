"""The config: what is asked for, every rule about its values, and the only module that knows Hydra.

Values come untyped, from the command line, YAML or a manifest, and are read by the rules below. All faults are
reported at once, each with key, value, rule and remedy. Values are data: names are looked up, nothing is executed.
"""

from __future__ import annotations

import gc
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
import yaml
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fastgen.graph import Chain, Graph
from fastgen.split import Length, Split, apportion, smallest, stream, weights
from fastgen.strategies import STRATEGIES, Pool, limited, share_out, unseen
from fastgen.text.grammar import STEP, Grammar, count_of, refuse_spelling, refuse_task, template, word_of, words_of
from fastgen.text.preamble import PREAMBLES

if TYPE_CHECKING:  # these import Numba, which takes longer than all of --help: functions below import them when called
    from fastgen.classes import Classes
    from fastgen.transforms import Transformation

PACKAGE = Path(__file__).parent
CONF = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())
"""The folder of YAML files: inside the package in a wheel, beside it in a checkout."""

COLUMNS = (
    *("index", "x", "y", "chain_id", "chain", "trace", "prompt", "completion"),
    *("n_solutions", "n_train_solutions", "longest_train_part", "n_unseen_pairs"),
    *("input_ids", "labels", "roles"),
)
MOST_VERTICES = 16
LARGEST = 65_536
"""The largest k and length: fields of 16 bits in a step code (`trace.LARGEST`)."""
LARGEST_FILE = 2**18
"""Bytes of a file of lists of chains. All chains of the graph with most of them take 100,000."""

REJECTED = ("identity", "constant", "redundant")
"""Kinds of chains that can be left out: flags of `Classes`."""

CODECS: dict[str, tuple[int, range] | None] = {
    "zstd": (1, range(1, 23)),
    "gzip": (6, range(1, 10)),
    "brotli": (5, range(12)),
    "snappy": None,
    "lz4": None,
    "none": None,
}
"""name -> usual level and all of them, or None where the codec has no levels."""


class ConfigError(ValueError):
    """The config can't be used. Its text names every fault, one to a line."""


@dataclass(frozen=True)
class ChainLengths:
    """How long chains are: min..max transformations, a weight for each of these lengths; and which are left out."""

    min: int
    max: int
    weights: tuple[Fraction, ...]
    reject: tuple[str, ...]
    """Flags of `Classes`: chains that have one of them are in no split."""

    @property
    def by_length(self) -> dict[int, Fraction]:
        """Length -> its weight."""
        return dict(zip(range(self.min, self.max + 1), self.weights, strict=True))


@dataclass(frozen=True)
class SplitSet:
    """A record of `split.sets`, as given."""

    name: str
    chains: Fraction | None
    """Its share of the chains, or None where it has those of another."""
    n: int | None
    """Its own number of rows, or None for its share of the rest."""
    of: str | None
    length: Length | None
    """Its own lengths, or None for the config's."""


Lists = tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]
"""Splits, and chains of each, as heads, in order."""


@dataclass(frozen=True)
class Splitting:
    """The section `split`. A key that its strategy has not is None."""

    strategy: str
    seed: int
    sets: tuple[SplitSet, ...]
    parts: int | None
    cut: int | None
    file: Lists | None = field(hash=False)
    """What the file says."""
    rest: str | None
    folds: int | None
    fold: int | None
    limit: tuple[tuple[str, int], ...]
    """Splits, and the most chains that each may have."""
    certified: bool
    """Whether held-out examples are only such as no chain of the first split solves."""


@dataclass(frozen=True)
class Text:
    """The section `text`: which fields of a step the text shows, and what stands before a prompt."""

    step: tuple[str, ...]
    preamble: str


@dataclass(frozen=True)
class Task:
    """The section `task`: the two templates."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class Spelling:
    """The section `spelling`: words other than by their name, and the words of numbers (None: decimal)."""

    words: tuple[tuple[str, str], ...]
    numbers: tuple[str, ...] | None


@dataclass(frozen=True)
class Parquet:
    """How files are written. `level` is None where the codec has none; `row_group` counts rows."""

    codec: str
    level: int | None
    row_group: int


@dataclass(frozen=True)
class Config:
    """A config that keeps all rules, in canonical form: two spellings of one corpus are equal."""

    n: int
    k: int
    length: Length
    seed: int
    out: str
    graph: Graph
    chain: ChainLengths
    split: Splitting
    text: Text
    task: Task
    spelling: Spelling
    columns: tuple[str, ...]
    workers: int
    shard: int
    """Rows per file."""
    parquet: Parquet
    chains: tuple[Chain, ...] = field(hash=False)  # follows from the rest, and would take a millisecond to hash
    """Every chain; the index is its `chain_id`."""
    splits: tuple[Split, ...] = field(hash=False)
    """In the order of the config. The first is what a model learns from."""
    grammar: Grammar = field(hash=False)
    """What `text`, `task` and `spelling` come to."""
    warnings: tuple[str, ...]
    """What is allowed but hardly meant, a line each."""

    @property
    def longest(self) -> int:
        """The longest vector of all splits, for which step codes are sized."""
        return max(split.length.max for split in self.splits)

    @property
    def classes(self) -> Classes:
        """Which chains are the same function, at all lengths of the splits that have chains of their own."""
        return _classes(self.chains, self.k, [split.length for split in self.splits if split.of is None])

    def find(self, name: str) -> Split:
        """The split of that name. Raises ValueError where there is none."""
        for split in self.splits:
            if split.name == name:
                return split
        raise ValueError(f"{name}: {_unknown('split', name, [split.name for split in self.splits])}")

    def identity(self) -> dict[str, Any]:
        """What the bytes of a corpus depend on, as plain JSON values; not `workers`, not `out`. See `restore`."""
        from fastgen.rng import STREAM_VERSION

        return {
            "stream_version": STREAM_VERSION,
            "n": self.n,
            "k": self.k,
            "length": asdict(self.length),
            "seed": self.seed,
            "graph": {
                "layers": self.graph.layers,
                "width": self.graph.width,
                "vertices": [vertex.head for vertex in self.graph.vertices],
            },
            "chain": {
                "min": self.chain.min,
                "max": self.chain.max,
                "weights": [_number(weight) for weight in self.chain.weights],
                "reject": list(self.chain.reject),
            },
            "split": {
                "strategy": self.split.strategy,
                "seed": self.split.seed,
                "sets": {
                    record.name: {
                        "chains": None if record.chains is None else _number(record.chains),
                        "n": record.n,
                        "of": record.of,
                        "length": None if record.length is None else asdict(record.length),
                    }
                    for record in self.split.sets
                },
                "parts": self.split.parts,
                "cut": self.split.cut,
                "file": None if self.split.file is None else _texts(self.split.file),
                "rest": self.split.rest,
                "folds": self.split.folds,
                "fold": self.split.fold,
                "limit": dict(self.split.limit),
                "certified": self.split.certified,
            },
            "text": {"step": list(self.text.step), "preamble": self.text.preamble},
            "task": asdict(self.task),
            "spelling": {
                "words": dict(self.spelling.words),
                "numbers": None if self.spelling.numbers is None else list(self.spelling.numbers),
            },
            "columns": list(self.columns),
            "shard": self.shard,
            "parquet": asdict(self.parquet),
        }


# Doors


def compose(*overrides: str) -> Config:
    """The config of `python -m fastgen.run` with these overrides: `compose("k=7", "graph=mixed")`.

    Raises ConfigError.
    """
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            values = hydra.compose("run", overrides=list(overrides))
    except Exception as error:  # Hydra refuses values with errors of many kinds
        raise ConfigError(_explain(error, KEYS)) from error
    return resolve(_container(values))


def restore(identity: Mapping[str, Any], out: str) -> Config:
    """The config with this identity, of the corpus in the folder `out`. Raises ConfigError."""
    from fastgen.rng import STREAM_VERSION

    values = dict(identity)
    if (version := values.pop("stream_version", None)) != STREAM_VERSION:
        rule = f"this fastgen makes stream version {STREAM_VERSION}; install the one that made the corpus"
        raise ConfigError(f"stream_version={_shown(version)}: {rule}")
    split = values.get("split")
    if isinstance(split, Mapping) and isinstance(split.get("file"), str):  # a corpus may not choose what is read
        raise ConfigError(f"split.file={_shown(split['file'])}: an identity holds the lists themselves, not a path")
    return resolve(values | {"out": out, "workers": "auto"})


def command(root: str, job: Callable[..., None], **extra: Callable[[Any], Any]) -> None:
    """The command line of a module: `job(config, **extra)` for the config composed from `conf/<root>.yaml`.

    Prints the config's warnings first. `extra` are the keys that this root has besides those of `run`, each with the
    function that reads its value (such as `whole(0, 100)`). A fault of the config, found here, by Hydra or by the job
    (ConfigError), is one message and exit code 2; an interrupt is exit code 130. Every other error of the job passes.
    """

    def with_config(values: dict[str, Any]) -> None:
        config, more = _resolve(values, extra)
        for warning in config.warnings:
            print(f"fastgen: warning: {warning}", file=sys.stderr)
        job(config, **more)

    _main(root, with_config, (*KEYS, *extra))


def corpus_command(root: str, job: Callable[..., None], readers: Mapping[str, Any]) -> None:
    """The command line of a module that reads a written corpus, so that its keys are no config's: `job(**values)`.

    `readers` are the keys of `conf/<root>.yaml`, each with the function that reads its value; a section is a mapping
    of such, and the job gets a mapping. Faults, exit codes and errors are as in `command`.
    """

    def with_values(values: dict[str, Any]) -> None:
        faults: list[str] = []
        read = _values(faults, "", values, readers)
        _raise(faults)
        job(**read)

    sections = {key: value for key, value in readers.items() if isinstance(value, Mapping)}
    _main(root, with_values, (*readers, *(f"{key}.{name}" for key, section in sections.items() for name in section)))


def _values(faults: list[str], key: str, values: Any, readers: Mapping[str, Any]) -> dict[str, Any]:
    tree = _section(faults, key, values, tuple(readers))
    prefix = key and f"{key}."
    return {
        name: _values(faults, f"{prefix}{name}", tree[name], reader)
        if isinstance(reader, Mapping)
        else _read(faults, f"{prefix}{name}", tree[name], reader)
        for name, reader in readers.items()
    }


def _main(root: str, job: Callable[[dict[str, Any]], None], known: Sequence[str]) -> None:
    """Compose `conf/<root>.yaml` with the command line, and give its values to the job; errors as in `command`.

    `known` are the keys that there are, for the nearest to an unknown one.
    """
    gc.set_threshold(1_000_000)  # at the usual 700, collections take a tenth of the start-up, and find nothing
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    inside = False

    @hydra.main(config_path=str(CONF), config_name=root, version_base="1.3")
    def main(values: Any) -> None:
        nonlocal inside
        inside = True
        try:
            job(_container(values))
        except ConfigError as error:
            _refuse(error)
        inside = False

    with tempfile.TemporaryDirectory(prefix="fastgen-") as scratch:
        os.environ["FASTGEN_SCRATCH"] = scratch  # hydra.sweep.dir, for the multirun.yaml that a sweep always writes
        try:
            main()
        except Exception as error:
            if inside:
                raise
            _refuse(_explain(error, known))
        except KeyboardInterrupt:
            print("\nfastgen: interrupted", file=sys.stderr)
            sys.exit(130)
        finally:
            gc.freeze()  # the process ends: its last collection would take 0.2 s, for memory that goes with it


def _refuse(message: object) -> None:
    print(f"fastgen: {message}", file=sys.stderr)
    sys.exit(2)


def _container(values: Any) -> dict[str, Any]:
    """The composed config as plain values, with interpolations resolved."""
    try:
        return dict(OmegaConf.to_container(values, resolve=True, throw_on_missing=True))  # type: ignore[arg-type]
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error, KEYS)) from error


def _explain(error: Exception, known: Sequence[str]) -> str:
    """What Hydra refuses, in a few lines, with the form that works where Hydra does not say it."""
    text = re.split(r"\n+(?:Config search path|See https|    object_type)", str(error) or type(error).__name__)[0]
    if match := re.match(r"Could not override '(.+?)'", text):
        key = match[1]
        parent, _, name = key.rpartition(".")
        if parent.rpartition(".")[2] == "length":
            return f"{key}: a range is given whole: {parent}={{min:4,max:9}}"
        in_set = re.fullmatch(r"split\.sets\.\w+", parent)
        if (
            name not in SET_KEYS if in_set else parent not in ("split.sets", "split.limit")
        ):  # a split needs a +, as Hydra's text says
            siblings = [other.rpartition(".")[2] for other in known if other.rpartition(".")[0] == parent]
            return f"{key}: {_unknown('key', name, SET_KEYS if in_set else siblings or known)}"
    if isinstance(error, OverrideParseException):
        text += f"\nin {error.override}"
        text += "\na value that holds any of = , : [ ] { } needs quotes of its own: 'out=\"/data/a=b\"'"
    elif "Config group override must be" in text:
        text += "\na group takes the name of one of its files: graph=mixed, split=controls"
    elif text.startswith("Error merging override graph.vertices"):
        text += "\nlabels are the places in a list: graph.vertices.9=add5, or all of it, graph.vertices=[sort,add3,...]"
    elif isinstance(error.__cause__, OmegaConfBaseException):
        text += "\n" + str(error.__cause__).partition("\n")[0]
    return text


# Values


KEYS = (
    *("n", "k", "length", "seed", "out"),
    *("graph", "graph.layers", "graph.width", "graph.vertices"),
    *("chain", "chain.min", "chain.max", "chain.weights", "chain.reject"),
    *("split", "split.strategy", "split.seed", "split.sets"),
    *("split.parts", "split.cut", "split.file", "split.rest", "split.folds", "split.fold", "split.limit"),
    "split.certified",
    *("text", "text.step", "text.preamble"),
    *("task", "task.prompt", "task.completion"),
    *("spelling", "spelling.words", "spelling.numbers"),
    *("columns", "workers", "shard"),
    *("parquet", "parquet.codec", "parquet.level", "parquet.row_group"),
)
SET_KEYS = ("chains", "n", "of", "length")
DESIGN_KEYS = ("parts", "cut", "file", "rest", "folds", "fold", "limit")
"""Keys of the section `split` that may be left out: those of single strategies, and of designs over chains."""

_MISSING = object()
_NUMBER = re.compile(r"[+-]?[0-9]+(_[0-9]+)*((\.[0-9]*)?(e[+-]?[0-9]{1,3})?|/0*[1-9][0-9]*)", re.IGNORECASE)
_LONGEST_TEXT = 100
"""No number or head is longer; more would only cost time."""


def resolve(values: Mapping[str, Any]) -> Config:
    """The config of plain values: the keys of `conf/common.yaml`. Raises ConfigError that names every fault."""
    return _resolve(values, {})[0]


def _resolve(values: Mapping[str, Any], extra: Mapping[str, Callable[[Any], Any]]) -> tuple[Config, dict[str, Any]]:
    faults: list[str] = []
    tree = _section(faults, "", values, [*(key for key in KEYS if "." not in key), *extra])
    more = {key: _read(faults, key, tree[key], reader) for key, reader in extra.items()}
    fields = {key: _read(faults, key, tree[key], reader) for key, reader in READERS.items()}
    n, k, length = fields["n"], fields["k"], fields["length"]

    fields["parquet"] = _parquet(faults, tree["parquet"])
    fields["split"] = _split(faults, tree["split"], k, length)
    split = fields["split"]
    lengths = [record.length or length for record in split.sets] if split and length else None
    fields["graph"], layers = _graph(faults, tree["graph"], k, lengths)
    fields["chain"] = _chain(faults, tree["chain"], layers)
    fields["text"] = _text(faults, tree["text"])
    fields["task"] = _task(faults, tree["task"], fields["text"])
    fields["spelling"] = _spelling(faults, tree["spelling"])
    graph, chain = fields["graph"], fields["chain"]
    fields["grammar"] = _grammar(faults, fields, lengths)
    chains = graph.chains(chain.min, chain.max) if graph and chain else ()

    rows: Any = _rows(faults, n, split) if n and split else None
    ids = _not_rejected(faults, fields, chains) if split and chains and k and length else ()
    parts: Any = _parts(faults, fields, chains, ids) if ids else None
    if not faults:
        fields |= {"chains": chains, "splits": _splits(split, length, chain, chains, len(ids), rows, parts)}
        _refuse_uncertain(faults, fields)
    _raise(faults)
    fields["warnings"] = _warnings(fields)
    return Config(**fields), more


def _raise(faults: list[str]) -> None:
    if faults:
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise ConfigError("\n  ".join([f"{count} in the config", *faults]))


def _section(
    faults: list[str], key: str, value: Any, known: Sequence[str], missing: object = _MISSING
) -> dict[str, Any]:
    """The values of a section by key. Keys that are not there are faults, unless a value for them is given."""
    if not isinstance(value, Mapping):
        if value is not _MISSING:
            faults.append(f"{key}={_shown(value)}: must hold the keys {', '.join(known)}")
        return dict.fromkeys(known, _MISSING)
    prefix = key and f"{key}."
    faults += [
        f"{prefix}{_shown(name)}={_shown(value[name])}: {_unknown('key', name, known)}"
        for name in value
        if name not in known
    ]
    if missing is _MISSING:
        faults += [f"{prefix}{name}: is missing; --cfg job shows a whole config" for name in known if name not in value]
    return {name: value.get(name, missing) for name in known}


def _read(faults: list[str], key: str, value: Any, reader: Callable[[Any], Any]) -> Any:
    """What `reader` makes of a value; None where it is missing, or refused with a ValueError that says the rule."""
    if value is _MISSING:
        return None
    try:
        return reader(value)
    except ValueError as rule:
        faults.append(f"{key}={_shown(value)}: {rule}")
        return None


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
            raise ValueError(_unknown(what, value, names))
        return str(value)

    return read


def optional(reader: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The reader that lets null pass."""
    return lambda value: None if value is None else reader(value)


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


def columns_of(value: Any) -> tuple[str, ...]:
    """The reader of a list of columns; their order in files is always the same."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"must be a list of columns, such as [x,y,trace]; known: {', '.join(COLUMNS)}")
    for column in value:
        if column not in COLUMNS:
            raise ValueError(f"{_shown(column)} is an {_unknown('column', column, COLUMNS)}")
    if len(set(value)) < len(value):
        raise ValueError("names a column twice; name each once")
    return tuple(column for column in COLUMNS if column in value)


def reject_of(value: Any) -> tuple[str, ...]:
    """The reader of the kinds of chains that are left out."""
    if not isinstance(value, list | tuple) or not all(kind in REJECTED for kind in value):
        raise ValueError(f"must be a list of kinds of chains, any of {', '.join(REJECTED)}, such as [identity], or []")
    return tuple(kind for kind in REJECTED if kind in value)


def yes_or_no(value: Any) -> bool:
    """The reader of true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def workers_of(value: Any) -> int:
    """The reader of the number of workers: `auto` is the number of CPUs that this process may use."""
    if value == "auto":
        return cpus()
    try:
        return whole(1, 1024)(value)
    except ValueError as rule:
        raise ValueError(f"{rule}, or auto") from None


READERS: dict[str, Callable[[Any], Any]] = {
    "n": whole(1, 2**63 - 1),
    "k": whole(2, LARGEST),
    "length": lengths_of,
    "seed": whole(0, 2**64 - 1),
    "out": folder,
    "columns": columns_of,
    "workers": workers_of,
    "shard": whole(1, 2**31 - 1),
}
"""The keys that can be read each on its own."""


def _parquet(faults: list[str], value: Any) -> Parquet | None:
    tree = _section(faults, "parquet", value, ("codec", "level", "row_group"))
    codec = _read(faults, "parquet.codec", tree["codec"], one_of("codec", CODECS))
    row_group = _read(faults, "parquet.row_group", tree["row_group"], whole(1, 2**31 - 1))

    def level_of(value: Any) -> int | None:
        if levels := CODECS[codec]:
            usual, possible = levels
            return usual if value is None else whole(possible[0], possible[-1])(value)
        if value is not None:
            raise ValueError(f"{codec} has no levels; parquet.level=null")
        return None

    level = _read(faults, "parquet.level", tree["level"], level_of) if codec else None
    return Parquet(codec, level, row_group) if codec and row_group else None


def _split(faults: list[str], value: Any, k: int | None, length: Length | None) -> Splitting | None:
    known = len(faults)
    if isinstance(value, Mapping):
        value = dict.fromkeys(DESIGN_KEYS) | dict(value)
    tree = _section(faults, "split", value, ("strategy", "seed", "certified", "sets", *DESIGN_KEYS))
    strategy = _read(faults, "split.strategy", tree["strategy"], one_of("strategy", STRATEGIES))
    seed = _read(faults, "split.seed", tree["seed"], whole(0, 2**64 - 1))
    certified = _read(faults, "split.certified", tree["certified"], yes_or_no)
    sets = tree["sets"]
    if not isinstance(sets, Mapping) or not sets:
        faults.append(f"split.sets={_shown(sets)}: must hold at least one split, such as {{train:{{chains:1}}}}")
        return None

    records = [_split_set(faults, name, record, sets, length) for name, record in sets.items()]
    first = next(iter(sets))
    if _of(sets[first]) is not None:
        faults.append(
            f"split.sets.{_shown(first)}: the first split is what a model learns from; put one with chains first"
        )
    for i, name in enumerate(sets):
        for other in list(sets)[:i]:
            if stream(str(other)) == stream(str(name)):
                faults.append(f"split.sets.{name}: would get the same random stream as {other}; rename one")
    shares = {record.name: record.chains for record in records if record and record.chains}
    total = sum(shares.values(), Fraction(0))
    if None not in records and abs(total - 1) > Fraction(1, 10**9):
        given = ", ".join(f"{name} {_number(share)}" for name, share in shares.items())
        faults.append(f"split.sets: the shares of chains ({given}) sum to {_number(total)}; make them sum to 1")
    lengths = [record.length or length for record in records if record] if length else None
    design = _design(faults, tree, strategy, list(shares), k, lengths) if strategy else None
    if len(faults) > known or design is None:
        return None
    return Splitting(strategy, seed, tuple(filter(None, records)), **design, certified=certified)


def _design(
    faults: list[str],
    tree: Mapping[str, Any],
    strategy: str,
    names: Sequence[str],
    k: int | None,
    lengths: Sequence[Length] | None,
) -> dict[str, Any]:
    """The values of DESIGN_KEYS. `names` are the splits that have chains of their own."""

    def file_of(value: Any) -> Lists:
        return _lists(_yaml(value) if isinstance(value, str) else value, k, lengths)

    def limit_of(value: Any) -> tuple[tuple[str, int], ...]:
        form = "must map splits that have chains of their own to a number from 1, such as {train:50}"
        if not isinstance(value, Mapping):
            raise ValueError(form)
        given = {name: most for name, most in value.items() if most is not None}
        try:
            return tuple((one_of("split", names)(name), whole(1, 2**16)(most)) for name, most in given.items())
        except ValueError as rule:
            raise ValueError(f"{form}; {rule}") from None

    readers: dict[str, Callable[[Any], Any]] = {
        "parts": whole(2, 4),
        "cut": whole(1, MOST_VERTICES),
        "file": file_of,
        "rest": one_of("split", names),
        "folds": whole(2, 1000),
        "fold": whole(0, 999),
        "limit": limit_of,
    }
    for owner, record in STRATEGIES.items():
        for key in record.keys:
            if tree[key] is not None and owner != strategy:
                rule = f"is a key of strategy {owner}, and split.strategy={strategy}"
                faults.append(f"split.{key}={_shown(tree[key])}: {rule}; split.{key}=null, or split.strategy={owner}")
                readers[key] = lambda value: None
    known = len(faults)
    design = {key: _read(faults, f"split.{key}", tree[key], optional(reader)) for key, reader in readers.items()}
    folds, fold = design["folds"], design["fold"]
    if len(faults) == known and folds is None and fold is not None:
        faults.append(f"split.fold={fold}: is one of split.folds, and that is null; split.folds=5, or split.fold=null")
    if len(faults) == known and folds is not None and (fold is None or fold >= folds):
        faults.append(f"split.fold={_shown(fold)}: must be a whole number from 0 to {folds - 1}; split.fold=0")
    return design | {"limit": design["limit"] or ()}


def _yaml(path: str) -> Any:
    """What a YAML file of at most LARGEST_FILE bytes holds, without a tag and with every key once."""
    try:
        if not os.path.isfile(path):
            raise ValueError("is no file; name a YAML file, as seen from the current folder")
        with open(path, "rb") as file:
            text = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from None
    if len(text) > LARGEST_FILE:
        raise ValueError(f"is larger than {LARGEST_FILE} bytes, and no list of chains is; name another")
    try:
        value = yaml.safe_load(text)
        keys = [key.value for key, _ in yaml.compose(text, yaml.SafeLoader).value] if isinstance(value, Mapping) else []
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: such as a date that there is not
        raise ValueError(f"is not YAML: {' '.join(str(error).split())[:200]}") from None
    if len(set(keys)) < len(keys):
        raise ValueError("names a split twice; name each once")
    return value


def _lists(value: Any, k: int | None, lengths: Sequence[Length] | None) -> Lists:
    """Lists of chains by split, of their texts: what a file holds, or an identity."""
    form = "must hold lists of chains by split, such as {validation: [sort rank, cumsum reverse]}"
    if not isinstance(value, Mapping):
        raise ValueError(form)
    heads: dict[str, str] = {}
    refused = []
    for name, chains in value.items():
        if not isinstance(name, str) or not isinstance(chains, list | tuple):
            raise ValueError(form)
        if not all(isinstance(chain, str) for chain in chains):  # not shown: by its aliases, YAML can be endless
            raise ValueError(f"{form}; a chain is a text")
        for chain in chains:
            for head in {*chain.split()} - heads.keys():
                try:
                    heads[head] = transformation(head, k, lengths).head
                except ValueError as rule:
                    heads[head] = head
                    refused.append(f"{name} has {_shown(head)}: {rule}")
    if refused:
        raise ValueError("; ".join(refused[:3]) + (f"; and {len(refused) - 3} more" if len(refused) > 3 else ""))
    return tuple(
        (name, tuple(sorted({tuple(heads[head] for head in chain.split()) for chain in chains})))
        for name, chains in value.items()
    )


def _texts(lists: Lists) -> dict[str, list[str]]:
    """What `_lists` reads back."""
    return {name: list(map(" ".join, chains)) for name, chains in lists}


def _split_set(
    faults: list[str], name: Any, value: Any, sets: Mapping[Any, Any], length: Length | None
) -> SplitSet | None:
    key = f"split.sets.{_shown(name)}"
    known = len(faults)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        faults.append(f"{key}: a split's name is lower-case letters, digits and _, a letter first; rename it")
    tree = _section(faults, key, value, SET_KEYS, missing=None)
    chains = _read(faults, f"{key}.chains", tree["chains"], optional(_share))
    n = _read(faults, f"{key}.n", tree["n"], optional(whole(1, 2**63 - 1)))
    own = _read(faults, f"{key}.length", tree["length"], optional(lengths_of))

    def of(value: Any) -> str | None:
        others = [other for other in map(str, sets) if other != name and _of(sets.get(other)) is None]
        if value == name:
            raise ValueError(f"is the split itself; name another: {', '.join(others)}")
        if isinstance(value, str) and value in sets and value not in others:
            raise ValueError(f"is itself of {_of(sets[value])}; name that")
        return one_of("split", others)(value)

    target = _read(faults, f"{key}.of", tree["of"], optional(of))
    if isinstance(value, Mapping):
        if tree["of"] is None and tree["chains"] is None:
            faults.append(
                f"{key}: needs a share of the chains, {key}.chains=0.1, or those of another: {{of:train,n:20_000}}"
            )
        if tree["of"] is not None and tree["chains"] is not None:
            faults.append(
                f"{key}.chains={_shown(tree['chains'])}: it has the chains of {_shown(tree['of'])}; chains: null"
            )
        if tree["of"] is not None and tree["n"] is None:
            faults.append(f"{key}.n=null: a split that is `of` another has no share of the rows; {key}.n=20_000")
    if len(faults) > known:
        return None
    return SplitSet(name, chains, n, target, None if own == length else own)


def _of(record: Any) -> Any:
    return record.get("of") if isinstance(record, Mapping) else None


def _share(value: Any) -> Fraction:
    share = exact(value)
    if not 0 < share <= 1:
        raise ValueError("must be a share above 0 and at most 1, such as 0.2 or 1/3")
    return share


def _graph(
    faults: list[str], value: Any, k: int | None, lengths: Sequence[Length] | None
) -> tuple[Graph | None, int | None]:
    """The graph, where it has no fault, and its number of layers, where that has none."""
    known = len(faults)
    tree = _section(faults, "graph", value, ("layers", "width", "vertices"))
    layers = _read(faults, "graph.layers", tree["layers"], whole(1, MOST_VERTICES))
    width = _read(faults, "graph.width", tree["width"], whole(1, MOST_VERTICES))
    vertices = _read(faults, "graph.vertices", tree["vertices"], _labels)
    if layers and width and layers * width > MOST_VERTICES:
        rule = f"{layers} layers x {width} vertices = {layers * width}, at most {MOST_VERTICES}; lower one of them"
        faults.append(f"graph.layers={layers}, graph.width={width}: {rule}")
    elif layers and width and vertices is not None:
        last = layers * width - 1
        if without := [str(label) for label in range(last + 1) if label not in vertices]:
            faults.append(f"graph.vertices: no transformation for label {', '.join(without)}; labels are 0..{last}")
        if beyond := [str(label) for label in vertices if not 0 <= label <= last]:
            faults.append(f"graph.vertices: label {', '.join(beyond)} does not exist; labels are 0..{last}, remove it")
    transformations = {
        label: _read(faults, f"graph.vertices[{label}]", head, lambda head: transformation(head, k, lengths))
        for label, head in (vertices or {}).items()
    }
    if len(faults) > known or not transformations:
        return None, layers
    return Graph(layers, width, tuple(transformations[label] for label in range(layers * width))), layers


def _labels(value: Any) -> dict[int, Any]:
    """Label -> head, of a list or of a mapping."""
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if not isinstance(value, Mapping):
        raise ValueError(
            "must be a list of transformations by label, such as [sort,add3], or a mapping {0:sort,1:add3}"
        )
    try:
        labels = {whole(0, 10**6)(label): head for label, head in value.items()}
    except ValueError:
        raise ValueError("its labels must be whole numbers: 0, 1, ...") from None
    if len(labels) < len(value):
        raise ValueError("names a label twice; name each once")
    return labels


def transformation(head: Any, k: int | None, lengths: Sequence[Length] | None) -> Transformation:
    """The reader of a transformation, with its argument in canonical form as far as k and the lengths are known."""
    from fastgen.transforms import RECORDS, Transformation, split_head

    match = re.match(r"[a-z_]+", head) if isinstance(head, str) else None
    name = match[0] if match else ""
    if name not in RECORDS:
        records = sorted(RECORDS.values(), key=lambda record: record.code)
        written = ", ".join(record.name + ("<c>" if record.argument else "") for record in records)
        raise ValueError(_unknown("transformation", name or head, list(RECORDS), written))
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


def _chain(faults: list[str], value: Any, layers: int | None) -> ChainLengths | None:
    known = len(faults)
    tree = _section(faults, "chain", value, ("min", "max", "weights", "reject"))
    reject = _read(faults, "chain.reject", tree["reject"], reject_of)
    most = layers or MOST_VERTICES
    longest = _read(faults, "chain.max", tree["max"], optional(_chain_length(most)))
    shortest = _read(faults, "chain.min", tree["min"], optional(_chain_length(most)))
    if layers is None or len(faults) > known:
        return None
    longest = longest or layers
    shortest = shortest or min(2, longest)
    if shortest > longest:
        faults.append(f"chain.min={shortest}: is above chain.max={longest}; lower it, or raise chain.max")
        return None

    def weights_of(value: Any) -> tuple[Fraction, ...]:
        lengths = range(shortest, longest + 1)
        if value is None:
            return (Fraction(1),) * len(lengths)
        given = value
        if isinstance(value, Mapping):
            given = [value.get(length, value.get(str(length), _MISSING)) for length in lengths]
        if not isinstance(given, list | tuple) or _MISSING in given or not len(given) == len(value) == len(lengths):
            form = f"[{','.join('1' * len(lengths))}] or {{{','.join(f'{length}:1' for length in lengths)}}}"
            raise ValueError(f"must give a weight to each length from {shortest} to {longest}, such as {form}")
        weights = tuple(map(exact, given))
        if not any(weights):
            raise ValueError("one weight must be above 0")
        return weights

    weights = _read(faults, "chain.weights", tree["weights"], weights_of)
    return ChainLengths(shortest, longest, weights, reject) if weights else None


def _chain_length(layers: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        try:
            return whole(1, layers)(value)
        except ValueError as rule:
            raise ValueError(f"{rule}, the number of layers; or null") from None

    return read


def _text(faults: list[str], value: Any) -> Text | None:
    tree = _section(faults, "text", value, ("step", "preamble"))

    def step_of(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(name in STEP for name in value):
            raise ValueError("must be a list of what a step shows, any of a, b and r, such as [a,b,r], or []")
        if len(set(value)) < len(value):
            raise ValueError("names one twice; name each once")
        return tuple(value)

    step = _read(faults, "text.step", tree["step"], step_of)
    preamble = _read(faults, "text.preamble", tree["preamble"], one_of("preamble", PREAMBLES))
    return Text(step, preamble) if step is not None and preamble else None


def _task(faults: list[str], value: Any, text: Text | None) -> Task | None:
    tree = _section(faults, "task", value, ("prompt", "completion"))

    def template_of(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a template, such as '{x} -> {y} :'")
        template(value)
        return value

    def continued(value: Any) -> str:
        if not isinstance(value, str) or not value.startswith(" "):
            raise ValueError("must be a template that begins with a space, such as ' {trace} .'")
        return " " + template_of(value[1:])

    prompt = _read(faults, "task.prompt", tree["prompt"], template_of)
    completion = _read(faults, "task.completion", tree["completion"], continued)
    if prompt is None or completion is None or text is None:
        return None
    refused = list(refuse_task(text.step, template(prompt), template(completion[1:])))
    faults += [f"task.{key}={_shown(tree[key])}: {rule}" for key, rule in refused]
    return None if refused else Task(prompt, completion)


def _spelling(faults: list[str], value: Any) -> Spelling | None:
    tree = _section(faults, "spelling", value, ("words", "numbers"))

    def words_of(value: Any) -> tuple[tuple[str, str], ...]:
        if not isinstance(value, Mapping):
            raise ValueError(
                "must map words to their spelling, such as {sort:ordena}; for , and ; see conf/spelling/numbers.yaml"
            )
        return tuple(sorted((word_of(word), word_of(spelling)) for word, spelling in value.items()))

    def numbers_of(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not value:
            raise ValueError("must be a list of words for 0, 1, 2, ..., such as [zero,one,two], or null")
        return tuple(map(word_of, value))

    known = len(faults)
    words = _read(faults, "spelling.words", tree["words"], words_of)
    numbers = _read(faults, "spelling.numbers", tree["numbers"], optional(numbers_of))
    return Spelling(words, numbers) if len(faults) == known and words is not None else None


def _grammar(faults: list[str], fields: Mapping[str, Any], lengths: Sequence[Length] | None) -> Grammar | None:
    k, graph, chain, text, task, spelling = (fields[key] for key in ("k", "graph", "chain", "text", "task", "spelling"))
    if not (k and lengths and graph and chain and text and task and spelling):
        return None
    from fastgen.transforms import RECORDS

    prompt, completion = template(task.prompt), template(task.completion[1:])
    words, given = words_of(prompt, completion), dict(spelling.words)
    known = len(faults)
    faults += [
        f"spelling.words={_shown(given)}: {_unknown('word', word, [*words, *RECORDS])}"
        for word in given
        if word not in words and word not in RECORDS
    ]
    grammar = Grammar(
        step=text.step,
        prompt=prompt,
        completion=completion,
        names={name: given.get(name, name) for name in RECORDS},
        words={word: given.get(word, word) for word in words},
        heads=tuple(dict.fromkeys(vertex.head for vertex in graph.vertices)),
        count=count_of(prompt, completion, k, max(length.max for length in lengths), chain.max),
        number_words=spelling.numbers,
    )
    with_argument = {name for name, record in RECORDS.items() if record.argument}
    faults += [
        f"spelling.{key}={_shown(given if key == 'words' else list(spelling.numbers or ()))}: {rule}"
        for key, rule in refuse_spelling(grammar, with_argument)
    ]
    if len(faults) > known:
        return None
    return replace(grammar, preamble=PREAMBLES[text.preamble](grammar, graph, chain.min, chain.max, k))


def _rows(faults: list[str], n: int, split: Splitting) -> dict[str, int] | None:
    """The rows of each split: its own n, or its share of what those leave of the total."""
    own = {record.name: record.n for record in split.sets if record.n is not None}
    shares = _shares(record for record in split.sets if record.n is None)
    taken = sum(own.values())
    named = ", ".join(f"{name} {rows}" for name, rows in own.items())
    if not shares:
        if n != taken:
            faults.append(f"n={n}: every split has an n of its own ({named}), and together they are {taken}; n={taken}")
        return own
    least = taken + smallest(shares)
    if n < least:
        rule = f"the splits' own n ({named}) leave" if own else "is"
        faults.append(f"n={n}: {rule} too few for every split to have a row; the smallest n is {least}")
        return None
    return own | apportion(n - taken, shares)


def _own_lengths(fields: Mapping[str, Any]) -> list[Length]:
    """The lengths of the splits that have chains of their own."""
    return [record.length or fields["length"] for record in fields["split"].sets if record.of is None]


def _not_rejected(faults: list[str], fields: Mapping[str, Any], chains: tuple[Chain, ...]) -> tuple[int, ...]:
    """The ids of the chains that `chain.reject` leaves."""
    reject = fields["chain"].reject
    if not reject:
        return tuple(range(len(chains)))
    classes = _classes(chains, fields["k"], _own_lengths(fields))
    flags = [getattr(classes, kind) for kind in reject]
    ids = tuple(i for i in range(len(chains)) if not any(flag[i] for flag in flags))
    if not ids:
        faults.append(f"chain.reject={_shown(reject)}: leaves none of the {len(chains)} chains; leave out fewer kinds")
    return ids


def _parts(
    faults: list[str], fields: Mapping[str, Any], chains: tuple[Chain, ...], ids: tuple[int, ...]
) -> dict[str, tuple[int, ...]] | None:
    """The ids of the chains of each split that has chains of its own, of those that are to be shared out."""
    split, k = fields["split"], fields["k"]
    lengths = _own_lengths(fields)
    by_length = fields["chain"].by_length
    pool = Pool(
        chains,
        ids,
        _shares(split.sets),
        split.seed,
        lambda: _classes(chains, k, lengths).number,
        parts=split.parts,
        cut=split.cut,
        file=None if split.file is None else dict(split.file),
        rest=split.rest,
    )
    try:
        parts = share_out(split.strategy, pool, split.folds, split.fold)
    except ValueError as rule:
        faults.append(f"split.strategy={split.strategy}: {rule}")
        return None
    for name, most in split.limit:
        if most > (there := len(parts[name])):
            faults.append(f"split.limit.{name}={most}: {name} has {there} chains; split.limit.{name}={there}, or null")
            return None
        parts[name] = limited(pool, parts[name], most)
    for name, share in pool.shares.items():
        if not any(by_length[len(chains[i])] for i in parts[name]):
            why = (
                f"would get none of the {len(chains)} chains; give it more, about {math.ceil(1e4 / len(chains)) / 1e4}"
            )
            if parts[name]:
                why = "would get only chains of a length with weight 0; change chain.weights, or give it more"
            faults.append(f"split.sets.{name}.chains={_number(share)}: {why}")
    return parts


def _classes(chains: Sequence[Chain], k: int, lengths: Sequence[Length]) -> Classes:
    """Which chains are one function, for this k and vectors of these lengths."""
    from fastgen import classes  # it compiles kernels, which no other key waits for

    shortest, longest = min(length.min for length in lengths), max(length.max for length in lengths)
    return classes.find(tuple(chain.transformations for chain in chains), k, shortest, longest)


def _splits(
    split: Splitting,
    length: Length,
    chain: ChainLengths,
    chains: tuple[Chain, ...],
    shared: int,
    rows: Mapping[str, int],
    parts: Mapping[str, tuple[int, ...]],
) -> tuple[Split, ...]:
    first = split.sets[0].name

    def make(record: SplitSet) -> Split:
        owner = record.of or record.name
        ids = parts[owner]
        return Split(
            name=record.name,
            rows=rows[record.name],
            length=record.length or length,
            chains=ids,
            weights=weights([chains[i] for i in ids], chain.by_length),
            of=record.of,
            stream=stream(record.name),
            share=Fraction(len(ids), shared),
            certified=split.certified and owner != first,
        )

    return tuple(map(make, split.sets))


CERTAIN = 1 / 32
"""The least share of its vectors of one length that a chain of a certified split must have for its own, by TRIED."""
TRIED = 1024
MOST_LENGTHS = 16
"""Of a range of lengths, these from the shortest on are tried, where chains coincide most, and the longest."""


def _refuse_uncertain(faults: list[str], fields: Mapping[str, Any]) -> None:
    """A chain that train equals on nearly every vector has hardly an example that train does not solve."""
    train, *others = fields["splits"]
    chains, k = fields["chains"], fields["k"]
    for split in others:
        if not split.certified:
            continue
        from fastgen import solve  # it compiles kernels, which no other key waits for

        tree = solve.tree({i: chains[i] for i in train.chains}, k, split.length.max)
        drawn = [chains[i] for i in _drawn(split)]
        least: dict[str, str] = {}
        for length in sorted({*range(split.length.min, split.length.max + 1)[:MOST_LENGTHS], split.length.max}):
            shares = solve.share_solved(tree, drawn, length, TRIED)
            for chain, share in zip(drawn, shares, strict=True):
                if share > 1 - CERTAIN:
                    least.setdefault(" ".join(chain.heads), f"at length {length} for {share:.0%} of the vectors")
        if least:
            listed = "; ".join(f"{chain} {where}" for chain, where in list(least.items())[:3])
            more = f"; and {len(least) - 3} more" if len(least) > 3 else ""
            rule = f"{train.name} gives the same as chains of {split.name}: {listed}{more}"
            remedy = "split.strategy=functional, chain.reject=[redundant], or a larger k or length"
            faults.append(f"split.certified=true: {rule}; {remedy}")


def _shares(records: Iterable[SplitSet]) -> dict[str, Fraction]:
    return {record.name: record.chains for record in records if record.chains is not None}


def _warnings(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """One line for each thing that is allowed but hardly meant."""
    lines = []
    for label, vertex in enumerate(fields["graph"].vertices):
        if why := vertex.record.degenerate.get(vertex.argument):
            lines.append(f"graph.vertices[{label}]={vertex.head}: {why}")
    for split in fields["splits"]:
        if split.length.min == 1:
            lines.append(f"split {split.name}: vectors of length 1, on which most transformations change nothing")
        # k^64 is above every n, so that longer vectors need not be counted.
        lengths = range(min(split.length.min, 64), min(split.length.max, 64) + 1)
        vectors = sum(fields["k"] ** length for length in lengths)
        pairs = vectors * sum(weight > 0 for weight in split.weights)
        if split.rows > pairs:
            lines.append(f"split {split.name}: {split.rows} rows of only {pairs} distinct pairs of vector and chain")
    train, *others = fields["splits"]
    for split in others:
        if split.of is None and (places := unseen(fields["chains"], _drawn(split), _drawn(train))):
            depths = sorted({depth for _, depth in places})
            listed = (f"{', '.join(sorted(h for h, d in places if d == depth))} at depth {depth}" for depth in depths)
            lines.append(f"split {split.name}: {train.name} never shows {'; '.join(listed)} (the first depth is 0)")
    return tuple(lines)


def _drawn(split: Split) -> list[int]:
    """The chains of a split that can occur in it."""
    return [chain_id for chain_id, weight in zip(split.chains, split.weights, strict=True) if weight]


# Words


def _number(value: Fraction) -> int | float | str:
    """A fraction as a JSON value that `exact` reads back as the same fraction."""
    if value.denominator == 1:
        return int(value)
    return float(value) if Fraction(str(float(value))) == value else str(value)


def _shown(value: Any, depth: int = 3) -> str:
    """A value as it is typed on the command line, cut to a part of a line."""
    if value is None or isinstance(value, bool):
        text = "null" if value is None else str(value).lower()
    elif isinstance(value, Mapping | list | tuple) and not depth:
        text = "..."
    elif isinstance(value, Mapping):
        text = "{" + ",".join(f"{_shown(key)}:{_shown(item, depth - 1)}" for key, item in value.items()) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ",".join(_shown(item, depth - 1) for item in value) + "]"
    elif isinstance(value, int) and value.bit_length() > 256:
        text = "..."
    else:
        text = str(value) if str(value).isprintable() and str(value) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _unknown(what: str, value: Any, known: Sequence[str], listed: str = "") -> str:
    close = get_close_matches(_shown(value), known, n=1)
    nearest = f"; the nearest is {close[0]}" if close else ""
    return f"unknown {what}{nearest}; known: {listed or ', '.join(known)}"


# Workers


def cpus() -> int:
    """How many CPUs this process may use: by its affinity and by the quota of its control groups."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *map(math.ceil, _quotas(Path("/")))]))


def _quotas(root: Path) -> list[Fraction]:
    """The limits, in CPUs, of the control groups (Linux; version 1 or 2) that this process is in."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):  # limits of parents hold too; a container sees its own at the mount
            try:
                if controllers:
                    quota, period = (
                        (folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
                    )
                else:
                    quota, period = (folder / "cpu.max").read_text().split()
                if quota not in ("max", "-1"):
                    quotas.append(Fraction(int(quota), int(period)))
            except OSError:
                pass
            if folder == mount:
                break
    return quotas

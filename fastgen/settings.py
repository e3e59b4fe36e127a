"""The config: what is asked for, and every rule about its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastgen.cpus import cpus
from fastgen.graph import Chain, Graph
from fastgen.split import Length, Split
from fastgen.splitting import (
    DESIGN_KEYS,
    Splitting,
    classes_of,
    make_splits,
    not_rejected,
    read_split,
    refuse_uncertain,
    share_chains,
    share_rows,
    texts,
)
from fastgen.strategies import unseen
from fastgen.text.grammar import STEP, Grammar, count_of, refuse_spelling, refuse_task, template, word_of, words_of
from fastgen.text.preamble import PREAMBLES
from fastgen.values import (
    LARGEST,
    MISSING,
    MOST_VERTICES,
    ConfigError,
    as_json,
    exact,
    folder,
    lengths_of,
    one_of,
    optional,
    raise_faults,
    read,
    section,
    shown,
    transformation,
    unknown,
    whole,
)

if TYPE_CHECKING:
    from fastgen.classes import Classes

TOKENS = ("input_ids", "labels", "roles")
"""Columns of tokens."""

CRITIC = ("corrupted", "error", "error_depth", "error_step", "step_labels")
"""Columns that tell of a completion with one error."""

COLUMNS = (
    *("index", "x", "y", "chain_id", "chain", "trace", "prompt", "completion"),
    *("n_solutions", "n_train_solutions", "longest_train_part", "n_unseen_pairs"),
    *TOKENS,
    *CRITIC,
)
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

    @cached_property
    def owners(self) -> dict[int, str]:
        """chain_id -> the split whose own it is; chains that are left out have none."""
        return {chain_id: split.name for split in self.splits if split.of is None for chain_id in split.chains}

    @property
    def classes(self) -> Classes:
        """Which chains are the same function, at all lengths of the splits that have chains of their own."""
        return classes_of(self.chains, self.k, [split.length for split in self.splits if split.of is None])

    def find(self, name: str) -> Split:
        """The split of that name. Raises ValueError where there is none."""
        for split in self.splits:
            if split.name == name:
                return split
        raise ValueError(f"{name}: {unknown('split', name, [split.name for split in self.splits])}")

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
                "weights": [as_json(weight) for weight in self.chain.weights],
                "reject": list(self.chain.reject),
            },
            "split": {
                "strategy": self.split.strategy,
                "seed": self.split.seed,
                "sets": {
                    record.name: {
                        "chains": None if record.chains is None else as_json(record.chains),
                        "n": record.n,
                        "of": record.of,
                        "length": None if record.length is None else asdict(record.length),
                    }
                    for record in self.split.sets
                },
                "parts": self.split.parts,
                "cut": self.split.cut,
                "file": None if self.split.file is None else texts(self.split.file),
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


def restore(identity: Mapping[str, Any], out: str) -> Config:
    """The config with this identity, of the corpus in the folder `out`. Raises ConfigError."""
    from fastgen.rng import STREAM_VERSION

    values = dict(identity)
    if (version := values.pop("stream_version", None)) != STREAM_VERSION:
        rule = f"this fastgen makes stream version {STREAM_VERSION}; install the one that made the corpus"
        raise ConfigError(f"stream_version={shown(version)}: {rule}")
    split = values.get("split")
    if isinstance(split, Mapping) and isinstance(split.get("file"), str):  # a corpus may not choose what is read
        raise ConfigError(f"split.file={shown(split['file'])}: an identity holds the lists themselves, not a path")
    return resolve(values | {"out": out, "workers": "auto"})


KEYS = (
    *("n", "k", "length", "seed", "out"),
    *("graph", "graph.layers", "graph.width", "graph.vertices"),
    *("chain", "chain.min", "chain.max", "chain.weights", "chain.reject"),
    *("split", "split.strategy", "split.seed", "split.sets"),
    *(f"split.{key}" for key in DESIGN_KEYS),
    "split.certified",
    *("text", "text.step", "text.preamble"),
    *("task", "task.prompt", "task.completion"),
    *("spelling", "spelling.words", "spelling.numbers"),
    *("columns", "workers", "shard"),
    *("parquet", "parquet.codec", "parquet.level", "parquet.row_group"),
)


def resolve(values: Mapping[str, Any]) -> Config:
    """The config of plain values: the keys of `conf/common.yaml`. Raises ConfigError that names every fault."""
    return resolve_with(values, {})[0]


def resolve_with(values: Mapping[str, Any], extra: Mapping[str, Callable[[Any], Any]]) -> tuple[Config, dict[str, Any]]:
    """`resolve`, of values that have `extra` keys too: each with its reader, whose values are returned beside."""
    faults: list[str] = []
    tree = section(faults, "", values, [*(key for key in KEYS if "." not in key), *extra])
    more = {key: read(faults, key, tree[key], reader) for key, reader in extra.items()}
    fields = {key: read(faults, key, tree[key], reader) for key, reader in READERS.items()}
    n, k, length = fields["n"], fields["k"], fields["length"]

    fields["parquet"] = _parquet(faults, tree["parquet"])
    fields["split"] = read_split(faults, tree["split"], k, length)
    split = fields["split"]
    lengths = [record.length or length for record in split.sets] if split and length else None
    fields["graph"], layers = _graph(faults, tree["graph"], k, lengths)
    fields["chain"] = _chain(faults, tree["chain"], layers)
    fields["text"] = _text(faults, tree["text"])
    fields["task"] = _task(faults, tree["task"], fields["text"])
    fields["spelling"] = _spelling(faults, tree["spelling"])
    graph, chain = fields["graph"], fields["chain"]
    fields["grammar"] = _grammar(faults, fields, lengths)
    _refuse_columns(faults, fields["columns"], fields["task"])
    chains = graph.chains(chain.min, chain.max) if graph and chain else ()

    rows: Any = share_rows(faults, n, split) if n and split else None
    ids = not_rejected(faults, fields, chains) if split and chains and k and length else ()
    parts: Any = share_chains(faults, fields, chains, ids) if ids else None
    if not faults:
        fields |= {"chains": chains, "splits": make_splits(split, length, chain, chains, len(ids), rows, parts)}
        refuse_uncertain(faults, fields)
    raise_faults(faults)
    fields["warnings"] = _warnings(fields)
    return Config(**fields), more


def columns_of(value: Any) -> tuple[str, ...]:
    """The reader of a list of columns; their order in files is always the same."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"must be a list of columns, such as [x,y,trace]; known: {', '.join(COLUMNS)}")
    for column in value:
        if column not in COLUMNS:
            raise ValueError(f"{shown(column)} is an {unknown('column', column, COLUMNS)}")
    if len(set(value)) < len(value):
        raise ValueError("names a column twice; name each once")
    return tuple(column for column in COLUMNS if column in value)


def reject_of(value: Any) -> tuple[str, ...]:
    """The reader of the kinds of chains that are left out."""
    if not isinstance(value, list | tuple) or not all(kind in REJECTED for kind in value):
        raise ValueError(f"must be a list of kinds of chains, any of {', '.join(REJECTED)}, such as [identity], or []")
    return tuple(kind for kind in REJECTED if kind in value)


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
    tree = section(faults, "parquet", value, ("codec", "level", "row_group"))
    codec = read(faults, "parquet.codec", tree["codec"], one_of("codec", CODECS))
    row_group = read(faults, "parquet.row_group", tree["row_group"], whole(1, 2**31 - 1))

    def level_of(value: Any) -> int | None:
        if levels := CODECS[codec]:
            usual, possible = levels
            return usual if value is None else whole(possible[0], possible[-1])(value)
        if value is not None:
            raise ValueError(f"{codec} has no levels; parquet.level=null")
        return None

    level = read(faults, "parquet.level", tree["level"], level_of) if codec else None
    return Parquet(codec, level, row_group) if codec and row_group else None


def _graph(
    faults: list[str], value: Any, k: int | None, lengths: Sequence[Length] | None
) -> tuple[Graph | None, int | None]:
    """The graph, where it has no fault, and its number of layers, where that has none."""
    known = len(faults)
    tree = section(faults, "graph", value, ("layers", "width", "vertices"))
    layers = read(faults, "graph.layers", tree["layers"], whole(1, MOST_VERTICES))
    width = read(faults, "graph.width", tree["width"], whole(1, MOST_VERTICES))
    vertices = read(faults, "graph.vertices", tree["vertices"], _labels)
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
        label: read(faults, f"graph.vertices[{label}]", head, lambda head: transformation(head, k, lengths))
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


def _chain(faults: list[str], value: Any, layers: int | None) -> ChainLengths | None:
    known = len(faults)
    if isinstance(value, Mapping):
        value = {"reject": (), **value}
    tree = section(faults, "chain", value, ("min", "max", "weights", "reject"))
    reject = read(faults, "chain.reject", tree["reject"], reject_of)
    most = layers or MOST_VERTICES
    longest = read(faults, "chain.max", tree["max"], optional(_chain_length(most)))
    shortest = read(faults, "chain.min", tree["min"], optional(_chain_length(most)))
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
            given = [value.get(length, value.get(str(length), MISSING)) for length in lengths]
        if not isinstance(given, list | tuple) or MISSING in given or not len(given) == len(value) == len(lengths):
            form = f"[{','.join('1' * len(lengths))}] or {{{','.join(f'{length}:1' for length in lengths)}}}"
            raise ValueError(f"must give a weight to each length from {shortest} to {longest}, such as {form}")
        weights = tuple(map(exact, given))
        if not any(weights):
            raise ValueError("one weight must be above 0")
        return weights

    weights = read(faults, "chain.weights", tree["weights"], weights_of)
    return ChainLengths(shortest, longest, weights, reject) if weights else None


def _chain_length(layers: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        try:
            return whole(1, layers)(value)
        except ValueError as rule:
            raise ValueError(f"{rule}, the number of layers; or null") from None

    return read


def _text(faults: list[str], value: Any) -> Text | None:
    tree = section(faults, "text", value, ("step", "preamble"))

    def step_of(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(name in STEP for name in value):
            raise ValueError("must be a list of what a step shows, any of a, b and r, such as [a,b,r], or []")
        if len(set(value)) < len(value):
            raise ValueError("names one twice; name each once")
        return tuple(value)

    step = read(faults, "text.step", tree["step"], step_of)
    preamble = read(faults, "text.preamble", tree["preamble"], one_of("preamble", PREAMBLES))
    return Text(step, preamble) if step is not None and preamble else None


def _task(faults: list[str], value: Any, text: Text | None) -> Task | None:
    tree = section(faults, "task", value, ("prompt", "completion"))

    def template_of(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a template, such as '{x} -> {y} :'")
        template(value)
        return value

    def continued(value: Any) -> str:
        if not isinstance(value, str) or not value.startswith(" "):
            raise ValueError("must be a template that begins with a space, such as ' {trace} .'")
        return " " + template_of(value[1:])

    prompt = read(faults, "task.prompt", tree["prompt"], template_of)
    completion = read(faults, "task.completion", tree["completion"], continued)
    if prompt is None or completion is None or text is None:
        return None
    refused = list(refuse_task(text.step, template(prompt), template(completion[1:])))
    faults += [f"task.{key}={shown(tree[key])}: {rule}" for key, rule in refused]
    return None if refused else Task(prompt, completion)


def _refuse_columns(faults: list[str], columns: Sequence[str] | None, task: Task | None) -> None:
    """Columns that need an error where the text has no room for one."""
    asked = [column for column in columns or () if column in CRITIC]
    if asked and task and not {"trace", "y"} & {item.field for item in template(task.completion[1:])}:
        rule = (
            "task.completion has no room for every example's error; let it ask for {trace} or {y}, or leave these out"
        )
        faults.append(f"columns={shown(asked)}: {rule}")


def _spelling(faults: list[str], value: Any) -> Spelling | None:
    tree = section(faults, "spelling", value, ("words", "numbers"))

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
    words = read(faults, "spelling.words", tree["words"], words_of)
    numbers = read(faults, "spelling.numbers", tree["numbers"], optional(numbers_of))
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
        f"spelling.words={shown(given)}: {unknown('word', word, [*words, *RECORDS])}"
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
        f"spelling.{key}={shown(given if key == 'words' else list(spelling.numbers or ()))}: {rule}"
        for key, rule in refuse_spelling(grammar, with_argument)
    ]
    if len(faults) > known:
        return None
    return replace(grammar, preamble=PREAMBLES[text.preamble](grammar, graph, chain.min, chain.max, k))


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
        if split.of is None and (places := unseen(fields["chains"], split.drawn, train.drawn)):
            depths = sorted({depth for _, depth in places})
            listed = (f"{', '.join(sorted(h for h, d in places if d == depth))} at depth {depth}" for depth in depths)
            lines.append(f"split {split.name}: {train.name} never shows {'; '.join(listed)} (the first depth is 0)")
    return tuple(lines)

"""Texts to steps, many at once: an Arrow array of texts in, arrays out. What they hold is what `parse` says of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastgen.settings import Config
from fastgen.text import walk
from fastgen.text.grammar import FIELDS, Grammar
from fastgen.text.lexicon import FOUND, SAID, tables
from fastgen.text.parse import FAULTS, MISSING, MOST_FAULTS, Fault, Parsed, Segment, one_length


class Batch(NamedTuple):
    """What many texts say, as arrays. Row r's segments are segments[r]..segments[r + 1] - 1, and so on."""

    segments: np.ndarray[Any, Any]
    """int64[row + 1]"""
    op: np.ndarray[Any, Any]
    """uint8[segment]; 0 where no head is known"""
    argument: np.ndarray[Any, Any]
    """int64[segment]; MISSING where there is none"""
    steps: np.ndarray[Any, Any]
    """int64[segment + 1]: where its steps begin"""
    numbers: np.ndarray[Any, Any]
    """int32[step, field of text.step], or MISSING"""
    x_offsets: np.ndarray[Any, Any]
    """int64[row + 1]"""
    x: np.ndarray[Any, Any]
    """int32[element]"""
    y_offsets: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]
    chain: np.ndarray[Any, Any]
    """int64[row + 1]"""
    chain_op: np.ndarray[Any, Any]
    """uint8[transformation]"""
    chain_argument: np.ndarray[Any, Any]
    """int64[transformation]"""
    depth: np.ndarray[Any, Any]
    """int32[row], or MISSING; so is `k`"""
    k: np.ndarray[Any, Any]
    seen: np.ndarray[Any, Any]
    """uint8[row]: bit i is set where text or prompt has the field grammar.FIELDS[i]"""
    faults: np.ndarray[Any, Any]
    """int64[row + 1]"""
    kind: np.ndarray[Any, Any]
    """uint8[fault]: the place in FAULTS"""
    place: np.ndarray[Any, Any]
    """int32[fault, 4]: token, character, depth, step; MISSING where there is none"""
    fault_count: np.ndarray[Any, Any]
    """int32[row]"""
    blanks: np.ndarray[Any, Any]
    """int32[row]"""

    def row(self, r: int) -> Parsed:
        """One of them as `parse` gives it."""
        from fastgen.transforms import by_code

        names = {code: record.name for code, record in by_code().items()}

        def head(op: int, argument: int) -> str:
            return names.get(op, "") + ("" if argument == MISSING else str(argument))

        def field(name: str, value: Any) -> Any:
            return value if self.seen[r] >> FIELDS.index(name) & 1 else None

        def vector(values: Any, offsets: Any) -> tuple[int, ...]:
            return tuple(values[offsets[r] : offsets[r + 1]].tolist())

        segments = tuple(
            Segment(
                int(self.op[i]),
                None if self.argument[i] == MISSING else int(self.argument[i]),
                head(int(self.op[i]), int(self.argument[i])),
                tuple(map(tuple, self.numbers[self.steps[i] : self.steps[i + 1]].tolist())),
            )
            for i in range(self.segments[r], self.segments[r + 1])
        )
        chain = range(self.chain[r], self.chain[r + 1])
        faults = []
        for i in range(self.faults[r], self.faults[r + 1]):
            token, character, depth, step = self.place[i].tolist()
            where = (None if number == MISSING else number for number in (depth, step))
            faults.append(Fault(FAULTS[self.kind[i]], token, character, *where))
        return Parsed(
            x=field("x", vector(self.x, self.x_offsets)),
            y=field("y", vector(self.y, self.y_offsets)),
            depth=field("depth", int(self.depth[r])),
            k=field("k", int(self.k[r])),
            chain=field("chain", tuple(head(int(self.chain_op[i]), int(self.chain_argument[i])) for i in chain)),
            segments=segments,
            faults=tuple(faults),
            fault_count=int(self.fault_count[r]),
            blanks=int(self.blanks[r]),
        )


def parse_batch(texts: Any, config: Config, prompts: Any = None, chat: bool = False) -> Batch:
    """`parse` for every text of an Arrow array of strings or bytes, chunked or not. Releases the GIL.

    A null text is an empty one, a null prompt is none. Raises TypeError for arrays of anything else, ValueError where
    there are not as many prompts as texts. Memory follows the text, however malformed: at most some 70 bytes for each
    of its bytes, twice that while an array grows, and 1.3 kB per row for its faults.
    """
    grammar = config.grammar
    text = _buffers(texts, "texts")
    given = text._replace(stops=text.starts) if prompts is None else _buffers(prompts, "prompts")
    if given.starts.size != text.starts.size:
        raise ValueError(f"prompts: there are {given.starts.size}, and {text.starts.size} texts; give one for each")
    one, right = one_length(config), np.empty((0, 2), np.int64)
    lengths = np.array([MISSING if one is None else one], np.int64)
    begins = _answer_starts(text, given, grammar) if chat else text.starts
    if prompts is None:
        return _walk(grammar, "completion", text, begins, lengths, right, chat)

    unknown = np.array([MISSING], np.int64)
    prompt = _walk(grammar, "prompt", given, _behind_preambles(given, grammar), unknown, right, False)
    known, wrong = given.there & (prompt.fault_count == 0), right
    lengths = np.where(known, np.diff(prompt.x_offsets), lengths)
    if (faulty := given.there & ~known).any():
        wrong = np.full((text.starts.size, 2), MISSING, np.int64)
        wrong[faulty] = prompt.place[prompt.faults[:-1][faulty], :2]
    read = _walk(grammar, "completion", text, begins, lengths, wrong, chat)
    merged = {name: getattr(prompt, name) for item in grammar.prompt for name in _ARRAYS.get(item.field, ())}
    return read._replace(seen=np.where(known, prompt.seen, 0) | read.seen, **merged)


def parse_blocks(
    texts: Any, config: Config, prompts: Any = None, chat: bool = False, rows: int = 32_768, size: int = 1 << 23
) -> Iterator[Batch]:
    """`parse_batch` block by block, of at most `rows` texts and some `size` bytes each, so that memory is bounded.

    There is always a first one. Raises as `parse_batch` does, before anything is read.
    """
    for name, array in (("texts", texts), ("prompts", texts if prompts is None else prompts)):
        _buffers(array if not hasattr(array, "slice") else array.slice(0, 0), name)
    if prompts is not None and len(prompts) != len(texts):
        raise ValueError(f"prompts: there are {len(prompts)}, and {len(texts)} texts; give one for each")
    step = max(1, min(rows, size * len(texts) // max(1, texts.nbytes)))
    for start in range(0, max(1, len(texts)), step):
        block = texts.slice(start, step)
        yield parse_batch(block, config, None if prompts is None else prompts.slice(start, step), chat)


_ARRAYS = {
    "x": ("x_offsets", "x"),
    "y": ("y_offsets", "y"),
    "chain": ("chain", "chain_op", "chain_argument"),
    "depth": ("depth",),
    "k": ("k",),
}
"""field -> where a batch holds it"""


class _Texts(NamedTuple):
    """Rows of bytes in a buffer: data[starts[r]:stops[r]]."""

    data: np.ndarray[Any, Any]
    starts: np.ndarray[Any, Any]
    stops: np.ndarray[Any, Any]
    there: np.ndarray[Any, Any]
    """bool[row]: not null"""
    longest: int
    total: int
    """Bytes of a row, and of all of them, at most."""


def _buffers(array: Any, name: str) -> _Texts:
    """The memory of an Arrow array, without a copy if it is one chunk of strings or bytes."""
    import pyarrow as pa

    kinds = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view(), pa.binary_view())
    if not isinstance(array, pa.Array | pa.ChunkedArray) or array.type not in (*kinds, pa.null()):
        kind = getattr(array, "type", type(array).__name__)
        raise TypeError(f"{name}: must be an Arrow array of strings or bytes, such as a table's column; is {kind}")
    if isinstance(array, pa.ChunkedArray):
        array = (
            array.chunk(0)
            if array.num_chunks == 1
            else pa.chunked_array(array.chunks, array.type).cast(pa.large_binary()).combine_chunks()
        )
    if isinstance(array, pa.ChunkedArray):  # of no chunks
        array = pa.array([], pa.large_binary())
    if array.type in (pa.string_view(), pa.binary_view(), pa.null()):
        array = array.cast(pa.large_binary())
    width = np.dtype(np.int32 if array.type in (pa.string(), pa.binary()) else np.int64)
    _, offsets, data = array.buffers()
    edges = np.zeros(1, np.int64)
    if len(array):
        edges = np.frombuffer(offsets, width, len(array) + 1, array.offset * width.itemsize).astype(np.int64)
    starts, stops, sizes = edges[:-1], edges[1:], np.diff(edges)
    there = np.ones(len(array), np.bool_)
    if array.null_count:
        there = array.is_valid().to_numpy(zero_copy_only=False)
        stops = np.where(there, stops, starts)
    held = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    held.flags.writeable = False  # of one type for the kernel, whoever owns the memory
    if edges[0] < 0 or edges[-1] > held.size or sizes.min(initial=0) < 0:
        raise ValueError(f"{name}: its offsets do not fit its data")
    return _Texts(held, starts, stops, there, int(sizes.max(initial=0)), int(edges[-1] - edges[0]))


def _behind_preambles(prompts: _Texts, grammar: Grammar) -> np.ndarray[Any, Any]:
    """int64[row]: where each prompt begins, its preamble aside."""
    preamble = np.frombuffer(grammar.preamble.encode() or b" ", np.uint8)
    size = len(grammar.preamble.encode())
    begins: np.ndarray[Any, Any] = walk.pass_preambles(
        prompts.data.ctypes.data, prompts.starts, prompts.stops, preamble.ctypes.data, size
    )
    return begins


def _answer_starts(texts: _Texts, prompts: _Texts, grammar: Grammar) -> np.ndarray[Any, Any]:
    """int64[row]: where the answer in each text begins; see `_answer_start`."""
    known = tables(grammar, "completion")
    readers = known.reader.copy()
    readers["text"], readers["limit"] = texts.data.ctypes.data, texts.data.size
    begins: np.ndarray[Any, Any] = walk.pass_chat(
        *(readers, texts.starts, texts.stops, prompts.data.ctypes.data, prompts.starts, prompts.stops),
        grammar.completion[0].field in ("trace", "chain"),
    )
    return begins


def _walk(
    grammar: Grammar,
    template: str,
    texts: _Texts,
    begins: np.ndarray[Any, Any],
    lengths: np.ndarray[Any, Any],
    wrong: np.ndarray[Any, Any],
    chat: bool,
) -> Batch:
    """Walk a template over every row, from `begins[r]` on: where a row may not fit, the arrays grow first."""
    width, fields = len(grammar.step), {item.field for item in getattr(grammar, template)}
    most, total, rows = texts.longest + 1, texts.total, texts.starts.size
    shapes: dict[str, tuple[tuple[int, ...], type]] = {  # of well-formed text, and what the longest row may need
        "edges": ((rows + 1, len(FOUND)), np.int64),
        "said": ((rows, len(SAID)), np.int32),
        "faults": ((2 * MOST_FAULTS, 5), np.int32),
        "segments": ((most + total // 32 * ("trace" in fields), 3), np.int64),
        "numbers": ((most + total // 8 * ("trace" in fields), width), np.int32),
        "x": ((most + total // 4 * ("x" in fields),), np.int32),
        "y": ((most + total // 4 * ("y" in fields),), np.int32),
        "chain": ((most + total // 16 * ("chain" in fields), 2), np.int64),
    }
    arrays = _arrays(shapes, most < total // 16)
    edges, said, found = arrays["edges"], arrays["said"], {name: arrays[name] for name in FOUND}
    edges[0] = 0
    known = tables(grammar, template)
    readers = known.reader.copy()
    readers["text"], readers["limit"], readers["chat"] = texts.data.ctypes.data, texts.data.size, chat
    row = 0
    while True:
        for name, array in found.items():
            readers[name], readers[f"{name}_room"] = array.ctypes.data, len(array)
        row = walk.walk_rows(row, readers, texts.starts, begins, texts.stops, lengths, wrong, edges, said)
        if row == rows:
            break
        for i, (name, array) in enumerate(found.items()):
            used, need = int(edges[row, i]), MOST_FAULTS if name == "faults" else most
            if len(array) - used < need:
                found[name] = _grown(array, used, need + used * (rows - row) // (row + 1))
    each, last = dict(zip(found, edges.T, strict=True)), dict(zip(found, edges[-1].tolist(), strict=True))
    depth, k, seen, fault_count, blanks = said.T
    segments, chain, faults = found["segments"], found["chain"][: last["chain"]], found["faults"][: last["faults"]]
    segments[last["segments"], 2] = last["numbers"]  # there is room for one more
    return Batch(
        segments=each["segments"],
        op=segments[: last["segments"], 0],
        argument=segments[: last["segments"], 1],
        steps=segments[: last["segments"] + 1, 2],
        numbers=found["numbers"][: last["numbers"]],
        x_offsets=each["x"],
        x=found["x"][: last["x"]],
        y_offsets=each["y"],
        y=found["y"][: last["y"]],
        chain=each["chain"],
        chain_op=chain[:, 0],
        chain_argument=chain[:, 1],
        depth=depth,
        k=k,
        seen=seen,
        faults=each["faults"],
        kind=faults[:, 0],
        place=faults[:, 1:],
        fault_count=fault_count,
        blanks=blanks,
    )


def _grown(array: np.ndarray[Any, Any], used: int, need: int) -> np.ndarray[Any, Any]:
    """A copy of what is used that is twice as long, and has room for `need` more."""
    longer = np.empty((2 * len(array) + need, *array.shape[1:]), array.dtype)
    longer[:used] = array[:used]
    return longer


KEPT_BITS = 26

_kept: dict[int, np.ndarray[Any, Any]] = {}
"""bits -> a block of 2^bits bytes that no batch has; of at most 2^KEPT_BITS"""


class _Memory:
    """A block of memory that the next batch takes over when the arrays in it are gone.

    A batch is a few times as long as its text. For every batch anew, its pages took a quarter of the time.
    """

    def __init__(self, size: int, lasting: bool) -> None:
        self.bits = (size - 1).bit_length() if lasting else KEPT_BITS + 1
        block = _kept.pop(self.bits, None)
        if block is None:
            block = np.empty(size if self.bits > KEPT_BITS else 1 << self.bits, np.uint8)
        self.block, self.__array_interface__ = block, block.__array_interface__

    def __del__(self, kept: dict[int, np.ndarray[Any, Any]] = _kept) -> None:
        if self.bits <= KEPT_BITS:
            kept[self.bits] = self.block


def _arrays(shapes: dict[str, tuple[tuple[int, ...], type]], lasting: bool) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of these shapes and dtypes in one block, not cleared; it lasts unless most of it is for one long row."""
    sizes = [int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in shapes.values()]
    edges = np.cumsum([0, *(-(-size // 64) * 64 for size in sizes)]).tolist()
    block = np.asarray(_Memory(edges[-1], lasting))
    return {
        name: block[start : start + size].view(dtype).reshape(shape)
        for (name, (shape, dtype)), start, size in zip(shapes.items(), edges, sizes, strict=False)
    }

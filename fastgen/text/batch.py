"""Texts to steps, many at once: an Arrow array of texts in, arrays out. What they hold is what `parse` says of each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastgen.settings import Config
from fastgen.text import walk
from fastgen.text.grammar import FIELDS, Grammar
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
        from fastgen.transforms import RECORDS

        names = {record.code: record.name for record in RECORDS.values()}

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
    of its bytes, twice that while an array grows, and 2 kB per row for its faults.
    """
    grammar = config.grammar
    text = _buffers(texts, "texts")
    given = _Texts(text.data, text.starts, text.starts, text.there) if prompts is None else _buffers(prompts, "prompts")
    if given.starts.size != text.starts.size:
        raise ValueError(f"prompts: there are {given.starts.size}, and {text.starts.size} texts; give one for each")
    one = one_length(config)
    lengths = np.full(text.starts.size, MISSING if one is None else one, np.int64)
    wrong = np.full((text.starts.size, 2), MISSING, np.int64)
    begins = _answer_starts(text, given, grammar) if chat else text.starts
    if prompts is None:
        return _walk(grammar, "completion", text, begins, lengths, wrong, chat)

    unknown = np.full(text.starts.size, MISSING, np.int64)
    prompt = _walk(grammar, "prompt", given, _behind_preambles(given, grammar), unknown, wrong, False)
    right = given.there & (prompt.fault_count == 0)
    wrong[given.there & ~right] = prompt.place[prompt.faults[:-1][given.there & ~right], :2]
    lengths = np.where(right, np.diff(prompt.x_offsets), lengths)
    read = _walk(grammar, "completion", text, begins, lengths, wrong, chat)
    merged = {name: getattr(prompt, name) for item in grammar.prompt for name in _ARRAYS.get(item.field, ())}
    return read._replace(seen=np.where(right, prompt.seen, 0) | read.seen, **merged)


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
    there = np.ones(len(array), np.bool_)
    if array.null_count:
        there = array.is_valid().to_numpy(zero_copy_only=False)
    held = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    held.flags.writeable = False  # of one type for the kernel, whoever owns the memory
    if edges[0] < 0 or edges[-1] > held.size or (np.diff(edges) < 0).any():
        raise ValueError(f"{name}: its offsets do not fit its data")
    return _Texts(held, edges[:-1].copy(), np.where(there, edges[1:], edges[:-1]), there)


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
    lexicon = walk.lexicon(grammar)
    begins: np.ndarray[Any, Any] = walk.pass_chat(
        *(texts.data.ctypes.data, texts.starts, texts.stops),
        *(prompts.data.ctypes.data, prompts.starts, prompts.stops),
        *(lexicon.ctypes.data, grammar.completion[0].field in ("trace", "chain")),
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
    width, first_gap = len(grammar.step), int(template == "completion")
    sizes = texts.stops - texts.starts
    most, total, rows = int(sizes.max(initial=0)) + 1, int(sizes.sum()), sizes.size
    found: list[np.ndarray[Any, Any]] = [
        np.empty((total // 16 + most, 3), np.int64),  # segments: op, argument, first step
        np.empty(width * (total // 8 + most), np.int32),  # numbers of steps
        *(np.empty(total // 8 + most, np.int32) for _ in "xy"),
        np.empty((total // 16 + most, 2), np.int64),  # chain: op, argument
        np.empty((2 * MOST_FAULTS, 5), np.int32),  # faults: kind, token, character, depth, step
    ]
    edges = np.zeros((rows + 1, len(_Edges._fields)), np.int64)
    said = np.zeros((rows, len(_Said._fields)), np.int32)
    lexicon, table = walk.lexicon(grammar), walk.template_table(grammar, template)
    tables = (lexicon.ctypes.data, table.ctypes.data, *table.shape, first_gap)
    places = np.stack([texts.starts, begins, texts.stops], axis=1)
    asked = np.column_stack([lengths, wrong])
    row = 0
    while True:
        rooms = [len(array) for array in found]
        rooms[1] = rooms[1] // width if width else most
        held = np.array([array.ctypes.data for array in found] + rooms, np.int64)
        addresses = [array.ctypes.data for array in (texts.data, places, asked)]
        ours = [array.ctypes.data for array in (held, edges, said)]
        row = walk.walk_rows(row, rows, *addresses, chat, *tables, *ours)
        if row == rows:
            break
        need = int(sizes[row]) + 1
        units = (1, max(1, width), 1, 1, 1, 1)
        needs = (need, need, need, need, need, MOST_FAULTS)
        for i, (array, unit, more) in enumerate(zip(found, units, needs, strict=True)):
            used = int(edges[row, i]) * unit
            if len(array) - used < more * unit:
                found[i] = _grown(array, used, more * unit)
    last = _Edges(*edges[-1].tolist())
    each, of = _Edges(*edges.T), _Said(*said.T)
    segments, numbers, x, y, chain, faults = found
    return Batch(
        segments=each.segments,
        op=segments[: last.segments, 0],
        argument=segments[: last.segments, 1],
        steps=np.append(segments[: last.segments, 2], last.steps),
        numbers=numbers[: last.steps * width].reshape(last.steps, width),
        x_offsets=each.x,
        x=x[: last.x],
        y_offsets=each.y,
        y=y[: last.y],
        chain=each.chain,
        chain_op=chain[: last.chain, 0],
        chain_argument=chain[: last.chain, 1],
        depth=of.depth,
        k=of.k,
        seen=of.seen,
        faults=each.faults,
        kind=faults[: last.faults, 0],
        place=faults[: last.faults, 1:],
        fault_count=of.fault_count,
        blanks=of.blanks,
    )


class _Edges(NamedTuple):
    """How much of each there is before a row."""

    segments: Any
    steps: Any
    x: Any
    y: Any
    chain: Any
    faults: Any


class _Said(NamedTuple):
    """What there is one of per row."""

    depth: Any
    k: Any
    seen: Any
    fault_count: Any
    blanks: Any


def _grown(array: np.ndarray[Any, Any], used: int, need: int) -> np.ndarray[Any, Any]:
    """A copy of what is used that is twice as long, and has room for `need` more."""
    longer = np.empty((2 * len(array) + need, *array.shape[1:]), array.dtype)
    longer[:used] = array[:used]
    return longer

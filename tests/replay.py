"""python tests/replay.py OUT HEAD: execute every chain in the files of OUT by the references, and compare.

Prints how many rows run HEAD. A program of its own, so that a test can run it beside another fastgen or a plug-in.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from fastgen.trace import pack
from fastgen.transforms import RECORDS, Step, Transformation, split_head


def replay(out: Path, head: str, k: int) -> int:
    """The number of rows whose chain has the head, all being right. Raises AssertionError where one is wrong."""
    chains = [tuple(chain) for chain in pq.read_table(out / "chains.parquet")["chain"].to_pylist()]
    assert any(head in chain for chain in chains), f"no chain in chains.parquet has {head}"
    count = 0
    for part in sorted((out / "data").glob("split=*/*.parquet")):
        table = pq.read_table(part, partitioning=None)
        dtype = np.dtype(f"u{table.schema.field('trace').type.value_type.bit_width // 8}")
        for row in table.to_pylist():
            heads = row["chain"].split(" ")
            assert tuple(heads) == chains[row["chain_id"]], row
            vector, steps = row["x"], list[Step]()
            for name, argument in map(_split, heads):
                vector = Transformation(RECORDS[name], argument)(vector, k, steps)
            assert vector == row["y"], row
            assert [pack(step, dtype) for step in steps] == row["trace"], row
            count += head in heads
    return count


def _split(head: str) -> tuple[str, int | None]:
    parts = split_head(head)
    assert parts is not None, head
    return parts


if __name__ == "__main__":
    print(replay(Path(sys.argv[1]), sys.argv[2], k=11))

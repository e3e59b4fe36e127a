"""fastgen: vectors, chains of transformations and every step of them, as training data for language models.

>>> import fastgen
>>> config = fastgen.config("k=7", "graph=mixed")
>>> fastgen.example(config, "train", 8_123_456_789).chain
('multiply2', 'evens_first')
>>> fastgen.table(config, "validation", 1000, 2000).num_rows
1000
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastgen.doors import compose as config
    from fastgen.engine import example
    from fastgen.shard import table
    from fastgen.text.batch import parse_batch
    from fastgen.text.parse import parse
    from fastgen.text.render import render
    from fastgen.verdict.batch import verify
    from fastgen.verdict.corrupt import corrupt
    from fastgen.verdict.reward import reward
    from fastgen.write import load

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "config",
    "corrupt",
    "example",
    "load",
    "parse",
    "parse_batch",
    "render",
    "reward",
    "table",
    "verify",
]

_DOORS = {
    "config": ("fastgen.doors", "compose"),
    "corrupt": ("fastgen.verdict.corrupt", "corrupt"),
    "example": ("fastgen.engine", "example"),
    "load": ("fastgen.write", "load"),
    "parse": ("fastgen.text.parse", "parse"),
    "parse_batch": ("fastgen.text.batch", "parse_batch"),
    "render": ("fastgen.text.render", "render"),
    "reward": ("fastgen.verdict.reward", "reward"),
    "table": ("fastgen.shard", "table"),
    "verify": ("fastgen.verdict.batch", "verify"),
}
"""name -> module and name there, imported when first asked for: `import fastgen` loads neither Numba nor pyarrow"""


def __getattr__(name: str) -> Any:
    if name not in _DOORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _DOORS[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__

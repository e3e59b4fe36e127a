"""Compiling: the only place that says `njit`, where compiled code is kept, and calls by address.

Numba notices a change in the file of a cached function, but not in the jitted functions that it calls from other
files (numba/numba#1833). The folder of the cache therefore carries a hash of every file that holds compiled code.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, event, types
from numba.extending import intrinsic

PACKAGE = Path(__file__).parent
SOURCES = (
    *("jit.py", "trace.py", "modular.py", "lanes.py", "rng.py"),
    *("transforms/*.py", "text/*.py", "solve.py", "sample.py", "engine.py", "verdict/*.py", "overlap.py", "digest.py"),
)
OPTIONS = {"nogil": True, "error_model": "numpy"}  # nogil: workers are threads; numpy: no test for division by zero

_decorating = Lock()
"""Held while Numba's setting is another: a thread that read it in between kept its code in the working directory."""


def jit(function: Callable[..., Any]) -> Any:
    """Compile `function` at its first call, for threads, and keep the result for the next process."""
    folder = cache_folder()
    if folder is None:
        return numba.njit(**OPTIONS)(function)
    with _decorating:
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(folder)  # read by Numba while it decorates, and only then
        try:
            return numba.njit(cache=True, **OPTIONS)(function)
        finally:
            numba.config.CACHE_DIR = before


@cache
def cache_folder() -> Path | None:
    """The folder for compiled code, or None (and one warning) where nothing can be written.

    `NUMBA_CACHE_DIR` if it is set, else `__pycache__` beside this file, else the user's cache folder.
    """
    digest = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES for path in PACKAGE.glob(pattern)):
        digest.update(path.read_bytes())
    name = f"fastgen-{digest.hexdigest()[:16]}"
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    for parent in [Path(chosen)] if chosen else [PACKAGE / "__pycache__", _user_cache()]:
        try:
            (parent / name).mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(parent / name, os.W_OK):
            return parent / name
    remedy = "set NUMBA_CACHE_DIR to a folder that can be written"
    print(
        f"fastgen: warning: compiled code can't be kept, so every run compiles anew (half a minute); {remedy}",
        file=sys.stderr,
    )
    return None


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))


class _Telling(event.Listener):  # type: ignore[misc]
    """Says once, on a terminal, what takes so long before anything moves. Numba tells of no load from a cache."""

    told = False

    def on_start(self, event: Any) -> None:
        if not self.told and event.data["dispatcher"].py_func.__module__.startswith("fastgen.") and sys.stderr.isatty():
            from tqdm import tqdm

            self.told = True
            tqdm.write("fastgen: compiling, up to a minute; later runs find the code in a cache", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Telling())


@cache
def address(function: Any, signature: tuple[Any, ...]) -> int:
    """Compile `function` (made by `jit`) for `signature` and return where its machine code starts.

    Compiled code that calls by address needs to know nothing of the callee: it is compiled and cached once, whatever
    kernels there are, and a kernel may live in another package. (A tuple of first-class functions would do the
    same, but is never cached: numba/numba#6284.)
    """
    function.compile(signature)
    compiled = function.overloads[signature]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


def _calling(result: Any) -> Any:
    """What `call` and `call_for` are made of: the code at an address is called, and an error of it passes."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        argtypes = list(signature.args[1])
        unpacked = cgutils.unpack_tuple(builder, values[1])
        kind = context.call_conv.get_function_type(result, argtypes)
        code = builder.inttoptr(values[0], kind.as_pointer())
        status, value = context.call_conv.call_function(builder, code, result, argtypes, unpacked)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value() if result is types.none else value

    return codegen


@intrinsic
def call(typingctx: Any, address: Any, *arguments: Any) -> Any:
    """Call the code at `address` (from `address()`, for exactly these argument types); it returns nothing."""
    return types.void(address, types.StarArgTuple(arguments)), _calling(types.none)


@intrinsic
def call_for(typingctx: Any, address: Any, *arguments: Any) -> Any:
    """Call the code at `address`, as `call` does, for the int64 that it returns."""
    return types.int64(address, types.StarArgTuple(arguments)), _calling(types.int64)


def resize(builder: Any, value: Any, kind: ir.IntType) -> Any:
    """Zero-extend or truncate an LLVM integer to `kind`, for the bodies of intrinsics."""
    if value.type.width < kind.width:
        return builder.zext(value, kind)
    return builder.trunc(value, kind) if value.type.width > kind.width else value

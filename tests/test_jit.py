"""Where compiled code is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numba
import pytest
from helpers import ROOT, on_terminal

from fastgen import jit

COMPILING = "fastgen: compiling"


def test_threads_that_decorate_at_once_keep_their_code_in_one_folder(monkeypatch):
    seen, before = [], numba.config.CACHE_DIR

    def slow(**options):
        def decorate(function):
            for _ in range(5):
                seen.append((options["cache"], numba.config.CACHE_DIR))
                time.sleep(0.002)
            return function

        return decorate

    monkeypatch.setattr(numba, "njit", slow)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(jit.jit, [len] * 16))
    assert seen == [(True, str(jit.cache_folder()))] * 80
    assert before == numba.config.CACHE_DIR


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pty")
def test_a_terminal_is_told_once_that_code_is_compiled_and_not_that_it_is_loaded(tmp_path):
    script = (
        "import numpy as np; from fastgen import modular; x = np.zeros((1, 1), {}); print(modular.reciprocal(x, 3))"
    )
    narrow, both = script.format("np.uint8"), script.format("np.uint8") + "; " + script.format("np.uint16")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    options = {"env": environment, "cwd": tmp_path, "text": True}

    def run(code):
        return on_terminal([sys.executable, "-c", code], **options)

    assert run(narrow)[1].count(COMPILING) == 1
    assert run(narrow)[1] == ""
    environment["NUMBA_CACHE_DIR"] = str(tmp_path / "other")
    assert run(both)[1].count(COMPILING) == 1
    environment["NUMBA_CACHE_DIR"] = str(tmp_path / "piped")
    piped = subprocess.run([sys.executable, "-c", both], **options, capture_output=True, check=True)
    assert piped.stderr == ""

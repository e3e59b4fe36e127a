"""Where compiled code is kept."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numba

from fastgen import jit


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

"""Matrix products in blocks of rows (`einad.lower.gemm` says when)."""

from __future__ import annotations

from functools import cache
from importlib import import_module

import numpy as np

from einad.backends.threads import find_blas
from einad.ir.expr import Array


def matmul_rows(a: Array, b: Array, rows: int, out: Array | None = None) -> Array:
    """``a @ b``, a block of rows at a time; all at once where that is as fast.

    >>> matmul_rows(np.arange(6.0).reshape(3, 2), np.eye(2), 2).tolist()
    [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """
    if out is None:
        out = np.empty((len(a), b.shape[1]), a.dtype)
    if not _blocks_pay():
        return np.matmul(a, b, out=out)
    whole = len(a) // rows * rows
    np.matmul(a[:whole].reshape(-1, rows, a.shape[1]), b, out=out[:whole].reshape(-1, rows, b.shape[1]))
    if whole < len(a):
        np.matmul(a[whole:], b, out=out[whole:])
    return out


def _blocks_pay() -> bool:
    """Whether BLAS has fast small products, and one thread: several would not be used for these."""
    blas = find_blas()
    return _has_small_kernels() and blas is not None and blas.get() == 1


@cache
def _has_small_kernels() -> bool:
    """OpenBLAS has products without packing for AVX-512."""
    features = getattr(import_module("numpy._core._multiarray_umath"), "__cpu_features__", {})
    return bool(features.get("AVX512_SKX"))

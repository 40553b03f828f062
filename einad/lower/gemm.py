"""What a matrix product costs by its shape, and how many rows of a tall one to multiply at once.

OpenBLAS packs its operands before it multiplies them, except where ``m n k`` is below a million or so: a tall product
is faster in blocks of rows of that size. Times in ms, float64, one thread of an AMD EPYC (AVX-512), OpenBLAS 0.3:

================== ==== ====== ===========
m, k, n            dot  blocks at 50 GFLOPS
================== ==== ====== ===========
24000, 150, 20     7.0  4.3    2.9
14400, 40, 120     4.1  3.4    2.8
14400, 120, 40     5.5  3.6    2.8
96000, 64, 64      26.9 20.7   15.7
48000, 16, 16      0.87 0.47   0.49
24000, 100, 100    14.3 10.7   9.6
1024, 200, 200     1.64 1.44   1.64
12000, 200, 32     5.7  3.6    3.1
================== ==== ====== ===========
"""

from __future__ import annotations

UNPACKED = 900_000  # multiplications up to which OpenBLAS does not pack
BLOCK, LEAST_ROWS = 500_000, 16
BYTES_PER_MULTIPLICATION = 0.2  # bytes copied in the time of a multiplication with addition, in a large product
BYTES_PER_PRODUCT = 1500  # and in the time that one more small product takes to start


def block_rows(m: int, k: int, n: int) -> int | None:
    """How many rows of an (m, k) matrix to multiply at once by a (k, n) matrix; None where all at once is as fast.

    A divisor of ``m`` is preferred.

    >>> block_rows(24000, 150, 20), block_rows(500, 400, 400)
    (160, None)
    """
    if not k or not n or m * k * n < 2 * UNPACKED:
        return None
    rows = BLOCK // (k * n)
    if rows < LEAST_ROWS:
        rows = UNPACKED // (k * n)
    if rows < LEAST_ROWS or 2 * rows > m:
        return None
    return next((d for d in range(rows, rows // 2, -1) if m % d == 0), rows)


def product_cost(items: int, m: int, k: int, n: int, row_major: bool) -> float:
    """The time of a batch of products, as the number of bytes copied in that time.

    ``row_major`` says that both operands are stored row by row.
    """
    work = m * k * n
    if work == 0 or items * work < UNPACKED:
        return 0.0
    if row_major and (work <= UNPACKED or block_rows(m, k, n) is not None):
        slow = 1 + 5 / n + 5 / k
    else:
        slow = 1 + 20 / n + 12 / k + 12 / m
    return items * (work * slow * BYTES_PER_MULTIPLICATION + (BYTES_PER_PRODUCT if items > 1 else 0))

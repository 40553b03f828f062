"""Problems that grow in one size, with the growth that their closed forms have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from registry import rng

Problem = tuple[Callable[..., Any], tuple[Any, ...]]


@dataclass(frozen=True)
class Growth:
    """One derivative of one family: its sizes, and the exponents of run time, memory and planning time in the size."""

    sizes: tuple[int, ...]
    run: float
    memory: float
    planning: float


@dataclass(frozen=True)
class Family:
    """A function of arguments made for a size, taken by its first ``by`` arguments (all where it is None)."""

    axis: str
    make: Callable[[int], Problem]
    derivatives: dict[str, Growth]
    by: int | None = 1
    closed_form: str = ""


def matrix(n: int) -> Problem:
    r = rng()
    return lambda W, X: np.sum(np.tanh(W @ X) ** 2), (r.standard_normal((n, n)) / n, r.standard_normal((n, n)))


def logistic(n: int) -> Problem:
    r = rng()
    return lambda w, X: np.sum(np.log(1 + np.exp(X @ w))), (r.standard_normal(n) / n, r.standard_normal((n, n)))


def least_squares(n: int) -> Problem:
    r = rng()
    return lambda X, A: np.sum((A @ X) ** 2), (r.standard_normal((n, n)), r.standard_normal((n, n)))


def network(n: int) -> Problem:
    r, k = rng(), 32

    def f(W1: Any, W2: Any, X: Any) -> Any:
        return np.sum(np.tanh(np.tanh(X @ W1) @ W2) ** 2)

    return f, (r.standard_normal((k, k)) / 6, r.standard_normal((k, k)) / 6, r.standard_normal((n, k)))


def deep(depth: int) -> Problem:
    def f(x: Any, a: Any) -> Any:
        for _ in range(depth):
            x = np.sin(a * x)
        return np.sum(x)

    return f, (rng().standard_normal(16), np.full(16, 1.1))


def contraction(terms: list[tuple[int, ...]], size: int) -> Problem:
    """One einsum over tensors of these labels, every label of one size, down to a number."""
    r = rng()
    tensors = [r.standard_normal((size,) * len(term)) * size ** (-len(term) / 4) for term in terms]

    def f(*tensors: Any) -> Any:
        pairs = zip(tensors, terms, strict=True)
        return np.einsum(*[each for tensor, term in pairs for each in (tensor, list(term))], [])

    return f, tuple(tensors)


def chain(n: int) -> Problem:
    """A vector, n - 2 matrices, a vector."""
    return contraction([(0,), *[(i, i + 1) for i in range(n - 2)], (n - 2,)], 8)


def tree(n: int) -> Problem:
    """A binary tree of n tensors: each holds the bond to its parent and those to its children."""
    return contraction([tuple(k for k in (i, 2 * i + 1, 2 * i + 2) if 0 < k < n) for i in range(n)], 4)


def lattice(n: int) -> Problem:
    """A strip four tensors wide, each bound to its neighbours: its cost is linear in its length."""
    length = n // 4
    bonds: dict[frozenset[tuple[int, int]], int] = {}
    places = [(i, j) for i in range(length) for j in range(4)]
    terms = []
    for i, j in places:
        near = [p for p in ((i - 1, j), (i, j - 1), (i, j + 1), (i + 1, j)) if 0 <= p[0] < length and 0 <= p[1] < 4]
        terms.append(tuple(bonds.setdefault(frozenset({(i, j), p}), len(bonds)) for p in near))
    return contraction(terms, 2)


OPERANDS = (10, 20, 50, 100, 200, 500, 1000)
MANY = {"value": Growth(OPERANDS, 1, 0, 1), "gradient": Growth(OPERANDS, 1, 1, 1)}
LENGTHS = (12, 20, 48, 100, 200, 500, 1000)
STRIPS = {"value": Growth(LENGTHS, 1, 0, 1), "gradient": Growth(LENGTHS, 1, 1, 1)}
DEPTHS = (10, 100, 1_000, 10_000, 100_000)

FAMILIES: dict[str, Family] = {
    "matrix": Family(
        "n",
        matrix,
        {
            "value": Growth((32, 64, 128, 256, 512, 1024), 3, 2, 0),
            "gradient": Growth((32, 64, 128, 256, 512, 1024), 3, 2, 0),
        },
        closed_form="sum(tanh(W X)²) of n x n matrices: products of matrices",
    ),
    "logistic": Family(
        "n",
        logistic,
        {
            "value": Growth((128, 256, 512, 1024, 2048), 2, 1, 0),
            "gradient": Growth((128, 256, 512, 1024, 2048), 2, 1, 0),
            "hessian": Growth((64, 128, 256, 512, 1024), 3, 2, 0),
        },
        closed_form="sum(log(1 + exp(X w))), n rows and n columns: X w, X' s, X' diag(s (1 - s)) X",
    ),
    "least squares": Family(
        "n",
        least_squares,
        {"gradient": Growth((64, 128, 256, 512, 1024), 3, 2, 0), "hessian": Growth((8, 16, 24, 32, 48, 64), 4, 4, 0)},
        closed_form="sum((A X)²): 2 A'A X; the Hessian 2 (A'A)[i,k] δ[j,l] has n⁴ entries",
    ),
    "chain": Family("operands", chain, MANY, None, closed_form="products of vectors and matrices, once each way"),
    "tree": Family("operands", tree, MANY, None, closed_form="from the leaves to the root and back"),
    "lattice": Family("operands", lattice, STRIPS, None, closed_form="a transfer matrix along the strip, and back"),
    "depth": Family(
        "depth",
        deep,
        {
            "value": Growth(DEPTHS, 1, 0, 1),
            "gradient": Growth(DEPTHS, 1, 1, 1),
            "hessian": Growth(DEPTHS[:3], 1, 1, 1),
        },
        closed_form="x -> sin(a x) again and again: one step more each way",
    ),
    "batch": Family(
        "batch",
        network,
        {
            "value": Growth((64, 256, 1024, 4096, 16384), 1, 1, 0),
            "gradient": Growth((64, 256, 1024, 4096, 16384), 1, 1, 0),
            "hessian": Growth((64, 256, 1024, 4096), 1, 1, 0),
        },
        closed_form="a network of two layers of 32: a row more is the same work once more",
    ),
}

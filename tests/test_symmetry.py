"""Symmetric contractions by halves: found exactly, and the values kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import einad as ea
from einad.backends.reference import evaluate
from einad.ir import build
from einad.ir.expr import Call, Input, Map, Node
from einad.ir.walk import topological
from einad.ops.pointwise import POINTWISE
from einad.ops.symmetric import GRAM, PACK, TRIANGLE, UNPACK, WEIGHTED_GRAM
from einad.rewrite import symmetry
from einad.rewrite.fingerprint import fingerprints, is_symmetric

rng = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _small_is_large_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetry, "MIN_MULTIPLICATIONS", 0)
    monkeypatch.setattr(symmetry, "MIN_PAIR", 2)
    monkeypatch.setattr(symmetry, "MIN_GRAM", 2)


def rows_of(root: Node) -> set[Any]:
    return {node.row for node in topological([root]) if isinstance(node, Call)}


A, B, d = Input("A", (7, 5)), Input("B", (7, 5)), Input("d", (7,))
LEFT = build.einsum(["ki", "kp"], "kip", [A, A])
RIGHT = Map(POINTWISE["sin"], build.einsum(["ki", "kp"], "kip", [B, B]))
K = Map(POINTWISE["exp"], build.einsum(["ki", "li"], "kl", [B, B]))

CASES: dict[str, tuple[Node, set[Any]]] = {
    "weighted gram": (build.einsum(["ki", "kj"], "ij", [A, build.einsum(["k", "kj"], "kj", [d, A])]), {WEIGHTED_GRAM}),
    "gram": (build.einsum(["ki", "kj"], "ij", [B, build.einsum(["kl", "lj"], "kj", [K, B])]), {GRAM}),
    "two pairs": (build.einsum(["kip", "koq"], "iopq", [LEFT, RIGHT]), {TRIANGLE, PACK, UNPACK}),
    "a product's pair": (build.einsum(["kip", "ko"], "ipo", [LEFT, B]), {TRIANGLE, UNPACK}),
    "a stored pair": (build.einsum(["ko", "kip"], "oip", [A, RIGHT]), {PACK, UNPACK}),
    "no symmetry": (build.einsum(["ki", "kj"], "ij", [A, B]), set()),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sign", [1, -1])
def test_values_and_rows(name: str, sign: int) -> None:
    root, rows = CASES[name]
    (found,) = symmetry.use_symmetry([root])
    assert rows_of(found) == rows
    values = {A: rng.standard_normal((7, 5)), B: rng.standard_normal((7, 5)) / 9, d: sign * rng.random(7)}
    np.testing.assert_allclose(evaluate([found], values)[0], evaluate([root], values)[0], rtol=1e-12, atol=1e-13)


def test_fingerprints_tell_symmetric_from_nearly_symmetric() -> None:
    square = Input("X", (4, 4))
    even = build.add(square, build.permute(square, (1, 0)))
    nearly = build.add(even, build.scale(square, 1e-9))
    found = fingerprints([even, nearly])
    assert found is not None
    assert is_symmetric(found[even], 0, 1)
    assert not is_symmetric(found[nearly], 0, 1)
    assert not is_symmetric(found[square], 0, 1)


def test_coefficients_are_exact_fractions() -> None:
    x = Input("x", (3, 3))
    third = build.add(build.scale(x, 0.1), build.scale(x, 0.2), build.scale(x, -(0.1 + 0.2)))
    found = fingerprints([third])
    assert found is not None
    assert np.all(found[third])  # the exact sum of 0.1 and 0.2 is not their rounded sum


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_hessians_by_halves(dtype: Any) -> None:
    X, y = rng.standard_normal((20, 4)).astype(dtype), rng.standard_normal(20).astype(dtype)
    W, w = rng.standard_normal((4, 4)).astype(dtype), rng.standard_normal(4).astype(dtype)

    def loss(W: Any) -> Any:
        return np.sum((np.tanh(X @ W) @ w - y) ** 2)

    ea.pipeline.clear_cache()
    H = ea.hessian(loss)(W)
    ea.pipeline.clear_cache()
    assert H.dtype == dtype
    np.testing.assert_allclose(H, H.transpose(2, 3, 0, 1), rtol=1e-4, atol=1e-4)
    step = 1e-5
    E = np.zeros((4, 4))
    E[1, 2] = step
    up, down = (ea.grad(loss)(W + s * E) for s in (1, -1))
    np.testing.assert_allclose(H[1, 2], (up - down) / (2 * step), rtol=1e-2 if dtype == np.float32 else 1e-6, atol=1e-2)

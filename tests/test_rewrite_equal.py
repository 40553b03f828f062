"""Contractions of the same value are computed once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import einad as ea
from einad.backends.reference import evaluate
from einad.ir import build
from einad.ir.expr import Input
from einad.ir.walk import topological
from einad.rewrite import equal

rng = np.random.default_rng(4)


@pytest.fixture(autouse=True)
def _small_is_large_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equal, "MIN_MULTIPLICATIONS", 0)


def test_two_ways_to_the_same_value_become_one() -> None:
    X = Input("X", (5, 4))
    gram = build.einsum(["ai", "aj"], "ij", [X, X])
    Y = build.einsum(["ai", "ij"], "aj", [X, gram])
    one = build.einsum(["ai", "ij"], "aj", [Y, gram])
    other = build.einsum(["ai", "ij"], "aj", [X, build.einsum(["ai", "aj"], "ij", [X, Y])])
    root = build.add(one, other, X)
    (found,) = equal.merge_equal([root])
    assert len(topological([found])) < len(topological([root]))
    values = {X: rng.standard_normal((5, 4))}
    np.testing.assert_allclose(evaluate([found], values)[0], evaluate([root], values)[0], rtol=1e-12)


@pytest.mark.parametrize("order", ["ijk", "ikj", "jik", "jki", "kij", "kji"])
def test_a_transpose_of_a_value_is_a_view_of_it(order: str) -> None:
    A, B = Input("A", (3, 4, 5)), Input("B", (5, 2))
    one = build.einsum(["ija", "ak"], "ijk", [A, B])
    other = build.einsum(["ak", "ija"], order, [B, A])
    found = equal.merge_equal([one, other])
    assert sum(bool(getattr(node, "spec", None) and node.spec.contracted) for node in topological(found)) == 1
    values = {A: rng.standard_normal((3, 4, 5)), B: rng.standard_normal((5, 2))}
    for new, old in zip(evaluate(found, values), evaluate([one, other], values), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-13)


def test_different_values_stay_apart() -> None:
    A, B = Input("A", (4, 4)), Input("B", (4, 4))
    products = [build.einsum(["ij", "jk"], "ik", pair) for pair in ((A, B), (B, A))]
    mixed = build.einsum(["ij", "kj"], "ik", [A, B])
    roots = [*products, mixed, build.add(*products, mixed)]
    assert equal.merge_equal(roots) == roots


def test_functions_of_one_name_and_narrowing_casts_are_told_apart() -> None:
    f = ea.elementwise(lambda x: x + 1, lambda x: x * 0 + 1)
    g = ea.elementwise(lambda x: x * x, lambda x: 2 * x)
    A = rng.standard_normal((4, 4))
    first, second = ea.jit(lambda A: (A @ f(A), A @ g(A)))(A)
    np.testing.assert_allclose(first, A @ (A + 1), rtol=1e-13)
    np.testing.assert_allclose(second, A @ (A * A), rtol=1e-13)
    X = Input("X", (4, 4))
    rounded = build.cast(build.cast(X, np.float32), np.float64)
    roots = [build.einsum(["ij", "jk"], "ik", pair) for pair in ((X, X), (X, rounded))]
    assert equal.merge_equal(roots) == roots


def test_infinite_coefficients_do_no_harm() -> None:
    A = np.ones((4, 4))
    first, second = ea.jit(lambda A: (A @ (A * np.inf), A @ (A + A)))(A)
    assert np.all(np.isinf(first))
    np.testing.assert_array_equal(second, A @ (A + A))


def test_the_gradient_of_a_norm_of_three_factors_needs_fewer_products() -> None:
    X = rng.standard_normal((2000, 50))

    def norm(X: Any) -> Any:
        Y = X @ (X.T @ X)
        return np.sqrt(np.sum(Y * Y))

    plan = ea.plan(ea.value_and_grad(norm), X)
    assert plan.flops < 4.2 * 2 * 2000 * 50 * 50  # six products, three of which are the same tensor

"""Products are multiplied out over sums only on request: what it gains and what it loses."""

from __future__ import annotations

from typing import Any

import numpy as np

import einad as ea
from einad.backends.reference import evaluate
from einad.ir import build
from einad.ir.expr import Add, Input
from einad.ir.walk import topological
from einad.rewrite.distribute import distribute
from einad.transforms.compiling import compile_function

rng = np.random.default_rng(2)
A, B, C = (rng.standard_normal((30, 4)) for _ in range(3))
T = np.einsum("ir,jr,kr->ijk", A, B, C)


def loss(A: Any, T: Any) -> Any:
    R = np.einsum("ir,jr,kr->ijk", A, B, C) - T
    return np.sum(R * R)


def test_it_is_off_by_default_and_keeps_small_residuals() -> None:
    noise = 1e-13 * rng.standard_normal(T.shape)
    observed = T + noise
    exact = -2 * np.einsum("ijk,jr,kr->ir", observed - T, B, C)
    gradient = ea.grad(loss)
    careful, careless = (
        np.abs(f(A, observed) - exact).max() / np.abs(exact).max()
        for f in (ea.jit(gradient), ea.jit(gradient, fast_math=True))
    )
    assert careful < 0.05
    assert careless > 10 * careful


def test_on_request_it_saves_work() -> None:
    careful, careless = (
        compile_function(ea.grad(loss), (A, T), {}, "plan", fast_math).plan.flops for fast_math in (False, True)
    )
    assert careless < 0.8 * careful


def test_on_request_it_keeps_values_far_from_an_optimum() -> None:
    far = rng.standard_normal(T.shape)
    gradient = ea.value_and_grad(loss)
    for plain, fast in zip(ea.jit(gradient)(A, far), ea.jit(gradient, fast_math=True)(A, far), strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-10)


def test_the_law_keeps_values_exactly_on_integers() -> None:
    x, y, z = Input("x", (3, 4)), Input("y", (3, 4)), Input("z", (4,))
    root = build.einsum(["ij", "ij", "j"], "i", [Add(x, y), Add(x, x, y), z])
    values = {n: rng.integers(-5, 6, n.shape).astype(float) for n in (x, y, z)}
    (found,) = distribute([root], lambda node: 0 if isinstance(node, Add) else 1)
    assert isinstance(found, Add)
    np.testing.assert_array_equal(evaluate([found], values)[0], evaluate([root], values)[0])


def test_the_number_of_terms_is_bounded() -> None:
    x = Input("x", (2,))
    root = build.einsum(["i"] * 6, "", [Add(x, x, x)] * 6)
    (found,) = distribute([root], lambda node: 0 if isinstance(node, Add) else 1)
    assert found is root
    assert len(topological([found])) == 3

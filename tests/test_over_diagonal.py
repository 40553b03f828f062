"""Products with a sum of broadcasts and a delta: written once, and then the diagonal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import einad as ea
from einad import pipeline
from einad.backends import reference
from einad.ir import build
from einad.ir.expr import Add, Input, Node
from einad.ir.walk import topological

SIZE = 70


def check(root: Node, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    inputs = [node for node in topological([root]) if isinstance(node, Input)]
    values = {x: rng.standard_normal(x.shape).astype(x.dtype) for x in inputs}
    plan = pipeline.compile_plan([root], inputs)
    (value,) = plan(*[values[x] for x in inputs])
    expected = reference.evaluate([root], values)[0]
    np.testing.assert_allclose(value, expected, rtol=1e-12 if root.dtype == float else 1e-5, atol=1e-6)
    return plan


def graph(x_labels: str, u_labels: str, delta: str, output: str, coefficient: float = 1.0, dtype: Any = float) -> Node:
    sizes = dict.fromkeys("abcd", SIZE) | {"c": 3, "d": 2}
    x, u = [
        Input(name, tuple([sizes[each] for each in labels]), dtype)
        for name, labels in (("x", x_labels), ("u", u_labels))
    ]
    distinct = "".join(dict.fromkeys(delta))
    v = Input("v", tuple([sizes[each] for each in distinct]), dtype)
    axes = "".join(dict.fromkeys(output))
    full = build.einsum([u_labels], axes, [u], sizes, -2.0)
    where = dict(zip(delta, delta, strict=True))
    assert where
    spread = build.einsum([distinct], delta, [v])
    total = Add(full, spread)
    return build.einsum([x_labels, axes], output, [x, total], sizes, coefficient, dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("coefficient", [1.0, -1.0, 0.5])
@pytest.mark.parametrize(
    ("x_labels", "u_labels", "delta", "output"),
    [
        ("a", "b", "aa", "ab"),
        ("b", "b", "aa", "ab"),
        ("ab", "a", "bb", "ab"),
        ("a", "cb", "caa", "cab"),
        ("ac", "b", "aca", "acb"),
    ],
)
def test_values(x_labels: str, u_labels: str, delta: str, output: str, coefficient: float, dtype: Any) -> None:
    check(graph(x_labels, u_labels, delta, output, coefficient, dtype))


def test_the_square_is_written_once() -> None:
    plan = check(graph("a", "b", "aa", "ab"))
    large = [step for step in plan.steps if step.bytes > 8 * SIZE**2]
    assert len(large) == 1


def test_no_digit_is_lost_where_the_terms_cancel() -> None:
    """On the diagonal u + v is 1e-12: multiplied out it would have four digits."""
    u, x = np.random.default_rng(0).random(100) + 1, np.full(100, 0.1)
    v = -u * (1 + 1e-12)
    plan = ea.plan(lambda x, u, v: x[:, None] * (u[None, :] + np.diag(v)), x, u, v)
    np.testing.assert_array_equal(np.diag(plan(x, u, v)[0]), x * (u + v))


@pytest.mark.parametrize("n", [100, 65])
def test_hessian_of_log_sum_exp(n: int) -> None:
    x = np.random.default_rng(0).standard_normal(n)
    p = np.exp(x) / np.exp(x).sum()
    plan = ea.plan(ea.hessian(lambda x: np.log(np.sum(np.exp(x)))), x)
    np.testing.assert_allclose(plan(x)[0], np.diag(p) - np.outer(p, p), atol=1e-15)
    assert plan.bytes_moved < 2.5 * 8 * n**2


def test_jacobian_of_softmax() -> None:
    x = np.random.default_rng(0).standard_normal(90)
    p = np.exp(x) / np.exp(x).sum()
    plan = ea.plan(ea.jacobian(lambda x: np.exp(x) / np.sum(np.exp(x))), x)
    np.testing.assert_allclose(plan(x)[0], np.diag(p) - np.outer(p, p), atol=1e-15)
    assert plan.bytes_moved < 2.5 * 8 * 90**2

"""substitute: structured operands that share a summed label become one, or a band."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import einad as ea
from einad.backends import reference
from einad.ir import build
from einad.ir.expr import Affine, Einsum, Input, Node
from einad.ir.walk import topological
from einad.rewrite.compose import Product
from einad.rewrite.engine import normalise
from einad.rewrite.substitute import substitute


def product_of(node: Einsum) -> Product:
    sizes = dict(enumerate(node.sizes))
    return Product(list(node.spec.inputs), list(node.children), node.spec.output, sizes, node.coefficient, node.dtype)


def windows(roots: list[Node]) -> list[Node]:
    return [node for node in topological(roots) if isinstance(node, Affine)]


def test_a_slice_of_a_slice_is_one_slice() -> None:
    x = Input("x", (40, 3))
    first, second = Affine((40, 15), (1, -2), -3), Affine((15, 4), (1, -3), -1)
    (found,) = normalise([build.einsum(["kc", "ka", "ab"], "bc", [x, first, second])])
    (window,) = windows([found])
    assert window.shape in ((40, 4), (4, 40))
    value = np.arange(120.0).reshape(40, 3)
    np.testing.assert_array_equal(reference.evaluate([found], {x: value})[0], value[3:][::2][1:][::3][:4])


def test_a_slice_and_its_adjoint_make_a_band() -> None:
    """``S' diag(d) S`` of a slice is a vector on a diagonal: no product of matrices is left."""
    d = Input("d", (9,))
    slices = [Affine((9, 10), (1, -1), offset) for offset in (0, 1)]
    for left in slices:
        for right in slices:
            node = build.einsum(["a", "ab", "ac"], "bc", [d, left, right])
            (found,) = normalise([node])
            assert all(not isinstance(each, Einsum) or len(each.sizes) <= 2 for each in topological([found]))
            value = np.random.default_rng(0).standard_normal(9)
            expected = reference.evaluate([node], {d: value})[0]
            np.testing.assert_allclose(reference.evaluate([found], {d: value})[0], expected)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_random_products_keep_their_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, 5)
    operands: list[Node] = []
    inputs: list[tuple[int, ...]] = []
    for _ in range(int(rng.integers(2, 5))):
        labels = tuple(int(n) for n in rng.permutation(5)[: int(rng.integers(1, 4))])
        steps = tuple(int(n) for n in rng.integers(-2, 3, len(labels)))
        inputs.append(labels)
        operands.append(Affine(tuple(int(sizes[n]) for n in labels), steps, int(rng.integers(-3, 4))))
    x_labels = tuple(int(n) for n in rng.permutation(5)[: int(rng.integers(0, 3))])
    x = Input("x", tuple(int(sizes[n]) for n in x_labels))
    output = tuple(int(n) for n in rng.permutation(5)[: int(rng.integers(0, 4))])
    node = build.einsum([*inputs, x_labels], output, [*operands, x], dict(enumerate(map(int, sizes))), 2.0, float)
    if not isinstance(node, Einsum):
        return
    value = rng.standard_normal(x.shape)
    expected = reference.evaluate([node], {x: value})[0]
    np.testing.assert_allclose(reference.evaluate([substitute(product_of(node)).build()], {x: value})[0], expected)
    np.testing.assert_allclose(reference.evaluate(normalise([node]), {x: value})[0], expected, atol=1e-12)


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.mark.parametrize("n", [3, 60])
def test_hessian_of_rosenbrocks_function(n: int) -> None:
    x = np.random.default_rng(0).standard_normal(n)
    expected = np.diag(np.concatenate([1200 * x[:-1] ** 2 - 400 * x[1:] + 2, [0]]))
    expected[range(1, n), range(1, n)] += 200
    expected[range(n - 1), range(1, n)] = expected[range(1, n), range(n - 1)] = -400 * x[:-1]
    plan = ea.plan(ea.hessian(rosenbrock), x)
    np.testing.assert_allclose(plan(x)[0], expected, atol=1e-9)
    assert plan.flops < 8 * n**2 + 100 * n


def laplacian(u: Any) -> Any:
    return u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]


def test_jacobian_of_a_stencil_is_written_in_place() -> None:
    u = np.random.default_rng(0).standard_normal((9, 8))
    plan = ea.plan(ea.jacobian(laplacian), u)
    (found,) = plan(u)
    expected = np.stack([laplacian(e.reshape(9, 8)) for e in np.eye(72)], axis=-1).reshape(7, 6, 9, 8)
    np.testing.assert_array_equal(found, expected)
    assert plan.flops <= 5 * 42 * 4

"""Derivatives of every function of the table: the reverse sweep against central differences of NumPy's own values."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_front import new_trace, tensor
from test_numpy_front_table import CASES

import einad as ea
from einad.diff import sweep
from einad.front.tensor import Tensor, to_node
from einad.ir.expr import Literal

CONTINUOUS = [p for params, _ in CASES for p in params if p.values[2] == "float64"]
STEP = 1e-6


def leaves(result):
    """The float64 arrays or tensors in a result; differences of narrower ones are too coarse."""
    if isinstance(result, list | tuple):
        return [leaf for entry in result for leaf in leaves(entry)]
    floating = isinstance(result, Tensor | np.ndarray | np.floating) and result.dtype == np.float64
    return [result] if floating else []


@pytest.mark.parametrize(("f", "shapes", "dtype"), CONTINUOUS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_reverse_sweep_against_differences(f, shapes, dtype):
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.5, 3, shape) for shape in shapes]
    directions = [rng.standard_normal(shape) for shape in shapes]
    trace = new_trace()
    tensors = [tensor(x, trace) for x in arrays]
    outputs = [to_node(leaf, trace) for leaf in leaves(f(*tensors))]
    weights = [rng.standard_normal(node.shape) for node in outputs]
    gradients = sweep.vjp(outputs, [Literal(np.array(w)) for w in weights], [t.node for t in tensors])
    assert all(gradient.dtype.kind != "c" for gradient in gradients)
    slope = sum(np.sum(trace.value(g) * d) for g, d in zip(gradients, directions, strict=True))

    def along(h):
        values = leaves(f(*[x + h * d for x, d in zip(arrays, directions, strict=True)]))
        return sum(np.sum(w * value) for w, value in zip(weights, values, strict=True))

    np.testing.assert_allclose(slope, (along(STEP) - along(-STEP)) / (2 * STEP), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: np.linalg.norm(x), 0.0),
        (lambda x: np.std(x), 0.0),
        (lambda x: np.linalg.norm(x[:, None], axis=1).sum(), 0.0),
        (lambda x: np.prod(x), 0.0),
        (lambda x: np.max(x), 1 / 3),
        (lambda x: np.abs(x).sum(), 0.0),
    ],
)
def test_slopes_at_zero_are_finite(f, expected):
    t = tensor(np.zeros(3))
    (gradient,) = sweep.vjp([f(t).node], [Literal(np.array(1.0))], [t.node])
    np.testing.assert_allclose(t.origin.value(gradient), np.full(3, expected))


def test_products_with_one_zero():
    t = tensor(np.array([2.0, 0.0, 3.0, 5.0, 7.0]))
    (gradient,) = sweep.vjp([np.prod(t).node], [Literal(np.array(1.0))], [t.node])
    np.testing.assert_allclose(t.origin.value(gradient), [0, 210, 0, 0, 0])


def test_second_derivative_of_a_scaled_quotient():
    x = np.array([0.3, -1.2, 2.0])
    hessian = ea.hessian(lambda t: (t / (1 + t * t) * 1.5).sum())(x)
    np.testing.assert_allclose(hessian, np.diag(1.5 * (2 * x**3 - 6 * x) / (1 + x * x) ** 3), rtol=1e-12, atol=1e-14)

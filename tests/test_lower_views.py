"""Operands whose views copy before they are transposed."""

import numpy as np
import pytest

import einad as ea
from einad import pipeline
from einad.ir import build
from einad.ir.expr import Affine, Input


def test_overlapping_windows_that_are_copied_and_then_transposed():
    """``y[p] = A[p+q+r] W[p,q,r]``: the windows overlap, so (q,r) is one axis of a copy only, and p stands behind."""
    A, W = Input("A", (5,), float), Input("W", (2, 3, 2), float)
    node = build.einsum(["k", "pqr", "kqrp"], "p", [A, W, Affine((5, 3, 2, 2), (-1, 1, 1, 1))])
    rng = np.random.default_rng(0)
    a, w = rng.normal(size=5), rng.normal(size=(2, 3, 2))
    p, q, r = np.indices(w.shape)
    (found,) = pipeline.compile_plan([node], [A, W])(a, w)
    np.testing.assert_allclose(found, (a[p + q + r] * w).sum((1, 2)), rtol=1e-13)


@pytest.mark.parametrize("sizes", [(100_000, 15), (15, 100_000)])
def test_a_long_convolution_never_becomes_a_matrix(sizes):
    """``y[k] = a[i] v[k-i]``: windows of the longer vector, never of the shorter one; and so in its gradients."""
    a, v = (np.random.default_rng(1).normal(size=n) for n in sizes)
    forward = ea.plan(lambda a, v: np.convolve(a, v, "same"), a, v)
    backward = ea.plan(ea.grad(lambda a, v: np.sum(np.convolve(a, v, "same") ** 2), (0, 1)), a, v)
    assert forward.peak_bytes < 3e7
    assert backward.peak_bytes < 6e7
    np.testing.assert_allclose(forward(a, v)[0], np.convolve(a, v, "same"), atol=1e-10)


def test_adjoint_of_a_convolution_is_a_product_and_a_sum_over_the_window():
    """``X_bar[n,c,h,w] = Y_bar[n,o,p,q] K[o,c,r,s] δ[h,p+r] δ[w,q+s]``: nothing larger than windows of one tensor."""
    X, K = np.ones((2, 3, 20, 20)), np.ones((4, 3, 3, 3))
    windows = 2 * 4 * 9 * 20 * 20
    pullback = ea.expr("Y[n,o,p,q] = X[n,c,p+r,q+s] * K[o,c,r,s]").vjp("X")
    plan = pullback.compile(X=X.shape, K=K.shape, Y_bar=(2, 4, 18, 18))
    assert plan.peak_bytes < 8 * 4 * windows
    assert plan.flops < 2 * 2 * 18 * 18 * 4 * 3 * 9 * 1.5

"""Workloads from the literature on Hessians of tensor expressions, and other well-known ones.

The quadratic form, logistic regression, masked factorisation and the network follow the examples of Laue, Mitterreiter
and Giesen, "Computing Higher Order Derivatives of Matrix and Tensor Expressions" (2018) and "A Simple and Efficient
Tensor Calculus" (2020); the last is the kind of product that Ma, Ye and Solomonik study in "AutoHOOT: Automatic
High-Order Optimization for Tensors" (2020). The sizes and the data are our own.
"""

from __future__ import annotations

import numpy as np
from registry import Table, entry_in, rng

W: Table = {}
workload = entry_in(W)


@workload("l_quadratic_form", "hessian")
def _():
    r, n = rng(), 1024
    x, A = r.standard_normal(n), r.standard_normal((n, n))

    def f(xp, x, A):
        return xp.einsum("i,ij,j->", x, A, x)

    return f, (x, A)


@workload("l_log_sum_exp", "hessian")
def _():
    x = rng().standard_normal(1024)

    def f(xp, x):
        return xp.log(xp.sum(xp.exp(x)))

    return f, (x,)


@workload("l_logistic", "hessian")
def _():
    r, n = rng(), 400
    X, y, w = r.standard_normal((2 * n, n)), np.sign(r.standard_normal(2 * n)), r.standard_normal(n) / 20

    def f(xp, w, X, y):
        return xp.sum(xp.log(1.0 + xp.exp(-y * xp.einsum("ij,j->i", X, w))))

    return f, (w, X, y)


@workload("l_masked_factorisation", "hessian")
def _():
    r, n, k = rng(), 200, 5
    mask = (r.random((n, n)) < 0.5).astype(float)
    T, U, V = r.standard_normal((n, n)), r.standard_normal((n, k)), r.standard_normal((n, k))

    def f(xp, U, mask, T, V):
        R = mask * (T - xp.einsum("ik,jk->ij", U, V))
        return xp.sum(R * R)

    return f, (U, mask, T, V)


def _ten_layers(n):
    r = rng()
    weights = [r.standard_normal((n, n)) * np.sqrt(2 / n) for _ in range(10)]
    x, target = r.standard_normal(n), np.eye(n)[0]

    def f(xp, *args):
        *layers, h, target = args
        for layer in layers:
            z = xp.einsum("oi,i->o", layer, h)
            h = xp.where(z > 0, z, 0.0 * z)
        return xp.log(xp.sum(xp.exp(h))) - xp.sum(target * h)

    return f, (*weights, x, target)


@workload("l_ten_layers_20", "hessian")
def _():
    return _ten_layers(20)


@workload("l_ten_layers_50", "hessian")
def _():
    return _ten_layers(50)


@workload("l_pair_distances", "hessian")
def _():
    points, same = rng().standard_normal((120, 3)), np.eye(120)

    def f(xp, points, same):
        differences = points[:, None, :] - points[None, :, :]
        squares = xp.einsum("ijk,ijk->ij", differences, differences)
        return 0.5 * xp.sum((1.0 - same) * xp.sqrt(squares + same))

    return f, (points, same)


@workload("l_cp_gauss_newton", "gauss-newton", argnums=(0, 1, 2))
def _():
    r, n = rng(), 150
    A, B, C = (r.standard_normal((n, n)) / 10 for _ in range(3))
    T = r.standard_normal((n, n, n))

    def f(xp, A, B, C, T):
        return xp.einsum("ir,jr,kr->ijk", A, B, C) - T

    return f, (A, B, C, T)

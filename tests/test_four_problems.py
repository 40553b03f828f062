"""The four problems every release must solve, with their exact numbers, through both front doors."""

from __future__ import annotations

import numpy as np
import pytest

import einad as ea

rng = np.random.default_rng(7)


# 1. A product of two 4-D Jacobians.


def test_product_of_two_4d_jacobians_is_the_product_of_the_flattened_matrices() -> None:
    X, A, B = rng.standard_normal((3, 4)), rng.standard_normal((2, 3)), rng.standard_normal((4, 5))
    C, D = rng.standard_normal((6, 2)), rng.standard_normal((5, 3))

    def g(X):  # (3, 4) -> (2, 5)
        return np.tanh(A @ X @ B)

    def f(G):  # (2, 5) -> (6, 3)
        return np.sin(C @ G @ D)

    outer, inner = ea.jacobian(f)(g(X)), ea.jacobian(g)(X)
    assert outer.shape == (6, 3, 2, 5)
    assert inner.shape == (2, 5, 3, 4)
    product = ea.einsum("pqnm,nmkl->pqkl", outer, inner)
    flattened = outer.reshape(18, 10) @ inner.reshape(10, 12)
    np.testing.assert_allclose(product, flattened.reshape(6, 3, 3, 4), rtol=1e-13)
    np.testing.assert_allclose(ea.jacobian(lambda X: f(g(X)))(X), product, rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3)])
def test_jacobians_have_the_shape_out_plus_in_for_any_number_of_dimensions(shape: tuple[int, ...]) -> None:
    x = rng.standard_normal(shape)
    J = ea.jacobian(lambda x: np.multiply.outer(np.sin(x), np.array([1.0, 2.0])))(x)
    assert J.shape == (*shape, 2, *shape)
    size = x.size
    expected = np.einsum("a,p,ab->apb", np.cos(x).ravel(), [1.0, 2.0], np.eye(size)).reshape(J.shape)
    np.testing.assert_allclose(J, expected, rtol=1e-14)


# 2. Y = W X with W = X X'.

D, N = 5, 3
X2 = rng.standard_normal((D, N))


def test_total_and_partial_derivatives_of_the_squared_norm() -> None:
    W = X2 @ X2.T
    Y = W @ X2

    def loss(W, X):
        Y = np.einsum("ab,bi->ai", W, X)
        return np.sum(Y * Y)

    by_W, by_X = ea.grad(loss, argnums=(0, 1))(W, X2)
    np.testing.assert_allclose(by_W, 2 * Y @ X2.T, rtol=1e-12)
    np.testing.assert_allclose(by_X, 2 * W.T @ Y, rtol=1e-12)

    total = ea.grad(lambda X: loss(np.einsum("ai,bi->ab", X, X), X))(X2)
    through_W = (by_W + by_W.T) @ X2
    np.testing.assert_allclose(total, by_X + through_W, rtol=1e-12)


def test_the_frobenius_norm_and_no_4_tensor() -> None:
    X = rng.standard_normal((20, 10))

    def norm(X):
        W = np.einsum("ai,bi->ab", X, X)
        Y = np.einsum("ab,bi->ai", W, X)
        return np.sqrt(np.sum(Y * Y))

    W = X @ X.T
    Y = W @ X
    G = Y / np.linalg.norm(Y)
    expected = W.T @ G + (G @ X.T + X @ G.T) @ X
    np.testing.assert_allclose(ea.grad(norm)(X), expected, rtol=1e-12)
    plan = ea.plan(ea.grad(norm), X)
    assert plan.peak_bytes < 8 * 20 * 10 * 20  # far below any 4-tensor of 20*10*20*10 or 20*20*20*10 entries


def test_the_second_problem_in_index_notation() -> None:
    e = ea.expr("W[a,b] = X[a,i] * X[b,i]; Y[a,i] = W[a,b] * X[b,i]; loss = Y[a,i] * Y[a,i]")
    W = X2 @ X2.T
    Y = W @ X2
    by_W = e.grad("W")(X=X2)
    np.testing.assert_allclose(by_W, 2 * Y @ X2.T, rtol=1e-12)
    total = e.grad("X")(X=X2)
    np.testing.assert_allclose(total, 2 * W.T @ Y + (by_W + by_W.T) @ X2, rtol=1e-12)


# 3. z = W x.


def test_the_vjp_of_a_matrix_vector_product_is_an_outer_product() -> None:
    W, x, v = rng.standard_normal((3, 4)), rng.standard_normal(4), rng.standard_normal(3)
    _, pullback = ea.vjp(lambda W, x: np.einsum("ij,j->i", W, x), W, x)
    W_bar, x_bar = pullback(v)
    np.testing.assert_allclose(W_bar, np.outer(v, x), rtol=1e-15)
    np.testing.assert_allclose(x_bar, v @ W, rtol=1e-13)

    e = ea.expr("z[i] = W[i,j] * x[j]")
    assert str(e.vjp("W")) == "W_bar[i,j] = z_bar[i] * x[j]"
    assert str(e.vjp("x")) == "x_bar[j] = W[i,j] * z_bar[i]"
    np.testing.assert_allclose(e.vjp("W")(z_bar=v, x=x), np.outer(v, x), rtol=1e-15)


def test_the_derivation_is_printed_step_by_step() -> None:
    text = str(ea.expr("z[i] = W[i,j] * x[j]").derivation("W"))
    steps = [
        "z[i] = W[i,j] * x[j]",
        "∂z[i]/∂W[k,l] = δ[i,k] δ[j,l] x[j]",
        "W_bar[k,l] = z_bar[i] δ[i,k] δ[j,l] x[j]",
        "z_bar[k] x[l]",
        '"k,l->kl"',
    ]
    positions = [text.index(step) for step in steps]
    assert positions == sorted(positions)


# 4. loss = mean(A B).

A4 = np.array([[2.0, 75, 68], [1, 44, 7]])
B4 = np.array([[31.0, 37, 26, 41], [72, 37, 76, 47], [74, 76, 89, 75]])


def check_fourth(value: object, by_A: np.ndarray, by_B: np.ndarray) -> None:
    assert value == 6445.375
    assert by_A.tolist() == [[16.875, 29.0, 39.25]] * 2
    assert by_B.tolist() == [[0.375] * 4, [14.875] * 4, [9.375] * 4]


def test_mean_of_a_product_exactly() -> None:
    value, (by_A, by_B) = ea.value_and_grad(lambda A, B: np.mean(A @ B), argnums=(0, 1))(A4, B4)
    check_fourth(value, by_A, by_B)
    C = A4 @ B4
    assert C.tolist() == [[10494, 8017, 11804, 8707], [3717, 2197, 3993, 2634]]
    assert ea.grad(np.mean)(C).tolist() == [[0.125] * 4] * 2


def test_mean_of_a_product_in_index_notation() -> None:
    e = ea.expr("C[i,k] = A[i,j] * B[j,k]; loss = sum[i,k](C[i,k]) / 8")
    check_fourth(e(A=A4, B=B4), e.grad("A")(A=A4, B=B4), e.grad("B")(A=A4, B=B4))
    assert e.grad("C")(A=A4, B=B4).tolist() == [[0.125] * 4] * 2


def test_the_gradients_of_a_product_are_G_Bt_and_At_G() -> None:
    G = rng.standard_normal((2, 4))
    by_A, by_B = ea.vjp(lambda A, B: A @ B, A4, B4)[1](G)
    np.testing.assert_allclose(by_A, G @ B4.T, rtol=1e-14)
    np.testing.assert_allclose(by_B, A4.T @ G, rtol=1e-14)


def test_the_planner_needs_no_matrix_product_for_the_mean() -> None:
    A, B = np.ones((100, 100)), np.ones((100, 100))
    plan = ea.plan(lambda A, B: np.mean(A @ B), A, B)
    assert plan.flops < 5 * 100 * 100
    both = ea.plan(ea.value_and_grad(lambda A, B: np.mean(A @ B), argnums=(0, 1)), A, B)
    assert both.flops < 10 * 100 * 100

"""What an expert writes by hand in plain NumPy for the workloads of this project: the yardstick of a plan's quality.

Every function takes the workload's arguments (for a Hessian-vector product a tuple of them and a tuple of directions)
and returns what the derivative returns: ``(value, gradient)``, a Jacobian, a Hessian, or a tuple of products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Hand = Callable[..., Any]
HAND: dict[str, Hand] = {}


def by_hand(table: dict[str, Hand], name: str) -> Callable[[Hand], Hand]:
    """A decorator that enters a program into a table under its workload's name."""

    def add(program: Hand) -> Hand:
        assert name not in table
        table[name] = program
        return program

    return add


def one_minus_square(h: np.ndarray) -> np.ndarray:
    """The derivative of tanh from its value, in one new array."""
    d = h * h
    return np.subtract(1, d, out=d)


def tanh_layer(h: np.ndarray, W: np.ndarray) -> np.ndarray:
    """The tanh of a product, in one new array."""
    z = h @ W
    return np.tanh(z, out=z)


# --- Gradients ------------------------------------------------------------------------------------------------


@by_hand(HAND, "s3_mean_matmul")
def mean_matmul(A: Any, B: Any) -> Any:
    """The mean of a product needs no product: columns of A and rows of B are summed."""
    scale = 1 / (A.shape[0] * B.shape[1])
    a, b = A.sum(0), B.sum(1)
    value = a @ b * scale
    dA, dB = np.empty_like(A), np.empty_like(B)
    dA[:] = b * scale
    dB[:] = (a * scale)[:, None]
    return value, (dA, dB)


@by_hand(HAND, "s1_frobenius_tall")
def frobenius_tall(X: Any) -> Any:
    """The square is the trace of (X'X)³, so its gradient is 6 X (X'X)²."""
    G = X.T @ X
    G2 = G @ G
    value = np.sqrt(np.vdot(G2, G))
    return value, X @ (G2 * (3 / value))


@by_hand(HAND, "s2_mlp_step")
def mlp_step(W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, X: Any, T: Any) -> Any:
    """Backpropagation, elementwise work in place."""
    n = len(X)
    h1 = X @ W1
    h1 += b1
    np.tanh(h1, out=h1)
    h2 = h1 @ W2
    h2 += b2
    np.tanh(h2, out=h2)
    z = h2 @ W3
    z += b3
    p = np.exp(z)
    s = p.sum(1)
    value = np.log(s).mean() - np.vdot(z, T) / n
    p /= (n * s)[:, None]
    p -= T / n
    g2 = p @ W3.T
    g2 *= one_minus_square(h2)
    g1 = g2 @ W2.T
    g1 *= one_minus_square(h1)
    return value, (X.T @ g1, g1.sum(0), h1.T @ g2, g2.sum(0), h2.T @ p, p.sum(0))


@by_hand(HAND, "g_cp_loss")
def cp_loss(A: Any, B: Any, C: Any, T: Any) -> Any:
    """One product for the residual, one for C's gradient, one shared by those of A and B, all in slices by i."""
    K = A[:, None, :] * B
    R = K @ C.T
    R -= T
    value = 0.5 * np.vdot(R, R)
    dC = np.matmul(R.transpose(0, 2, 1), K).sum(0)
    P = np.matmul(R, C, out=K)
    return value, (np.einsum("ijr,jr->ir", P, B), np.einsum("ijr,ir->jr", P, A), dC)


@by_hand(HAND, "g_tucker_inner")
def tucker_inner(G: Any, A: Any, B: Any, C: Any, T: Any) -> Any:
    """Two products with the large tensor, everything else small."""
    n, a = A.shape
    b, c = B.shape[1], C.shape[1]
    M = T @ C
    N = B.T @ M
    dG = (A.T @ N.reshape(n, b * c)).reshape(a, b, c)
    E = (A @ G.reshape(a, b * c)).reshape(n, b, c)
    dA = N.reshape(n, b * c) @ G.reshape(a, b * c).T
    dB = np.matmul(M, E.transpose(0, 2, 1)).sum(0)
    F = B @ E
    dC = (F.reshape(-1, c).T @ T.reshape(-1, T.shape[2])).T
    return np.vdot(dG, G), (dG, dA, dB, dC)


@by_hand(HAND, "g_mps_norm")
def mps_norm(*sites: Any) -> Any:
    """A sweep of transfer matrices from each end; the value is the first gradient's product with its own site."""
    left, kept = np.ones((1, 1), sites[0].dtype), []
    for A in sites:
        a, s, c = A.shape
        kept.append((left @ A.reshape(a, s * c)).reshape(a * s, c))
        left = kept[-1].T @ A.reshape(a * s, c) if len(kept) < len(sites) else left
    right, gradients = np.full((1, 1), 2, sites[0].dtype), []
    for A, K in zip(reversed(sites), reversed(kept), strict=True):
        a, s, c = A.shape
        gradients.append((K @ right).reshape(A.shape))
        if len(gradients) < len(sites):
            right = (A.reshape(a * s, c) @ right).reshape(a, s * c) @ A.reshape(a, s * c).T
    return 0.5 * np.vdot(gradients[-1], sites[0]), tuple(reversed(gradients))


@by_hand(HAND, "g_attention")
def attention(X: Any, Wq: Any, Wk: Any, Wv: Any, Wo: Any) -> Any:
    """The three projections as one product, heads as strided views, the softmax's derivative by row sums."""
    (b, s, d), (_, h, k) = X.shape, Wq.shape
    hk, x = h * k, X.reshape(b * s, d)
    W = np.concatenate([w.reshape(d, hk) for w in (Wq, Wk, Wv)], axis=1)
    qkv = (x @ W).reshape(b, s, 3, h, k)
    q, key, v = (qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    a = q @ key.swapaxes(2, 3)
    a *= 0.125
    np.exp(a, out=a)
    a /= a.sum(-1, keepdims=True)
    o = np.empty((b, s, h, k), X.dtype)
    np.matmul(a, v, out=o.transpose(0, 2, 1, 3))
    o2, Wo2 = o.reshape(b * s, hk), Wo.reshape(hk, d)
    y = o2 @ Wo2
    value = np.vdot(y, y)
    y *= 2
    dWo, do = o2.T @ y, (y @ Wo2.T).reshape(b, s, h, k)
    dqkv = np.empty_like(qkv)
    dq, dk, dv = (dqkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    g = do.transpose(0, 2, 1, 3)
    np.matmul(a.swapaxes(2, 3), g, out=dv)
    da = g @ v.swapaxes(2, 3)
    da -= np.einsum("bshk,bshk->bhs", do, o)[..., None]
    da *= a
    da *= 0.125
    np.matmul(da, key, out=dq)
    np.matmul(da.swapaxes(2, 3), q, out=dk)
    flat = dqkv.reshape(b * s, 3 * hk)
    dX, dW = (flat @ W.T).reshape(X.shape), x.T @ flat
    parts = [np.ascontiguousarray(dW[:, i * hk : i * hk + hk]).reshape(d, h, k) for i in range(3)]
    return value, (dX, *parts, dWo.reshape(Wo.shape))


@by_hand(HAND, "t_small_rnn")
def small_rnn(Wh: Any, Wx: Any, xs: Any) -> Any:
    """Input projections, derivatives of tanh and weight gradients for all steps at once; few calls in the loops."""
    states = xs @ Wx.T
    rows, t = list(states), np.empty(len(Wh), Wh.dtype)
    h, dot, tanh = rows[0], Wh.dot, np.tanh
    for row in rows[1:]:
        dot(h, t)
        row += t
        h = tanh(row, row)
    slopes = one_minus_square(states)
    slopes[0] = 1
    g, dot = 2 * h, Wh.T.dot
    for slope in reversed(list(slopes)):
        slope *= g
        g = dot(slope)
    return np.vdot(h, h), (slopes[1:].T @ states[:-1], slopes.T @ xs)


# --- A Hessian-vector product ---------------------------------------------------------------------------------


@by_hand(HAND, "v_hvp_mlp")
def hvp_mlp(args: Any, v: Any) -> Any:
    """Value and tangent go through the layers together, then back."""
    W1, W2, w3, X, y = args
    h1 = tanh_layer(X, W1)
    d1 = one_minus_square(h1)
    h1_dot = X @ v[0]
    h1_dot *= d1
    h2 = tanh_layer(h1, W2)
    d2 = one_minus_square(h2)
    h2_dot = h1_dot @ W2
    h2_dot *= d2
    e, e_dot = 2 * (h2 @ w3 - y), 2 * (h2_dot @ w3)
    d2 *= w3
    h2 *= h2_dot
    h2 *= w3
    h2 *= (-2 * e)[:, None]
    h2 += d2 * e_dot[:, None]
    d2 *= e[:, None]
    up, up_dot = d2 @ W2.T, h2 @ W2.T
    up_dot *= d1
    up *= h1
    up *= h1_dot
    up *= 2
    up_dot -= up
    return (X.T @ up_dot,)


# --- Jacobians and Hessians -----------------------------------------------------------------------------------


@by_hand(HAND, "s0_jac_tanh_axb")
def jac_tanh_axb(X: Any, A: Any, B: Any) -> Any:
    """J[i,j,k,l] = (1 - Y²)[i,j] A[i,k] B[l,j]: one small product, then one that fills the result.

    This is an outer product of long rows with numbers, which ``np.einsum`` does faster than a broadcast does.
    """
    D = one_minus_square(np.tanh(A @ X @ B))
    return np.einsum("ik,ijl->ijkl", A, D[:, :, None] * B.T)


@by_hand(HAND, "s0_jac_two_layer")
def jac_two_layer(X: Any, A: Any, B: Any, C: Any, D: Any) -> Any:
    """J[i,j] = E[i,j] Σ_a (C[i,a] A[a]) ⊗ M[j,a], a batched product straight into the result's layout."""
    H = np.tanh(A @ X @ B)
    E = one_minus_square(np.tanh(C @ H @ D))
    n = len(X)
    M = ((D.T[:, None, :] * one_minus_square(H)).reshape(n * n, n) @ B.T).reshape(n, n, n)
    J = np.matmul((C[:, :, None] * A).transpose(0, 2, 1)[:, None], M)
    J *= E[:, :, None, None]
    return J


@by_hand(HAND, "h_logreg")
def logreg(w: Any, X: Any, y: Any) -> Any:
    """X' diag(s (1 - s)) X as a matrix times its own transpose, which BLAS does at half the cost."""
    s = 1 / (1 + np.exp(y * (X @ w)))
    R = X * (np.sqrt(s * (1 - s)) * np.abs(y))[:, None]
    return R.T @ R


@by_hand(HAND, "h_matfac")
def matfac(U: Any, T: Any, V: Any) -> Any:
    """2 δ[i,j] (V'V)[k,l], written onto the diagonal of zeros."""
    n, k = U.shape
    H = np.zeros((n, k, n, k), U.dtype)
    np.einsum("ikil->ikl", H)[:] = 2 * (V.T @ V)
    return H


@by_hand(HAND, "h_mlp")
def hessian_mlp(W1: Any, W2: Any, w3: Any, X: Any, y: Any) -> Any:
    """H[i,o,p,q] = Σ_n X[n,i] X[n,p] M[n,o,q], symmetric in i,p and in o,q: both pairs packed in the product."""
    k = len(w3)
    h1 = tanh_layer(X, W1)
    h2 = tanh_layer(h1, W2)
    d1, g2 = one_minus_square(h1), one_minus_square(h2) * w3
    e = h2 @ w3 - y
    up = g2 @ W2.T
    o, q = np.triu_indices(k)
    M = (h2 * g2 * (-4 * e)[:, None]) @ (W2[o] * W2[q]).T
    M += 2 * up[:, o] * up[:, q]
    M *= d1[:, o]
    M *= d1[:, q]
    M[:, np.flatnonzero(o == q)] -= (4 * e)[:, None] * h1 * d1 * up
    i, p = np.triu_indices(X.shape[1])
    packed = (X[:, i] * X[:, p]).T @ M
    return unpack(packed, X.shape[1], k)


def unpack(packed: np.ndarray, m: int, k: int) -> np.ndarray:
    """``H[i,o,p,q]`` from a matrix over the packed pairs i,p and o,q: columns first, then whole rows of q."""
    columns = packed.take(places(k).ravel(), axis=1).reshape(-1, k)
    rows = places(m)[:, None, :] * k + np.arange(k)[:, None]
    return columns.take(rows.ravel(), axis=0).reshape(m, k, m, k)


def places(n: int) -> np.ndarray:
    """Where each entry of a symmetric matrix stands among the packed ones."""
    found = np.empty((n, n), np.intp)
    i, j = np.triu_indices(n)
    found[i, j] = found[j, i] = np.arange(len(i))
    return found

"""What an expert writes by hand in plain NumPy for the second set of workloads."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from handwritten import Hand, by_hand, one_minus_square, tanh_layer

HAND: dict[str, Hand] = {}


# --- Regressions ----------------------------------------------------------------------------------------------


@by_hand(HAND, "m_logistic")
def logistic(w: Any, X: Any, y: Any) -> Any:
    """Σ log(1 + e), its gradient -X' (y e / (1 + e))."""
    e = np.exp(-y * (X @ w))
    t = 1 + e
    value = np.log(t).sum()
    e /= t
    e *= y
    return value, -(e @ X)


@by_hand(HAND, "m_hvp_logistic")
def hvp_logistic(args: Any, v: Any) -> Any:
    """X' (y² s (1 - s) (X v))."""
    w, X, y = args
    s = 1 / (1 + np.exp(y * (X @ w)))
    s *= 1 - s
    s *= y * y
    s *= X @ v[0]
    return (s @ X,)


@by_hand(HAND, "m_softmax_regression")
def softmax_regression(W: Any, b: Any, X: Any, T: Any) -> Any:
    """Probabilities less targets, over the number of rows; classes first, so that reductions run along long rows."""
    n = len(X)
    z = W.T @ X.T
    z += b[:, None]
    top = z.max(0)
    p = z - top
    np.exp(p, out=p)
    s = p.sum(0)
    value = (np.log(s) + top).mean() - np.vdot(z.T, T) / n
    p /= s
    p -= T.T
    p /= n
    return value, ((p @ X).T, p.sum(1))


# --- Recurrent nets -------------------------------------------------------------------------------------------


def halved(gates: int, *weights: np.ndarray) -> list[np.ndarray]:
    """Weights with their first columns halved: 1 / (1 + exp(-z)) is (1 + tanh(z / 2)) / 2, one call for all gates."""
    scale = np.ones(weights[0].shape[-1], weights[0].dtype)
    scale[:gates] = 0.5
    return [w * scale for w in weights]


@by_hand(HAND, "m_lstm")
def lstm(Wx: Any, Wh: Any, b: Any, h: Any, xs: Any) -> Any:
    """Input projections and weight gradients for all steps at once; one product a step each way."""
    steps, batch, n = xs.shape
    k = h.shape[1]
    Wx_, Wh_, b_ = halved(3 * k, Wx, Wh, b)
    z = (xs.reshape(-1, n) @ Wx_ + b_).reshape(steps, batch, 4 * k)
    cells, states = np.empty((steps + 1, batch, k), h.dtype), np.empty((steps + 1, batch, k), h.dtype)
    cells[0] = states[0] = h
    bent = np.empty((steps, batch, k), h.dtype)
    for t, (row, gates) in enumerate(zip(z, z[:, :, : 3 * k], strict=True)):
        row += states[t].dot(Wh_)
        np.tanh(row, row)
        gates *= 0.5
        gates += 0.5
        c = cells[t + 1]
        np.multiply(row[:, 2 * k : 3 * k], cells[t], c)
        c += row[:, :k] * row[:, 3 * k :]
        np.multiply(row[:, k : 2 * k], np.tanh(c, bent[t]), states[t + 1])
    i, o, keep, new = (z[:, :, j * k : j * k + k] for j in range(4))
    slope = o * one_minus_square(bent)
    local = np.empty((steps, batch, 4 * k), h.dtype)
    local[:, :, :k] = new * i * (1 - i)
    local[:, :, k : 2 * k] = bent * o * (1 - o)
    local[:, :, 2 * k : 3 * k] = cells[:-1] * keep * (1 - keep)
    local[:, :, 3 * k :] = i * one_minus_square(new)
    dh, dc = 2 * states[-1], np.zeros_like(h)
    by_gate, back = local.reshape(steps, batch, 4, k), Wh.T
    for t in range(steps - 1, -1, -1):
        dc += dh * slope[t]
        all_gates = by_gate[t]
        all_gates[:, 1] *= dh
        all_gates[:, 0] *= dc
        all_gates[:, 2:] *= dc[:, None]
        dh = local[t].dot(back)
        dc *= keep[t]
    g = local.reshape(-1, 4 * k)
    value = np.vdot(states[-1], states[-1])
    return value, (xs.reshape(-1, n).T @ g, states[:-1].reshape(-1, k).T @ g, g.sum(0))


@by_hand(HAND, "m_gru")
def gru(Wx: Any, Wh: Any, b: Any, h: Any, xs: Any) -> Any:
    """Input projections and weight gradients for all steps at once; one product a step each way."""
    steps, batch, n = xs.shape
    k = h.shape[1]
    Wx_, Wh_, b_ = halved(2 * k, Wx, Wh, b)
    z = (xs.reshape(-1, n) @ Wx_ + b_).reshape(steps, batch, 3 * k)
    states, inner = np.empty((steps + 1, batch, k), h.dtype), np.empty((steps, batch, k), h.dtype)
    states[0] = h
    for t, (gates, new) in enumerate(zip(z[:, :, : 2 * k], z[:, :, 2 * k :], strict=True)):
        s = states[t].dot(Wh_)
        gates += s[:, : 2 * k]
        np.tanh(gates, gates)
        gates *= 0.5
        gates += 0.5
        inner[t] = s[:, 2 * k :]
        new += gates[:, k:] * inner[t]
        np.tanh(new, new)
        h = states[t + 1]
        np.subtract(states[t], new, h)
        h *= gates[:, :k]
        h += new
    u, r, new = (z[:, :, j * k : j * k + k] for j in range(3))
    du = (states[:-1] - new) * u * (1 - u)
    dn = (1 - u) * one_minus_square(new)
    dr = inner * r * (1 - r)
    gh, dn_all, back = np.empty_like(z), np.empty_like(new), Wh.T
    dh = 2 * states[-1]
    for t in range(steps - 1, -1, -1):
        row, d = gh[t], dn_all[t]
        np.multiply(dh, du[t], row[:, :k])
        np.multiply(dh, dn[t], d)
        np.multiply(d, dr[t], row[:, k : 2 * k])
        np.multiply(d, r[t], row[:, 2 * k :])
        dh *= u[t]
        dh += row.dot(back)
    gx = gh.copy()
    gx[:, :, 2 * k :] = dn_all
    gx, gh = gx.reshape(-1, 3 * k), gh.reshape(-1, 3 * k)
    value = np.vdot(states[-1], states[-1])
    return value, (xs.reshape(-1, n).T @ gx, states[:-1].reshape(-1, k).T @ gh, gx.sum(0))


# --- Feed-forward nets ----------------------------------------------------------------------------------------


@by_hand(HAND, "m_residual_mlp")
def residual_mlp(*args: Any) -> Any:
    """Backpropagation, elementwise work in place."""
    weights, biases, h = args[:6], args[6:12], args[12]
    inputs, bent = [], []
    for W, b in zip(weights, biases, strict=True):
        z = h @ W
        z += b
        inputs.append(h)
        bent.append(np.tanh(z, out=z))
        h = h + z
    value, g = np.vdot(h, h) / h.size, h * (2 / h.size)
    dW, db = [], []
    for W, x, z in zip(reversed(weights), reversed(inputs), reversed(bent), strict=True):
        d = one_minus_square(z)
        d *= g
        dW.append(x.T @ d)
        db.append(d.sum(0))
        g += d @ W.T
    return value, (*reversed(dW), *reversed(db))


@by_hand(HAND, "m_deep_mlp")
def deep_mlp(*args: Any) -> Any:
    """Backpropagation; the first layer's input needs no gradient."""
    *weights, X, Y = args
    states = [X]
    for W in weights:
        states.append(tanh_layer(states[-1], W))
    e = states[-1] - Y
    value, g, dW = np.vdot(e, e), 2 * e, []
    for n, (W, (x, h)) in reversed(list(enumerate(zip(weights, pairwise(states), strict=True)))):
        d = one_minus_square(h)
        d *= g
        dW.append(x.T @ d)
        g = d @ W.T if n else g
    return value, tuple(reversed(dW))


@by_hand(HAND, "m_tiny_mlp")
def tiny_mlp(W1: Any, b1: Any, W2: Any, b2: Any, X: Any, y: Any) -> Any:
    """As few calls as there can be."""
    h = X @ W1
    h += b1
    np.tanh(h, h)
    e = h @ W2
    e += b2
    e -= y
    value = np.vdot(e, e) / len(e)
    e *= 2 / len(e)
    d = h * h
    np.subtract(1, d, d)
    d *= W2[:, 0]
    d *= e
    return value, (X.T @ d, d.sum(0), h.T @ e, e.sum(0))


@by_hand(HAND, "m_layer_norm_mlp")
def layer_norm_mlp(g: Any, b: Any, W1: Any, W2: Any, X: Any) -> Any:
    """The norm is of the data: only its scale and shift have gradients."""
    c = X - X.mean(1, keepdims=True)
    c /= np.sqrt(np.einsum("ni,ni->n", c, c) / c.shape[1] + 1e-5)[:, None]
    h = c * g
    h += b
    a = tanh_layer(h, W1)
    y = a @ W2
    y += X
    value = np.vdot(y, y) / y.size
    y *= 2 / y.size
    da = y @ W2.T
    da *= one_minus_square(a)
    dh = da @ W1.T
    return value, (np.einsum("ni,ni->i", dh, c), dh.sum(0), h.T @ da, a.T @ y)


@by_hand(HAND, "m_attention")
def attention(X: Any, Wq: Any, Wk: Any, Wv: Any, Wo: Any) -> Any:
    """The three projections as one product, heads as strided views, the softmax's derivative by row sums."""
    (b, s, d), (_, h, k) = X.shape, Wq.shape
    hk, x, scale = h * k, X.reshape(b * s, d), k**-0.5
    W = np.concatenate([w.reshape(d, hk) for w in (Wq, Wk, Wv)], axis=1)
    qkv = (x @ W).reshape(b, s, 3, h, k)
    q, key, v = (qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    a = q @ key.swapaxes(2, 3)
    a *= scale
    a -= a.max(-1, keepdims=True)
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
    da *= scale
    np.matmul(da, key, out=dq)
    np.matmul(da.swapaxes(2, 3), q, out=dk)
    flat = dqkv.reshape(b * s, 3 * hk)
    dX, dW = (flat @ W.T).reshape(X.shape), x.T @ flat
    parts = [np.ascontiguousarray(dW[:, i * hk : i * hk + hk]).reshape(d, h, k) for i in range(3)]
    return value, (dX, *parts, dWo.reshape(Wo.shape))


# --- Products of many tensors ---------------------------------------------------------------------------------


@by_hand(HAND, "m_matmul_chain")
def matmul_chain(A: Any, B: Any, C: Any, D: Any) -> Any:
    """The products from both ends, shared by value and gradients."""
    AB, CD = A @ B, C @ D
    Y = AB @ CD
    value = np.vdot(Y, Y)
    Y *= 2
    left, right = Y @ CD.swapaxes(1, 2), AB.swapaxes(1, 2) @ Y
    dA, dB = left @ B.swapaxes(1, 2), A.swapaxes(1, 2) @ left
    return value, (dA, dB, right @ D.swapaxes(1, 2), C.swapaxes(1, 2) @ right)


@by_hand(HAND, "m_tensor_train")
def tensor_train(*cores: Any) -> Any:
    """A sweep from each end; the value is the first gradient's product with its own core."""
    first, second = cores[:10], cores[10:]
    left, kept = np.ones((1, 1), first[0].dtype), []
    for A, B in zip(first, second, strict=True):
        a, s, c = A.shape
        kept.append(left.dot(B.reshape(len(B), -1)).reshape(a * s, -1))
        left = A.reshape(a * s, c).T.dot(kept[-1]) if len(kept) < 10 else left
    right, gradients = np.ones((1, 1), first[0].dtype), []
    for A, B, K in zip(reversed(first), reversed(second), reversed(kept), strict=True):
        a, s, c = A.shape
        gradients.append(K.dot(right.T).reshape(A.shape))
        if len(gradients) < 10:
            right = A.reshape(a * s, c).dot(right).reshape(a, -1).dot(B.reshape(len(B), -1).T)
    return np.vdot(gradients[-1], first[0]), tuple(reversed(gradients))


@by_hand(HAND, "m_hvp_cp")
def hvp_cp(args: Any, v: Any) -> Any:
    """The residual and its tangent meet the factors: small Gram matrices where the tensor is not needed."""
    A, B, C, T = args
    dA, dB, dC = v
    n, m, r = len(A), len(B), A.shape[1]
    K = (A[:, None] * B).reshape(n * m, r)
    K_dot = (dA[:, None] * B + A[:, None] * dB).reshape(n * m, r)
    R = K @ C.T
    R -= T.reshape(n * m, -1)
    R_dot = np.hstack([K_dot, K]) @ np.hstack([C, dC]).T
    hC = R_dot.T @ K
    hC += R.T @ K_dot
    P = (R @ C).reshape(n, m, r)
    P_dot = (np.hstack([R_dot, R]) @ np.vstack([C, dC])).reshape(n, m, r)
    hA = np.einsum("ijr,jr->ir", P_dot, B) + np.einsum("ijr,jr->ir", P, dB)
    hB = np.einsum("ijr,ir->jr", P_dot, A) + np.einsum("ijr,ir->jr", P, dA)
    return hA, hB, hC


@by_hand(HAND, "m_masked_factorisation")
def masked_factorisation(U: Any, V: Any, T: Any, mask: Any) -> Any:
    """The masked residual, its mask once more, and two products."""
    R = U @ V.T
    R -= T
    R *= mask
    value = np.vdot(R, R) + 0.1 * (np.vdot(U, U) + np.vdot(V, V))
    R *= mask
    dU, dV = R @ V, R.T @ U
    dU += 0.1 * U
    dV += 0.1 * V
    dU *= 2
    dV *= 2
    return value, (dU, dV)


# --- Elementwise work, pairs, and small forms -----------------------------------------------------------------


@by_hand(HAND, "m_gaussian_kernel")
def gaussian_kernel(X: Any, T: Any) -> Any:
    """Differences themselves, one coordinate after another: no cancellation, and long rows."""
    rows = X.T.copy()
    D = rows[:, :, None] - rows[:, None, :]
    K = np.einsum("kij,kij->ij", D, D)
    K *= -0.5
    np.exp(K, out=K)
    E = K - T
    value = np.vdot(E, E)
    E *= K
    E += E.T.copy()
    E *= -2
    return value, np.vecdot(E, D).T


@by_hand(HAND, "m_softplus")
def softplus(x: Any) -> Any:
    """Blocks that stay in the cache."""
    gradient, total, block = np.empty_like(x), 0.0, 8192
    t = np.empty(block, x.dtype)
    for start in range(0, len(x), block):
        e = gradient[start : start + block]
        part = t[: len(e)]
        np.exp(x[start : start + block], out=e)
        np.add(e, 1, out=part)
        e /= part
        total += np.log(part, out=part).sum()
    return total, gradient


@by_hand(HAND, "m_quadratic_small")
def quadratic_small(x: Any, A: Any) -> Any:
    """Two products with a vector."""
    y = A @ x
    value = x @ y
    y += x @ A
    return value, y


@by_hand(HAND, "m_bilinear_small")
def bilinear_small(x: Any, A: Any, y: Any) -> Any:
    """Two products with a vector and an outer one."""
    g = A @ y
    return x @ g, (g, x[:, None] * y, x @ A)

"""Other problems that people write with einsum: regressions, recurrent and residual nets, attention, kernels, small."""

from __future__ import annotations

import numpy as np
from registry import Table, entry_in, rng

W: Table = {}
workload = entry_in(W)


# --- Regressions ----------------------------------------------------------------------------------------------


def _logistic(xp, w, X, y):
    return xp.sum(xp.log(1.0 + xp.exp(-y * xp.einsum("ij,j->i", X, w))))


def _logistic_data():
    r, m, n = rng(), 5000, 200
    return r.standard_normal(n) / 20, r.standard_normal((m, n)), np.sign(r.standard_normal(m))


@workload("m_logistic", "gradient")
def _():
    return _logistic, _logistic_data()


@workload("m_hvp_logistic", "hvp")
def _():
    return _logistic, _logistic_data()


@workload("m_softmax_regression", "gradient", argnums=(0, 1))
def _():
    r, m, n, c = rng(), 2000, 200, 10
    W, b, X = r.standard_normal((n, c)) / 14, np.zeros(c), r.standard_normal((m, n))
    T = np.eye(c)[r.integers(0, c, m)]

    def f(xp, W, b, X, T):
        z = xp.einsum("ni,ic->nc", X, W) + b
        top = xp.amax(z, axis=1, keepdims=True)
        logs = xp.log(xp.sum(xp.exp(z - top), axis=1)) + top[:, 0]
        return xp.mean(logs) - xp.einsum("nc,nc->", z, T) / 2000

    return f, (W, b, X, T)


# --- Recurrent nets -------------------------------------------------------------------------------------------


def _sigmoid(xp, z):
    return 1.0 / (1.0 + xp.exp(-z))


def _recurrent(gates):
    r, steps, batch, n, hidden = rng(), 20, 8, 16, 32
    Wx = r.standard_normal((n, gates * hidden)) / 4
    Wh = r.standard_normal((hidden, gates * hidden)) / 6
    b, xs = np.zeros(gates * hidden), r.standard_normal((steps, batch, n))
    return Wx, Wh, b, np.zeros((batch, hidden)), xs


@workload("m_lstm", "gradient", argnums=(0, 1, 2))
def _():
    def f(xp, Wx, Wh, b, h, xs):
        c = h
        for t in range(20):
            z = xp.einsum("bi,ik->bk", xs[t], Wx) + xp.einsum("bh,hk->bk", h, Wh) + b
            i, o, keep = (_sigmoid(xp, z[:, 32 * k : 32 * k + 32]) for k in range(3))
            c = keep * c + i * xp.tanh(z[:, 96:])
            h = o * xp.tanh(c)
        return xp.sum(h * h)

    return f, _recurrent(4)


@workload("m_gru", "gradient", argnums=(0, 1, 2))
def _():
    def f(xp, Wx, Wh, b, h, xs):
        for t in range(20):
            z = xp.einsum("bi,ik->bk", xs[t], Wx) + b
            s = xp.einsum("bh,hk->bk", h, Wh)
            update = _sigmoid(xp, z[:, :32] + s[:, :32])
            reset = _sigmoid(xp, z[:, 32:64] + s[:, 32:64])
            new = xp.tanh(z[:, 64:] + reset * s[:, 64:])
            h = update * h + (1.0 - update) * new
        return xp.sum(h * h)

    return f, _recurrent(3)


# --- Feed-forward nets ----------------------------------------------------------------------------------------


@workload("m_residual_mlp", "gradient", argnums=tuple(range(12)))
def _():
    r, layers, n = rng(), 6, 64
    weights = [r.standard_normal((n, n)) / 8 for _ in range(layers)]
    biases = [np.zeros(n) for _ in range(layers)]

    def f(xp, *args):
        h = args[-1]
        for W, b in zip(args[:6], args[6:12], strict=True):
            h = h + xp.tanh(xp.einsum("ni,io->no", h, W) + b)
        return xp.mean(h * h)

    return f, (*weights, *biases, r.standard_normal((64, n)))


@workload("m_deep_mlp", "gradient", argnums=tuple(range(10)))
def _(dt=np.float32):
    r, n = rng(), 128
    weights = [(r.standard_normal((n, n)) / np.sqrt(n)).astype(dt) for _ in range(10)]
    X, Y = (r.standard_normal((64, n)).astype(dt) for _ in range(2))

    def f(xp, *args):
        *layers, h, Y = args
        for W in layers:
            h = xp.tanh(xp.einsum("ni,io->no", h, W))
        return xp.sum((h - Y) * (h - Y))

    return f, (*weights, X, Y)


@workload("m_tiny_mlp", "gradient", argnums=(0, 1, 2, 3))
def _():
    r = rng()
    W1, W2 = r.standard_normal((16, 16)) / 4, r.standard_normal((16, 1)) / 4
    X, y = r.standard_normal((8, 16)), r.standard_normal((8, 1))

    def f(xp, W1, b1, W2, b2, X, y):
        h = xp.tanh(X @ W1 + b1)
        e = h @ W2 + b2 - y
        return xp.mean(e * e)

    return f, (W1, np.zeros(16), W2, np.zeros(1), X, y)


@workload("m_layer_norm_mlp", "gradient", argnums=(0, 1, 2, 3))
def _():
    r, n = rng(), 128
    g, b = np.ones(n), np.zeros(n)
    W1, W2 = r.standard_normal((n, 2 * n)) / 11, r.standard_normal((2 * n, n)) / 16
    X = r.standard_normal((128, n))

    def f(xp, g, b, W1, W2, X):
        centred = X - xp.mean(X, axis=1, keepdims=True)
        spread = xp.sqrt(xp.mean(centred * centred, axis=1, keepdims=True) + 1e-5)
        h = centred / spread * g + b
        y = X + xp.einsum("nk,ko->no", xp.tanh(xp.einsum("ni,ik->nk", h, W1)), W2)
        return xp.mean(y * y)

    return f, (g, b, W1, W2, X)


@workload("m_attention", "gradient", argnums=(0, 1, 2, 3, 4))
def _(dt=np.float32):
    r, batch, length, width, heads, size = rng(), 2, 64, 128, 4, 32
    X = r.standard_normal((batch, length, width)).astype(dt)
    Wq, Wk, Wv = ((r.standard_normal((width, heads, size)) / 11).astype(dt) for _ in range(3))
    Wo = (r.standard_normal((heads, size, width)) / 11).astype(dt)

    def f(xp, X, Wq, Wk, Wv, Wo):
        q, k, v = (xp.einsum("bsd,dhk->bhsk", X, W) for W in (Wq, Wk, Wv))
        s = xp.einsum("bhsk,bhtk->bhst", q, k) * 32**-0.5
        a = xp.exp(s - xp.amax(s, axis=-1, keepdims=True))
        a = a / xp.sum(a, axis=-1, keepdims=True)
        y = xp.einsum("bhst,bhtk,hkd->bsd", a, v, Wo)
        return xp.sum(y * y)

    return f, (X, Wq, Wk, Wv, Wo)


# --- Products of many tensors ---------------------------------------------------------------------------------


@workload("m_matmul_chain", "gradient", argnums=(0, 1, 2, 3))
def _():
    r = rng()
    matrices = [r.standard_normal((32, 40, 40)) / 6 for _ in range(4)]

    def f(xp, A, B, C, D):
        Y = xp.einsum("bij,bjk,bkl,blm->bim", A, B, C, D)
        return xp.sum(Y * Y)

    return f, tuple(matrices)


def _train(r, cores, rank, n):
    ranks = [1, *[rank] * (cores - 1), 1]
    return [r.standard_normal((ranks[i], n, ranks[i + 1])) / np.sqrt(rank * n) for i in range(cores)]


@workload("m_tensor_train", "gradient", argnums=tuple(range(10)))
def _():
    r, letters = rng(), "abcdefghijk"
    middle, other = "ABCDEFGHIJ", "mnopqrstuvw"
    first = [letters[i] + middle[i] + letters[i + 1] for i in range(10)]
    second = [other[i] + middle[i] + other[i + 1] for i in range(10)]

    def f(xp, *cores):
        return xp.einsum(",".join([*first, *second]) + "->", *cores)

    return f, (*_train(r, 10, 16, 8), *_train(r, 10, 12, 8))


@workload("m_hvp_cp", "hvp", argnums=(0, 1, 2))
def _():
    r, n, rank = rng(), 60, 16
    A, B, C = (r.standard_normal((n, rank)) for _ in range(3))
    T = r.standard_normal((n, n, n))

    def f(xp, A, B, C, T):
        R = xp.einsum("ir,jr,kr->ijk", A, B, C) - T
        return 0.5 * xp.sum(R * R)

    return f, (A, B, C, T)


@workload("m_masked_factorisation", "gradient", argnums=(0, 1))
def _():
    r, m, n, k = rng(), 500, 400, 20
    U, V = r.standard_normal((m, k)), r.standard_normal((n, k))
    T, mask = r.standard_normal((m, n)), (r.random((m, n)) < 0.3).astype(float)

    def f(xp, U, V, T, mask):
        R = mask * (T - xp.einsum("ik,jk->ij", U, V))
        return xp.sum(R * R) + 0.1 * (xp.sum(U * U) + xp.sum(V * V))

    return f, (U, V, T, mask)


# --- Elementwise work, pairs, and small forms -----------------------------------------------------------------


@workload("m_gaussian_kernel", "gradient")
def _():
    r, n, d = rng(), 300, 8
    X, T = r.standard_normal((n, d)), r.random((n, n))

    def f(xp, X, T):
        D = X[:, None, :] - X[None, :, :]
        K = xp.exp(-0.5 * xp.einsum("ijk,ijk->ij", D, D))
        return xp.sum((K - T) * (K - T))

    return f, (X, T)


@workload("m_softplus", "gradient")
def _():
    x = rng().standard_normal(1_000_000)

    def f(xp, x):
        return xp.sum(xp.log(1.0 + xp.exp(x)))

    return f, (x,)


@workload("m_quadratic_small", "gradient")
def _():
    r = rng()

    def f(xp, x, A):
        return xp.einsum("i,ij,j->", x, A, x)

    return f, (r.standard_normal(10), r.standard_normal((10, 10)))


@workload("m_bilinear_small", "gradient", argnums=(0, 1, 2))
def _():
    r = rng()

    def f(xp, x, A, y):
        return xp.einsum("i,ij,j->", x, A, y)

    return f, (r.standard_normal(10), r.standard_normal((10, 10)), r.standard_normal(10))

"""Workloads of this project: gradients, Jacobians, Hessians and a Hessian-vector product."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from opt_einsum import get_symbol
from registry import Table, entry_in, rng

W: Table = {}
workload = entry_in(W)


@workload("s3_mean_matmul", "gradient", argnums=(0, 1))
def _(dt=np.float64):
    r = rng()
    A, B = r.standard_normal((1000, 1000)).astype(dt), r.standard_normal((1000, 1000)).astype(dt)

    def f(xp, A, B):
        return xp.mean(xp.einsum("ij,jk->ik", A, B))

    return f, (A, B)


@workload("s1_frobenius_tall", "gradient")
def _(dt=np.float64):
    X = rng().standard_normal((2000, 50)).astype(dt)

    def f(xp, X):
        Wm = xp.einsum("ai,bi->ab", X, X)
        Y = xp.einsum("ab,bi->ai", Wm, X)
        return xp.sqrt(xp.sum(Y * Y))

    return f, (X,)


@workload("s2_mlp_step", "gradient", argnums=(0, 1, 2, 3, 4, 5))
def _(dt=np.float32):
    r = rng()
    sizes = [784, 512, 512, 10]
    P = []
    for a, b in pairwise(sizes):
        P += [(r.standard_normal((a, b)) / np.sqrt(a)).astype(dt), np.zeros(b, dt)]
    X = r.standard_normal((256, 784)).astype(dt)
    T = np.eye(10, dtype=dt)[r.integers(0, 10, 256)]

    def f(xp, W1, b1, W2, b2, W3, b3, X, T):
        h = xp.tanh(xp.einsum("ni,io->no", X, W1) + b1)
        h = xp.tanh(xp.einsum("ni,io->no", h, W2) + b2)
        z = xp.einsum("ni,io->no", h, W3) + b3
        logz = xp.log(xp.einsum("no->n", xp.exp(z)))
        return xp.mean(logz) - xp.einsum("no,no->", z, T) / 256

    return f, (*P, X, T)


@workload("s0_jac_tanh_axb", "jacobian")
def _(dt=np.float64):
    r = rng()
    A, X, B = (r.standard_normal(s).astype(dt) / 6 for s in [(40, 40), (40, 40), (40, 40)])

    def f(xp, X, A, B):
        return xp.tanh(xp.einsum("ik,kl,lj->ij", A, X, B))

    return f, (X, A, B)


@workload("s0_jac_two_layer", "jacobian")
def _(dt=np.float64):
    r = rng()
    X = r.standard_normal((32, 32)) / 6
    A, B, C, D = (r.standard_normal((32, 32)) / 6 for _ in range(4))

    def f(xp, X, A, B, C, D):
        H = xp.tanh(xp.einsum("ik,kl,lj->ij", A, X, B))
        return xp.tanh(xp.einsum("ik,kl,lj->ij", C, H, D))

    return f, (X, A, B, C, D)


@workload("h_logreg", "hessian")
def _(dt=np.float64):
    r = rng()
    X, y, w = r.standard_normal((2000, 400)), np.sign(r.standard_normal(2000)), r.standard_normal(400) / 20

    def f(xp, w, X, y):
        z = -y * xp.einsum("ij,j->i", X, w)
        return xp.sum(xp.log(1.0 + xp.exp(z)))

    return f, (w, X, y)


@workload("h_matfac", "hessian")
def _(dt=np.float64):
    r = rng()
    T, U, V = r.standard_normal((200, 200)), r.standard_normal((200, 5)), r.standard_normal((200, 5))

    def f(xp, U, T, V):
        R = T - xp.einsum("ik,jk->ij", U, V)
        return xp.sum(R * R)

    return f, (U, T, V)


@workload("h_mlp", "hessian")
def _(dt=np.float64):
    r = rng()
    W1, W2, w3 = r.standard_normal((30, 30)) / 5, r.standard_normal((30, 30)) / 5, r.standard_normal(30) / 5
    X, y = r.standard_normal((500, 30)), r.standard_normal(500)

    def f(xp, W1, W2, w3, X, y):
        h = xp.tanh(xp.einsum("ni,io->no", X, W1))
        h = xp.tanh(xp.einsum("ni,io->no", h, W2))
        e = xp.einsum("no,o->n", h, w3) - y
        return xp.sum(e * e)

    return f, (W1, W2, w3, X, y)


@workload("g_cp_loss", "gradient", argnums=(0, 1, 2))
def _(dt=np.float64):
    r = rng()
    A, B, C = (r.standard_normal((120, 40)) for _ in range(3))
    T = r.standard_normal((120, 120, 120))

    def f(xp, A, B, C, T):
        R = xp.einsum("ir,jr,kr->ijk", A, B, C) - T
        return 0.5 * xp.sum(R * R)

    return f, (A, B, C, T)


@workload("g_tucker_inner", "gradient", argnums=(0, 1, 2, 3))
def _(dt=np.float64):
    r = rng()
    G = r.standard_normal((20, 20, 20))
    A, B, C = (r.standard_normal((150, 20)) for _ in range(3))
    T = r.standard_normal((150, 150, 150))

    def f(xp, G, A, B, C, T):
        return xp.einsum("ijk,abc,ia,jb,kc->", T, G, A, B, C)

    return f, (G, A, B, C, T)


@workload("g_mps_norm", "gradient", argnums=tuple(range(24)))
def _(dt=np.float64):
    r = rng()
    L, chi, d = 24, 48, 2
    ts = [r.standard_normal((1 if i == 0 else chi, d, 1 if i == L - 1 else chi)) / np.sqrt(chi * d) for i in range(L)]

    def f(xp, *ts):
        sub_a = [(i, 100 + i, i + 1) for i in range(len(ts))]
        sub_b = [(200 + i, 100 + i, 201 + i) for i in range(len(ts))]
        ids = sorted({k for s in sub_a + sub_b for k in s})
        sym = {k: get_symbol(n) for n, k in enumerate(ids)}
        eq = ",".join("".join(sym[k] for k in s) for s in sub_a + sub_b) + "->"
        return xp.einsum(eq, *ts, *ts)

    return f, tuple(ts)


@workload("g_attention", "gradient", argnums=(0, 1, 2, 3, 4))
def _(dt=np.float32):
    r = rng()
    B, S, D, H, K = 4, 128, 256, 4, 64
    X = r.standard_normal((B, S, D)).astype(dt)
    Wq, Wk, Wv = ((r.standard_normal((D, H, K)) / 16).astype(dt) for _ in range(3))
    Wo = (r.standard_normal((H, K, D)) / 16).astype(dt)

    def f(xp, X, Wq, Wk, Wv, Wo):
        q = xp.einsum("bsd,dhk->bshk", X, Wq)
        k = xp.einsum("bsd,dhk->bshk", X, Wk)
        v = xp.einsum("bsd,dhk->bshk", X, Wv)
        a = xp.exp(xp.einsum("bshk,bthk->bhst", q, k) / 8.0)
        z = xp.einsum("bhst->bhs", a)
        o = xp.einsum("bhst,bthk,bhs->bshk", a, v, 1.0 / z)
        y = xp.einsum("bshk,hkd->bsd", o, Wo)
        return xp.sum(y * y)

    return f, (X, Wq, Wk, Wv, Wo)


@workload("v_hvp_mlp", "hvp")
def _(dt=np.float64):
    r = rng()
    W1, W2, w3 = r.standard_normal((200, 200)) / 14, r.standard_normal((200, 200)) / 14, r.standard_normal(200) / 14
    X, y = r.standard_normal((1000, 200)), r.standard_normal(1000)

    def f(xp, W1, W2, w3, X, y):
        h = xp.tanh(xp.einsum("ni,io->no", X, W1))
        h = xp.tanh(xp.einsum("ni,io->no", h, W2))
        e = xp.einsum("no,o->n", h, w3) - y
        return xp.sum(e * e)

    return f, (W1, W2, w3, X, y)


@workload("t_small_rnn", "gradient", argnums=(0, 1))
def _(dt=np.float64):
    r = rng()
    Wh, Wx = r.standard_normal((16, 16)) / 4, r.standard_normal((16, 8)) / 3
    xs = r.standard_normal((50, 8))

    def f(xp, Wh, Wx, xs):
        h = xp.einsum("ij,j->i", Wx, xs[0])
        for t in range(1, 50):
            h = xp.tanh(xp.einsum("ij,j->i", Wh, h) + xp.einsum("ij,j->i", Wx, xs[t]))
        return xp.sum(h * h)

    return f, (Wh, Wx, xs)

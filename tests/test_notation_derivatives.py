"""Derivatives inside a text: d(Y[i,k], X[a,b])."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from notation_oracle import SHAPES, SIZES, statement_value, statements, tensor_values

import einad as ea
from einad.errors import NotationError
from einad.expression import expr
from einad.front.notation import parse
from einad.front.notation_print import statement_text, tensor_text, unparse
from einad.front.notation_read import read
from einad.front.notation_records import Derivative, Factor, factors_of

rng = np.random.default_rng(11)
close = np.testing.assert_allclose

N, M = 5, 3
W1, W2, w2, w3 = (rng.standard_normal(shape) for shape in [(M, N), (4, M), (M,), (4,)])
x, v, u = rng.standard_normal(N), rng.standard_normal(N), rng.standard_normal(M)
NET = "a[h] = tanh(W1[h,i] * x[i]); b[k] = sin(W2[k,h] * a[h]); f = w3[k] * b[k] + a[h] * a[h] + x[i] * sin(x[i])\n"
MAP = "r[n] = w2[n] * tanh(W1[n,i] * x[i]) * (1 + x[k] * x[k])\n"


def net(x):
    a = np.tanh(W1 @ x)
    return w3 @ np.sin(W2 @ a) + a @ a + x @ np.sin(x)


def residual(x):
    return w2 * np.tanh(W1 @ x) * (1 + np.sum(x * x))


def net_hessian(x):
    """∂²f by hand."""
    a = np.tanh(W1 @ x)
    s, z = 1 - a * a, W2 @ a
    by_a = 2 * a + W2.T @ (w3 * np.cos(z))
    by_aa = 2 * np.eye(M) - W2.T @ np.diag(w3 * np.sin(z)) @ W2
    inner = np.diag(s) @ by_aa @ np.diag(s) + np.diag(-2 * a * s * by_a)
    return W1.T @ inner @ W1 + np.diag(2 * np.cos(x) - x * np.sin(x))


def net_gradient(x):
    a = np.tanh(W1 @ x)
    return W1.T @ ((1 - a * a) * (2 * a + W2.T @ (w3 * np.cos(W2 @ a)))) + np.sin(x) + x * np.cos(x)


def residual_jacobian(x):
    t = np.tanh(W1 @ x)
    return (w2 * (1 - t * t) * (1 + x @ x))[:, None] * W1 + np.outer(w2 * t, 2 * x)


VALUES = {"W1": W1, "W2": W2, "w2": w2, "w3": w3, "x": x, "v": v, "u": u}
g, H, J = net_gradient(x), net_hessian(x), residual_jacobian(x)


def test_the_hand_made_derivatives_are_right():
    eye = 1e-6 * np.eye(N)
    close(g, [(net(x + e) - net(x - e)) / 2e-6 for e in eye], rtol=1e-7)
    close(H, [(net_gradient(x + e) - net_gradient(x - e)) / 2e-6 for e in eye], rtol=1e-6, atol=1e-8)
    close(J.T, [(residual(x + e) - residual(x - e)) / 2e-6 for e in eye], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NET + "g[i] = d(f, x[i])", g),
        (NET + "s = d(f, x[i])", g.sum()),
        (NET + "s = d(f, x[i]) * v[i]", g @ v),
        (NET + "s = d(f, x[i]) * d(f, x[i])", g @ g),
        (NET + "s[i] = d(f, x[i])**2", g**2),
        (NET + "s = exp(d(f, x[i]) * v[i]) - 2 * f", np.exp(g @ v) - 2 * net(x)),
        (NET + "s[i] = tanh(d(f, x[i]) + 1) / (2 + sin(d(f, x[i])))", np.tanh(g + 1) / (2 + np.sin(g))),
        (NET + "H[i,j] = d(f, x[i], x[j])", H),
        (NET + "H[i] = d(f, x[i], x[j])", H.sum(1)),
        (NET + "h[i] = d(f, x[i], x[i])", np.diag(H)),
        (NET + "h[i,i] = d(f, x[i], x[i])", np.diag(np.diag(H))),
        (NET + "lap = d(f, x[i], x[i])", np.trace(H)),
        (NET + "lap = -2 * d(f, x[i], x[i]) / 3", -2 * np.trace(H) / 3),
        (NET + "lap = d(f, x[i], x[j]) * δ[i,j]", np.trace(H)),
        (NET + "Hv[i] = d(f, x[i], x[j]) * v[j]", H @ v),
        (NET + "Hv[j] = v[i] * d(f, x[i], x[j])", H @ v),
        (NET + "q = v[i] * d(f, x[i], x[j]) * v[j]", v @ H @ v),
        (NET + "q[i] = d(f, x[i], x[j]) * d(f, x[j])", H @ g),
        (NET + "A[i,k] = d(f, x[i], x[j]) * d(f, x[j], x[k])", H @ H),
        (NET + "q[i] = (d(f, x[i]) + v[i]) * d(f, x[i], x[i])", (g + v) * np.diag(H)),
        (MAP + "J[n,i] = d(r[n], x[i])", J),
        (MAP + "J[i,n] = d(r[n], x[i])", J.T),
        (MAP + "s = d(r[n], x[i])", J.sum()),
        (MAP + "Jv[n] = d(r[n], x[i]) * v[i]", J @ v),
        (MAP + "uJ[i] = u[n] * d(r[n], x[i])", u @ J),
        (MAP + "s = u[n] * d(r[n], x[i]) * v[i]", u @ J @ v),
        (MAP + "G[i] = d(r[n], x[i]) * d(r[n], x[i])", (J * J).sum(0)),
        (MAP + "G[i,j] = d(r[n], x[i]) * d(r[n], x[j])", J.T @ J),
        (MAP + "G[i] = d(r[n], x[i]) * d(r[n], x[j]) * v[j]", J.T @ (J @ v)),
        (MAP + "s[n] = sum[i](d(r[n], x[i])**2)", (J * J).sum(1)),
        (MAP + "D[i,j] = W1[n,i] * d(r[n], x[j])", W1.T @ J),
        (MAP + "D[j] = W1[n,j] * d(r[n], x[j])", (W1 * J).sum(0)),
        (MAP + "z[i,j] = d(x[i], x[j])", np.eye(N)),
        (MAP + "z[i] = d(x[i], x[j]) * v[j]", v),
        (MAP + "z[n,m] = d(r[n], r[m])", np.eye(M)),
        (MAP + "z[n,m] = d(r[n], w2[m])", np.diag(residual(x) / w2)),
        (MAP + "z[n] = d(r[n], w2[n], x[i]) * v[i]", (J @ v) / w2),
    ],
)
def test_values(text, expected):
    e = expr(text)
    close(e(**VALUES), expected, rtol=1e-10, atol=1e-12)
    assert expr(str(e)) is e


def test_matrices():
    X, A = rng.standard_normal((4, 3)), rng.standard_normal((3, 3))
    text = "Y[i,k] = sin(X[i,j] * A[j,k])\n"
    slope = np.cos(X @ A)
    full = np.einsum("ik,ia,bk->ikab", slope, np.eye(4), A)
    close(expr(text + "J[i,k,a,b] = d(Y[i,k], X[a,b])")(X=X, A=A), full, rtol=1e-12)
    close(ea.jacobian(lambda X: np.sin(X @ A))(X), full, rtol=1e-12)
    close(expr(text + "D[i,k] = d(Y[i,k], X[i,k])")(X=X, A=A), np.einsum("ikik->ik", full), rtol=1e-12)
    close(expr(text + "D = d(Y[i,k], X[i,k])")(X=X, A=A), np.einsum("ikik", full), rtol=1e-12)
    close(expr(text + "T[k,b] = d(Y[i,k], X[i,b])")(X=X, A=A), np.einsum("ikib->kb", full), rtol=1e-12)


def test_divergence_and_curl():
    w = np.array([0.3, -1.2, 0.7])
    field = "v[i] = A[i,j] * x[j] * x[j] + x[i] * sin(x[i])\n"
    A, y = rng.standard_normal((3, 3)), rng.standard_normal(3)
    jacobian = 2 * A * y + np.diag(np.sin(y) + y * np.cos(y))
    close(expr(field + "div = d(v[i], x[i])")(A=A, x=y), np.trace(jacobian), rtol=1e-12)
    levi = np.zeros((3, 3, 3))
    for p in itertools.permutations(range(3)):
        levi[p] = np.linalg.det(np.eye(3)[list(p)])
    curl = expr(field + "c[i] = E[i,j,k] * d(v[k], x[j])")(A=A, x=y, E=levi)
    close(curl, [jacobian[2, 1] - jacobian[1, 2], jacobian[0, 2] - jacobian[2, 0], jacobian[1, 0] - jacobian[0, 1]])
    close(expr(field + "c[i] = w[j] * d(v[i], x[j])")(A=A, x=y, w=w), jacobian @ w, rtol=1e-12)


def test_third_derivatives():
    y = rng.uniform(0.5, 1, 4)
    B = rng.standard_normal((4, 4))
    text = "f = sum[i](x[i]**4) + B[i,j] * x[i] * x[j] * x[j]\n"
    third = np.zeros((4, 4, 4))
    third[np.arange(4), np.arange(4), np.arange(4)] = 24 * y
    for i, j in itertools.product(range(4), repeat=2):
        for a, b, c in itertools.permutations([i, j, j]):
            third[a, b, c] += B[i, j]
    found = expr(text + "T[i,j,k] = d(f, x[i], x[j], x[k])")(x=y, B=B)
    close(found, third, rtol=1e-12, atol=1e-12)
    close(expr(text + "t[i] = d(f, x[i], x[i], x[i])")(x=y, B=B), np.einsum("iii->i", third), rtol=1e-12)
    close(expr(text + "t[k] = d(f, x[i], x[i], x[k])")(x=y, B=B), np.einsum("iik->k", third), rtol=1e-12)
    direction = rng.standard_normal(4)
    close(expr(text + "t[i] = d(f, x[i], x[j], x[k]) * v[j] * v[k]")(x=y, B=B, v=direction),
          third @ direction @ direction, rtol=1e-12)  # fmt: skip


# -------------------------------------------------------------------------------- earlier targets as variables

PROBLEM2 = "W[a,b] = X[a,i] * X[b,i]; Y[a,i] = W[a,b] * X[b,i]; loss = Y[a,i] * Y[a,i]\n"
X2 = rng.standard_normal((4, 3))


def test_the_second_problem():
    """∂ℓ/∂W = 2 Y X' with X held, ∂ℓ/∂X = 2 W'Y with W held, and the total derivative; no 4-tensor is formed."""
    W = X2 @ X2.T
    Y = W @ X2
    by_W = expr(PROBLEM2 + "G[a,b] = d(loss, W[a,b])")
    close(by_W(X=X2), 2 * Y @ X2.T, rtol=1e-12)
    total = expr(PROBLEM2 + "G[b,i] = d(loss, X[b,i])")
    through = 2 * (Y @ X2.T + X2 @ Y.T) @ X2
    close(total(X=X2), 2 * W.T @ Y + through, rtol=1e-12)
    held = expr("Y[a,i] = W[a,b] * X[b,i]; loss = Y[a,i] * Y[a,i]; G[b,i] = d(loss, X[b,i])")
    close(held(X=X2, W=W), 2 * W.T @ Y, rtol=1e-12)
    chain = expr(PROBLEM2 + "G[c,j] = d(loss, W[a,b]) * d(W[a,b], X[c,j])")
    close(chain(X=X2), through, rtol=1e-12)
    norm = expr(PROBLEM2 + "norm = sqrt(loss); G[a,b] = d(norm, W[a,b])")
    close(norm(X=X2), Y @ X2.T / np.linalg.norm(Y), rtol=1e-12)
    d, n = 40, 30
    for e in (by_W, total, chain):
        assert e.compile(X=(d, n)).peak_bytes < 8 * d * n * d


def test_equal_targets_are_different_variables():
    text = "V[i] = x[i] * x[i]; W[i] = x[i] * x[i]; l = sum[i](V[i]**2 * W[i]); g[i] = "
    close(expr(text + "d(l, W[i])")(x=x), x**4, rtol=1e-12)
    close(expr(text + "d(l, V[i])")(x=x), 2 * x**4, rtol=1e-12)
    close(expr(text + "d(l, x[i])")(x=x), 6 * x**5, rtol=1e-12)


def test_a_copy_of_an_input_is_a_variable_of_its_own():
    text = "y[i] = x[i]; l = y[i] * x[i] * x[i]; g[i] = "
    close(expr(text + "d(l, y[i])")(x=x), x**2, rtol=1e-12)
    close(expr(text + "d(l, x[i])")(x=x), 3 * x**2, rtol=1e-12)


def test_further_arguments_differentiate_the_derivative():
    text = "w[i] = x[i]**2; l = sum[i](w[i] * w[i] * x[i]); m[i] = "
    close(expr(text + "d(l, w[i], w[i])")(x=x), 2 * x, rtol=1e-12)
    close(expr(text + "d(l, w[i], x[i])")(x=x), 6 * x**2, rtol=1e-12)  # d/dx of 2 w x, through w too
    close(expr(text + "d(l, x[i], w[i])")(x=x), 2 * x**2 + 4 * x * x, rtol=1e-12)  # d/dw of w² + 2 w x 2x, x held


def test_what_does_not_depend_has_the_derivative_zero():
    close(expr("y[i] = x[i]**2; z[j] = 3 * t[j]; D[i,j] = d(y[i], t[j])")(x=x, t=u), np.zeros((N, M)))
    close(expr("y[i] = floor(x[i]); D[i,j] = d(y[i], x[j])")(x=x), np.zeros((N, N)))
    close(expr("y[i] = 3 * x[i]; z = d(y[i], x[i], x[i])")(x=x), 0)


def test_constant_targets_can_be_differentiated_by():
    close(expr("W[a,b] = δ[a,b]; l = x[a] * W[a,b] * x[b]; G[a,b] = d(l, W[a,b])")(x=x), np.outer(x, x), rtol=1e-12)


# ------------------------------------------------------------------------------------------------------ dtypes


def test_whole_numbers_count_as_floats():
    e = expr("y[i] = x[i]**3; g[i] = d(y[i], x[i])")
    close(e(x=np.array([1, 2, 3])), [3.0, 12.0, 27.0])
    w = expr("w[i] = m[i] * m[i]; l = w[i] * w[i] * m[i]; g[i] = d(l, w[i])")
    close(w(m=np.array([1, 2, 3])), [2.0, 16.0, 54.0])


def test_single_precision_stays():
    e = expr(NET + "Hv[i] = d(f, x[i], x[j]) * v[j]")
    found = e(**{name: value.astype(np.float32) for name, value in VALUES.items()})
    assert found.dtype == np.float32
    close(found, H @ v, rtol=1e-4)
    mixed = e(**{**{name: value.astype(np.float32) for name, value in VALUES.items()}, "v": v})
    assert mixed.dtype == np.float64


def test_complex_factors_and_variables():
    z = rng.standard_normal(N) + 1j * rng.standard_normal(N)
    close(expr(NET + "s = d(f, x[i]) * z[i]")(**VALUES, z=z), g @ z, rtol=1e-12)
    close(expr(NET + "s[i] = d(f, x[i], x[j]) * z[j]")(**VALUES, z=z), H @ z, rtol=1e-12)
    close(expr("y[i] = z[i]**3; D[i,j] = d(y[i], z[j])")(z=z), np.diag(3 * z**2), rtol=1e-12)
    close(expr("y[i] = z[i]**3; D[i] = d(y[i], z[j]) * v[j]")(z=z, v=v), 3 * z**2 * v, rtol=1e-12)


# ------------------------------------------------------------------------------------------------------ memory

SHAPES_OF = {"W1": lambda n, h: (h, n), "W2": lambda n, h: (20, h), "w2": lambda n, h: (h,), "w3": lambda n, h: (20,)}


def plan(text, n=400, h=30):
    e = expr(text)
    shapes = {name: SHAPES_OF[name](n, h) if name in SHAPES_OF else (n,) for name in e.inputs}
    return e.compile(**shapes)


ONE = "f = w2[h] * tanh(W1[h,i] * x[i])\n"
TWO = "a[h] = tanh(W1[h,i] * x[i]); b[k] = tanh(W2[k,h] * a[h]); f = w3[k] * b[k]\n"
FIELD = "y[i] = x[i] + W1[h,i] * tanh(W1[h,j] * x[j])\n"
GN = "r[h] = w2[h] * tanh(W1[h,i] * x[i])\n"


@pytest.mark.parametrize("network", [ONE, TWO, NET])
@pytest.mark.parametrize(
    "question",
    ["q = d(f, x[i], x[i])", "q[i] = d(f, x[i], x[i])", "q = d(f, x[i], x[i], x[j]) * v[j]", "q[i] = d(f, x[i])**2"],
)
def test_traces_and_diagonals_never_hold_the_matrix(network, question):
    n = 400
    assert plan(network + question).peak_bytes < 0.5 * 8 * n * n
    assert plan(network + question).flops < 0.5 * 30 * n * n


@pytest.mark.parametrize("network", [ONE, TWO, NET])
@pytest.mark.parametrize("question", ["q[i] = d(f, x[i], x[j]) * v[j]", "q = v[i] * d(f, x[i], x[j]) * v[j]"])
def test_hessian_vector_products_hold_vectors_only(network, question):
    found = plan(network + question)
    assert found.peak_bytes < 8 * 400 * 10
    assert found.flops < 20 * 30 * 400


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (FIELD + "q = d(y[i], x[i])", 30 * 400 * 1.1),
        (FIELD + "q[i] = d(y[i], x[i])", 30 * 400 * 1.1),
        (FIELD + "q[i] = d(y[i], x[j]) * v[j]", 400 * 4),
        (FIELD + "q[j] = v[i] * d(y[i], x[j])", 400 * 4),
        (GN + "G[i] = d(r[n], x[i]) * d(r[n], x[i])", 30 * 400 * 1.1),
        (GN + "G[i] = d(r[n], x[i]) * d(r[n], x[j]) * v[j]", 400 * 4),
    ],
)
def test_peak_memory_in_elements(text, limit):
    assert plan(text).peak_bytes < 8 * limit


# ------------------------------------------------------------------------------------- derivatives of derivatives


def along(f, direction, step=1e-6):
    return (f(x + step * direction) - f(x - step * direction)) / (2 * step)


@pytest.mark.parametrize(
    "question",
    [
        "t = d(f, x[i], x[i])",
        "t = d(f, x[i]) * d(f, x[i])",
        "t = exp(0.1 * d(f, x[i]) * v[i]) + f",
        "t = v[i] * d(f, x[i], x[j]) * v[j]",
        "q[i] = d(f, x[i], x[j]) * v[j]; t = q[i] * d(f, x[i])",
        "t = d(f, a[h]) * d(f, a[h])",
    ],
)
def test_methods_differentiate_texts_with_derivatives(question):
    e = expr(NET + question)
    numeric = along(lambda x: e(**{**VALUES, "x": x}), v)
    close(e.grad("x")(**VALUES) @ v, numeric, rtol=1e-6, atol=1e-7)
    close(e.jvp("x")(**VALUES, x_dot=v), numeric, rtol=1e-6, atol=1e-7)
    close(e.vjp("x")(**VALUES, t_bar=1.0) @ v, numeric, rtol=1e-6, atol=1e-7)
    second = along(lambda x: e.grad("x")(**{**VALUES, "x": x}), v)
    close(e.hessian("x")(**VALUES) @ v, second, rtol=1e-5, atol=1e-6)


def test_methods_and_earlier_targets():
    e = expr(PROBLEM2 + "G[a,b] = d(loss, W[a,b])")
    direction = rng.standard_normal(X2.shape)
    numeric = (e(X=X2 + 1e-6 * direction) - e(X=X2 - 1e-6 * direction)) / 2e-6
    close(e.jvp("X")(X=X2, X_dot=direction), numeric, rtol=1e-6)
    close(np.tensordot(e.jacobian("X")(X=X2), direction, 2), numeric, rtol=1e-6)


def test_a_derivative_is_a_statement_of_the_text_it_is_differentiated_as():
    e = expr("f = x[i] * x[i] * c; g[i] = d(f, x[i])")
    assert str(e.jvp("c")).splitlines()[-2:] == ["df_dx_dot[i] = 2 * x[i] * c_dot", "g_dot[i] = df_dx_dot[i]"]
    close(e.jvp("c")(x=x, c=2.0, c_dot=3.0), 6 * x)
    assert e.inputs == {"x": ("i",), "c": ()}
    assert e.outputs == {"f": (), "g": ("i",)}
    found = e.all(x=x, c=2.0)
    close(found["g"], 4 * x)
    close(found["f"], 2 * x @ x)


@given(statements(depth=2, deltas=False), st.data())
@settings(max_examples=25, deadline=None)
def test_random_statements(statement, data):
    """d(y, A) * direction is the derivative along the direction, by complex steps."""
    names = sorted({factor.name for factor in factors_of(statement.expression)})
    assume(names)
    name = data.draw(st.sampled_from(names))
    values = tensor_values(np.random.default_rng(0))
    directions = np.random.default_rng(1).standard_normal(SHAPES[name])
    fresh = [f"z{n}" for n in range(len(SHAPES[name]))]
    out = [f"o{n}" for n in range(len(statement.indices))]
    t, y, by, along = (tensor_text(*pair) for pair in [("t", out), ("y", out), (name, fresh), ("v", fresh)])
    text = f"{statement_text(statement)}\n{t} = d({y}, {by}) * {along}"
    stepped = statement_value(statement, {**values, name: values[name] + 1e-30j * directions})
    close(expr(text)(**values, v=directions, **SIZES), np.imag(stepped) / 1e-30, rtol=1e-8, atol=1e-10)


X3, A3, P3, q3 = (rng.standard_normal(shape) for shape in [(3, 3), (3, 3), (3, 3), (3,)])
SIN, COS, EYE = np.sin(X3 @ A3), np.cos(X3 @ A3), np.eye(3)
FIRST = np.einsum("ik,bk,ik,ia->ikab", COS, A3, X3, EYE) + np.einsum("ik,ia,kb->ikab", SIN, EYE, EYE)
SECOND = np.einsum(
    "ac,abd->abcd",
    EYE,
    np.einsum("ad,bd->abd", COS, A3) + np.einsum("ab,db->abd", COS, A3)
    - np.einsum("ak,ak,bk,dk->abd", SIN, X3, A3, A3),
)  # fmt: skip


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_any_indices_mean_what_they_mean_in_an_einsum(data):
    """Indices of derivatives shared with the output, with one another and with other factors, in any way."""
    second = data.draw(st.booleans())
    letters = st.sampled_from("ijkl")
    four, two, one = (data.draw(st.lists(letters, min_size=n, max_size=n)) for n in (4, 2, 1))
    left, right = ",".join(four[:2]), ",".join(four[2:])
    factor = f"d(l, X[{left}], X[{right}])" if second else f"d(Y[{left}], X[{right}])"
    factors = [factor, f"P[{','.join(two)}]", f"q[{one[0]}]"]
    standing = sorted({*four, *two, *one})
    out = data.draw(st.lists(st.sampled_from(standing), max_size=3, unique=True))
    order = data.draw(st.permutations(factors))
    text = f"Y[i,k] = sin(X[i,j] * A[j,k]) * X[i,k]; l = Y[i,k]\n{tensor_text('t', out)} = {' * '.join(order)}"
    spec = f"{''.join(four)},{''.join(two)},{''.join(one)}->{''.join(out)}"
    expected = np.einsum(spec, SECOND if second else FIRST, P3, q3)
    close(expr(text)(X=X3, A=A3, P=P3, q=q3), expected, rtol=1e-9, atol=1e-10)


def test_against_jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def f(x):
        a = jnp.tanh(W1 @ x)
        return w3 @ jnp.sin(W2 @ a) + a @ a + x @ jnp.sin(x)

    third = jax.jacfwd(jax.hessian(f))(x)
    found = expr(NET + "T[k] = d(f, x[i], x[i], x[k])")(**VALUES)
    close(found, np.einsum("iik->k", third), rtol=1e-9)
    mixed = jax.jacfwd(jax.grad(lambda W, x: w2 @ jnp.tanh(W @ x)), 1)(W1, x)
    found = expr(ONE + "T[h,i,j] = d(f, W1[h,i], x[j])")(**VALUES)
    close(found, mixed, rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------------------------------------ text and errors


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("d(y , x)", "d(y, x)"),
        ("d(Y[i,k],X[a,b])", "d(Y[i,k], X[a,b])"),
        ("2*d(f,x[i],x[j])*v[j]", "2 * d(f, x[i], x[j]) * v[j]"),
        ("d(f,x[i])**2/d(f,c)", "d(f, x[i])**2 / d(f, c)"),
        ("-d(f,x[i])", "-d(f, x[i])"),
    ],
)
def test_text(text, canonical):
    (statement,) = read(f"t[i,j,k,a,b] = {text}")
    assert unparse((statement,)) == f"t[i,j,k,a,b] = {canonical}"
    assert read(unparse((statement,))) == (statement,)


def test_record():
    (statement,) = read("h[i] = d(f, x[i], x[i])")
    assert statement.expression == Derivative(Factor("f"), (Factor("x", ("i",)), Factor("x", ("i",))))


def test_sums_are_those_of_a_factor():
    text = unparse(parse(NET + "t[k] = d(f, x[i], x[i], x[k]) + d(f, x[k], x[j]) * v[j]").explicit).splitlines()[-1]
    assert text == "t[k] = sum[i](d(f, x[i], x[i], x[k])) + sum[j](d(f, x[k], x[j]) * v[j])"


def test_latex():
    text = expr("f = x[i] * x[i]; Hv[i] = d(f, x[i], x[j]) * v[j] + d(f, x[i])").latex()
    assert r"\frac{\partial^{2} f}{\partial x_{i} \partial x_{j}} v_{j}" in text
    assert r"\frac{\partial f}{\partial x_{i}}" in text


REFUSED = {
    "y = d(f)": ("got 1 argument", "d(f)"),
    "y = d()": ("got 0 arguments", "d()"),
    "y = d(f, 2)": ("not by 2", "2)"),
    "y[i] = d(f, 2 * x[i])": ("not by 2 \\* x\\[i\\]", "2 *"),
    "y[i] = d(2 * f, x[i])": ("name it in a statement", "2 *"),
    "y[i] = d(f, z[i])": ("'z' is unknown.*d\\(..\\) only", "z[i]"),
    "y[i] = d(ff, x[i])": ("did you mean 'f'", "ff"),
    "y[i] = d(q, x[i]); q = x[i] * x[i]": ("used before it is defined", "q"),
    "y[i] = d(y[i], x[i])": ("stands in its own definition", "y[i], x"),
    "y[i,j] = d(f, x[i,j])": ("'x' has 1 index in one place and 2 indices in another", "x[i,j]"),
    "y[i] = d(f[i], x[i])": ("'f' has no indices in one place and 1 index in another", "f[i]"),
    "y[i] = d(f, δ[i,j])": ("δ is a constant", "δ"),
    "y[i] = d(f, tanh)": ("reserved", "tanh"),
    "y = exp(d(f, x[i]))": ("stands alone inside a function", "d(f"),
    "d = 2 * f": ("reserved", "d ="),
    "y = d * f": ("it is used as d\\(..\\)", "d *"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text):
    message, place = REFUSED[text]
    whole = "f = x[i] * x[i]; " + text
    with pytest.raises(NotationError, match=message) as caught:
        expr(whole)
    line, caret = str(caught.value).splitlines()[-2:]
    at = caret.index("^")
    assert line[at:].startswith(place), str(caught.value)

"""Derivatives of texts: what they say, and that it is right."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from notation_oracle import SIZES, renamed, statement_value, statements, tensor_values

from einad.errors import DerivativeError, ShapeError
from einad.expression import expr
from einad.front.notation_print import statement_text
from einad.front.notation_records import Factor, binder, factors_of, free, product

rng = np.random.default_rng(3)
close = np.testing.assert_allclose
STEP = 1e-30


def uniform(*shape):
    return rng.uniform(0.3, 1.2, shape)


def complex_step(f, values, name, direction):
    """The derivative of ``f(**values)`` along a direction of one tensor; exact to rounding for analytic functions."""
    moved = {**values, name: values[name] + 1j * STEP * direction}
    return np.imag(f(moved)) / STEP


def central_difference(f, values, name, direction, step=1e-6):
    up, down = ({**values, name: values[name] + sign * step * direction} for sign in (1, -1))
    return (f(up) - f(down)) / (2 * step)


def along(jacobian, direction):
    return np.tensordot(jacobian, direction, np.ndim(direction))


# ------------------------------------------------------------------------------------------------ texts

MATMUL = "Y[i,k] = W[i,j] * X[j,k]"


@pytest.mark.parametrize(
    ("text", "method", "wrt", "derived"),
    [
        (MATMUL, "vjp", "W", "W_bar[i,j] = Y_bar[i,k] * X[j,k]"),
        (MATMUL, "vjp", "X", "X_bar[j,k] = W[i,j] * Y_bar[i,k]"),
        (MATMUL, "jvp", "W", "Y_dot[i,k] = W_dot[i,j] * X[j,k]"),
        (MATMUL, "jacobian", "W", "dY_dW[i,k,i,b] = X[b,k]"),
        (MATMUL, "jacobian", "X", "dY_dX[i,k,a,k] = W[i,a]"),
        ("z[i] = W[i,j] * x[j]", "vjp", "W", "W_bar[i,j] = z_bar[i] * x[j]"),
        ("z[i] = W[i,j] * x[j]", "vjp", "x", "x_bar[j] = W[i,j] * z_bar[i]"),
        ("t = A[i,i]", "grad", "A", "dt_dA[i,i] = 1.0"),
        ("v[i] = A[i,i]", "vjp", "A", "A_bar[i,i] = v_bar[i]"),
        ("D[i,i] = x[i]", "vjp", "x", "x_bar[i] = D_bar[i,i]"),
        ("D[i,j] = δ[i,j] * x[j]", "vjp", "x", "x_bar[j] = D_bar[j,j]"),
        ("r[i] = A[i,j]", "vjp", "A", "A_bar[i,j] = r_bar[i]"),
        ("y[i,j] = b[j]", "vjp", "b", "b_bar[j] = y_bar[i,j]"),
        ("G[a,b] = X[a,i] * X[b,i]", "jacobian", "X", "dG_dX[a,b,c,d] = δ[a,c] * X[b,d] + δ[b,c] * X[a,d]"),
        ("y[i] = tanh(x[i])", "jacobian", "x", "y[i] = tanh(x[i])\ndy_dx[i,i] = 1 - y[i]**2"),
        ("y[i] = x[i]**3", "vjp", "x", "x_bar[i] = 3 * y_bar[i] * x[i]**2"),
        ("y[i] = x[i] / z[i]", "vjp", "x", "x_bar[i] = y_bar[i] / z[i]"),
        ("y[i] = x[i] / z[i]", "vjp", "z", "z_bar[i] = -x[i] * y_bar[i] / z[i]**2"),
        ("l = log(sum[i](exp(x[i])))", "grad", "x", "dl_dx[i] = exp(x[i]) / sum[a](exp(x[a]))"),
        ("l = x[i] * x[i]", "grad", "x", "dl_dx[i] = 2 * x[i]"),
        ("l = x[i] * x[i]", "hessian", "x", "d2l_dx_dx[i,i] = 2.0"),
        ("y[i] = maximum(x[i], z[i])", "jacobian", "x", "dy_dx[i,i] = greater(x[i], z[i]) + 0.5 * equal(x[i], z[i])"),
        ("y[i] = where(m[i], x[i], 0)", "vjp", "x", "x_bar[i] = y_bar[i] * not_equal(m[i], 0)"),
        ("y[i] = floor(x[i])", "vjp", "x", "x_bar[i] = 0.0"),
        ("Y_bar[i] = 2 * W[i,j] * Y[j]", "vjp", "Y", "Y_bar_[j] = 2 * W[i,j] * Y_bar_bar[i]"),
    ],
)
def test_texts(text, method, wrt, derived):
    found = getattr(expr(text), method)(wrt)
    assert str(found) == derived
    assert expr(str(found)) is found


def test_the_sweep_is_written_statement_by_statement():
    e = expr("Z[n,o] = X[n,i]*W[i,o] + b[o]; H[n,o] = tanh(Z[n,o]); unused = b[o]; loss = H[n,o] * v[o] * s[n]")
    assert str(e.grad("W")).splitlines() == [
        "Z[n,o] = X[n,i] * W[i,o] + b[o]",
        "H[n,o] = tanh(Z[n,o])",
        "H_bar[n,o] = v[o] * s[n]",
        "Z_bar[n,o] = H_bar[n,o] * (1 - H[n,o]**2)",
        "dloss_dW[i,o] = X[n,i] * Z_bar[n,o]",
    ]
    assert str(e.jvp("v")).splitlines() == [
        "Z[n,o] = X[n,i] * W[i,o] + b[o]",
        "H[n,o] = tanh(Z[n,o])",
        "loss_dot = H[n,o] * v_dot[o] * s[n]",
    ]
    assert list(e.grad("b", "W").outputs)[-2:] == ["dloss_db", "dloss_dW"]


def test_a_delta_passes_through_later_statements():
    e = expr("H[n,o] = tanh(X[n,i] * W[i,o]); Y[n] = H[n,o] * v[o]")
    assert str(e.jacobian("W")).splitlines()[-1] == "dY_dW[n,a,b] = X[n,a] * v[b] * (1 - H[n,b]**2)"


def test_earlier_targets_are_variables_with_what_is_upstream_held_constant():
    e = expr("W[a,b] = X[a,i] * X[b,i]; Y[a,i] = W[a,b] * X[b,i]; loss = Y[a,i] * Y[a,i]")
    X = uniform(3, 4)
    W = X @ X.T
    Y = W @ X
    close(e.grad("W")(X=X), 2 * Y @ X.T)
    close(e.grad("X")(X=X), central_gradient(lambda x: np.sum((x @ x.T @ x) ** 2), X), rtol=1e-6)
    close(e.vjp("W", of="Y")(X=X, Y_bar=Y), Y @ X.T)
    copies = expr("h[i] = x[i]; g[i] = x[i]; y = h[i] * g[i] * x[i]")
    close(copies.grad("h")(x=X[0]), X[0] ** 2)
    close(copies.grad("x")(x=X[0]), 3 * X[0] ** 2)


def central_gradient(f, x, step=1e-6):
    found = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        direction = np.zeros_like(x)
        direction[place] = step
        found[place] = (f(x + direction) - f(x - direction)) / (2 * step)
    return found


# ------------------------------------------------------------------------------------------------ closed forms


def test_the_mean_of_a_matrix_product_by_hand():
    e = expr("C[i,k] = A[i,j] * B[j,k]; loss = 0.125 * C[i,k]")
    A = np.array([[2, 75, 68], [1, 44, 7]], float)
    B = np.array([[31, 37, 26, 41], [72, 37, 76, 47], [74, 76, 89, 75]], float)
    assert e(A=A, B=B) == 6445.375
    assert e.grad("A")(A=A, B=B).tolist() == [[16.875, 29.0, 39.25]] * 2
    assert e.grad("B")(A=A, B=B).tolist() == [[0.375] * 4, [14.875] * 4, [9.375] * 4]


def test_softmax_cross_entropy():
    e = expr(
        """
        h[n,o] = X[n,i] * W[i,o] + b[o]
        p[n,o] = exp(h[n,o]) / sum[o](exp(h[n,o]))
        loss = -y[n,o] * log(p[n,o])
        """
    )
    X, W, b = uniform(5, 4), uniform(4, 3), uniform(3)
    y = np.eye(3)[[0, 2, 1, 1, 0]]
    values = {"X": X, "W": W, "b": b, "y": y}
    h = X @ W + b
    p = np.exp(h) / np.exp(h).sum(1, keepdims=True)
    close(e.grad("W")(**values), X.T @ (p - y))
    close(e.grad("b")(**values), (p - y).sum(0))
    both = e.grad("W", "b").all(**values)
    close(both["dloss_dW"], X.T @ (p - y))
    close(both["dloss_db"], (p - y).sum(0))
    blocks = np.stack([np.diag(row) - np.outer(row, row) for row in p])
    close(e.hessian("b")(**values), blocks.sum(0), atol=1e-12)
    close(e.hessian("W")(**values), np.einsum("ni,noq,np->iopq", X, blocks, X), atol=1e-12)
    close(e.hessian("b", "W")(**values), np.einsum("noq,np->opq", blocks, X), atol=1e-12)


def test_logsumexp():
    e = expr("l = log(sum[i](exp(x[i])))")
    x = uniform(4)
    p = np.exp(x) / np.exp(x).sum()
    close(e.grad("x")(x=x), p)
    close(e.hessian("x")(x=x), np.diag(p) - np.outer(p, p))
    third = e.hessian("x").jacobian("x")(x=x)
    close(third, np.stack([complex_step(lambda v: e.hessian("x")(**v), {"x": x}, "x", d) for d in np.eye(4)], -1))


def test_a_jacobian_of_matrices_times_another():
    outer = expr("F[p,q] = A[p,n] * G[n,m] * B[m,q]").jacobian("G")
    inner = expr("G[n,m] = tanh(X[n,m]) * C[m,m]").jacobian("X")
    A, B, X, C = uniform(2, 3), uniform(4, 5), uniform(3, 4), uniform(4, 4)
    left = outer(A=A, B=B, G=np.tanh(X) * np.diag(C))
    right = inner(X=X, C=C)
    chained = expr("G[n,m] = tanh(X[n,m]) * C[m,m]; F[p,q] = A[p,n] * G[n,m] * B[m,q]").jacobian("X")
    expected = left.reshape(10, 12) @ right.reshape(12, 12)
    close(chained(A=A, B=B, X=X, C=C).reshape(10, 12), expected)


def test_the_size_of_a_summed_range_is_asked_for():
    e = expr("loss = sum[n](X[n,i] * w[i] + b)").grad("b")
    with pytest.raises(ShapeError, match="how long the index 'n'"):
        e(X=uniform(4, 2), w=uniform(2), b=1.0)
    assert e(n=4) == 4.0


def test_statements_that_say_sizes_stay_in_the_text():
    e = expr("C[i,k] = A[i,j] * B[j,k] + b[k]; loss = C[i,k] / 8")
    A, B, b = uniform(2, 3), uniform(3, 4), uniform(4)
    assert str(e.grad("C")) == "C[i,k] = A[i,j] * B[j,k] + b[k]\ndloss_dC[i,k] = 0.125"
    close(e.grad("C")(A=A, B=B, b=b), np.full((2, 4), 0.125))
    close(e.grad("b")(A=A, B=B, b=b), np.full(4, 0.25))
    close(e.jvp("b")(A=A, B=B, b=b, b_dot=np.ones(4)), 1.0)
    close(e.jacobian("b", of="C")(A=A, B=B, b=b), np.stack([np.eye(4)] * 2))


def test_names_that_look_like_derivatives_may_mean_something_else():
    A, x = uniform(3, 2), uniform(2)
    close(expr("x_bar[j] = A[j,i] * x[i]")(A=A, x=x), A @ x)
    close(expr("dA_dx[i] = A[j,i] * x[i]")(A=A, x=x), A.sum(0) * x)


def test_originals_say_the_sizes_of_derivatives():
    x = uniform(3)
    e = expr("loss = x[i]")
    close(e.grad("x")(x=x), np.ones(3))
    close(e.vjp("x")(x=x, loss_bar=2.0), 2 * np.ones(3))
    close(e.hessian("x")(x=x), np.zeros((3, 3)))
    W, X = uniform(3, 4), uniform(4, 5)
    jacobian = expr(MATMUL).jacobian("W")(W=W, X=X)
    close(jacobian, np.einsum("ia,bk->ikab", np.eye(3), X))
    with pytest.raises(ShapeError, match="sizes disagree"):
        expr(MATMUL).vjp("W")(W=W.T, X=X, Y_bar=W @ X)
    with pytest.raises(ShapeError, match="W has shape"):
        expr(MATMUL).vjp("W")(W=W[0], X=X, Y_bar=W @ X)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda e: e.vjp("Q"), DerivativeError, "there is no tensor 'Q' in the text; it has W, X, Y"),
        (lambda e: e.vjp("W", of="Z"), DerivativeError, "there is no target 'Z'"),
        (lambda e: e.vjp("W", of="X"), DerivativeError, "there is no target 'X'"),
        (lambda e: e.grad("W"), DerivativeError, r"grad needs a scalar target, found Y\[i,k\]"),
        (lambda e: e.hessian("W"), DerivativeError, r"hessian needs a scalar target"),
        (lambda e: e.vjp(), TypeError, "name at least one"),
        (lambda e: e.vjp("W", "W"), DerivativeError, "named twice"),
        (lambda e: e.vjp(3), TypeError, "name the tensor"),
    ],
)
def test_faulty_requests(call, error, message):
    with pytest.raises(error, match=message):
        call(expr(MATMUL))


# ------------------------------------------------------------------------------------------------ random statements


def _differentiable(statement):
    names = sorted({factor.name for factor in factors_of(statement.expression)})
    assume(names)
    return names


@given(statements(depth=2), st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_first_derivatives_of_random_statements(statement, random):
    name = random.choice(_differentiable(statement))
    values = tensor_values(np.random.default_rng(random.randrange(100)))
    direction = rng.standard_normal(values[name].shape)
    cotangent = rng.standard_normal(tuple(SIZES[index] for index in statement.indices))
    e = expr(statement_text(statement))
    expected = complex_step(lambda v: statement_value(statement, v), values, name, direction)
    scale = 1e-9 * (1 + np.max(np.abs(expected), initial=0))
    close(computed(e.jvp(name), **values, **{f"{name}_dot": direction}), expected, rtol=1e-9, atol=scale)
    pulled = computed(e.vjp(name), **values, y_bar=cotangent)
    close(np.sum(pulled * direction), np.sum(expected * cotangent), rtol=1e-8, atol=10 * scale)
    jacobian = e.jacobian(name)
    close(along(computed(jacobian, **values), direction), expected, rtol=1e-9, atol=scale)


def computed(e, **values):
    """The value of an expression; an example is dropped if it counts a range that only a new index name speaks of."""
    try:
        return e(**values, **SIZES)
    except ShapeError as error:
        assume("how long the index" not in str(error))
        raise


@given(statements(depth=2, indices=[]), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_second_derivatives_of_random_statements(statement, random):
    names = _differentiable(statement)
    row, column = random.choice(names), random.choice(names)
    values = tensor_values(np.random.default_rng(random.randrange(100)))
    direction = rng.standard_normal(values[column].shape)
    e = expr(statement_text(statement))
    gradient = e.grad(row)
    expected = complex_step(lambda v: computed(gradient, **v), values, column, direction)
    hessian = computed(e.hessian(row, column), **values)
    scale = 1e-9 * (1 + np.max(np.abs(expected), initial=0))
    close(along(hessian, direction), expected, rtol=1e-8, atol=scale)
    swapped = computed(e.hessian(column, row), **values)
    order = (*range(values[row].ndim, hessian.ndim), *range(values[row].ndim))
    close(swapped, np.transpose(hessian, order), rtol=1e-8, atol=scale)


@given(statements(depth=2, indices=["k", "i"]), statements(depth=2), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_two_statements_chain(first, second, random):
    """The value of the first statement stands for the tensor S in the second."""
    second = replace(second, expression=product([second.expression, Factor("S", ("i", "k"))]))
    second = replace(second, expression=binder(set(free(second.expression)) - set(second.indices), second.expression))
    name = random.choice(_differentiable(first))
    values = tensor_values(np.random.default_rng(random.randrange(100)))
    direction = rng.standard_normal(values[name].shape)

    def value(v):
        return statement_value(second, {**v, "S": statement_value(first, v)})

    first_text = statement_text(renamed(first, "h", {}))
    second_text = statement_text(renamed(second, "z", {"S": "h"}))
    e = expr(f"{first_text}; {second_text}")
    expected = complex_step(value, values, name, direction)
    scale = 1e-9 * (1 + np.max(np.abs(expected), initial=0))
    close(computed(e.jvp(name), **values, **{f"{name}_dot": direction}), expected, rtol=1e-9, atol=scale)
    cotangent = rng.standard_normal(np.shape(expected))
    pulled = computed(e.vjp(name), **values, z_bar=cotangent)
    close(np.sum(pulled * direction), np.sum(expected * cotangent), rtol=1e-8, atol=10 * scale)
    close(along(computed(e.jacobian(name), **values), direction), expected, rtol=1e-9, atol=scale)


# ------------------------------------------------------------------------------------------------ every function


@pytest.mark.parametrize("function", ["maximum", "minimum", "hypot", "arctan2", "logaddexp", "power", "where"])
def test_functions_of_several_arguments(function):
    text = (
        "y[i] = where(less(x[i], z[i]), x[i] * z[i], z[i])" if function == "where" else f"y[i] = {function}(x[i], z[i])"
    )
    e = expr(text)
    values = {"x": uniform(5), "z": uniform(5)}
    for name in values:
        direction = rng.standard_normal(5)
        expected = central_difference(lambda v: e(**v), values, name, direction)
        close(e.jvp(name)(**values, **{f"{name}_dot": direction}), expected, rtol=1e-6, atol=1e-8)
        close(along(e.jacobian(name)(**values), direction), expected, rtol=1e-6, atol=1e-8)


def test_complex_texts_keep_conjugates():
    e = expr("l = real(z[i] * conj(z[i]) * w[i])")
    z = uniform(3) + 1j * uniform(3)
    w = uniform(3) + 0j
    close(e.vjp("z")(z=z, w=w, l_bar=1.0), 2 * np.conj(z) * w.real)


# ------------------------------------------------------------------------------------------------ size of texts


def test_deep_and_long_texts():
    deep = expr("y[i] = " + "tanh(" * 90 + "x[i]" + ")" * 90)
    x = uniform(2)
    expected = complex_step(lambda v: deep(**v), {"x": x}, "x", np.ones(2))
    close(deep.vjp("x")(x=x, y_bar=np.ones(2)), expected)
    count = 1500
    chain = "; ".join(["h0[i] = x[i]", *[f"h{n + 1}[i] = sin(h{n}[i])" for n in range(count)], f"y = h{count}[i]"])
    gradient = expr(chain).grad("x")
    assert len(gradient.outputs) <= 2 * count + 4
    value, slope = x.copy(), np.ones(2)
    for _ in range(count):
        value, slope = np.sin(value), slope * np.cos(value)
    close(gradient(x=x), slope, rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_repeated_squaring_does_not_blow_up(seed):
    statements_ = ["h0 = x", *[f"h{n + 1} = h{n} * h{n} + {seed}" for n in range(40)], "y = 0.5 * h40"]
    gradient = expr("; ".join(statements_)).grad("x")
    assert len(str(gradient)) < 10_000

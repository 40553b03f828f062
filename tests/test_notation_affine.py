"""Affine indices in the notation: values, ranges, refusals, and derivatives that are such statements again."""

import numpy as np
import pytest
from hypothesis import given, settings
from notation_affine_oracle import affine_statements, loop_value

import einad as ea
from einad.front.notation_affine import affine_text, linear
from einad.front.notation_print import expression_text
from einad.front.notation_records import Product

CONVOLUTION = "Y[n,o,p,q] = X[n,c,2*p+r,2*q+s] * K[o,c,r,s]"


def text_of(left, factors):
    target = f"Y[{','.join(left)}]" if left else "Y"
    return f"{target} = {expression_text(Product(tuple(factors)))}"


@pytest.fixture
def images():
    rng = np.random.default_rng(3)
    return rng.normal(size=(2, 3, 7, 8)), rng.normal(size=(4, 3, 3, 2))


@settings(max_examples=60, deadline=None)
@given(affine_statements())
def test_random_statements_against_loops(case):
    left, factors, tensors, sizes = case
    e = ea.expr(text_of(left, factors))
    assert ea.expr(str(e)) is e
    np.testing.assert_allclose(e(**tensors), loop_value(left, factors, tensors, sizes), rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(affine_statements())
def test_random_derivatives_against_loops(case):
    """A statement is linear in each tensor, so differences of values are derivatives."""
    left, factors, tensors, sizes = case
    e = ea.expr(text_of(left, factors))
    rng = np.random.default_rng(0)
    for name, value in tensors.items():
        tangent = rng.normal(size=value.shape)
        pushed = loop_value(left, factors, {**tensors, name: tangent}, sizes)
        cotangent = rng.normal(size=pushed.shape)
        forward, backward, jacobian = e.jvp(name), e.vjp(name), e.jacobian(name)
        for found in (forward, backward, jacobian):
            assert ea.expr(str(found)) is found
        np.testing.assert_allclose(forward(**tensors, **{f"{name}_dot": tangent}), pushed, rtol=1e-10, atol=1e-10)
        pulled = backward(**tensors, Y_bar=cotangent)
        assert pulled.shape == value.shape
        np.testing.assert_allclose(np.vdot(pulled, tangent), np.vdot(cotangent, pushed), rtol=1e-10, atol=1e-10)
        dense = jacobian(**tensors)
        assert dense.shape == pushed.shape + value.shape
        np.testing.assert_allclose(np.tensordot(dense, tangent, tangent.ndim), pushed, rtol=1e-10, atol=1e-10)


def test_strided_convolution(images):
    X, K = images
    windows = np.lib.stride_tricks.sliding_window_view(X, (3, 2), (2, 3))[:, :, ::2, ::2]
    expected = np.einsum("ncpqrs,ocrs->nopq", windows, K)
    np.testing.assert_allclose(ea.expr(CONVOLUTION)(X=X, K=K), expected, atol=1e-12)


def test_texts_of_the_derivatives_of_a_convolution():
    e = ea.expr(CONVOLUTION)
    assert str(e.vjp("X")) == "X_bar[n,c,a,b] = δ[a,2*p+r] * δ[b,2*q+s] * Y_bar[n,o,p,q] * K[o,c,r,s]"
    assert str(e.vjp("K")) == "K_bar[o,c,r,s] = X[n,c,2*p+r,2*q+s] * Y_bar[n,o,p,q]"
    assert str(e.jvp("X")).endswith("Y_dot[n,o,p,q] = X_dot[n,c,2*p+r,2*q+s] * K[o,c,r,s]")
    assert str(e.jacobian("K")).endswith("dY_dK[n,o,p,q,o,b,d,e] = X[n,b,2*p+d,2*q+e]")


@pytest.mark.parametrize(("stride", "dilation", "padding"), [(1, 1, 1), (2, 1, 1), (1, 2, 0), (2, 2, 2), (3, 1, 0)])
def test_convolution_and_gradients_against_jax(images, stride, dilation, padding):
    jax = pytest.importorskip("jax")
    X, K = images
    row, column = (f"{stride}*{i}+{dilation}*{j}-{padding}" for i, j in ("pr", "qs"))
    e = ea.expr(f"Y[n,o,p,q] = pad(X)[n,c,{row},{column}] * K[o,c,r,s]; loss = sum[n,o,p,q](sin(Y[n,o,p,q]))")

    def convolution(x, k):
        return jax.lax.conv_general_dilated(
            x, k, (stride, stride), [(padding, padding)] * 2, rhs_dilation=(dilation, dilation), precision="highest"
        )

    with jax.enable_x64(True):
        expected = convolution(X, K)
        gradients = jax.grad(lambda x, k: jax.numpy.sin(convolution(x, k)).sum(), (0, 1))(X, K)
        gradients = [np.asarray(gradient) for gradient in gradients]
    np.testing.assert_allclose(e.all(X=X, K=K)["Y"], expected, atol=1e-10)
    for name, gradient in zip("XK", gradients, strict=True):
        np.testing.assert_allclose(e.grad(name)(X=X, K=K), gradient, atol=1e-9)


def test_ranges_are_the_largest_that_stay_inside():
    x = np.arange(7.0)
    assert ea.expr("y[i] = x[i+1] - x[i+0]")(x=x**2).tolist() == [1, 3, 5, 7, 9, 11]
    assert ea.expr("y[i] = x[6-i]")(x=x).tolist() == x[::-1].tolist()
    assert ea.expr("y[i] = x[5-2*i]")(x=x).tolist() == [5, 3, 1]
    assert ea.expr("y[i] = x[3*i+2]")(x=x).tolist() == [2, 5]
    assert ea.expr("y[i] = x[3*i+2]")(x=x, i=1).tolist() == [2]
    assert ea.expr("y[i] = x[i+i]")(x=x).tolist() == [0, 2, 4, 6]
    assert ea.expr("y[p] = x[p+r] * k[r]")(x=x, k=np.ones(8)).tolist() == []


def test_ranges_of_padded_tensors():
    x, k = np.arange(4.0), np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(ea.expr("y[p] = pad(x)[p-r] * k[r]")(x=x, k=k), np.convolve(x, k))
    np.testing.assert_allclose(ea.expr("y[p] = pad(x)[p+1-r] * k[r]")(x=x, k=k), np.convolve(x, k, "same"))
    np.testing.assert_allclose(ea.expr("y[p] = pad(x)[p-2]")(x=x), np.pad(x, 2))
    np.testing.assert_allclose(ea.expr("y[p] = pad(x)[p-2]")(x=x, p=5), np.pad(x, (2, 0))[:5])


def test_sizes_flow_through_later_statements():
    x = np.arange(9.0)
    e = ea.expr("y[i] = 0.5 * x[2*i] + 0.5 * x[2*i+1]; z[i] = y[i+1] - y[i+0]")
    np.testing.assert_allclose(e(x=x), np.diff(x[:8].reshape(4, 2).mean(1)))
    np.testing.assert_allclose(e.jacobian("x")(x=x), _differences(e, x))


def _differences(e, x):
    return np.stack([e(x=column) - e(x=0 * x) for column in np.eye(x.size)], 1)


def test_deltas_with_affine_indices():
    assert ea.expr("D[h,p] = δ[h,2*p+1]")(h=4, p=2).tolist() == [[0, 0], [1, 0], [0, 0], [0, 1]]
    assert ea.expr("y[h] = δ[h,2*p] * x[p]")(x=[1.0, 2.0], h=4).tolist() == [1, 0, 2, 0]
    assert ea.expr("y[i] = δ[2*i,i+3] * x[i]")(x=np.arange(5.0)).tolist() == [0, 0, 0, 3, 0]


def test_pooling_and_its_derivative():
    x = np.arange(8.0) ** 2
    e = ea.expr("y[p] = sum[r](0.5 * x[2*p+r])")
    np.testing.assert_allclose(e(x=x, r=2), x.reshape(4, 2).mean(1))
    np.testing.assert_allclose(e.vjp("x")(x=x, r=2, y_bar=np.arange(4.0)), np.repeat(np.arange(4.0), 2) / 2)


def test_derivatives_inside_the_text():
    x = np.linspace(0.1, 1, 6)
    e = ea.expr("f = sum[i](sin(x[i+1] - x[i+0])); g[a] = d(f, x[a]); H[a,b] = d(f, x[a], x[b])")
    found = e.all(x=x)
    slope, bend = np.cos(np.diff(x)), -np.sin(np.diff(x))
    D = np.diff(np.eye(6), axis=0)
    np.testing.assert_allclose(found["g"], D.T @ slope, atol=1e-12)
    np.testing.assert_allclose(found["H"], D.T @ np.diag(bend) @ D, atol=1e-12)
    np.testing.assert_allclose(ea.expr("f = sum[i](sin(x[i+1] - x[i+0]))").hessian("x")(x=x), found["H"], atol=1e-12)


@pytest.mark.parametrize(
    ("text", "sizes", "message"),
    [
        ("y[i] = x[i+1] - x[i]", {}, r"(?s)the index i\+1 runs from 1 to 4 \(i=4\).*axis 0 of x has size 4.*\^"),
        ("y[i] = x[i-1]", {}, r"runs from -1 to 3 \(i=5\)"),
        ("y[i] = x[i+1]", {"i": 4}, r"runs from 1 to 4 \(i=4\).*\n.*\n.*\nWrite pad\(x\)"),
        ("y[p] = x[p+r]", {}, "no tensor of the call says how long the index"),
        ("y[p] = pad(x)[-p]", {}, "no tensor of the call says how long the index"),
    ],
)
def test_sizes_that_do_not_fit(text, sizes, message):
    with pytest.raises(ea.ShapeError, match=message):
        ea.expr(text)(x=np.arange(4.0), **sizes)


def test_latex():
    assert ea.expr("y[p] = pad(x)[2*p+r-1] * k[r]").latex() == r"y_{p} = \sum_{r} \operatorname{pad}(x)_{2p+r-1} k_{r}"


def test_derivation_says_that_it_needs_plain_indices():
    with pytest.raises(ea.DerivativeError, match="plain indices"):
        ea.expr("y[p] = x[p+r] * k[r]").derivation("x")


@pytest.mark.parametrize("text", ["2*p+r-1", "p+0", "3-2*i", "-2*i-1", "p-r", "p2+3*a_1"])
def test_canonical_text_of_indices(text):
    assert affine_text(linear(text)) == text

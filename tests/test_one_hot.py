"""Gathers, scatter-adds, advanced indexing and selection, against NumPy, the oracle and JAX."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import einad as ea
import einad.numpy as enp
from einad import pipeline
from einad.backends import reference
from einad.errors import ShapeError
from einad.ir import build
from einad.ir.expr import Affine, Input, Literal, OneHot, Step
from einad.lower import one_hot_kernels
from einad.lower.one_hot_kernels import scatter_add, take
from einad.testing import check_grads

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4, 3))
I = np.array([1, -1, 1, 0])
J = np.array([[0], [3], [3]])
MASK = X[:, :, 0] > 0

INDEXED = {
    "first axis": lambda x: x[I],
    "second axis": lambda x: x[:, I],
    "list": lambda x: x[[2]],
    "no entries": lambda x: x[np.array([], int)],
    "two arrays": lambda x: x[I, J],
    "apart": lambda x: x[I[:, None], :, [0, 2]],
    "apart by a new axis": lambda x: x[J, 1, None, [2]],
    "with slices": lambda x: x[1:4, I, ::-2],
    "ellipsis": lambda x: x[..., [0, 0]],
    "scalar array": lambda x: x[np.array(2), [1, 1]],
    "mask": lambda x: x[MASK],
    "mask of an axis": lambda x: x[:, [True, False, False, True]],
    "take": lambda x: np.take(x, I),
    "take wrap": lambda x: np.take(x, [9, -7], 1, mode="wrap"),
    "take clip": lambda x: x.take([9, -7], axis=1, mode="clip"),
    "along": lambda x: np.take_along_axis(x, np.argsort(X, 1), 1),
    "along, broadcast": lambda x: np.take_along_axis(x, np.array([[[0], [2], [2]]]), 1),
    "products": lambda x: x[I] * x[I[::-1]] * x[1],
    "sum": lambda x: x[I].sum(0),
    "of an index": lambda x: x[I][[3, 3, 0]],
    "compress": lambda x: np.compress([False, True, True], x, 1),
    "extract": lambda x: np.extract(MASK[:, :, None] & (X > 0), x),
    "choose": lambda x: np.choose([[2, 0, 1]] * 4, [x[0], x[1], 2 * x[2]]),
}
SELECTED = {
    "of its own argmax": lambda np, x: x[x.argmax(0), np.arange(4)[:, None], 0],
    "sort": lambda np, x: np.sort(x),
    "sort axis": lambda np, x: np.sort(x, axis=0),
    "sort flat": lambda np, x: np.sort(x, axis=None),
    "along its own order": lambda np, x: np.take_along_axis(x, np.argsort(-x, 1), 1),
    "median": lambda np, x: np.median(x),
    "median of an even number": lambda np, x: np.median(x, axis=1),
    "median axes": lambda np, x: np.median(x, axis=(0, 2), keepdims=True),
    "sort of squares": lambda np, x: np.sort(x**2, 1)[:, 2:] * x[:, :2],
}


def same(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    tolerance = 1e-5 if expected.dtype in (np.float32, np.complex64) else 1e-11
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", INDEXED)
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128", "int64", "bool"])
def test_indexing_is_numpys(name, dtype):
    x = X.astype(dtype) if dtype != "complex128" else X + 1j * X[::-1]
    f = INDEXED[name] if dtype != "bool" else lambda x: INDEXED[name](x * 1)
    same(ea.jit(f)(x), f(x))


@pytest.mark.parametrize("name", SELECTED)
def test_selection_is_numpys(name):
    same(ea.jit(lambda x: SELECTED[name](np, x))(X), SELECTED[name](np, X))


FOR_JAX = {  # which takes no lists as indices
    "second axis": lambda np, x: x[:, I],
    "two arrays": lambda np, x: x[I, J],
    "apart": lambda np, x: x[I[:, None], :, np.array([0, 2])],
    "with slices": lambda np, x: x[1:4, I, ::-2],
    "mask": lambda np, x: x[MASK],
    "along": lambda np, x: np.take_along_axis(x, np.asarray(X.argsort(1)), 1),
    "products": lambda np, x: x[I] * x[I[::-1]] * x[1],
    **SELECTED,
}


@pytest.mark.parametrize("name", FOR_JAX)
def test_derivatives_to_order_2_are_jaxs(name):
    jax = pytest.importorskip("jax")

    def loss(np):
        return lambda x: np.sum(np.sin(FOR_JAX[name](np, x)) * np.cos(FOR_JAX[name](np, x * x)))

    v = RNG.normal(size=X.shape)
    with jax.enable_x64(True):
        value = jax.jit(jax.grad(loss(jax.numpy)))
        first, second = jax.jvp(value, (X,), (v,))
    same(ea.grad(loss(np))(X), first)
    same(ea.hvp(loss(np))((X,), v), second)


@pytest.mark.parametrize("name", INDEXED)
def test_derivatives_are_those_of_a_linear_map(name):
    f = INDEXED[name]
    v, J = RNG.normal(size=X.shape), ea.jacobian(f)(X)
    if name != "products":
        same(np.tensordot(J, v, 3), f(v))
    out, pull = ea.vjp(f, X)
    w = RNG.normal(size=out.shape)
    same(pull(w)[0], np.tensordot(w, J, w.ndim))
    same(ea.jvp(f, (X,), (v,))[1], np.tensordot(J, v, 3))
    check_grads(lambda x: f(np.sin(x)), (X,), order=2)


@st.composite
def keys(draw, shape):
    """An index of any kind for a tensor of this shape; its arrays broadcast with one another."""
    common = draw(st.sampled_from([(), (1,), (3,), (0,), (2, 1), (2, 3)]))
    found, axis = [], 0
    while axis < len(shape):
        n = shape[axis]
        kind = draw(st.sampled_from(["int", "slice", "array", "array", "mask", "new"]))
        if kind == "new":
            found.append(None)
            continue
        if kind == "int":
            found.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            bound = st.one_of(st.none(), st.integers(-5, 5))
            found.append(slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, -1, -3]))))
        elif kind == "mask":
            held = draw(st.integers(0, n - 1))
            found.append(np.arange(n) == held)
        else:
            own = common[draw(st.integers(0, len(common))) :]
            flat = draw(st.lists(st.integers(-n, n - 1), min_size=int(np.prod(own)), max_size=int(np.prod(own))))
            found.append(np.array(flat, dtype=draw(st.sampled_from([np.int64, np.int32]))).reshape(own))
        axis += 1
        if draw(st.integers(0, 5)) == 0:
            found.append(Ellipsis)
            break
    return tuple(found)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_index_is_numpys_and_its_adjoint_adds_up(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    key = data.draw(keys(shape))
    x = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    expected = x[key]
    out, pull = ea.vjp(lambda x: x[key], x)
    same(out, expected)
    cotangent = np.arange(1.0, 1 + expected.size).reshape(expected.shape)
    total = np.zeros(shape)
    np.add.at(total, key, cotangent)
    same(pull(cotangent)[0], total)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_labels_are_contracted_as_the_oracle_does(data):
    """x times a OneHot, any of their labels shared, kept, dropped, repeated."""
    count = data.draw(st.integers(0, 2))
    sizes = dict(enumerate(data.draw(st.lists(st.integers(1, 3), min_size=5, max_size=5))))
    places, v = list(range(count)), 3
    if data.draw(st.integers(0, 4)) == 0 and count:
        sizes[3] = sizes[0]
        v = 0
    labels = [*places, v]
    pool = sorted({*labels, 4})
    inputs = data.draw(st.permutations([label for label in pool if data.draw(st.booleans())]))
    output = data.draw(st.permutations([label for label in pool if data.draw(st.booleans())]))
    if output and data.draw(st.integers(0, 4)) == 0:
        output = [*output, output[0]]
    i = Input("i", tuple(sizes[label] for label in places), np.int64)
    x = Input("x", tuple(sizes[label] for label in inputs))
    hot = OneHot(i, sizes[v])
    values = {
        i: data.draw(st.integers(0, 99)) * np.arange(1, 1 + i.size).reshape(i.shape) % sizes[v],
        x: RNG.normal(size=x.shape),
    }
    alone = [label for label in output if label in labels]
    roots = [
        build.einsum([inputs, labels], output, [x, hot], sizes, -2.0),
        build.einsum([labels], alone, [hot], sizes, 1, np.float64),
        build.einsum([labels, [v, 9]], [*alone, 9], [hot, Step((sizes[v], 2))], {**sizes, 9: 2}, 1, np.float64),
        build.einsum([labels, [v]], alone, [hot, Affine((sizes[v],), (1,), 0)], sizes, 1, np.int64),
        build.einsum([labels, [*places, 7]], [*alone, 7], [hot, hot], {**sizes, 7: sizes[v]}, 1, np.float64),
        build.einsum([labels, inputs, [*places, 7]], output, [hot, x, hot], {**sizes, 7: sizes[v]}),
        build.einsum([labels, [*[8 for _ in places][:1], *places[1:], v]], alone, [hot, hot], {**sizes, 8: sizes[0]}),
    ]
    for got, want in zip(pipeline.evaluate(roots, values), reference.evaluate(roots, values), strict=True):
        same(got, want)


@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 0), (2, 1)])
def test_vmap_over_tensors_and_indices(in_axes):
    f = lambda x, k: enp.take(x, k, 0)[:, 1] * np.take_along_axis(x, k[:4, None] % 2, 1)
    one, rows = RNG.normal(size=(4, 3)), np.array([1, -1, 3, 3, 0])
    many = RNG.normal(size=(6, 4, 3))
    ks = RNG.integers(-4, 4, (6, 5))
    given_x = one if in_axes[0] is None else np.moveaxis(many, 0, in_axes[0])
    given_k = rows if in_axes[1] is None else np.moveaxis(ks, 0, in_axes[1])
    xs = [one] * 6 if in_axes[0] is None else many
    indices = [rows] * 6 if in_axes[1] is None else ks
    same(ea.vmap(f, in_axes)(given_x, given_k), np.stack([f(x, k) for x, k in zip(xs, indices, strict=True)]))
    g = lambda x, k: ea.grad(lambda x: np.sum(f(x, k) ** 2))(x)
    same(ea.vmap(g, in_axes)(given_x, given_k), np.stack([g(x, k) for x, k in zip(xs, indices, strict=True)]))


def test_indices_that_come_with_the_call():
    f = ea.jit(ea.grad(lambda x, k: np.sum(x[k] ** 2)))
    for k in (np.array([0, 0, -1]), np.array([4, 2, 2])):
        expected = np.zeros_like(X)
        np.add.at(expected, k, 2 * X[k])
        same(f(X, k), expected)


def test_indices_out_of_range_are_errors():
    with pytest.raises(IndexError, match="index 5 is out of bounds for axis 0 with size 5"):
        ea.jit(lambda x: x[np.array([0, 5])])(X)
    with pytest.raises(IndexError, match="index -5 is out of bounds for axis 1 with size 4"):
        ea.jit(lambda x: x[I, np.array([0, 1, -5, 0])])(X)
    with pytest.raises(IndexError, match="nothing can be taken from axis 0, which has size 0"):
        ea.jit(lambda x: np.take(x, [0], 0, mode="clip"))(X[:0])
    f = ea.jit(lambda x, k: x[:, k])
    same(f(X, I), X[:, I])
    with pytest.raises(IndexError, match="index 4 is out of bounds for axis 1 with size 4: indices run from -4 to 3"):
        f(X, np.array([0, 4]))
    with pytest.raises(IndexError, match="do not fit an axis of size 3"):
        scatter_add(np.array([[3]]), np.ones((1, 1, 1)), 3, np.dtype(float))


def test_out_of_range_indices_of_the_oracle_are_errors_too():
    hot = OneHot(Literal(np.array([3])), 3)
    with pytest.raises(IndexError, match="lie between 0 and 2"):
        reference.evaluate([hot], {})
    with pytest.raises(ShapeError, match="integer dtype, got float64"):
        OneHot(Input("x", (2,)), 3)


def test_refusals_name_what_to_write():
    with pytest.raises(TypeError, match=r"np\.put_along_axis .*np\.where"):
        ea.jit(lambda x: np.put_along_axis(x, I[:, None, None], 0, 1))(X)
    with pytest.raises(ea.ConcretizationError, match="write np.where"):
        ea.jit(lambda x: x[x > 0])(X)
    with pytest.raises(TypeError, match="result whose size depends on values; write np.where"):
        ea.jit(lambda x: np.compress(x[:, 0, 0] > 0, x, 0))(X)
    with pytest.raises(ValueError, match="mode of np.take must be"):
        ea.jit(lambda x: np.take(x, 0, mode="no"))(X)
    with pytest.raises(ValueError, match="kth=9 is out of bounds for an axis of size 3"):
        ea.jit(lambda x: np.partition(x, 9))(X)


def test_partition_puts_entries_where_sorting_does():
    found = ea.jit(lambda x: np.partition(x, (1, 2), axis=1))(X)
    same(found[:, 1:3], np.sort(X, axis=1)[:, 1:3])
    same(np.sort(found, axis=1), np.sort(X, axis=1))
    order = ea.jit(lambda x: np.argpartition(x, -1, axis=None))(X)
    assert order[-1] == X.argmax()
    same(ea.jit(lambda x: np.argsort(x, axis=0, stable=True))(X), np.argsort(X, axis=0))


def test_the_median_of_nan_is_nan():
    x = np.array([[1.0, np.nan, 3.0], [4.0, 2.0, 9.0]])
    same(ea.jit(lambda x: np.median(x, 1))(x), np.median(x, 1))
    same(ea.jit(lambda x: np.median(x))(np.array([3, 1, 2, 2])), 2.0)


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int64", "bool", "float16"])
@pytest.mark.parametrize(("many", "width"), [(3, 1), (5, 3), (300, 20)])
def test_rows_are_added_with_and_without_scipy(monkeypatch, installed, dtype, many, width):
    monkeypatch.setattr(one_hot_kernels, "_has_scipy", lambda: installed)
    x = RNG.integers(-3, 4, (2, many, width)).astype(dtype)
    index = RNG.integers(0, 7, (2, many))
    expected = np.zeros((2, 7, width), dtype)
    for b in range(2):
        np.add.at(expected[b], index[b], x[b])
    same(scatter_add(index, x, 7, np.dtype(dtype)), expected)
    same(take(x[:, np.newaxis], index % many), np.stack([x[b][index[b] % many] for b in range(2)])[:, np.newaxis])
    turned = x.transpose(2, 1, 0)
    same(take(turned[np.newaxis], index[:1] % many)[0], turned[:, index[0] % many])


def test_costs_are_linear():
    n = 100_000
    x, g, k, j = RNG.normal(size=n), RNG.normal(size=n), RNG.integers(0, n, n), RNG.integers(0, n, n)
    cases = [
        (lambda x, g, k, j: x[k], x[k]),
        (ea.grad(lambda x, g, k, j: np.sum(x[k] * g)), np.bincount(k, g, n)),
        (ea.grad(lambda x, g, k, j: np.sum(x[k])), np.bincount(k, minlength=n) * 1.0),
        (ea.grad(lambda x, g, k, j: np.sum(x[k][j] * g)), np.bincount(k[j], g, n)),
        (lambda x, g, k, j: np.sort(x), np.sort(x)),
        (ea.grad(lambda x, g, k, j: np.sum(np.sort(x) * g)), g[np.argsort(np.argsort(x))]),
        (ea.hvp(lambda x, g, k, j: np.sum(x[k] ** 3)), None),
    ]
    for f, expected in cases[:-1]:
        plan = ea.plan(f, x, g, k, j)
        assert plan.peak_bytes < 60 * n
        same(plan(x, g, k, j) if not isinstance(plan(x, g, k, j), tuple) else plan(x, g, k, j)[0], expected)
    found = cases[-1][0]((x, g, k, j), g)
    same(found, np.bincount(k, 6 * (x * g)[k], n))


def test_two_index_arrays_cost_no_more():
    x, k, j = RNG.normal(size=(400, 300)), RNG.integers(0, 400, 50_000), RNG.integers(0, 300, 50_000)
    f = ea.grad(lambda x: np.sum(np.sin(x[k, j])))
    expected = np.zeros_like(x)
    np.add.at(expected, (k, j), np.cos(x[k, j]))
    assert ea.plan(f, x).peak_bytes < 5_000_000
    same(f(x), expected)
    sums = np.zeros_like(x)
    np.add.at(sums, (k, j), 1)
    assert ea.plan(ea.grad(lambda x: np.sum(x[k, j])), x).peak_bytes < 5_000_000
    same(ea.grad(lambda x: np.sum(x[k, j]))(x), sums)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_embedding_is_cut_along_its_batch(threads):
    E, W = RNG.normal(size=(50, 64)), RNG.normal(size=(64, 300))
    tokens, T = RNG.integers(-50, 50, 3000), RNG.normal(size=(3000, 300))

    def loss(E, W, tokens, T):
        return np.mean((np.tanh(E[tokens] @ W) - T) ** 2)

    value, (dE, dW) = ea.jit(ea.value_and_grad(loss, (0, 1)), threads=threads)(E, W, tokens, T)
    Z = np.tanh(E[tokens] @ W)
    D = 2 * (Z - T) * (1 - Z**2) / T.size
    rows = np.zeros_like(E)
    np.add.at(rows, tokens, D @ W.T)
    same(value, loss(E, W, tokens, T))
    same(dE, rows)
    same(dW, E[tokens].T @ D)


def test_numbers_are_multiplied_in_before_rows_are_scattered():
    x, k = RNG.normal(size=(4000, 8)), RNG.integers(0, 4000, 50)
    f = ea.grad(lambda x: np.mean(x[k] ** 2))
    expected = np.zeros_like(x)
    np.add.at(expected, k, x[k] * 2 / 400)
    same(f(x), expected)
    assert ea.plan(f, x).flops < 10_000


def test_the_hessian_of_gathered_entries_is_diagonal():
    x, k = RNG.normal(size=300), RNG.integers(0, 300, 1000)
    f = ea.hessian(lambda x: np.sum(np.sin(x[k])))
    same(f(x), np.diag(-np.bincount(k, np.sin(x)[k], 300)))
    assert ea.plan(f, x).flops < 20_000


def test_no_derivative_rule_mentions_a_structured_operand():
    root = Path(ea.__file__).parent
    rules = ["diff/linearise", "diff/sweep", "diff/jacobian", "ir/linear", "ops/calculus", "ops/pointwise"]
    for name in rules:
        tree = ast.parse((root / f"{name}.py").read_text())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert names.isdisjoint({"OneHot", "Affine", "Step", "DFT", "Structured"}), name

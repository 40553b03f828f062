"""Calling expressions: values, sizes, dtypes, errors."""

import copy
import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from einad.errors import MemoryLimitError, NotationError, ShapeError
from einad.expression import Expression, expr

rng = np.random.default_rng(5)
W, X, x, A = rng.random((3, 4)), rng.random((4, 5)), rng.random(4), rng.random((4, 4))
close = np.testing.assert_allclose


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("Y[i,k] = W[i,j] * X[j,k]", {"W": W, "X": X}, W @ X),
        ("Y[k,i] = W[i,j] * X[j,k]", {"W": W, "X": X}, (W @ X).T),
        ("Y[i,k] = W[i,j] * X[j,k] + b[k] - 1", {"W": W, "X": X, "b": np.arange(5)}, W @ X + np.arange(5) - 1),
        ("t = A[i,i]", {"A": A}, np.trace(A)),
        ("v[i] = A[i,i]", {"A": A}, np.diag(A)),
        ("D[i,i] = x[i]", {"x": x}, np.diag(x)),
        ("D[i,i] = 2 * x[i] + tanh(x[i])", {"x": x}, np.diag(2 * x + np.tanh(x))),
        ("D[i,j] = δ[i,j] * x[j]", {"x": x}, np.diag(x)),
        ("D[i,j] = x[i] * (1 - δ[i,j])", {"x": x}, x[:, None] * (1 - np.eye(4))),
        ("y[i] = δ[i,j] * x[j]", {"x": x}, x),
        ("y[i,j] = x[j]", {"x": x, "i": 2}, np.stack([x, x])),
        ("y[i] = 2.5", {"i": 3}, np.full(3, 2.5)),
        ("y = sum[j](c)", {"c": 1.5, "j": 4}, 6.0),
        ("y = c", {"c": 1.5}, 1.5),
        ("y[i] = x[i]", {"x": x}, x),
        ("y[i] = x[i]**3 / (1 + x[i]**2) - x[i]**-0.5", {"x": x}, x**3 / (1 + x**2) - x**-0.5),
        ("y[i,j] = x[i]**x[j]", {"x": x}, x[:, None] ** x),
        ("y[i] = 2**x[i]", {"x": x}, 2**x),
        ("y[i] = maximum(x[i], 0.5) + where(greater(x[i], 0.5), 1, 2)", {"x": x},
         np.maximum(x, 0.5) + np.where(x > 0.5, 1, 2)),
        ("y = greater(x[i], 0.5) * less(x[i], 0.9)", {"x": x}, np.sum((x > 0.5) & (x < 0.9))),
        ("y = log(sum[i](exp(x[i])))", {"x": x}, np.log(np.exp(x).sum())),
        ("p[n,o] = exp(h[n,o]) / sum[o](exp(h[n,o]))", {"h": A}, np.exp(A) / np.exp(A).sum(1, keepdims=True)),
        ("p[n,o] = h[n,o] + sum[o](h[n,o])", {"h": A}, A + A.sum(1, keepdims=True)),
        ("h[n] = A[n,i] * x[i]; loss = 0.5 * h[n] * h[n]", {"A": A, "x": x}, 0.5 * (A @ x) @ (A @ x)),
        ("G[a,b] = W[a,i] * W[b,i]", {"W": W}, W @ W.T),
        ("y = 2 * 3 / 4 * c - 2**3 / (1 - 3)", {"c": 2}, 7.0),
    ],
)  # fmt: skip
def test_values(text, values, expected):
    found = expr(text)(**values)
    close(found, expected, rtol=1e-13)
    assert np.shape(found) == np.shape(expected)
    assert type(found) is np.ndarray if np.ndim(expected) else isinstance(found, np.generic)


@pytest.mark.parametrize("shapes", [((0, 4), (4, 5)), ((3, 0), (0, 5)), ((1, 1), (1, 1))])
def test_empty_and_single_axes(shapes):
    left, right = np.ones(shapes[0]), np.ones(shapes[1])
    close(expr("Y[i,k] = W[i,j] * X[j,k]")(W=left, X=right), left @ right)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int32", "int64"])
def test_dtypes_follow_numpy(dtype):
    w, v = (rng.integers(1, 5, shape).astype(dtype) for shape in ((3, 4), (4,)))
    found = expr("y[i] = 2 * W[i,j] * x[j] + x2[i] - 1")(W=w, x=v, x2=w[:, 0])
    expected = 2 * (w @ v) + w[:, 0] - 1
    assert found.dtype == expected.dtype
    close(found, expected)
    quotient = expr("y[i] = x[i] / (1 + z[i]) + x[i]**0.5 + x[i]**-2")(x=v, z=v)
    expected = v / (1 + v) + v**0.5 + 1 / (v * v)
    assert quotient.dtype == (expected.dtype if np.dtype(dtype).kind != "i" else np.float64)
    close(quotient, expected, rtol=1e-6)


def test_truth_values_count():
    mask = np.array([True, True, False])
    assert expr("n = m[i]")(m=mask) == 2
    assert expr("n = m[i] * m[i] + 1")(m=mask) == 3
    assert expr("y[i] = greater(x[i], 0)")(x=[1.0, -1.0]).dtype == bool
    small = np.float32([0.25, 0.75])
    kept = expr("y[i] = x[i] * greater(x[i], 0.5) + (1 - δ[i,j]) * x[j]")(x=small)
    assert kept.dtype == np.float32
    close(kept, small * (small > 0.5) + small[::-1])


def test_python_numbers_are_weak():
    assert expr("y[i] = c * x[i]")(c=2.0, x=np.float32([1, 2])).dtype == np.float32
    assert expr("y = c")(c=2).dtype == np.int64


def test_lists_views_and_read_only_arrays_are_inputs_and_never_written_to():
    matrix = np.arange(12.0).reshape(3, 4)
    view = matrix[::-1, ::2]
    view.flags.writeable = False
    before = matrix.copy()
    e = expr("y[i] = A[i,j] * x[j]; z[i] = y[i]; B[i,j] = A[i,j]")
    found = e.all(A=view, x=[1, 2])
    close(found["y"], view @ [1, 2])
    close(matrix, before)
    for value in found.values():
        assert not np.shares_memory(value, matrix)
        value += 1
    assert not np.shares_memory(found["y"], found["z"])
    close(found["z"], view @ [1, 2] + 1)


def test_all_gives_every_target_in_order():
    found = expr("h[i] = 2 * x[i]; s = h[i]; t = s / c").all(x=x, c=2.0)
    assert list(found) == ["h", "s", "t"]
    close(found["h"], 2 * x)
    close(found["t"], x.sum())


def test_an_index_may_take_its_size_from_another_statement():
    found = expr("s[i] = 1; y = s[i] * x[i]")(x=x)
    close(found, x.sum())


def test_what_an_expression_says_of_itself():
    e = expr("h[n,o] = X[n,i] * W[i,o]; loss = h[n,o] * c")
    assert e.inputs == {"X": ("n", "i"), "W": ("i", "o"), "c": ()}
    assert e.outputs == {"h": ("n", "o"), "loss": ()}
    assert e.indices == ("n", "o", "i")
    assert repr(expr("y = 2*x")) == "expr('y = 2 * x')"


def test_equal_texts_are_one_object():
    e = expr("Y[i,k]=W[i,j]*X[j,k]")
    assert expr(str(e)) is e
    assert expr("Y[i,k] = (W[i,j] * X[j,k])  # the same") is e
    assert pickle.loads(pickle.dumps(e)) is e
    assert copy.copy(e) is e
    assert copy.deepcopy([e])[0] is e
    with pytest.raises(AttributeError, match="frozen"):
        e.name = "other"


def test_expressions_are_forgotten():
    reference = weakref.ref(expr("forgotten = x[i] * x[i] * 17"))
    gc.collect()
    assert reference() is None


def test_calls_from_several_threads():
    e = expr("y[i] = A[i,j] * x[j] + threads")
    arrays = [rng.random((n, 4)) for n in (1, 2, 3, 4) * 4]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda a: e(A=a, x=x, threads=1), arrays))
    for a, value in zip(arrays, found, strict=True):
        close(value, a @ x + 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda e: e(W=W), TypeError, r"missing X; the inputs are W\[i,j\], X\[j,k\]"),
        (lambda e: e(W=W, x=X), TypeError, r"missing X \(did you mean it by x\?\)"),
        (lambda e: e(W, X), TypeError, "positional"),
        (lambda e: e(W=W[0], X=X), ShapeError, r"W has shape \(4,\), of 1 axes, but W\[i,j\] has 2 indices"),
        (lambda e: e(W=W, X=X[:2]), ShapeError, r"(?s)'j' has size 4 in W\[i,j\].*'j' has size 2 in X\[j,k\]"),
        (lambda e: e(W=W, X=X, i=2), ShapeError, r"(?s)'i' has size 3 .* i=2"),
        (lambda e: e(W="text", X=X), ShapeError, "holds no numbers"),
        (lambda e: e(W=[[1, 2], [3]], X=X), ShapeError, "is no array"),
        (lambda e: e(W=np.array(None), X=X), ShapeError, "holds no numbers"),
    ],
)
def test_faulty_calls(call, error, message):
    with pytest.raises(error, match=message):
        call(expr("Y[i,k] = W[i,j] * X[j,k]"))


def test_disagreeing_sizes_are_shown_in_both_places():
    with pytest.raises(ShapeError) as caught:
        expr("Y[i,k] = W[i,j] * X[j,k]")(W=W, X=X[:2])
    lines = str(caught.value).splitlines()
    carets = [line.index("^") - 2 for line in lines if line.strip() == "^"]
    assert carets == ["Y[i,k] = W[i,j] * X[j,k]".index(part) for part in ("W[", "X[")]


def test_a_size_that_nothing_says():
    with pytest.raises(ShapeError, match=r"how long the index 'i' is; add its size, i=3"):
        expr("y[i,j] = x[j]")(x=x)


@pytest.mark.parametrize("text", ["y = x / 0", "y = x * 0**-1", "y = x * (-8)**0.5", "y = x * 1e300**2"])
def test_numbers_that_cannot_be_computed(text):
    with pytest.raises(NotationError, match="cannot be computed"):
        expr(text)(x=1.0)


def test_names_that_the_text_does_not_use_are_ignored():
    close(expr("y[i] = 2 * x[i]")(x=x, other=W, text="anything"), 2 * x)


def test_a_plan_is_called_with_the_inputs_in_order():
    e = expr("Y[i,k] = W[i,j] * X[j,k]; s = Y[i,k]")
    for plan in (e.compile(W=(3, 4), X=(4, 5)), e.compile(W=W, X=X)):
        value, total = plan(W, X)
        close(value, W @ X)
        close(total, (W @ X).sum())
    with pytest.raises(ShapeError, match="sizes disagree"):
        e.compile(W=(3, 4), X=(5, 5))
    with pytest.raises(TypeError, match="missing X"):
        e.compile(W=(3, 4))
    with pytest.raises(MemoryLimitError, match="the limit is 50"):
        e.compile(W=(3, 4), X=(4, 5), memory_limit=50)
    assert e.compile(W=(3, 4), X=(4, 5), memory_limit=10_000).peak_bytes <= 10_000
    with pytest.raises(ValueError, match="backend"):
        e.compile(W=(3, 4), X=(4, 5), backend="abacus")


def test_expression_is_a_public_class():
    assert isinstance(expr("y = x"), Expression)

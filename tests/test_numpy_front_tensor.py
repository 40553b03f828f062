"""Traced tensors as Python objects: operators, promotion, values, and what they refuse."""

from __future__ import annotations

import copy
import math
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy_front import assert_same, concrete, new_trace, tensor, traced

import einad.numpy as enp
from einad.errors import ConcretizationError, NotationError, ShapeError
from einad.front.numpy_table import known_names
from einad.front.tensor import Tensor, innermost_trace, record_einsum, to_node
from einad.front.trace import Binding, new_input

X = np.array([[1.5, -2.0, 3.0], [4.0, 0.5, -6.0]])
DTYPES = ["bool", "int8", "uint8", "int64", "float16", "float32", "float64", "complex64", "complex128"]
BINARY = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "and_",
    "or_",
    "xor",
    "lshift",
    "rshift",
]
NUMBERS = [True, 0, 2, 3, -1, 300, 0.5, -1.5, 2.0, 1j, np.float32(2.5), np.int8(3), np.float64(2), np.uint8(1)]


def outcome(f):
    """The value, or the type of the error."""
    try:
        with np.errstate(all="ignore"):
            return f()
    except (TypeError, ValueError, OverflowError) as error:
        return type(error).__mro__[-3]


def assert_same_outcome(found, expected):
    if isinstance(expected, type):
        assert isinstance(found, type), found
    else:
        assert not isinstance(found, type), found
        assert_same(found, expected)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_operators_with_numbers_promote_as_numpy(name, dtype):
    op = getattr(operator, name)
    x = np.array([1, 2, 3]).astype(dtype)
    for number in NUMBERS:
        for f in (lambda a, n=number: op(a, n), lambda a, n=number: op(n, a)):
            assert_same_outcome(outcome(lambda f=f: traced(f, x)), outcome(lambda f=f: f(x)))


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("first", DTYPES)
@pytest.mark.parametrize("second", ["bool", "uint8", "int64", "float32", "complex128"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_operators_promote_as_numpy(name, first, second):
    op = getattr(operator, name)
    x, y = np.array([[1], [2]]).astype(first), np.array([3, 1]).astype(second)
    expected = outcome(lambda: op(x, y))
    for f in (lambda a, b: op(a, b), lambda a, _: op(a, y), lambda _, b: op(x, b)):
        assert_same_outcome(outcome(lambda f=f: traced(f, x, y)), expected)


@pytest.mark.parametrize("f", [operator.neg, operator.pos, operator.abs, operator.invert, lambda x: divmod(x, 2)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_unary_operators(f, dtype):
    x = np.array([1, 2, 3]).astype(dtype)
    assert_same_outcome(outcome(lambda: traced(f, x)), outcome(lambda: f(x)))


def test_comparison_with_an_integer_that_does_not_fit():
    assert_same(traced(lambda a: a < 300, np.arange(3, dtype=np.uint8)), np.ones(3, bool))


def test_division_by_zero_is_numpys():
    with np.errstate(all="ignore"):
        assert_same(traced(lambda a: a / 0, X), X / 0)
        assert_same(traced(lambda a: a / 0.0, np.zeros(2)), np.zeros(2) / 0.0)


shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(shapes, st.data())
def test_broadcasting(shape, data):
    kept = data.draw(st.integers(0, len(shape)))
    other = tuple([data.draw(st.sampled_from([n, 1])) for n in shape[kept:]])
    x, y = np.arange(math.prod(shape), dtype=float).reshape(shape), np.arange(math.prod(other)).reshape(other) + 1
    for f in (operator.add, operator.mul, operator.truediv, np.maximum, lambda a, b: np.where(a > 1, a, b)):
        assert_same(traced(f, x, y), f(x, y))
        assert_same(traced(f, y, x), f(y, x))


@given(shapes, st.data())
def test_reshape(shape, data):
    size = math.prod(shape)
    order = data.draw(st.permutations(shape))
    split = data.draw(st.integers(0, len(order)))
    merged = (*order[:split], math.prod(order[split:]))
    x = np.arange(size).reshape(shape)
    for target in (tuple(order), merged, (size,)):
        for layout in ("C", "F"):
            assert_same(
                traced(lambda a, t=target, o=layout: np.reshape(a, t, order=o), x), np.reshape(x, target, order=layout)
            )


@st.composite
def basic_keys(draw, shape):
    entries = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        bound = st.none() | st.integers(-n - 2, n + 2)
        step = st.none() | st.sampled_from([-3, -2, -1, 1, 2, 3])
        options = [st.builds(slice, bound, bound, step)]
        options += [st.integers(-n, n - 1)] if n else []
        entries.append(draw(st.one_of(options)))
    for extra in draw(st.lists(st.sampled_from([None, Ellipsis]), max_size=2).filter(lambda e: e.count(Ellipsis) < 2)):
        entries.insert(draw(st.integers(0, len(entries))), extra)
    if Ellipsis in entries and entries.index(Ellipsis) < len(entries) - 1:
        entries = entries[: entries.index(Ellipsis) + 1]
    return tuple(entries)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple), st.data())
def test_basic_indexing(shape, data):
    key = data.draw(basic_keys(shape))
    x = np.arange(math.prod(shape)).reshape(shape)
    assert_same(traced(lambda a: a[key], x), x[key])


@pytest.mark.parametrize(
    "key",
    [
        (..., 1),
        (1, ..., 0),
        (slice(None), None, [1, 0]),
        ([0, 1], [1, 2]),
        ([[0], [1]], [0, 2]),
        (0, slice(1, 3), [1, 1, 0]),
        ([-1, 0], slice(None), [1, 2]),
        (np.array([True, False]),),
        (slice(None), np.array([True, False, True]), 1),
        (np.ones((2, 3), bool), [0] * 6),
        ([],),
        (np.array(1), [0, 2]),
        (None, [1], 0, None, 1),
        [True, False],
        (..., np.arange(12).reshape(3, 4) % 5 < 2),
        np.array(1),
        (np.int8(1), 2, 3),
    ],
    ids=str,
)
def test_index_arrays(key):
    x = np.arange(24.0).reshape(2, 3, 4)
    assert_same(traced(lambda a: a[key], x), x[key])


def test_traced_indices():
    x, i, k = np.arange(12.0).reshape(4, 3), np.array([[1, -1], [0, 3]]), np.array(2)
    assert_same(traced(lambda a, b: a[b], x, i), x[i])
    assert_same(traced(lambda a, b: a[:, b], x, k), x[:, k])
    assert_same(traced(lambda a, b: a[b, [0, 1]], x, i), x[i, [0, 1]])
    assert_same(traced(lambda a: a[a > 4], x), x[x > 4])
    assert_same(traced(lambda a, b: a[: b + 1], x, k), x[:3])
    j = np.argsort(-x, axis=1)
    assert_same(traced(lambda a, b: np.take_along_axis(a, b, 1), x, j), np.take_along_axis(x, j, 1))


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (4, IndexError, "index 4 is out of bounds for axis 0 with size 2"),
        ((0, [5]), IndexError, "index 5 is out of bounds for axis 1 with size 3"),
        ((0, 0, 0), IndexError, "too many indices"),
        (1.5, IndexError, "only integers, slices"),
        ("a", IndexError, "only integers, slices"),
        ((..., ...), IndexError, "single ellipsis"),
        (np.ones(3, bool), IndexError, "boolean index of shape"),
        (True, TypeError, "single bool"),
    ],
    ids=str,
)
def test_index_errors(key, error, message):
    with pytest.raises(error, match=message):
        tensor(X)[key]


def test_iteration_and_length():
    t = tensor(X)
    assert len(t) == 2
    assert_same(traced(lambda a: [row[0] for row in a], X), [X[0, 0], X[1, 0]])
    first, second = t
    assert first.shape == second.shape == (3,)
    assert 4.0 in t
    assert 5.0 not in t
    with pytest.raises(TypeError, match="without axes"):
        len(t[0, 0])
    with pytest.raises(TypeError, match="without axes"):
        iter(t[0, 0])


def test_attributes():
    t = tensor(X.astype(np.float32))
    assert (t.shape, t.ndim, t.size, t.dtype, t.itemsize, t.nbytes) == ((2, 3), 2, 6, np.float32, 4, 24)
    assert copy.deepcopy(t) is copy.copy(t) is t
    with pytest.raises(AttributeError, match="have no 'sort'"):
        t.sort()
    with pytest.raises(AttributeError, match="no attribute 'foo'"):
        t.foo()
    with pytest.raises(TypeError, match="unhashable"):
        hash(t)


def test_values_steer_python():
    t = tensor(X, differentiated=True)
    assert t.sum() > 0
    assert not (t > 5).any()
    assert [10, 11, 12][t[0].argmax()] == 12
    assert int(t.argmax()) == 3
    assert f"{t.sum():.2f}" == f"{X.sum():.2f}"
    assert str(t) == str(X)
    assert repr(t) == f"Tensor({X!r})"
    with pytest.raises(ValueError, match="truth value of a tensor of shape"):
        bool(t)
    with pytest.raises(TypeError, match="only integer tensors"):
        [1, 2][t[0, 0]]


@pytest.mark.parametrize(
    ("f", "instead"),
    [
        (float, "np.exp"),
        (complex, "np.exp"),
        (int, "np.stack"),
        (math.exp, "np.exp"),
        (np.asarray, "einad.numpy.array"),
        (lambda x: np.array([x, x]), "np.stack"),
        (lambda x: x.item(), "keep the tensor"),
        (lambda x: x.tolist(), "iterate over"),
    ],
)
def test_values_that_would_cut_the_derivative_are_refused(f, instead):
    loss = (tensor(X, differentiated=True) ** 2).sum()
    with pytest.raises(ConcretizationError, match=instead) as caught:
        f(loss)
    assert "ea.stop_gradient(x)" in str(caught.value)
    value = (tensor(X) ** 2).sum()
    assert np.all(np.asarray(f(value) == f((X**2).sum())))


def test_values_are_fresh_copies():
    t = tensor(X)
    first = np.asarray(t)
    first[:] = 0
    assert np.array_equal(np.asarray(t), X)
    assert X.sum() != 0


def test_without_a_value():
    trace = new_trace()
    t = Tensor(new_input("x", X, Binding(trace, None, False, "inside ea.jit there is no value")), trace)
    assert repr(t) == str(t) == f"{t}" == "Tensor(float64[2, 3], traced)"
    for f in (lambda: bool(t.sum() > 0), lambda: float(t.sum()), lambda: np.asarray(t), lambda: [1][t.argmax()]):
        with pytest.raises(ConcretizationError, match="inside ea.jit there is no value"):
            f()


def test_a_leaked_tensor_is_refused():
    t = tensor(X)
    t.origin.close()
    for f in (lambda: t + 1, lambda: bool(t[0, 0] > 0), lambda: np.sum(t), lambda: np.asarray(t)):
        with pytest.raises(ConcretizationError, match="leaked out of its function"):
            f()
    assert "traced" in repr(t)


def test_nested_traces_use_the_latest():
    outer, inner = new_trace(), new_trace()
    a, b = tensor(X, outer), tensor(X, inner)
    assert (a + b).origin is inner
    assert np.stack([a, b, X]).origin is inner
    assert innermost_trace({"x": [a, (b, 1)]}) is inner
    assert innermost_trace([1, X, "a"]) is None


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: np.unique(x), r"np\.unique is not known to einad"),
        (lambda x: np.linalg.svd(x), r"np\.linalg\.svd is not known to einad"),
        (lambda x: np.frexp(x), r"np\.frexp is not known to einad"),
        (lambda x: np.add.at(x, 0, 1), r"np\.add\.at is not known to einad"),
        (lambda x: np.subtract.reduce(x), r"np\.subtract\.reduce is not known"),
        (lambda x: np.add(X, x, out=X), r"np\.add with out= cannot be traced"),
        (lambda x: operator.iadd(X.copy(), x), r"np\.add with out= cannot be traced"),
        (lambda x: np.sum(x, where=X > 0), r"np\.sum with where= cannot be traced; write np\.where"),
        (lambda x: np.sum(x, None, None, X), r"np\.sum with out= cannot be traced"),
        (lambda x: operator.setitem(x, 0, 1.0), r"cannot be changed in place; .* np\.where"),
        (lambda x: np.where(x > 0), r"np\.where with one argument"),
        (lambda x: np.pad(x, 1, mode="mean"), r"mode='mean' .* is not supported"),
        (lambda x: x + "a", "unsupported operand"),
        (lambda x: np.add(x, "a"), "not supported|expected a tensor"),
        (lambda x: np.stack([x, None]), "found None"),
        (lambda x: x + np.array([object()] * 3), "found dtype object"),
        (lambda x: x * np.ma.masked_array(np.ones(3)), "MaskedArray"),
        (lambda x: np.reshape(x, (2.5, 1)), "integer"),
        (lambda x: x.astype(complex).astype(float), "drops the imaginary part"),
        (lambda x: np.linalg.norm(x, "nuc"), "singular values"),
        (lambda x: np.sin(x, X), r"np\.sin with out="),
    ],
)
def test_what_cannot_be_traced_says_so(f, message):
    with pytest.raises(TypeError, match=message):
        f(tensor(X))


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x + np.ones(2), r"shapes \(2, 3\), \(2,\) do not broadcast: axis -1 has sizes 2, 3"),
        (lambda x: x @ x, r"np.matmul of shapes \(2, 3\) and \(2, 3\): axis 1 .* size 3, axis 0 .* size 2"),
        (lambda x: x.reshape(4, -1), r"cannot reshape a tensor of shape \(2, 3\)"),
        (lambda x: np.concatenate([x, x[0]]), r"found \(2, 3\), \(3,\)"),
        (lambda x: np.stack([x, x[0]]), r"found \(2, 3\), \(3,\)"),
        (lambda x: np.split(x, 2, axis=1), "np.array_split"),
        (lambda x: np.squeeze(x, 0), "axes of size 1 only"),
        (lambda x: x.sum(axis=2), "axis 2 is out of bounds"),
        (lambda x: x.transpose(0, 0), "each of its 2 axes once"),
        (lambda x: np.max(x[:0], 0), "empty axis"),
    ],
)
def test_shapes_that_do_not_fit(f, message):
    with pytest.raises(ValueError, match=message):
        f(tensor(X))


UFUNC_METHODS = [
    lambda x: np.add.reduce(x),
    lambda x: np.add.reduce(x, axis=None, keepdims=True),
    lambda x: np.multiply.reduce(x, 1),
    lambda x: np.maximum.reduce(x, axis=1),
    lambda x: np.minimum.reduce(x),
    lambda x: np.logical_and.reduce(x > 0),
    lambda x: np.logical_or.reduce(x > 0, axis=1),
    lambda x: np.add.accumulate(x),
    lambda x: np.add.accumulate(x, 1),
    lambda x: np.multiply.outer(x, x[0]),
    lambda x: np.subtract.outer(x[0], x),
    lambda x: np.add(x, 1, dtype=np.float32),
    lambda x: np.sin(x, dtype=np.float32),
    lambda x: np.logaddexp.outer(x, [1.0, 2.0]),
]


@pytest.mark.parametrize("f", UFUNC_METHODS)
def test_ufunc_methods(f):
    assert_same(traced(f, X), f(X))


def test_arrays_on_the_left_and_lists():
    assert_same(traced(lambda a: X.T @ a, X), X.T @ X)
    assert_same(traced(lambda a: operator.add([1.0, 2.0, 3.0], a), X), np.array([1.0, 2.0, 3.0]) + X)
    assert_same(traced(lambda a: np.float32(2) * a, X), 2 * X)
    assert (tensor(X) == None) is False  # noqa: E711  # as the user might write it


def test_augmented_assignment_rebinds():
    t = before = tensor(X)
    t += 1
    assert t is not before
    assert np.array_equal(np.asarray(before), X)


EINSUMS = [
    ("ij,jk", ["ij", "jk"]),
    ("ij,jk->", ["ij", "jk"]),
    ("ba", ["ij"]),
    ("...ij,...jk->...ik", ["nij", "jk"]),
    ("i...,i...->...", ["ik", "ijk"]),
    ("...", ["ijk"]),
    ("ii->i", ["ii"]),
    ("ijj->ji", ["ijj"]),
    (" i j , j -> i ", ["ij", "j"]),
    ("i,i,i", ["i", "i", "i"]),
    ("ij...,j...->i...", ["ijk", "jk"]),
    ("...,...", ["ij", "j"]),
    ("ab,ab->ab", ["1j", "ij"]),
    ("ab,bc->ac", ["i1", "jk"]),
    (",->", ["", ""]),
    ("a->a", ["j"]),
]


@pytest.mark.parametrize(("spec", "axes"), EINSUMS, ids=[spec for spec, _ in EINSUMS])
def test_einsum_forms(spec, axes):
    sizes = {"i": 2, "j": 3, "k": 4, "n": 5, "1": 1}
    arrays = [np.random.default_rng(k).integers(-3, 4, [sizes[c] for c in a]) for k, a in enumerate(axes)]
    expected = np.einsum(spec, *arrays)
    assert_same(traced(lambda *ts: np.einsum(spec, *ts), *arrays), expected)
    assert_same(traced(lambda first, *_: np.einsum(spec, first, *arrays[1:]), *arrays), expected)


@given(st.data())
def test_random_einsums(data):
    letters = "abcd"
    count = data.draw(st.integers(1, 3))
    sizes = {c: data.draw(st.integers(0, 3), label=c) for c in letters}
    inputs = [data.draw(st.text(letters, max_size=3)) for _ in range(count)]
    used = sorted(set("".join(inputs)))
    output = "".join(data.draw(st.permutations(used)))[: data.draw(st.integers(0, len(used)))]
    dots = data.draw(st.booleans())
    spec = ",".join(labels + "..." * dots for labels in inputs) + data.draw(
        st.sampled_from(["", "->" + output + "..." * dots])
    )
    arrays = []
    for k, labels in enumerate(inputs):
        shape = [sizes[c] if labels.count(c) > 1 or data.draw(st.booleans()) else 1 for c in labels] + [2] * (
            dots and k % 2
        )
        shape = [sizes[c] if sizes[c] == 0 else n for c, n in zip(labels, shape, strict=False)] + shape[len(labels) :]
        arrays.append(np.random.default_rng(k).integers(-3, 4, shape).astype(float))
    try:
        expected = np.einsum(spec, *arrays)
    except ValueError:
        return
    assert_same(traced(lambda *ts: np.einsum(spec, *ts), *arrays), expected)


def test_einsum_interleaved_with_many_labels():
    x = np.arange(6.0).reshape(2, 3)
    assert_same(traced(lambda a: np.einsum(a, [1000, 7], x, [1001, 7], [1001, 1000]), x), x @ x.T)
    assert_same(traced(lambda a: np.einsum(a, [..., 0], a, [..., 0]), x), np.einsum(x, [..., 0], x, [..., 0]))
    assert_same(traced(lambda a: np.einsum(a, [1, 0]), x), x.T)


def test_einsum_closed_notation():
    x = np.arange(3.0)

    def closed(spec, *operands, **sizes):
        trace = new_trace()
        return concrete(record_einsum(spec, operands, trace, sizes or None), trace)

    assert_same(closed("i->ii", x), np.diag(x))
    assert_same(closed("->ii", i=3), np.eye(3))
    assert_same(closed("->ij", i=2, j=3), np.ones((2, 3)))
    assert_same(closed("i->ij", x, j=2), np.stack([x, x], 1))
    assert_same(closed("i->iji", x, j=2), np.einsum("ik,j->ijk", np.diag(x), np.ones(2)))
    assert_same(closed(x, [0], [0, 0]), np.diag(x))
    assert_same(traced(lambda a: np.einsum("i->ij", a, sizes={"j": 2}), x), np.stack([x, x], 1))


@pytest.mark.parametrize(
    ("spec", "shapes", "error", "message"),
    [
        ("ij,jk->ik", [(2, 3), (2, 3)], ShapeError, r"label 'j' of .* size 3 and size 2; .*shapes: \(2, 3\), \(2, 3\)"),
        ("ij,jk->ik", [(2, 3)], ShapeError, r"names 2 operands, got 1 with shapes \(2, 3\)"),
        ("ij->i", [(2, 3, 4)], ShapeError, r"operand 0 of 'ij->i' has 2 labels, but shape \(2, 3, 4\) has 3 axes"),
        ("ijk->i", [(2, 3)], ShapeError, "has 3 labels, but shape"),
        ("ii->i", [(1, 3)], ShapeError, "has size 1 and size 3"),
        ("ij->ik", [(2, 3)], NotationError, r"label 'k' stands only in the output.*sizes=\{'k': n\}"),
        ("ij->i->j", [(2, 3)], NotationError, "at most one '->'"),
        ("ij->i,j", [(2, 3)], NotationError, "one output"),
        ("i1->i", [(2, 3)], NotationError, "expected a letter.*found '1'"),
        ("i....->i", [(2, 3)], NotationError, "found '.'"),
        ("...i...->i", [(2, 3)], NotationError, "stands twice"),
        ("...i->i", [(2, 3)], NotationError, "does not stand in the output"),
        ("...i,...i->...", [(2, 3), (4, 3)], ShapeError, "an axis under '...'"),
    ],
)
def test_einsum_errors(spec, shapes, error, message):
    with pytest.raises(error, match=message):
        np.einsum(spec, *[tensor(np.ones(shape)) for shape in shapes])


def test_an_einsum_error_has_a_caret():
    with pytest.raises(NotationError) as caught:
        np.einsum("ij, j$ -> i", tensor(X), tensor(X))
    assert str(caught.value).splitlines()[1:] == ["  ij, j$ -> i", "       ^"]


def test_einad_numpy_on_arrays_is_numpy():
    assert enp.tanh is np.tanh
    assert enp.linalg.norm is np.linalg.norm
    assert type(enp.array([1.0, 2.0])) is np.ndarray
    assert enp.float32 is np.float32
    assert {name for name in known_names() if "." not in name} <= set(enp.__all__)
    assert all(hasattr(enp, name) for name in enp.__all__)
    with pytest.raises(AttributeError):
        enp.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    "f",
    [
        lambda xp, a: xp.array([[a[0, 0], 2.0], [a[1, 1] * 3, a.sum()]]),
        lambda xp, a: xp.asarray([a[0], a[1]], dtype=np.float32),
        lambda xp, a: xp.array([a[0, 0], 1j]),
        lambda xp, a: xp.array([a, a], ndmin=4),
        lambda xp, a: xp.concatenate([a, xp.zeros((1, 3))]) @ xp.eye(3),
    ],
)
def test_einad_numpy_array_joins_tensors(f):
    assert_same(traced(lambda a: f(enp, a), X), f(np, X))


def test_constants_do_not_touch_the_users_arrays():
    frozen = X.copy()
    frozen.flags.writeable = False
    assert_same(traced(lambda a: a * frozen + frozen[::-1] @ a.T[:, :1] * 0, X), X * X)


def test_to_node_of_plain_values():
    trace = new_trace()
    assert to_node(2.0, trace).dtype == np.float64
    assert to_node([1, 2], trace).shape == (2,)
    assert to_node(np.float32(1), trace).dtype == np.float32
    for wrong in (None, "text", object(), {1: 2}):
        with pytest.raises(TypeError, match="expected a tensor, an array or a number"):
            to_node(wrong, trace)

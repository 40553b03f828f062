"""NumPy's functions that frame, repeat, window and difference: values are NumPy's, gradients those of differences."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy_front import assert_same, traced

import einad as ea
from einad.testing import check_grads

RNG = np.random.default_rng(5)
CUBE, MATRIX, SQUARE, VECTOR = (RNG.normal(size=shape) for shape in ((2, 3, 4), (3, 4), (4, 4), (7,)))
MODES = ["edge", "reflect", "symmetric", "wrap"]

CALLS = {
    "pad one width": (lambda x: np.pad(x, 2), MATRIX),
    "pad two sides": (lambda x: np.pad(x, (1, 2), constant_values=3), MATRIX),
    "pad every axis": (lambda x: np.pad(x, ((1, 0), (0, 3)), constant_values=((1, 2), (3, 4))), MATRIX),
    "pad a column": (lambda x: np.pad(x, ((1,), (2,))), MATRIX),
    "pad a dict": (lambda x: np.pad(x, {-1: (2, 1)}), MATRIX),
    **{f"pad {mode}": (lambda x, mode=mode: np.pad(x, ((1, 2), (0, 3)), mode), MATRIX) for mode in MODES},
    **{f"pad {mode} further than the tensor": (lambda x, mode=mode: np.pad(x, (9, 8), mode), VECTOR) for mode in MODES},
    "roll": (lambda x: np.roll(x, 5), MATRIX),
    "roll axes": (lambda x: np.roll(x, (1, -2), (0, 1)), MATRIX),
    "roll one axis twice": (lambda x: np.roll(x, (1, 1), (1, 1)), MATRIX),
    "roll one shift": (lambda x: np.roll(x, 2, (0, 2)), CUBE),
    "flip": (np.flip, CUBE),
    "flip axes": (lambda x: np.flip(x, (0, -1)), CUBE),
    "fliplr": (np.fliplr, CUBE),
    "flipud": (np.flipud, VECTOR),
    **{f"rot90 {k}": (lambda x, k=k: np.rot90(x, k, (2, 1)), CUBE) for k in (-1, 0, 1, 2, 3)},
    "tile": (lambda x: np.tile(x, (2, 1, 3)), MATRIX),
    "tile short": (lambda x: np.tile(x, 2), CUBE),
    "repeat": (lambda x: np.repeat(x, 3), MATRIX),
    "repeat axis": (lambda x: np.repeat(x, 2, 1), CUBE),
    "repeat array": (lambda x: np.repeat(x, [2, 0, 3], axis=0), MATRIX),
    "repeat array flat": (lambda x: np.repeat(x, np.arange(12)), MATRIX),
    "repeat array of one": (lambda x: np.repeat(x, [2], axis=1), MATRIX),
    "diff": (lambda x: np.diff(x, 2), MATRIX),
    "diff edges": (lambda x: np.diff(x, axis=0, prepend=1.0, append=x[:2]), MATRIX),
    "ediff1d": (np.ediff1d, MATRIX),
    "ediff1d edges": (lambda x: np.ediff1d(x, to_end=[1.0, 2.0], to_begin=x[:1]), VECTOR),
    **{f"diag {k}": (lambda x, k=k: np.diag(x, k), MATRIX) for k in (-2, 0, 3)},
    "diag of a vector": (lambda x: np.diag(x, -2), VECTOR),
    "diagflat": (lambda x: np.diagflat(x, 1), MATRIX),
    **{f"diagonal {k}": (lambda x, k=k: np.diagonal(x, k, 2, 0), CUBE) for k in (-1, 0, 2)},
    **{f"tril {k}": (lambda x, k=k: np.tril(x, k), CUBE) for k in (-1, 0, 2)},
    **{f"triu {k}": (lambda x, k=k: np.triu(x, k), CUBE) for k in (-1, 0, 2)},
    "cumsum": (np.cumsum, CUBE),
    "cumsum axis": (lambda x: np.cumsum(x, 1), CUBE),
    "cumsum dtype": (lambda x: np.cumsum(x, -1, np.complex128), CUBE),
    "cumprod": (np.cumprod, MATRIX),
    "cumprod axis": (lambda x: np.cumprod(x, 1), CUBE),
    "cumprod of zeros": (np.cumprod, np.array([2.0, 0.0, 3.0, 0.0, 5.0])),
    "split": (lambda x: np.split(x, 2, 2), CUBE),
    "split positions": (lambda x: np.split(x, [1, 5]), VECTOR),
    "array_split": (lambda x: np.array_split(x, 3), VECTOR),
    "hsplit": (lambda x: np.hsplit(x, 2), MATRIX),
    "vsplit": (lambda x: np.vsplit(x, 3), MATRIX),
    "dsplit": (lambda x: np.dsplit(x, [1]), CUBE),
    "concatenate": (lambda x: np.concatenate([x, 2 * x[:, :1]], 1), MATRIX),
    "concatenate flat": (lambda x: np.concatenate([x, x[0]], None), MATRIX),
    "stack": (lambda x: np.stack([x, x * x], -1), MATRIX),
    "hstack": (lambda x: np.hstack([x, x]), VECTOR),
    "vstack": (lambda x: np.vstack([x, x]), VECTOR),
    "dstack": (lambda x: np.dstack([x, x]), VECTOR),
    "column_stack": (lambda x: np.column_stack([x, x]), VECTOR),
    "moveaxis": (lambda x: np.moveaxis(x, [0, 1], [-1, 0]), CUBE),
    "rollaxis": (lambda x: np.rollaxis(x, 2, 1), CUBE),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1), CUBE),
    "kron": (lambda x: np.kron(x, x[:2]), MATRIX),
    "trapezoid": (lambda x: np.trapezoid(x, dx=0.5, axis=0), MATRIX),
    "trapezoid places": (lambda x: np.trapezoid(x, np.arange(4.0) ** 2), MATRIX),
    "gradient": (np.gradient, VECTOR),
    "gradient axes": (lambda x: np.gradient(x, 0.5, 2.0), MATRIX),
    "gradient one axis": (lambda x: np.gradient(x, 0.1, axis=-1, edge_order=2), MATRIX),
    "gradient of two": (lambda x: np.gradient(x[:2]), VECTOR),
    **{f"convolve {m}": (lambda x, m=m: np.convolve(x, x[:4] ** 2, m), VECTOR) for m in ("full", "same", "valid")},
    **{f"convolve longer {m}": (lambda x, m=m: np.convolve(x[:4], x, m), VECTOR) for m in ("full", "same", "valid")},
    **{f"correlate {m}": (lambda x, m=m: np.correlate(x, x[:4] ** 2, m), VECTOR) for m in ("full", "same", "valid")},
    **{f"correlate longer {m}": (lambda x, m=m: np.correlate(x[:4], x, m), VECTOR) for m in ("full", "same", "valid")},
    **{f"correlate odd {m}": (lambda x, m=m: np.correlate(x[:3], x, m), VECTOR) for m in ("full", "same", "valid")},
    "windows": (lambda x: sliding_window_view(x, (2, 3)), MATRIX),
    "windows of axes": (lambda x: sliding_window_view(x, (2, 2), (2, 0)), CUBE),
    "windows of one axis": (lambda x: sliding_window_view(x, 3, -1), CUBE),
    "windows of an axis twice": (lambda x: sliding_window_view(x, (2, 3), (0, 0)), VECTOR),
    "reshapes": (lambda x: x.reshape(6, 4).T.reshape(2, 2, -1)[:, ::-1].reshape(3, 8), CUBE),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_are_those_of_numpy(name):
    f, x = CALLS[name]
    assert_same(traced(f, x), _as_numpy(f(x)))
    assert_same(_listed(ea.jit(f)(x)), _listed(f(x)))


def _as_numpy(x):
    return [*x] if isinstance(x, list) else x


def _listed(x):
    return [*x] if isinstance(x, list | tuple) else x


@pytest.mark.parametrize("name", CALLS)
def test_derivatives_are_those_of_differences(name):
    f, x = CALLS[name]
    if np.iscomplexobj(_joined(f(x))):
        return
    check_grads(lambda x: np.sin(_joined(f(x))), (x,))


def _joined(x):
    return np.concatenate([np.ravel(y) for y in x]) if isinstance(x, list | tuple) else x


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("sizes", [(5, 5), (4, 4), (6, 2), (2, 6), (7, 3), (3, 8), (1, 4)])
def test_correlations_of_all_sizes(mode, sizes):
    a, v = (RNG.normal(size=n) + 1j * RNG.normal(size=n) for n in sizes)
    for function in (np.correlate, np.convolve):
        assert_same(traced(lambda a, v, f=function: f(a, v, mode), a, v), function(a, v, mode))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32])
def test_dtypes(dtype):
    x = np.array([1, 0, 1, 1, 0, 1], dtype)
    for f in (np.cumprod, lambda x: np.convolve(x, x[:2]), lambda x: np.pad(x, 2, "wrap"), lambda x: np.repeat(x, 2),
              lambda x: sliding_window_view(x, 2)):  # fmt: skip
        assert_same(traced(f, x), f(x))


def test_gradient_of_a_convolution_against_jax():
    jax = pytest.importorskip("jax")
    x, k = RNG.normal(size=30), RNG.normal(size=5)

    def loss(x, k, np):
        return np.sum(np.tanh(np.convolve(x, k, "same")) * np.correlate(x, k, "same"))

    with jax.enable_x64(True):
        expected = jax.grad(lambda x, k: loss(x, k, jax.numpy), (0, 1))(x, k)
        expected = [np.asarray(gradient) for gradient in expected]
    for found, gradient in zip(ea.grad(lambda x, k: loss(x, k, np), (0, 1))(x, k), expected, strict=True):
        np.testing.assert_allclose(found, gradient, rtol=1e-10, atol=1e-12)


def test_vmap_over_windows():
    x = RNG.normal(size=(3, 8))
    found = ea.vmap(lambda row: np.convolve(row, np.arange(3.0)))(x)
    np.testing.assert_allclose(found, [np.convolve(row, np.arange(3.0)) for row in x], atol=1e-12)


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x: np.pad(x, 1, "linear_ramp"), TypeError, "known are constant, edge, reflect, symmetric, wrap"),
        (lambda x: np.pad(x, -1), ValueError, "negative"),
        (lambda x: np.convolve(x, x, "half"), ValueError, "modes 'full', 'same' and 'valid', got 'half'"),
        (lambda x: np.convolve(x, x[:0]), ValueError, "not empty"),
        (lambda x: np.gradient(x, np.arange(7.0) ** 2), TypeError, "even spacings"),
        (lambda x: np.gradient(x, edge_order=3), ValueError, "1 or 2"),
        (lambda x: sliding_window_view(x, 9), ValueError, "cannot be larger"),
        (lambda x: sliding_window_view(x, (2, 2)), ea.ShapeError, "2 entries for 1 axes"),
    ],
)
def test_refusals(f, error, message):
    with pytest.raises(error, match=message):
        ea.jit(f)(VECTOR)

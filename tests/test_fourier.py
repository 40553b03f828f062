"""np.fft: values against NumPy, derivatives against JAX, and never a matrix of n by n numbers."""

from __future__ import annotations

import pathlib
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import einad as ea
import einad.numpy as enp
from einad.backends import reference
from einad.errors import ShapeError
from einad.ir import build
from einad.ir.expr import DFT, Einsum, Input
from einad.ops import structured
from einad.pipeline import evaluate
from einad.rewrite.engine import normalise
from einad.testing import check_grads

ONE_AXIS = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
MANY_AXES = ["fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2"]
REAL_ONLY = {"rfft", "rfftn", "rfft2", "ihfft"}
NORMS = [None, "backward", "ortho", "forward"]
DTYPES = [np.float64, np.float32, np.complex128, np.complex64, np.int64]


def sample(shape: tuple[int, ...], dtype: Any = np.float64, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    x = 4 * rng.standard_normal(shape)
    return (x + 4j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def check_value(f: Any, x: Any) -> None:
    expected, found = f(x), ea.jit(f)(x)
    assert found.dtype == expected.dtype
    single = expected.dtype.char in "fF"
    np.testing.assert_allclose(found, expected, rtol=1e-4 if single else 1e-10, atol=1e-4 if single else 1e-11)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ONE_AXIS)
def test_transforms_along_one_axis_are_numpys(name: str, dtype: Any) -> None:
    if name in REAL_ONLY and np.dtype(dtype).kind == "c":
        pytest.skip("takes real tensors")
    transform = getattr(np.fft, name)
    for size in (2, 3, 4, 9):
        for n in (None, 1, 4, 7):
            check_value(lambda x, n=n: transform(x, n), sample((2, size), dtype))
    for norm in NORMS:
        check_value(lambda x, norm=norm: transform(x, axis=0, norm=norm), sample((5, 2), dtype))


@pytest.mark.parametrize("name", MANY_AXES)
def test_transforms_along_many_axes_are_numpys(name: str) -> None:
    transform = getattr(np.fft, name)
    x = sample((3, 4, 5), np.float64 if name in REAL_ONLY else np.complex128)
    for keywords in ({}, {"axes": (2, 0)}, {"s": (4, 3), "axes": (-1, 1)}, {"s": (-1, 3), "axes": (0, 1)}):
        for norm in NORMS:
            check_value(lambda x, kw=keywords, norm=norm: transform(x, norm=norm, **kw), x)


@pytest.mark.parametrize("shape", [(1,), (5,), (4, 3)])
def test_shifts_are_numpys(shape: tuple[int, ...]) -> None:
    for shift in (np.fft.fftshift, np.fft.ifftshift):
        check_value(shift, sample(shape))
        check_value(lambda x, shift=shift: shift(x, axes=-1), sample(shape))


def test_a_single_point_and_empty_batches() -> None:
    for name in ONE_AXIS:
        check_value(lambda x, name=name: getattr(np.fft, name)(x, 1), sample((3, 1)))
        check_value(getattr(np.fft, name), np.zeros((0, 4)))


def test_einad_numpy_has_the_names() -> None:
    assert "fft" in enp.__all__
    x = sample((6,))
    np.testing.assert_allclose(ea.jit(lambda x: enp.fft.rfft(x))(x), np.fft.rfft(x), atol=1e-12)


@pytest.mark.parametrize(
    ("f", "error", "match"),
    [
        (lambda x: np.fft.rfft(x + 1j), TypeError, "takes real tensors"),
        (lambda x: np.fft.fft(x, 0), ValueError, "at least one point, found n = 0"),
        (lambda x: np.fft.fft(x, norm="unit"), ValueError, "norm must be"),
        (lambda x: np.fft.fftn(x, s=(2, 3), axes=(0,)), ValueError, "as many lengths as axes"),
        (lambda x: np.fft.fft(x, axis=2), np.exceptions.AxisError, "axis 2"),
    ],
)
def test_errors_say_what_is_wrong(f: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        ea.jit(f)(np.ones(4))


def test_a_dft_checks_its_arguments() -> None:
    with pytest.raises(ShapeError, match="at most 3 entries"):
        DFT((4, 3), 3)


CONTRACTIONS = [
    (["j", "jk"], "k"),
    (["aj", "jk"], "ka"),
    (["k", "jk"], "j"),
    (["j", "jk"], ""),
    (["j", "jk"], "j"),
    (["j", "jk"], "jk"),
    (["j", "jk"], "kk"),
    (["a", "jk"], "ak"),
    (["a", "jk"], "a"),
    (["jk", "jk"], "j"),
    (["jk", "jk"], ""),
    (["kj", "jk"], "kj"),
    (["j", "jj"], ""),
    (["aja", "jk"], "ak"),
    (["j", "k", "jk"], ""),
    (["j", "jk", "kl"], "l"),
    (["aj", "bk", "jk"], "ab"),
    (["jk"], "jk"),
    (["jk"], "j"),
    (["jk"], "k"),
    (["jk"], ""),
    (["jj"], "j"),
    (["jk"], "jjk"),
    (["j", "kl", "jk"], "l"),
]


@pytest.mark.parametrize(("inputs", "output"), CONTRACTIONS)
def test_contractions_agree_with_the_dense_meaning(inputs: list[str], output: str) -> None:
    for rows, columns, period, sign in ((5, 5, 5, -1), (4, 3, 6, 1), (1, 3, 3, -1), (4, 1, 4, 1)):
        if "jj" in inputs or "kl" in inputs:
            rows = columns
        sizes = {"j": rows, "k": columns, "l": columns, "a": 2, "b": 3}
        for dtype in (np.float64, np.complex128, np.int64):
            operands: list[Any] = []
            values: dict[Any, Any] = {}
            for n, labels in enumerate(inputs):
                shape = tuple(sizes[label] for label in labels)
                if n == len(inputs) - 1 or (labels in ("jj", "jk", "kl") and n):
                    operands.append(DFT(shape, period, sign))
                else:
                    operands.append(Input(f"x{n}", shape, dtype))
                    values[operands[-1]] = sample(shape, dtype, n)
            node = build.einsum(inputs, output, operands, sizes, 0.5)
            (expected,) = reference.evaluate([node], values)
            (found,) = evaluate([node], values)
            np.testing.assert_allclose(found, expected, atol=1e-11)


def jax_pair(f: Any) -> tuple[Any, Any, Any]:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax, jax.numpy, f


WEIGHTS = np.array([0.3, -1.2, 0.7, 2.0, -0.4, 1.1, 0.9, -0.6, 0.2])


def real_functions() -> dict[str, Any]:
    return {
        "energy": lambda np, x: np.sum(np.abs(np.fft.fft(x)) ** 2),
        "half spectrum": lambda np, x: np.sum(np.abs(np.fft.rfft(x, norm="ortho")) ** 4),
        "padded": lambda np, x: np.sum(np.fft.fft(x, 9).imag ** 3),
        "cropped": lambda np, x: np.sum(np.fft.ifft(x, 3).real ** 3),
        "back": lambda np, x: np.sum(np.fft.irfft(x, 9, norm="forward") ** 3),
        "back, even": lambda np, x: np.sum(np.fft.irfft(x, 8) ** 3),
        "hermitian": lambda np, x: np.sum(np.fft.hfft(x**2) ** 3),
        "there": lambda np, x: np.sum(np.abs(np.fft.ihfft(x**2)) ** 4),
        "filter": lambda np, x: np.sum(
            np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(WEIGHTS[: x.shape[0]]), x.shape[0]) ** 3
        ),
        "twice": lambda np, x: np.sum(np.fft.fft(np.fft.fft(x) ** 2).real * WEIGHTS[: x.shape[0]]),
        "shifted": lambda np, x: np.sum(np.fft.fftshift(np.fft.fft(x)).real ** 3 * WEIGHTS[: x.shape[0]]),
        "sum": lambda np, x: np.sum(np.fft.fft(x**2)).real,
        "there and back": lambda np, x: np.sum(np.fft.ifft(np.fft.fft(x)).real ** 3),
    }


@pytest.mark.parametrize("n", [5, 6])
@pytest.mark.parametrize("name", list(real_functions()))
def test_gradients_and_hessians_are_those_of_jax(name: str, n: int) -> None:
    jax, jnp, f = jax_pair(real_functions()[name])
    x = sample((n,)) / 4
    for ours, theirs in [(ea.grad, jax.grad), (ea.hessian, jax.hessian)][: 1 + (n == 6)]:
        found = ours(lambda x: f(np, x))(x)
        np.testing.assert_allclose(found, theirs(lambda x: f(jnp, x))(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["energy", "padded", "cropped", "back", "filter c", "there and back"])
def test_gradients_by_complex_tensors_are_those_of_jax(name: str) -> None:
    functions = real_functions() | {
        "filter c": lambda np, x: np.sum(np.abs(np.fft.ifft(np.fft.fft(x) * np.fft.fft(WEIGHTS[:6]))) ** 2)
    }
    jax, jnp, f = jax_pair(functions[name])
    z = sample((6,), np.complex128) / 4
    found = ea.grad(lambda z: f(np, z))(z)
    np.testing.assert_allclose(found, jax.grad(lambda z: f(jnp, z))(z), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["fft", "rfft", "irfft", "ifft", "fft2", "rfft2", "irfft2", "irfftn", "hfft", "ihfft"])
@pytest.mark.parametrize("shape", [(4, 5), (5, 4)])
def test_tangents_and_pullbacks_are_those_of_jax(name: str, shape: tuple[int, ...]) -> None:
    jax, jnp, _ = jax_pair(None)
    dtype = np.float64 if name in REAL_ONLY else np.complex128
    x, v = sample(shape, dtype), sample(shape, dtype, 1)
    ours, theirs = getattr(np.fft, name), getattr(jnp.fft, name)
    y, dy = ea.jvp(lambda x: ours(x), (x,), (v,))
    np.testing.assert_allclose(dy, jax.jvp(theirs, (x,), (v,))[1], atol=1e-9)
    cotangent = sample(y.shape, y.dtype, 2)
    (found,) = ea.vjp(lambda x: ours(x), x)[1](cotangent)
    (expected,) = jax.vjp(theirs, x)[1](jnp.asarray(cotangent))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_derivatives_agree_with_finite_differences() -> None:
    check_grads(lambda x: np.fft.irfft(np.tanh(np.fft.rfft(x).real) * np.fft.rfft(x**2)), (sample((6,)) / 4,), order=2)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_the_jacobian_is_the_dft(n: int) -> None:
    jax, jnp, _ = jax_pair(None)
    x = sample((n,))
    found = ea.jacobian(lambda x: np.fft.fft(x).real)(x)
    np.testing.assert_allclose(found, np.fft.fft(np.eye(n)).real, atol=1e-12)

    def f(np: Any, x: Any) -> Any:
        return np.fft.irfft(np.fft.rfft(x) ** 2, n)

    np.testing.assert_allclose(ea.jacobian(lambda x: f(np, x))(x), jax.jacobian(lambda x: f(jnp, x))(x), atol=1e-9)


def test_vmap_carries_another_axis() -> None:
    x = sample((3, 6))
    np.testing.assert_allclose(ea.vmap(lambda x: np.fft.rfft(x))(x), np.fft.rfft(x), atol=1e-12)
    f = lambda x: np.sum(np.abs(np.fft.rfft(x)) ** 4)
    found = ea.vmap(ea.grad(f))(x)
    np.testing.assert_allclose(found, [ea.grad(f)(row) for row in x], rtol=1e-11)


def test_single_precision_stays_single() -> None:
    x = sample((6,), np.float32)
    gradient = ea.grad(lambda x: np.sum(np.fft.irfft(np.fft.rfft(x) ** 2) ** 2))(x)
    assert gradient.dtype == np.float32
    exact = ea.grad(lambda x: np.sum(np.fft.irfft(np.fft.rfft(x) ** 2) ** 2))(x.astype(float))
    np.testing.assert_allclose(gradient, exact, rtol=1e-4)


@given(st.integers(1, 12), st.integers(1, 12), st.booleans())
def test_a_filter_is_a_circular_convolution(n: int, m: int, real: bool) -> None:
    x, h = sample((n,)), sample((min(n, m),), seed=1)
    direct = np.array([sum(h[k] * x[(j - k) % n] for k in range(len(h))) for j in range(n)])

    def convolve(x: Any, h: Any) -> Any:
        if real:
            return np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(h, n), n)
        return np.fft.ifft(np.fft.fft(x) * np.fft.fft(h, n)).real

    np.testing.assert_allclose(ea.jit(convolve)(x, h), direct, atol=1e-10)
    gradient = ea.grad(lambda h: np.sum(convolve(x, h) * direct))(h)
    np.testing.assert_allclose(gradient, [direct @ np.roll(x, k) for k in range(len(h))], atol=1e-9)


BIG = {
    "sum": lambda x: np.sum(np.fft.fft(x)).real,
    "filter": lambda x: np.sum(np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(x)) ** 2),
    "complex filter": lambda x: np.sum(np.fft.ifft(np.fft.fft(x) ** 2).real ** 2),
    "padded": lambda x: np.sum(np.abs(np.fft.fft(x, 2 * x.shape[0])) ** 2),
}


@pytest.mark.parametrize("n", [10**5, 2**20])
@pytest.mark.parametrize("name", list(BIG))
def test_no_matrix_is_stored(name: str, n: int) -> None:
    x = sample((n,))
    gradient = ea.jit(ea.grad(BIG[name]))
    gradient(x)
    tracemalloc.start()
    try:
        gradient(x)
        assert tracemalloc.get_traced_memory()[1] < 200 * n
    finally:
        tracemalloc.stop()
    assert ea.plan(ea.grad(BIG[name]), x).peak_bytes < 200 * n


def test_equal_transforms_are_computed_once() -> None:
    x = Input("x", (8,), complex)
    matrix = DFT((8, 8), 8)
    forward, swapped = build.einsum(["j", "jk"], "k", [x, matrix]), build.einsum(["j", "kj"], "k", [x, matrix])
    plan = ea.plan(lambda x: np.fft.fft(x) * np.fft.fft(x), np.ones(8))
    assert sum(step.kind == "transform" for step in plan.steps) == 1
    a, b = normalise([forward, swapped])
    assert a is b


def test_norms_cost_nothing() -> None:
    for norm in ("ortho", "forward", "backward"):
        for transform in (np.fft.fft, np.fft.ifft):
            steps = ea.plan(lambda x, f=transform, norm=norm: f(x, norm=norm), np.ones(8) + 0j).steps
            assert [step.kind for step in steps] == ["transform"]


def test_real_parts_take_half_a_transform() -> None:
    steps = ea.plan(lambda x: 3 * np.fft.ifft(x).real, np.ones(8) + 0j).steps
    assert "real(ifft" in next(step.statement for step in steps if step.kind == "transform")
    x = sample((2, 9), np.complex128)
    for n in range(1, 20):
        for f in (np.fft.fft, np.fft.ifft):
            check_value(lambda x, f=f, n=n: (2 - 1j) * f(x, n), x)
            check_value(lambda x, f=f, n=n: ((2 - 1j) * f(x, n)).real, x)
            check_value(lambda x, f=f, n=n: (3 * f(x, n, 0).T).real, x)


def test_no_derivative_rule_mentions_a_dft() -> None:
    root = pathlib.Path(ea.__file__).parent
    rules = [*(root / "diff").glob("*.py"), *[root / "ops" / name for name in ("pointwise.py", "reductions.py")]]
    assert len(rules) > 5
    for path in rules:
        text = path.read_text(encoding="utf-8")
        assert "DFT" not in text, path
        assert "fourier" not in text, path


def test_loops_slices_and_memory_limits() -> None:
    x = sample((8, 16))

    def rows(x: Any) -> Any:
        return np.stack([np.fft.rfft(np.tanh(x[i])) for i in range(8)])

    check_value(rows, x)
    whole = lambda x: np.sum(np.abs(np.fft.rfft(np.tanh(x))) ** 4)
    looped = ea.grad(lambda x: np.sum(np.abs(rows(x)) ** 4))(x)
    np.testing.assert_allclose(looped, ea.grad(whole)(x), rtol=1e-10)
    big = sample((64, 1000))
    full = ea.jit(ea.grad(whole))
    peak = full.plan(big).peak_bytes if hasattr(full, "plan") else ea.plan(ea.grad(whole), big).peak_bytes
    limited = ea.jit(ea.grad(whole), memory_limit=int(0.6 * peak))
    np.testing.assert_allclose(limited(big), full(big), rtol=1e-10)


def test_the_dense_meaning() -> None:
    found = structured.dense(DFT((4, 3), 5, 1))
    np.testing.assert_allclose(found, np.exp(2j * np.pi * np.outer(range(4), range(3)) / 5), atol=1e-15)
    assert isinstance(build.einsum(["j", "jk"], "k", [Input("x", (4,)), DFT((4, 3), 5)]), Einsum)

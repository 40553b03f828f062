"""Every function of the table against NumPy itself: values, dtypes, containers, on many dtypes and shapes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_front import assert_same, tensor, traced

from einad import pipeline
from einad.backends import reference
from einad.front.numpy_table import NAMES, UFUNCS, known_names
from einad.ops.pointwise import POINTWISE

DTYPES = ["float64", "float32", "complex128", "int64", "uint8", "bool"]
REAL = ["float64", "float32", "int64", "uint8"]
FLOATS = ["float64", "float32", "complex64"]
SPECTRA = ["float64", "float32", "complex128", "complex64", "int64"]
M = np.array([[3.0, 1.0, 2.0], [1.0, 5.0, 4.0]])


def sample(shape, dtype, seed=0):
    """Small numbers, exact in every dtype: 0..4, with signs and imaginary parts where the dtype has them."""
    rng = np.random.default_rng([seed, *shape])
    x = rng.integers(0, 5, shape).astype(np.complex128)
    if np.dtype(dtype).kind in "ifc":
        x = x - 2
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.integers(-2, 3, shape)
    return x.real.astype(dtype) if np.dtype(dtype).kind != "c" else x.astype(dtype)


def case(name, f, *shapes, dtypes=DTYPES, covers=None):
    return [pytest.param(f, shapes, dtype, id=f"{name}-{dtype}") for dtype in dtypes], covers or name.split(" ")[0]


CASES = [
    # contractions
    case("einsum", lambda a, b: np.einsum("ij,jk->ik", a, b), (2, 3), (3, 4)),
    case("einsum implicit", lambda a, b: np.einsum("ij,jk", a, b), (2, 3), (3, 4)),
    case("einsum list", lambda a, b: np.einsum(a, [0, 1], b, [1, 51], [51, 0]), (2, 3), (3, 4)),
    case("einsum dots", lambda a, b: np.einsum("...ij,j...->...i", a, b), (4, 1, 3), (3, 4), dtypes=REAL),
    case("einsum trace", lambda a: np.einsum("ii", a), (3, 3)),
    case("einsum dtype", lambda a: np.einsum("ij->i", a, dtype=np.float64), (2, 3), dtypes=REAL),
    case("dot", lambda a, b: np.dot(a, b), (2, 3), (4, 3, 2)),
    case("dot vectors", lambda a, b: np.dot(a, b), (3,), (3,)),
    case("dot scalar", lambda a, b: np.dot(a, b), (), (3,)),
    case("vdot", lambda a, b: np.vdot(a, b), (2, 3), (3, 2)),
    case("inner", lambda a, b: np.inner(a, b), (2, 3), (4, 3)),
    case("inner scalar", lambda a, b: np.inner(a, b), (2, 3), ()),
    case("outer", lambda a, b: np.outer(a, b), (2, 2), (3,)),
    case("tensordot", lambda a, b: np.tensordot(a, b), (4, 2, 3), (2, 3, 5), dtypes=FLOATS),
    case("tensordot pairs", lambda a, b: np.tensordot(a, b, axes=([0, -1], [2, 0])), (4, 2, 3), (3, 2, 4)),
    case("tensordot one", lambda a, b: np.tensordot(a, b, axes=(1, 0)), (2, 3), (3, 2)),
    case("tensordot 0", lambda a, b: np.tensordot(a, b, 0), (2,), (3, 2)),
    case("kron", lambda a, b: np.kron(a, b), (2, 3), (3, 2)),
    case("kron ranks", lambda a, b: np.kron(a, b), (3,), (2, 2)),
    case("cross", lambda a, b: np.cross(a, b), (2, 3), (3,), dtypes=FLOATS),
    case("cross axes", lambda a, b: np.cross(a, b, axisa=0, axisc=0), (3, 2), (2, 3), dtypes=FLOATS),
    case("matmul", lambda a, b: np.matmul(a, b), (2, 1, 2, 3), (4, 3, 2)),
    case("matmul operator", lambda a, b: a @ b, (2, 3), (3,)),
    case("matmul vector", lambda a, b: a @ b, (3,), (2, 3, 2)),
    case("vecdot", lambda a, b: np.vecdot(a, b), (2, 3), (3,)),
    case("vecdot axis", lambda a, b: np.vecdot(a, b, axis=0), (3, 2), (3, 2)),
    case("linalg.multi_dot", lambda a, b, c: np.linalg.multi_dot([a, b, c]), (3,), (3, 2), (2, 4), dtypes=FLOATS),
    case("linalg.matrix_power", lambda a: np.linalg.matrix_power(a, 5), (3, 3), dtypes=FLOATS),
    case("linalg.matrix_power 0", lambda a: np.linalg.matrix_power(a, 0), (2, 3, 3), dtypes=FLOATS),
    case("linalg.matmul", lambda a, b: np.linalg.matmul(a, b), (2, 3), (3, 2)),
    case("linalg.outer", lambda a, b: np.linalg.outer(a, b), (2,), (3,)),
    case("linalg.tensordot", lambda a, b: np.linalg.tensordot(a, b, axes=1), (2, 3), (3, 2)),
    case("linalg.vecdot", lambda a, b: np.linalg.vecdot(a, b), (2, 3), (2, 3)),
    case("linalg.cross", lambda a, b: np.linalg.cross(a, b), (2, 3), (2, 3), dtypes=FLOATS),
    case("trace", lambda a: np.trace(a, 1), (3, 4)),
    case("trace axes", lambda a: np.trace(a, -1, 0, 2), (3, 2, 4)),
    case("trace method", lambda a: a.trace(), (3, 3)),
    case("linalg.trace", lambda a: np.linalg.trace(a, offset=1), (2, 3, 3)),
    # shapes
    case("reshape", lambda a: np.reshape(a, (4, -1)), (2, 3, 4)),
    case("reshape F", lambda a: np.reshape(a, (4, 6), order="F"), (2, 3, 4), dtypes=FLOATS),
    case("reshape method", lambda a: a.reshape(3, 1, -1), (6,)),
    case("reshape empty", lambda a: np.reshape(a, (3, 0)), (0, 5)),
    case("ravel", lambda a: np.ravel(a), (2, 3)),
    case("ravel F", lambda a: a.ravel(order="F"), (2, 3)),
    case("ravel flatten", lambda a: a.flatten(), (2, 3)),
    case("transpose", lambda a: np.transpose(a, (1, -1, 0)), (2, 3, 4)),
    case("transpose method", lambda a: a.transpose(1, 0), (2, 3)),
    case("transpose T", lambda a: a.T, (2, 3, 4)),
    case("permute_dims", lambda a: np.permute_dims(a, (1, 0)), (2, 3)),
    case("matrix_transpose", lambda a: np.matrix_transpose(a), (2, 3, 4)),
    case("matrix_transpose mT", lambda a: a.mT, (2, 3, 4)),
    case("linalg.matrix_transpose", lambda a: np.linalg.matrix_transpose(a), (2, 3, 4)),
    case("swapaxes", lambda a: np.swapaxes(a, 0, -1), (2, 3, 4)),
    case("moveaxis", lambda a: np.moveaxis(a, [0, 1], [-1, 0]), (2, 3, 4)),
    case("rollaxis", lambda a: np.rollaxis(a, 2), (2, 3, 4)),
    case("rollaxis start", lambda a: np.rollaxis(a, 0, 3), (2, 3, 4)),
    case("squeeze", lambda a: np.squeeze(a), (1, 3, 1)),
    case("squeeze axis", lambda a: a.squeeze(-1), (1, 3, 1)),
    case("expand_dims", lambda a: np.expand_dims(a, (0, -1)), (3,)),
    case("broadcast_to", lambda a: np.broadcast_to(a, (2, 4, 3)), (4, 1)),
    case("broadcast_arrays", lambda a, b: np.broadcast_arrays(a, b), (4, 1), (3,)),
    case("atleast_1d", lambda a, b: np.atleast_1d(a, b), (), (2,)),
    case("atleast_2d", lambda a, b: np.atleast_2d(a, b), (), (2,)),
    case("atleast_3d", lambda a, b, c: np.atleast_3d(a, b, c), (), (2,), (2, 3)),
    case("diagonal", lambda a: np.diagonal(a, 1), (3, 4)),
    case("diagonal axes", lambda a: a.diagonal(-1, 2, 0), (3, 2, 4)),
    case("diagonal outside", lambda a: np.diagonal(a, 7), (3, 4)),
    case("linalg.diagonal", lambda a: np.linalg.diagonal(a, offset=-1), (2, 3, 4)),
    case("diag", lambda a: np.diag(a), (3,)),
    case("diag k", lambda a: np.diag(a, -2), (3,)),
    case("diag matrix", lambda a: np.diag(a, 1), (3, 3)),
    case("diagflat", lambda a: np.diagflat(a, 1), (2, 2)),
    case("flip", lambda a: np.flip(a), (2, 3)),
    case("flip axis", lambda a: np.flip(a, (1,)), (2, 3)),
    case("flip empty", lambda a: np.flip(a), (0, 3)),
    case("fliplr", lambda a: np.fliplr(a), (2, 3)),
    case("flipud", lambda a: np.flipud(a), (2, 3)),
    case("rot90", lambda a: [np.rot90(a, k) for k in range(-1, 4)], (2, 3)),
    case("roll", lambda a: np.roll(a, 2), (2, 3)),
    case("roll axes", lambda a: np.roll(a, (1, -2), (0, 1)), (2, 3)),
    case("tile", lambda a: np.tile(a, (2, 1, 3)), (2, 3)),
    case("tile 0", lambda a: np.tile(a, 0), (2, 3)),
    case("repeat", lambda a: np.repeat(a, 2), (2, 3)),
    case("repeat axis", lambda a: a.repeat(3, axis=-1), (2, 3)),
    case("pad", lambda a: np.pad(a, 1), (2, 3)),
    case("pad sides", lambda a: np.pad(a, ((0, 2), (1, 0)), constant_values=((1, 2), (3, 1))), (2, 3)),
    case("tril", lambda a: np.tril(a, 1), (2, 3, 4)),
    case("triu", lambda a: np.triu(a, -1), (3, 4)),
    case("triu vector", lambda a: np.triu(a), (3,)),
    case("zeros_like", lambda a: np.zeros_like(a), (2, 3)),
    case("ones_like", lambda a: np.ones_like(a, dtype=np.float32, shape=(2,)), (2, 3)),
    case("full_like", lambda a: np.full_like(a, 3), (2, 3)),
    case("empty_like", lambda a: 0 * np.empty_like(a), (2, 3)),
    case("copy", lambda a: np.copy(a), (2, 3)),
    case("astype", lambda a: np.astype(a, np.float64), (2, 3), dtypes=[*REAL, "bool"]),
    case("astype method", lambda a: a.astype(int), (2, 3), dtypes=[*REAL, "bool"]),
    case("take", lambda a: np.take(a, [[1, -1], [0, 1]], axis=1), (2, 3)),
    case("take flat", lambda a: a.take([5, 0]), (2, 3)),
    case("take_along_axis", lambda a: np.take_along_axis(a, np.array([[0], [-1]]), axis=1), (2, 3)),
    case("take wrap", lambda a: np.take(a, [[7, -4]], 0, mode="wrap"), (2, 3)),
    case("argsort", lambda a: np.argsort(a, axis=0), (4, 3)),
    case("argsort stable", lambda a: np.argsort(a, axis=None, kind="stable"), (4, 3)),
    case("sort", lambda a: np.sort(a), (4, 3)),
    case("sort flat", lambda a: np.sort(a, None), (4, 3)),
    case("argpartition", lambda a: np.argpartition(a, (1, -1), axis=0), (4, 3), dtypes=REAL),
    case("partition", lambda a: np.partition(a, 2)[:, 2], (3, 4)),
    case("median", lambda a: np.median(a), (3, 4), dtypes=REAL),
    case("median axes", lambda a: np.median(a, axis=(0, 2), keepdims=True), (3, 2, 3), dtypes=[*REAL, "complex64"]),
    case("compress", lambda a: np.compress([True, False, True], a, axis=1), (2, 3)),
    case("compress flat", lambda a: np.compress([False, True], a), (2, 3)),
    case("extract", lambda a: np.extract([[True, False, True], [False, False, True]], a), (2, 3)),
    case("choose", lambda a, b: np.choose([[0, 1, 1]], [a, b]), (2, 3), (3,)),
    # reductions
    case("sum", lambda a: np.sum(a), (2, 3)),
    case("sum axes", lambda a: a.sum(axis=(0, -1), keepdims=True), (2, 3, 4)),
    case("sum dtype", lambda a: np.sum(a, 0, np.float32), (2, 3), dtypes=REAL),
    case("sum empty", lambda a: np.sum(a, axis=0), (0, 3)),
    case("sum initial", lambda a: np.sum(a, initial=2), (2, 3), dtypes=REAL),
    case("mean", lambda a: np.mean(a), (2, 3)),
    case("mean axis", lambda a: a.mean(-1, keepdims=True), (2, 3)),
    case("average", lambda a: np.average(a, axis=0), (2, 3), dtypes=FLOATS),
    case("average weights", lambda a, w: np.average(a, 1, w * w + 1, returned=True), (2, 3), (3,), dtypes=FLOATS),
    case("var", lambda a: np.var(a, axis=(0, 1), ddof=1), (2, 3, 2)),
    case("var keepdims", lambda a: a.var(0, keepdims=True), (4, 3)),
    case("std", lambda a: np.std(a, axis=1), (2, 3)),
    case("std correction", lambda a: np.std(a, correction=1), (2, 3), dtypes=FLOATS),
    case("prod", lambda a: np.prod(a, axis=1), (2, 7)),
    case("prod all", lambda a: a.prod(keepdims=True), (2, 3)),
    case("prod empty", lambda a: np.prod(a, 1), (2, 0)),
    case("max", lambda a: np.max(a, 1, keepdims=True), (2, 3), dtypes=REAL),
    case("max method", lambda a: a.max(), (2, 3), dtypes=REAL),
    case("max initial", lambda a: np.max(a, 0, initial=1), (0, 3), dtypes=REAL),
    case("amax", lambda a: np.amax(a, (0, 2)), (2, 3, 2), dtypes=REAL),
    case("min", lambda a: np.min(a, -1), (2, 3), dtypes=REAL),
    case("amin", lambda a: np.amin(a), (2, 3), dtypes=REAL),
    case("ptp", lambda a: np.ptp(a, 1), (2, 3), dtypes=REAL),
    case("any", lambda a: np.any(a, 0), (2, 3)),
    case("all", lambda a: a.all(1, keepdims=True), (2, 3)),
    case("argmax", lambda a: np.argmax(a), (2, 3), dtypes=REAL),
    case("argmax axis", lambda a: np.argmax(a, 1, keepdims=True), (2, 3), dtypes=REAL),
    case("argmin", lambda a: a.argmin(0), (2, 3), dtypes=REAL),
    case("count_nonzero", lambda a: np.count_nonzero(a, axis=0), (2, 3)),
    case("cumsum", lambda a: np.cumsum(a), (2, 3)),
    case("cumsum axis", lambda a: a.cumsum(axis=0), (4, 3)),
    case("linalg.norm", lambda a: np.linalg.norm(a), (2, 3, 2), dtypes=FLOATS),
    case("linalg.norm axis", lambda a: np.linalg.norm(a, axis=-1, keepdims=True), (2, 3)),
    case("linalg.norm int", lambda a: np.linalg.norm(a), (2, 3), dtypes=["int64"]),
    case("linalg.norm orders", lambda a: [np.linalg.norm(a, p) for p in (1, 2, 3, np.inf, -np.inf, 0)], (5,),
         dtypes=FLOATS),
    case("linalg.norm matrix", lambda a: [np.linalg.norm(a, p, (0, 2)) for p in (1, -1, np.inf, -np.inf, "fro")],
         (2, 3, 4), dtypes=FLOATS),
    case("linalg.vector_norm", lambda a: np.linalg.vector_norm(a, axis=(0, 1)), (2, 3), dtypes=FLOATS),
    case("linalg.matrix_norm", lambda a: np.linalg.matrix_norm(a, keepdims=True), (2, 3), dtypes=FLOATS),
    # joining and cutting
    case("concatenate", lambda a, b: np.concatenate([a, b, np.ones((1, 3), np.int8)]), (2, 3), (1, 3)),
    case("concatenate axis", lambda a, b: np.concatenate((a, b), axis=-1), (2, 3), (2, 0)),
    case("concatenate flat", lambda a, b: np.concatenate((a, b), axis=None), (2, 3), ()),
    case("concat", lambda a, b: np.concat([a, b]), (2,), (3,)),
    case("stack", lambda a, b: np.stack([a, b], axis=1), (2, 3), (2, 3)),
    case("stack scalars", lambda a, b: np.stack([a, b]), (), ()),
    case("vstack", lambda a, b: np.vstack([a, b]), (3,), (2, 3)),
    case("hstack", lambda a, b: np.hstack([a, b]), (3,), (2,)),
    case("hstack matrices", lambda a, b: np.hstack([a, b]), (2, 3), (2, 1)),
    case("dstack", lambda a, b: np.dstack([a, b]), (2, 3), (2, 3)),
    case("column_stack", lambda a, b: np.column_stack([a, b]), (3,), (3, 2)),
    case("block", lambda a, b: np.block([[a, b], [b, a]]), (2, 2), (2, 2)),
    case("append", lambda a: np.append(a, 3), (2, 3)),
    case("split", lambda a: np.split(a, 2, axis=1), (2, 4)),
    case("split positions", lambda a: np.split(a, [1, 3, 9]), (4, 2)),
    case("array_split", lambda a: np.array_split(a, 3), (5, 2)),
    case("array_split back", lambda a: np.array_split(a, [-2, 1]), (5, 2)),
    case("hsplit", lambda a: np.hsplit(a, 2), (4,)),
    case("vsplit", lambda a: np.vsplit(a, 2), (4, 1)),
    case("dsplit", lambda a: np.dsplit(a, 2), (1, 1, 4)),
    case("diff", lambda a: np.diff(a), (2, 4)),
    case("diff twice", lambda a: np.diff(a, 2, 0, prepend=0), (4, 2), dtypes=FLOATS),
    case("convolve", lambda a, v: np.convolve(a, v), (5,), (3,)),
    case("correlate", lambda a, v: np.correlate(a, v), (5,), (3,)),
    case("lib.stride_tricks.sliding_window_view", lambda a: np.lib.stride_tricks.sliding_window_view(a, 2, 1), (2, 4)),
    case("ediff1d", lambda a: np.ediff1d(a), (5,), dtypes=FLOATS),
    case("gradient", lambda a: np.gradient(a, axis=1), (2, 4), dtypes=FLOATS),
    case("cumprod", lambda a: np.cumprod(a, 1), (2, 3)),
    case("trapezoid", lambda a: np.trapezoid(a, dx=0.5), (2, 4), dtypes=FLOATS),
    case("trapezoid x", lambda a, x: np.trapezoid(a, x, axis=0), (4, 2), (4,), dtypes=FLOATS),
    # elementwise functions that are no ufuncs
    case("where", lambda a, b: np.where(a, a, b), (2, 1), (3,)),
    case("where numbers", lambda a: [np.where(a > 1, a, 1.5), np.where(a > 1, 1, 2)], (2, 3), dtypes=REAL),
    case("select", lambda a: np.select([a > 2, a > 1], [a, 2 * a], -1.5), (2, 3), dtypes=REAL),
    case("clip", lambda a: np.clip(a, 1, 2), (2, 3), dtypes=REAL),
    case("clip one side", lambda a: [a.clip(1), a.clip(max=2), np.clip(a, 0.5, None)], (2, 3), dtypes=REAL),
    case("round", lambda a: [np.round(a / 3, 1), np.round(a / 3), np.round(10 * a, -1)], (2, 3), dtypes=["float64"]),
    case("round integers", lambda a: np.round(a, 1), (2, 3), dtypes=["int64", "uint8"]),
    case("around", lambda a: np.around(a * 0.37, 1), (2, 3), dtypes=["complex128", "float32"]),
    case("real", lambda a: [np.real(a), a.real], (2, 3)),
    case("imag", lambda a: [np.imag(a), a.imag], (2, 3)),
    case("angle", lambda a: [np.angle(a), np.angle(a, deg=True)], (2, 3), dtypes=["complex128", "float64", "int64"]),
    case("nan_to_num", lambda a: np.nan_to_num(1 / a - 1 / a), (3, 3), dtypes=["float64"]),
    case("isclose", lambda a, b: np.isclose(a, b, atol=1.5), (2, 3), (3,), dtypes=FLOATS),
    # queries
    case("shape", lambda a: np.shape(a), (2, 3)),
    case("ndim", lambda a: np.ndim(a), (2, 3)),
    case("size", lambda a: [np.size(a), np.size(a, 1)], (2, 3)),
    case("result_type", lambda a: np.result_type(a, np.float32, 1).num, (2,)),
    case("can_cast", lambda a: np.can_cast(a.dtype, np.float64), (2,)),
    case("common_type", lambda a: np.dtype(np.common_type(a)).num, (2,), dtypes=FLOATS),
    case("iscomplexobj", lambda a: np.iscomplexobj(a), (2,)),
    case("isrealobj", lambda a: np.isrealobj(a), (2,)),
    case("iscomplex", lambda a: np.iscomplex(a), (2, 3)),
    case("isreal", lambda a: np.isreal(a), (2, 3)),
    case("allclose", lambda a: [bool(np.allclose(a, a)), bool(np.allclose(a, a + 1))], (2, 3), dtypes=FLOATS),
    case("array_equal", lambda a, b: [bool(np.array_equal(a, a)), bool(np.array_equal(a, b))], (2, 3), (3,)),
    case("array_equiv", lambda a: [bool(np.array_equiv(a, a[:1])), bool(np.array_equiv(a, a[0]))], (2, 3)),
    # Fourier transforms
    case("fft.fft", lambda a: np.fft.fft(a), (2, 3), dtypes=SPECTRA),
    case("fft.ifft", lambda a: np.fft.ifft(a), (2, 3), dtypes=SPECTRA),
    case("fft.hfft", lambda a: np.fft.hfft(a), (2, 3), dtypes=SPECTRA),
    case("fft.irfft", lambda a: np.fft.irfft(a), (2, 3), dtypes=SPECTRA),
    case("fft.fft2", lambda a: np.fft.fft2(a), (2, 3), dtypes=SPECTRA),
    case("fft.ifft2", lambda a: np.fft.ifft2(a), (2, 3), dtypes=SPECTRA),
    case("fft.irfft2", lambda a: np.fft.irfft2(a), (2, 3), dtypes=SPECTRA),
    case("fft.fftn", lambda a: np.fft.fftn(a), (2, 3), dtypes=SPECTRA),
    case("fft.ifftn", lambda a: np.fft.ifftn(a), (2, 3), dtypes=SPECTRA),
    case("fft.irfftn", lambda a: np.fft.irfftn(a), (2, 3), dtypes=SPECTRA),
    case("fft.rfft", lambda a: np.fft.rfft(a), (2, 3), dtypes=REAL),
    case("fft.ihfft", lambda a: np.fft.ihfft(a), (2, 3), dtypes=REAL),
    case("fft.rfft2", lambda a: np.fft.rfft2(a), (2, 3), dtypes=REAL),
    case("fft.rfftn", lambda a: np.fft.rfftn(a), (2, 3), dtypes=REAL),
    case("fft.fftshift", lambda a: np.fft.fftshift(a), (2, 3)),
    case("fft.ifftshift", lambda a: np.fft.ifftshift(a), (2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("evaluate", [reference.evaluate, pipeline.evaluate], ids=["oracle", "plan"])
@pytest.mark.parametrize(("f", "shapes", "dtype"), [param for params, _ in CASES for param in params])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_as_numpy(f, shapes, dtype, evaluate):
    arrays = [sample(shape, dtype, k) for k, shape in enumerate(shapes)]
    assert_same(traced(f, *arrays, evaluate=evaluate), f(*arrays))


NEWER = {
    "unstack": (lambda a: np.unstack(a, axis=1), [(2, 3)]),
    "cumulative_sum": (lambda a: np.cumulative_sum(a, axis=1, include_initial=True), [(2, 3)]),
    "cumulative_prod": (lambda a: np.cumulative_prod(a, axis=1, include_initial=True), [(2, 3)]),
    "matvec": (lambda a, b: np.matvec(a, b), [(2, 2, 3), (3,)]),
    "vecmat": (lambda a, b: np.vecmat(a, b), [(3,), (2, 3, 2)]),
}


@pytest.mark.parametrize("name", NEWER)
@pytest.mark.parametrize("dtype", ["float64", "complex64", "int64"])
def test_functions_of_newer_numpy(name, dtype):
    if not hasattr(np, name):
        pytest.skip(f"this NumPy has no {name}")
    f, shapes = NEWER[name]
    arrays = [sample(shape, dtype, k) for k, shape in enumerate(shapes)]
    assert_same(traced(f, *arrays), f(*arrays))


def ufuncs():
    return [getattr(np, name) for name in known_names() if isinstance(getattr(np, name, None), np.ufunc)]


def _domain(ufunc, n):
    positive = {"arccosh": 1.5, "log": 0.5}
    return positive.get(ufunc.__name__, 0.25) + 0.1 * np.arange(n)


@pytest.mark.parametrize("ufunc", [u for u in ufuncs() if u.signature is None], ids=lambda u: u.__name__)
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128", "int64", "int8", "uint8", "bool"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_ufuncs_as_numpy(ufunc, dtype):
    arrays = [_domain(ufunc, 4), _domain(ufunc, 3)[:, None] + 1][: ufunc.nin]
    arrays = [x.astype(dtype) if np.dtype(dtype).kind != "i" else np.ceil(x * 3).astype(dtype) for x in arrays]
    try:
        expected = ufunc(*arrays)
    except (TypeError, ValueError):
        with pytest.raises((TypeError, ValueError)):
            traced(ufunc, *arrays)
        return
    assert_same(traced(ufunc, *arrays), expected)


def test_every_function_of_the_table_is_tested():
    covered = {name for _, name in CASES} | set(NEWER)
    assert set(NAMES) <= covered


def test_every_numpy_ufunc_of_one_or_two_arguments_is_known_or_refused_by_name():
    for name in dir(np):
        ufunc = getattr(np, name)
        if isinstance(ufunc, np.ufunc) and ufunc.__name__ not in {*UFUNCS, *POINTWISE}:
            with pytest.raises(TypeError, match=f"np.{ufunc.__name__} is not known to einad"):
                ufunc(*[tensor(np.ones(3))] * ufunc.nin)

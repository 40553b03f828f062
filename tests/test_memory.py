"""The peak of a plan is what is measured, whatever its calls do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import einad as ea
from einad.containers import flatten
from einad.ir.expr import Call, Input
from einad.ops import symmetric
from einad.pipeline import compile_plan
from einad.plan.memory import as_bytes, in_words
from einad.testing.memory import peak_bytes

SMALL = 100_000  # bytes: Python's own objects, and a buffer of 8,192 elements that NumPy's loops may take


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(len(shape)).standard_normal(shape)


def chain(x: Any) -> Any:
    for _ in range(20):
        x = np.tanh(1.5 * x)
    return np.sum(x)


def network(x: Any, *weights: Any) -> Any:
    for w in weights:
        x = np.tanh(x @ w + 0.1)
    return np.sum(x * x)


def attention(x: Any, q: Any, k: Any) -> Any:
    scores = np.exp(np.einsum("bsd,dk,btk->bst", x, q, np.einsum("btd,dk->btk", x, k)))
    return np.sum((scores / np.sum(scores, axis=-1, keepdims=True)) ** 3)


def recurrent(w: Any, xs: Any) -> Any:
    h = xs[0]
    for t in range(1, len(xs)):
        h = np.tanh(w @ h + xs[t])
    return np.sum(h * h)


bump = ea.elementwise(lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x))

PROGRAMS = {
    "softplus": (ea.value_and_grad(lambda x: np.sum(np.log(1 + np.exp(x)))), (normal(200_000),)),
    "chain": (ea.value_and_grad(chain), (normal(300, 200),)),
    "network": (ea.grad(network, argnums=(1, 2, 3)), (normal(500, 100), *[normal(100, 100) / 10] * 3)),
    "attention": (ea.value_and_grad(attention), (normal(4, 60, 30), normal(30, 20) / 30, normal(30, 20) / 30)),
    "recurrent": (ea.grad(recurrent, argnums=(0, 1)), (normal(64, 64) / 8, normal(30, 64, 64))),
    "max": (ea.value_and_grad(lambda x: np.sum(np.max(x, axis=1) ** 2)), (normal(500, 400),)),
    "max of columns": (lambda x: np.max(2 * x, axis=0), (normal(500, 400),)),
    "argmax": (lambda x: np.argmax(2 * x, axis=0), (normal(500, 400),)),
    "cumsum": (ea.value_and_grad(lambda x: np.sum(np.cumsum(x, axis=0) ** 2)), (normal(500, 400),)),
    "tril": (ea.value_and_grad(lambda x: np.sum(np.tril(x @ x) ** 2)), (normal(300, 300),)),
    "concatenate": (
        ea.value_and_grad(lambda x, y: np.sum(np.concatenate([np.tanh(x), 2 * y]) ** 3)),
        (normal(300, 300), normal(200, 300)),
    ),
    "pad": (lambda x: np.pad(2 * x, ((3, 4), (5, 6))), (normal(300, 300),)),
    "where": (ea.value_and_grad(lambda x: np.sum(np.where(x > 0, x * x, np.sin(x)))), (normal(300, 300),)),
    "slices": (ea.grad(lambda x: np.sum(np.abs(x[::2, 1:] - x[1::2, :-1]))), (normal(500, 500),)),
    "transposed": (lambda x, y: 2 * x.T.reshape(300, 60, 5) + y, (normal(300, 300), normal(300, 60, 5))),
    "blocks": (lambda x, y: x[None, None, :, :] * y[:, :, :, None], (normal(40, 40), normal(40, 40, 40))),
    "broadcast": (lambda x: np.broadcast_to(2 * x, (50, 300, 30)) + 0.0, (normal(300, 30),)),
    "cast": (lambda x, y: x.astype(float) @ y, (normal(300, 300).astype("f"), normal(300, 300))),
    "integers": (lambda x: x @ x, (np.arange(90_000).reshape(300, 300),)),
    "complex": (lambda x, y: np.real(np.conj(x) @ y), (normal(300, 300) + 1j, normal(300, 300) + 2j)),
    "power": (ea.value_and_grad(lambda x, y: np.sum(x**y)), (np.abs(normal(300, 300)) + 1, normal(300, 300))),
    "function of a user": (ea.value_and_grad(lambda x: np.sum(bump(x))), (normal(300, 300),)),
    "Jacobian": (ea.jacobian(lambda x, y: np.tanh(x @ y)), (normal(25, 25), normal(25, 25))),
    "Hessian by halves": (
        ea.hessian(lambda w, x: np.sum(np.log(np.sum(np.exp(x @ w), axis=1)))),
        (normal(40, 10) / 6, normal(600, 40)),
    ),
    "logistic Hessian": (
        ea.hessian(lambda w, x: np.sum(np.log(1 + np.exp(x @ w)))),
        (normal(150) / 12, normal(800, 150)),
    ),
}


@pytest.fixture(autouse=True)
def _buffers_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains take the buffers that they may take: compiled loops need none, and a second thread may come too late."""
    monkeypatch.setenv("EINAD_FUSED", "0")
    monkeypatch.setattr("einad.backends.numpy.cpu_count", lambda: 1)
    monkeypatch.setattr("einad.pipeline.split_threads", lambda: 1)
    ea.clear_cache()


@pytest.mark.parametrize("name", PROGRAMS)
def test_peak_is_what_is_measured(name: str) -> None:
    f, args = PROGRAMS[name]
    plan = ea.plan(f, *args)
    assert peak_bytes(plan, *flatten(args)[0]) == pytest.approx(plan.peak_bytes, rel=0.1, abs=SMALL)


@pytest.mark.parametrize(
    ("row", "shapes", "params"),
    [
        (symmetric.GRAM, [(200, 300), (200, 300)], ()),
        (symmetric.WEIGHTED_GRAM, [(800, 300), (800,)], ()),
        (symmetric.PACK, [(150, 150, 8)], (0, 1)),
        (symmetric.PACK, [(8, 150, 150)], (1, 2)),
        (symmetric.TRIANGLE, [(100, 60)], (1, 0)),
        (symmetric.UNPACK, [(60 * 61 // 2, 50)], (0, 60)),
    ],
)
def test_peak_of_functions_on_symmetric_tensors(row: Any, shapes: Any, params: Any) -> None:
    inputs = [Input(f"x{n}", shape) for n, shape in enumerate(shapes)]
    plan = compile_plan([Call(row, tuple(inputs), params)], inputs)
    arrays = [-np.abs(normal(*shape)) for shape in shapes]
    if row is symmetric.GRAM:
        arrays[1] = arrays[0]
    assert peak_bytes(plan, *arrays) == pytest.approx(plan.peak_bytes, rel=0.1, abs=SMALL)


def test_amounts_of_memory() -> None:
    assert [as_bytes(x) for x in ("200 MB", "1.5 GiB", "4k", "7", 7, "2e3 B", np.int64(9), 1e3)] == [
        200_000_000,
        3 << 29,
        4000,
        7,
        7,
        2000,
        9,
        1000,
    ]
    for wrong in ("5 XB", "-3", "MB", True, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"number of bytes, or text such as '200 MB'"):
            as_bytes(wrong)
    for nbytes in (80, 999, 1001, 12_345_678, 10**10 + 1):
        words = in_words(nbytes)
        assert f"{nbytes:,}" in words
        assert nbytes <= as_bytes(words.split(" (")[0].removesuffix("ytes"))

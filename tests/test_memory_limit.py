"""A memory limit is kept, by another order, by computing again or in slices, or it is refused beforehand."""

from __future__ import annotations

import re
import time
import tracemalloc
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import einad as ea
from einad import pipeline
from einad.backends.numpy import compile_program
from einad.lower.order import reorder
from einad.lower.program import Program
from einad.lower.recompute import least_memory, recompute
from einad.lower.schedule import schedule
from einad.plan.plan import Plan
from einad.testing.memory import peak_bytes
from einad.testing.strategies import functions
from einad.transforms.compiling import compile_function

LAYERS, BATCH, WIDTH = 20, 1500, 48


def network(x: Any, *weights: Any) -> Any:
    for w in weights:
        x = np.tanh(x @ w + 0.1)
    return np.sum(x * x)


@pytest.fixture(autouse=True)
def _nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EINAD_FUSED", "0")
    ea.clear_cache()


def deep(layers: int = LAYERS) -> tuple[Any, tuple[np.ndarray[Any, Any], ...]]:
    """The gradient of a network by all its weights, and arguments."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((WIDTH, WIDTH)) / 7 for _ in range(layers)]
    return ea.value_and_grad(network, tuple(range(1, layers + 1))), (rng.standard_normal((BATCH, WIDTH)), *weights)


def program_of(f: Any, args: tuple[Any, ...]) -> Program:
    """The program of a function, no steps batched, its calls in the order in which they were met."""
    seen: list[Program] = []

    def compile_and_keep(program: Program, *rest: Any, **options: Any) -> Plan:
        seen.append(program)
        return compile_program(program, *rest, **options)

    ea.clear_cache()
    plain = {"reorder": lambda program: program, "_batched": list}
    with mock.patch.multiple(pipeline, compile_program=compile_and_keep, **plain):
        compile_function(f, args, {}, "plan", threads=1)
    ea.clear_cache()
    return seen[-1]


def limited(f: Any, args: tuple[Any, ...], limit: int) -> Plan:
    return compile_function(f, args, {}, "jit", memory_limit=limit).plan


def same_bits(found: Any, expected: Any) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_another_order_halves_the_memory_of_a_deep_gradient() -> None:
    f, args = deep()
    program = program_of(f, args)
    better = reorder(program)
    assert schedule(better).peak < 0.6 * schedule(program).peak
    same_bits(compile_program(better)(*args), compile_program(program)(*args))


def test_computing_again_takes_a_third_of_the_memory_and_half_as_much_time_again() -> None:
    f, args = deep()
    program = reorder(program_of(f, args))
    whole = compile_program(program, static=False)
    fitted = recompute(program, whole.peak_bytes // 3)
    assert fitted is not None
    plan = compile_program(fitted.program, static=False)
    assert plan.peak_bytes <= whole.peak_bytes / 3
    assert plan.flops <= 1.5 * whole.flops
    assert peak_bytes(plan, *args) <= 1.1 * whole.peak_bytes / 3
    same_bits(plan(*args), whole(*args))
    assert "(again)" in str(plan)


def test_the_limit_of_a_jitted_gradient_is_kept() -> None:
    f, args = deep()
    default = compile_function(f, args, {}, "jit").plan
    expected = default(*args)
    for share in (3, 6, 12):
        plan = limited(f, args, default.peak_bytes // share)
        assert plan.peak_bytes <= default.peak_bytes // share
        assert peak_bytes(plan, *args) <= 1.1 * plan.peak_bytes
        assert plan.flops <= 1.5 * default.flops
        for ours, theirs in zip(plan(*args), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    assert "memory limit" in str(plan)


def test_limits_in_words() -> None:
    f, args = deep()
    value, gradient = ea.jit(f, memory_limit="6 MB")(*args)
    expected = ea.jit(f)(*args)
    np.testing.assert_allclose(value, expected[0])
    np.testing.assert_allclose(gradient[0], expected[1][0], rtol=1e-9, atol=1e-9)
    e = ea.expr("Y[i,k] = W[i,j] * X[j,k]")
    assert e.compile(W=(3, 4), X=(4, 5), memory_limit="10 kB").peak_bytes <= 10_000
    with pytest.raises(ValueError, match="number of bytes"):
        ea.jit(f, memory_limit="a lot")


def test_what_cannot_fit_is_refused_with_the_figure_that_would_and_allocates_nothing() -> None:
    f, args = deep(3)
    needed = 3 * WIDTH * WIDTH * 8
    tracemalloc.start()
    with pytest.raises(ea.MemoryLimitError, match=r"the limit is .*can be brought down to") as caught:
        ea.jit(f, memory_limit=needed // 2)(*args)
    largest = max(trace.size for trace in tracemalloc.take_snapshot().traces)
    tracemalloc.stop()
    assert largest < BATCH * WIDTH * 8
    figure = int(re.findall(r"\(([\d,]+) bytes\)", str(caught.value))[-1].replace(",", ""))
    assert needed < figure
    plan = limited(f, args, figure)
    assert plan.peak_bytes <= figure


def test_a_chain_without_a_label_to_slice_along_is_computed_again() -> None:
    rng = np.random.default_rng(0)
    a, x = rng.standard_normal((60, 60)) / 9, rng.standard_normal((60, 60))

    def steps(a: Any, x: Any) -> Any:
        for _ in range(20):
            x = np.tanh(a @ x @ a + x)
        return np.sum(x * x)

    f = ea.value_and_grad(steps, (0, 1))
    default = compile_function(f, (a, x), {}, "jit").plan
    plan = limited(f, (a, x), default.peak_bytes // 3)
    assert "run again" in plan.notes[-1]
    assert plan.flops <= 1.6 * default.flops
    for ours, theirs in zip(plan(a, x), default(a, x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_plans_within_a_limit_are_the_same_each_time() -> None:
    f, args = deep()
    first = limited(f, args, 5_000_000).source()
    ea.clear_cache()
    assert limited(f, args, 5_000_000).source() == first


bump = ea.elementwise(lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x))


def mixed(x: Any, y: Any) -> Any:
    """Functions of a user, views, buffers written in parts, scans, functions of whole arrays."""
    a = np.concatenate([bump(x), np.tanh(y)])
    b = np.cumsum(np.pad(a, 1), axis=0)[1:-1, ::2]
    c = np.max(b, axis=1, keepdims=True) * np.where(b > 0, b, np.sin(b))
    d = np.stack([c[t] * c[t + 1] for t in range(6)])
    return np.sum(np.real(np.exp(1j * c)) @ d.T) + np.sum(np.diag(d @ d.T) ** 2) + np.sum(np.trace(a @ a.T) * b)


def check_all_limits(program: Program, args: Any) -> int:
    """Recompute a program for many limits; the number of those that could be kept."""
    ordered = reorder(program, 0)
    assert schedule(ordered).peak <= schedule(program).peak
    expected = compile_program(program, static=False)(*args)
    same_bits(compile_program(ordered, static=False)(*args), expected)
    peak, kept = schedule(ordered).peak, 0
    for share in (1.0, 0.95, 0.9, 0.85, 0.75, 0.6, 0.5, 0.4):
        fitted = recompute(ordered, int(share * peak))
        if fitted is not None:
            kept += 1
            assert fitted.peak == schedule(fitted.program).peak <= share * peak
            same_bits(compile_program(fitted.program, static=False)(*args), expected)
    assert least_memory(ordered) <= peak
    return kept


@pytest.mark.parametrize("order_of", [1, 2])
def test_all_kinds_of_calls_are_ordered_and_computed_again(order_of: int) -> None:
    rng = np.random.default_rng(0)
    args = rng.standard_normal((9, 12)), rng.standard_normal((7, 12))
    f = ea.value_and_grad(mixed, (0, 1)) if order_of == 1 else ea.hessian(mixed)
    assert check_all_limits(program_of(f, args), args) >= 1 + (order_of == 1)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(functions(), st.booleans())
def test_random_programs_within_limits(program: Any, derivative: bool) -> None:
    args = tuple([np.asarray(arg, float) for arg in program.args])
    f = ea.grad(lambda *xs: np.sum(program(*xs)), tuple(range(len(args)))) if derivative else program
    with np.errstate(all="ignore"):
        lowered = program_of(f, args)
        assume(lowered.input_count == len(args))
        check_all_limits(lowered, args)


def test_a_function_of_a_user_runs_again() -> None:
    calls = []

    def slow(x: Any) -> Any:
        calls.append(x.shape)
        return np.exp(-x * x)

    g = ea.elementwise(slow, lambda x: -2 * x * np.exp(-x * x))

    def f(x: Any) -> Any:
        for _ in range(12):
            x = g(x) + 0.5 * x
        return np.sum(x * x)

    x = np.random.default_rng(0).standard_normal((200, 200))
    program = reorder(program_of(ea.value_and_grad(f), (x,)))
    whole = compile_program(program, static=False)
    fitted = recompute(program, whole.peak_bytes // 2)
    assert fitted is not None
    plan = compile_program(fitted.program, static=False)
    expected = whole(x)
    calls.clear()
    same_bits(plan(x), expected)
    assert len(calls) > 12
    assert peak_bytes(plan, x) <= 1.1 * whole.peak_bytes / 2


def test_orders_and_limits_are_found_in_near_linear_time() -> None:
    def f(x: Any, count: int) -> Any:
        for _ in range(count):
            x = np.tanh(1.5 * x)
        return np.sum(x)

    times = []
    x = np.ones(300)
    for count in (100, 400):
        program = program_of(ea.grad(f), (x, count))
        start = time.process_time()
        ordered = reorder(program, 0)
        fitted = recompute(ordered, schedule(ordered).peak // 4)
        times.append(time.process_time() - start)
        assert fitted is not None
    assert times[1] < 16 * times[0]

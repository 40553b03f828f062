"""Memory that is kept between calls is never seen by two users."""

from __future__ import annotations

import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import einad as ea
from einad.backends import memory
from einad.lower.arena import ALIGNMENT, Span, most, place

SIZE = 200


def loss(w: Any, x: Any) -> Any:
    return np.sum(np.tanh(x @ w) ** 2)


def by_hand(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    h = np.tanh(x @ w)
    return np.asarray(x.T @ (2 * h * (1 - h**2)))


def case(seed: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((size, size)) / 10, rng.standard_normal((size, size))


# --- places ---------------------------------------------------------------------------------------------------

spans = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 8), st.integers(0, 5000)).map(lambda t: (t[0], t[0] + t[1], t[2])),
    max_size=40,
)


@given(spans)
def test_what_is_alive_at_once_does_not_overlap(found: list[tuple[int, int, int]]) -> None:
    every = [Span(n, *each) for n, each in enumerate(found)]
    places, total = place(every)
    ends = {span.key: int(places[span.key]) + span.nbytes for span in every}
    assert all(offset % ALIGNMENT == 0 for offset in places.values())
    assert max(ends.values(), default=0) <= total
    assert total >= most(every)
    for a in every:
        for b in every:
            if a.key < b.key and a.first <= b.last and b.first <= a.last:  # type: ignore[operator]
                assert ends[a.key] <= places[b.key] or ends[b.key] <= places[a.key]


def test_many_small_places_are_found_in_turn() -> None:
    every = [Span(n, n, n + 1, 100) for n in range(5000)]
    places, total = place(every)
    assert len(places) == 5000
    assert total < 600 * 128
    for a, b in pairwise(every):
        assert abs(int(places[a.key]) - int(places[b.key])) >= 100


# --- results --------------------------------------------------------------------------------------------------


def test_a_result_that_somebody_holds_stays_as_it_is() -> None:
    gradient = ea.jit(ea.grad(loss))
    held = [gradient(*case(seed)) for seed in range(6)]
    for seed, found in enumerate(held):
        np.testing.assert_allclose(found, by_hand(*case(seed)), atol=1e-9)
    assert not any(np.may_share_memory(a, b) for n, a in enumerate(held) for b in held[:n])


@pytest.mark.parametrize("hold", [lambda r: r[3:5], lambda r: r.T, lambda r: memoryview(r), lambda r: r.ravel()[::7]])
def test_a_view_of_a_result_keeps_its_memory(hold: Any) -> None:
    gradient = ea.jit(ea.grad(loss))
    view = hold(gradient(*case(0)))
    before = np.array(view)
    for seed in range(1, 5):
        gradient(*case(seed))
    np.testing.assert_array_equal(np.asarray(view), before)


@pytest.mark.skipif(not memory.COUNTED, reason="needs CPython's reference counts")
def test_the_memory_of_a_dropped_result_is_used_again() -> None:
    gradient = ea.jit(ea.grad(loss))
    places = {gradient(*case(seed)).ctypes.data for seed in range(8)}
    assert len(places) < 8


def test_a_result_may_be_written_to_and_reshaped() -> None:
    gradient = ea.jit(ea.grad(loss))
    found = gradient(*case(0))
    found *= 0
    found.shape = (SIZE * SIZE,)
    del found
    np.testing.assert_allclose(gradient(*case(1)), by_hand(*case(1)), atol=1e-9)
    assert gradient(*case(1)).shape == (SIZE, SIZE)


def test_results_do_not_share_memory_with_one_another_or_with_arguments() -> None:
    f = ea.jit(lambda x: (x + 0, x.T, x[2:], 2 * x))
    x = case(0)[1]
    results = f(x)
    for n, a in enumerate(results):
        assert not np.may_share_memory(a, x)
        assert not any(np.may_share_memory(a, b) for b in results[:n])


# --- blocks ---------------------------------------------------------------------------------------------------


def test_threads_have_blocks_of_their_own() -> None:
    gradient = ea.jit(ea.grad(loss), threads=1)
    cases = [case(seed, 120) for seed in range(8)]
    expected = [by_hand(*each) for each in cases]
    start = threading.Barrier(4)

    def work(worker: int) -> float:
        start.wait()
        errors = []
        for turn in range(30):
            n = (worker + turn) % len(cases)
            errors.append(np.abs(gradient(*cases[n]) - expected[n]).max())
        return float(max(errors))

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(4))) < 1e-9


def test_a_plan_may_run_inside_a_plan() -> None:
    inner = ea.jit(ea.grad(loss))

    def with_a_gradient_inside_(x: np.ndarray) -> np.ndarray:
        return x + float(np.sum(inner(*case(1, 50))))

    with_a_gradient_inside = ea.elementwise(with_a_gradient_inside_, derivative=lambda x: 0 * x)

    outer = ea.jit(lambda w, x: np.sum(with_a_gradient_inside(np.tanh(x @ w)) ** 2))
    w, x = case(0, 50)
    expected = np.sum((np.tanh(x @ w) + by_hand(*case(1, 50)).sum()) ** 2)
    np.testing.assert_allclose(outer(w, x), expected, rtol=1e-9)


def test_a_function_of_the_users_may_keep_its_argument() -> None:
    kept: list[np.ndarray] = []

    def keep_(x: np.ndarray) -> np.ndarray:
        kept.append(x)
        return x * 1.0

    keep = ea.elementwise(keep_, derivative=lambda x: 1 + 0 * x)

    f = ea.jit(lambda x: np.sum(np.tanh(keep(x * 2.0)) ** 2))
    f(np.full((50, 50), 1.0))
    kept.clear()
    for value in (1.0, 3.0, 5.0):
        f(np.full((50, 50), value))
    assert [float(x[0, 0]) for x in kept] == [2.0, 6.0, 10.0]


def test_a_call_that_fails_leaves_everything_as_it_was() -> None:
    calls: list[int] = []

    def fails_once_(x: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("the third call")
        return x * 1.0

    fails_once = ea.elementwise(fails_once_, derivative=lambda x: 0 * x)

    f = ea.jit(lambda w, x: np.sum(fails_once(np.tanh(x @ w))))
    w, x = case(0, 60)
    first = f(w, x)
    while len(calls) < 2:
        f(w, x)
    with pytest.raises(RuntimeError, match="the third call"):
        f(w, x)
    assert f(w, x) == first


def test_idle_memory_is_bounded_and_can_be_freed() -> None:
    ea.clear_cache()
    gradient = ea.jit(ea.grad(loss))
    for seed in range(3):
        gradient(*case(seed))
    idle = sum(block.data.nbytes for block in memory.BLOCKS.idle)
    kept = sum(size * len(pieces) for size, pieces in memory.RESULTS.kept.items())
    assert 0 < idle <= memory.MOST_KEPT
    assert kept <= memory.MOST_KEPT
    memory.clear()
    gc.collect()
    assert not memory.BLOCKS.idle
    assert not memory.RESULTS.kept
    np.testing.assert_allclose(gradient(*case(7)), by_hand(*case(7)), atol=1e-9)


def test_a_block_too_large_to_keep_is_dropped() -> None:
    blocks = memory.Blocks()
    block = memory.Block(64)
    block.data = np.lib.stride_tricks.as_strided(block.data, (memory.MOST_KEPT + 1,), (0,))
    blocks.give_back(block)
    assert not blocks.idle


def test_results_of_sizes_not_met_lately_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_KEPT", 1 << 20)
    results = memory.Results()
    for n in range(1, 20):
        results.take((n * 1000,), np.dtype(float))
    assert sum(size * len(pieces) for size, pieces in results.kept.items()) <= 1 << 20
    assert max(results.kept) == 19 * 8000


def test_the_count_of_references_is_told_apart() -> None:
    """One reference more, by a view or by a name, and memory counts as in use."""
    if not memory.COUNTED:
        pytest.skip("needs CPython's reference counts")
    results = memory.Results()
    first = results.take((1 << 15,), np.dtype(float))
    view = first[10:20]
    del first
    assert not np.may_share_memory(view, results.take((1 << 15,), np.dtype(float)))
    assert sys.getrefcount(view) >= 1

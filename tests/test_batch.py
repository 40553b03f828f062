"""Repeated small steps become few larger ones, and stacks are computed in their places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import einad as ea
from einad import pipeline
from einad.backends import reference
from einad.ir import build
from einad.ir.expr import Add, Affine, Einsum, Input, Map, Node
from einad.ir.walk import topological
from einad.ops.pointwise import POINTWISE
from einad.rewrite.batch import batch
from einad.rewrite.families import Quotient
from einad.rewrite.stacks import row, row_of, stack

rng = np.random.default_rng(6)
N, M = 3, 2

STATEMENTS = [
    "np.tanh(W @ {0} + U @ xs[t])",
    "np.tanh(W @ {0} + U @ xs[t] + b)",
    "1 / (1 + np.exp(-{0}))",
    "{0} * {1}",
    "{0} + 0.5 * {1}",
    "b - {0}",
    "(1 - {0}) * np.sin({1})",
    "W @ {0}",
    "np.concatenate([{0}[1:], {1}[:1]])",
    "{0} * ys[t]",
    "zs[t] * {0}",
]


def recorded(f: Callable[..., Any], args: Sequence[Any], monkeypatch: pytest.MonkeyPatch) -> tuple[list[Node], Any]:
    """The graph of ``f`` before batching, and its plan."""
    kept: list[Node] = []

    def record(roots: Sequence[Node]) -> list[Node]:
        kept.extend(roots)
        return batch(roots)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "_batched", record)
        pipeline.clear_cache()
        plan = ea.plan(f, *args)
    return kept, plan


def reference_values(roots: Sequence[Node], args: Sequence[Any]) -> list[Any]:
    inputs = {node.key[1]: node for node in topological(roots) if isinstance(node, Input)}
    return reference.evaluate(roots, {node: np.asarray(args[n]) for n, node in inputs.items()})


@st.composite
def loops(draw: st.DrawFn) -> tuple[str, int]:
    """The text of a function with a loop, and how often it goes round."""
    names = ["h", "c"]
    body = []
    for n in range(draw(st.integers(1, 5))):
        text = draw(st.sampled_from(STATEMENTS))
        body.append(f"v{n} = " + text.format(draw(st.sampled_from(names)), draw(st.sampled_from(names))))
        names.append(f"v{n}")
    body.append(f"h, c = {draw(st.sampled_from(names[2:]))}, {draw(st.sampled_from(names))}")
    body.append("loss = loss + (v @ h - ys[t]) ** 2" if draw(st.booleans()) else "hs.append(h)")
    order = draw(st.sampled_from(["range(T)", "reversed(range(T))"]))
    lines = "\n        ".join(body)
    return (
        f"def f(W, U, b, v, xs, ys, zs):\n    h, c, loss, hs = b, v, 0.0, [b]\n"
        f"    for t in {order}:\n        {lines}\n    return loss + np.sum(np.stack(hs) ** 2)\n"
    ), draw(st.integers(3, 6))


@settings(deadline=None, max_examples=40)
@given(loops(), st.integers(0, 99))
def test_loops_have_the_values_and_gradients_of_the_unbatched_graph(loop: tuple[str, int], seed: int) -> None:
    source, steps = loop
    names: dict[str, Any] = {"np": np, "T": steps}
    exec(source, names)
    r = np.random.default_rng(seed)
    shapes = [(N, N), (N, M), (N,), (N,), (steps, M), (steps,), (steps, N)]
    args = [r.standard_normal(shape) / 2 for shape in shapes]
    with pytest.MonkeyPatch.context() as monkeypatch:
        roots, plan = recorded(ea.value_and_grad(names["f"], tuple(range(7))), args, monkeypatch)
    wanted = reference_values(roots, args)
    np.testing.assert_allclose(names["f"](*args), wanted[0], rtol=1e-10)
    for new, old in zip(plan(*args), wanted, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-9, atol=1e-11)
    for new, old in zip(reference.evaluate(batch(roots), _inputs(roots, args)), wanted, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-9, atol=1e-11)


def _inputs(roots: Sequence[Node], args: Sequence[Any]) -> dict[Node, Any]:
    return {node: args[node.key[1]] for node in topological(roots) if isinstance(node, Input)}


def recurrent(steps: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    def f(W: Any, U: Any, b: Any, v: Any, xs: Any, ys: Any) -> Any:
        h, loss = np.zeros(16), 0.0
        for t in range(steps):
            h = np.tanh(W @ h + U @ xs[t] + b)
            loss = loss + (v @ h - ys[t]) ** 2
        return loss

    shapes = [(16, 16), (16, 8), (16,), (16,), (steps, 8), (steps,)]
    return f, tuple([rng.standard_normal(shape) / 4 for shape in shapes])


def calls(plan: Any) -> list[Any]:
    return [step for step in plan.steps if step.kind not in ("view", "constant") and "empty" not in step.statement]


def test_a_recurrent_net_takes_at_most_six_calls_a_step_and_few_besides() -> None:
    counts = {}
    for steps in (20, 40):
        f, args = recurrent(steps)
        counts[steps] = len(calls(ea.plan(ea.value_and_grad(f, (0, 1, 2, 3)), *args)))
    assert counts[40] - counts[20] <= 6 * 20
    assert counts[20] <= 6 * 20 + 30


def test_gradients_of_weights_are_one_product_each() -> None:
    f, args = recurrent(30)
    plan = ea.plan(ea.grad(f, (0, 1, 3)), *args)
    large = [step for step in plan.steps if step.kind == "gemm"]
    assert len(large) <= 3  # two gradients and the projections of all inputs


def test_steps_that_depend_on_one_another_stay_apart() -> None:
    W, h = Input("W", (4, 4)), Input("h", (4,))
    nodes: list[Node] = [h]
    for _ in range(8):
        nodes.append(Map(POINTWISE["tanh"], build.einsum(["ij", "j"], "i", [W, nodes[-1]])))
    assert batch(nodes[1:]) == nodes[1:]


def test_members_of_one_level_do_not_reach_one_another_and_merging_forms_no_cycle() -> None:
    """Two families that feed one another crosswise: merged both, they would form a cycle."""
    x = [Input(f"x{n}", (4,)) for n in range(8)]
    tanh, sin = POINTWISE["tanh"], POINTWISE["sin"]
    first: list[Node] = [Map(tanh, each) for each in x[:4]]
    second: list[Node] = [Map(sin, each) for each in first]
    third: list[Node] = [Map(sin, each) for each in x[4:]]
    fourth: list[Node] = [Map(tanh, each) for each in third]
    roots = [build.add(a, b) for a, b in zip(second, fourth, strict=True)]
    values = {each: rng.standard_normal(4) for each in x}
    found = reference.evaluate(batch(roots), values)
    for new, a, b in zip(found, x[:4], x[4:], strict=True):
        np.testing.assert_allclose(new, np.sin(np.tanh(values[a])) + np.tanh(np.sin(values[b])), rtol=1e-14)
    order = topological(roots)
    quotient = Quotient(order)
    family = [quotient.numbers[node] for node in order if isinstance(node, Map) and node.row is tanh]
    level = quotient.levels(family)
    assert sorted(level[v] for v in family) == [1] * 8
    quotient.merge([family], level)
    crosswise = [quotient.numbers[node] for node in order if isinstance(node, Map) and node.row is sin]
    level = quotient.levels(crosswise)
    assert sorted(level[v] for v in crosswise) == [1] * 4 + [1] * 4 or sorted(level[v] for v in crosswise) == [
        1,
        1,
        1,
        1,
        2,
        2,
        2,
        2,
    ]
    done: set[int] = set()
    for v in quotient.order:
        assert done.issuperset(quotient.below[v])
        done.add(v)


def test_rows_of_one_tensor_stacked_again_are_a_slice_of_it() -> None:
    x = Input("x", (9, 2))
    assert stack([row(x, n) for n in range(9)]) is x
    cut = stack([row(x, n) for n in (7, 5, 3, 1)])
    assert len(cut.children) == 2
    assert cut.children[0] is x
    values = {x: rng.standard_normal((9, 2))}
    np.testing.assert_array_equal(reference.evaluate([cut], values)[0], values[x][7:0:-2])
    np.testing.assert_array_equal(
        reference.evaluate([stack([row(x, 1), row(x, 4), row(x, 5)])], values)[0], values[x][[1, 4, 5]]
    )
    found = row_of(row(x, 4))
    assert found is not None
    assert found[:3] == (x, 0, 4)


def test_results_share_no_memory_with_one_another_or_with_later_calls() -> None:
    def f(W: Any, x: Any) -> Any:
        hs = [x]
        for _ in range(6):
            hs.append(np.tanh(W @ hs[-1]))
        return np.stack(hs), np.stack(hs[2:]), hs[3], hs[-1], np.stack(hs[1:3], axis=1), np.concatenate(hs)

    W, x = rng.standard_normal((5, 5)), rng.standard_normal(5)
    plan = ea.plan(f, W, x)
    wanted = f(W, x)
    first = plan(W, x)
    for new, old in zip(first, wanted, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-14)
    for n, result in enumerate(first):
        assert not any(np.shares_memory(result, other) for other in (*first[:n], W, x))
        result[...] = np.nan
    for new, old in zip(plan(W, x), wanted, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-14)


@pytest.mark.parametrize("axis", [0, 1])
def test_computed_parts_of_a_concatenation_are_not_copied(axis: int) -> None:
    A, B = rng.standard_normal((20, 20)), rng.standard_normal((20, 20))

    def f(A: Any, B: Any) -> Any:
        return np.concatenate([np.sin(A), A * B, 3 * B, np.exp(A + B)], axis)

    plan = ea.plan(f, A, B)
    np.testing.assert_allclose(plan(A, B)[0], f(A, B), rtol=1e-14)
    assert not [step for step in plan.steps if step.kind in ("write", "copy")]


def test_inputs_and_views_are_copied_into_stacks() -> None:
    A = rng.standard_normal((4, 6))

    def f(A: Any) -> Any:
        return np.stack([A[0], A[3], 2 * A[1], A[2] + A[0], A[0]]), np.concatenate([A.T, A.T @ A], 1)

    for new, old in zip(ea.plan(f, A)(A), f(A), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128, np.int64])
def test_other_dtypes(dtype: Any) -> None:
    x = rng.standard_normal((6, 3)).astype(dtype)
    w = rng.standard_normal((3, 3)).astype(dtype)

    def f(w: Any, x: Any) -> Any:
        total = x[0] * 0
        for t in range(6):
            total = total + (w @ x[t]) * x[t]
        return total

    np.testing.assert_allclose(ea.plan(f, w, x)(w, x)[0], f(w, x), rtol=1e-5)


def test_a_long_chain_is_planned_without_recursion() -> None:
    x: Node = Input("x", (3,))
    sine, square = POINTWISE["sin"], POINTWISE["square"]
    nodes: list[Node] = [x]
    for n in range(20_000):
        nodes.append(Map(sine if n % 2 else square, nodes[-1]))
    assert batch([nodes[-1]]) == [nodes[-1]]


def test_an_lstm_cell_against_jax() -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    steps, n, m = 7, 4, 3

    def lstm(xp: Any, W: Any, U: Any, b: Any, xs: Any) -> Any:
        def gate(z: Any) -> Any:
            return 1 / (1 + xp.exp(-z))

        h, c, loss = b[:n], b[n : 2 * n], 0.0
        for t in range(steps):
            z = W @ h + U @ xs[t] + b
            c = gate(z[:n]) * c + gate(z[n : 2 * n]) * xp.tanh(z[2 * n : 3 * n])
            h = gate(z[3 * n :]) * xp.tanh(c)
            loss = loss + xp.sum(h * c)
        return loss

    args = [rng.standard_normal(shape) for shape in [(4 * n, n), (4 * n, m), (4 * n,), (steps, m)]]
    wanted = jax.value_and_grad(lambda *a: lstm(jax.numpy, *a), (0, 1, 2, 3))(*args)
    value, gradients = ea.jit(ea.value_and_grad(lambda *a: lstm(np, *a), (0, 1, 2, 3)))(*args)
    np.testing.assert_allclose(value, wanted[0], rtol=1e-12)
    for new, old in zip(gradients, wanted[1], strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-10, atol=1e-12)


def test_sums_of_few_or_large_terms_stay_as_they_are() -> None:
    pairs = [(Input(f"a{n}", (40_000,)), Input(f"b{n}", (3,))) for n in range(6)]
    total = build.add(*[build.einsum(["i", "j"], "ij", pair) for pair in pairs])
    assert batch([total]) == [total]
    x = [Input(f"x{n}", (3,)) for n in range(3)]
    few: Node = Add(*[Einsum(build.multiply(each, each).spec, (each, each), (3,)) for each in x])
    assert batch([few]) == [few]


def test_the_transpose_of_a_weight_is_made_once() -> None:
    f, args = recurrent(12)
    source = ea.plan(ea.grad(f, 0), *args).source()
    assert source.count("a0.T") == 1


def test_a_plain_recurrent_net_takes_five_calls_a_step() -> None:
    def f(W: Any, U: Any, xs: Any) -> Any:
        h = U @ xs[0]
        for x in xs[1:]:
            h = np.tanh(W @ h + U @ x)
        return np.sum(h * h)

    for steps in (10, 30):
        args = [rng.standard_normal(shape) / 4 for shape in [(16, 16), (16, 8), (steps, 8)]]
        plan = ea.plan(ea.value_and_grad(f, (0, 1)), *args)
        assert len(calls(plan)) <= 5.2 * steps + 15


def test_windows_without_axes_of_size_one_keep_the_dtype() -> None:
    """A window summed over an axis of size 1 is a float64 tensor; the window itself is boolean."""
    summed = build.einsum([[0, 1]], [0], [Affine((2, 1), (1, -1))], None, 1, float)
    placed = build.einsum([[0], [1]], [1, 0], [Affine((2,), (1,), -1), summed], None, 2, float)
    (value,) = pipeline.compile_plan([placed], [])()
    assert value.dtype == np.float64
    np.testing.assert_array_equal(value, [[0, 2], [0, 0]])

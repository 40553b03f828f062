"""scale: coefficients are applied once, where they cost least."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import einad as ea
from einad import pipeline
from einad.backends import reference
from einad.diff.sweep import vjp
from einad.ir import build
from einad.ir.expr import Add, Einsum, Input, Map, Node
from einad.ir.walk import topological
from einad.ops.pointwise import POINTWISE
from einad.rewrite.scale import share_coefficients


def coefficients(roots: list[Node]) -> list[Any]:
    found = [node for node in topological(roots) if isinstance(node, Einsum)]
    return [node.coefficient for node in found if node.coefficient not in (1, -1)]


def check(roots: list[Node], rewritten: list[Node], seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    inputs = [node for node in topological([*roots, *rewritten]) if isinstance(node, Input)]
    values = {x: rng.standard_normal(x.shape).astype(x.dtype) for x in inputs}
    for before, after in zip(roots, rewritten, strict=True):
        expected = reference.evaluate([before], values)[0]
        np.testing.assert_allclose(reference.evaluate([after], values)[0], expected, rtol=1e-12, atol=1e-12)
        assert (after.shape, after.dtype) == (before.shape, before.dtype)


def test_a_shared_error_is_scaled_in_place_of_two_gradients() -> None:
    e, x, w = Input("e", (8,)), Input("x", (8, 30)), Input("w", (40,))
    roots: list[Node] = [
        build.einsum(["a", "ab"], "b", [e, x], None, 0.25),
        build.einsum(["a", "c"], "ac", [e, w], None, 0.25),
        build.einsum(["a", "a"], "", [e, e], None, 0.5),
    ]
    found = share_coefficients(roots)
    assert sorted(coefficients(found)) == [0.25, 0.5]
    check(roots, found)


def test_a_coefficient_moves_through_products_and_sums() -> None:
    e, x, w = Input("e", (8,)), Input("x", (8, 30)), Input("w", (40,))
    outer = build.einsum(["a", "c"], "ac", [e, w])
    total = Add(outer, Input("y", (8, 40)))
    roots: list[Node] = [
        build.einsum(["ac", "ab"], "cb", [total, x], None, 3.0),
        build.einsum(["ac"], "c", [total], None, 3.0),
    ]
    found = share_coefficients(roots)
    assert len(coefficients(found)) <= 2
    check(roots, found)


def test_nothing_moves_through_a_function() -> None:
    e = Map(POINTWISE["exp"], build.einsum(["a"], "a", [Input("e", (8,))], None, 3.0))
    others = Input("v", (9,)), Input("w", (9,))
    roots: list[Node] = [build.einsum(["a", "b"], "ab", [e, w], None, 3.0) for w in others]
    found = share_coefficients(roots)
    assert all(e in topological([root]) or root.children[0].children == (e,) for root in found)
    check(roots, found)


def test_a_root_keeps_its_value() -> None:
    e, w = Input("e", (8, 8)), Input("w", (8, 8))
    shared = build.einsum(["ab", "bc"], "ac", [e, w])
    roots: list[Node] = [shared, *[build.einsum(["ab", x], "a", [shared, w], None, 5.0) for x in ("ab", "ba")]]
    check(roots, share_coefficients(roots))


def test_an_operand_met_twice_is_not_scaled_twice() -> None:
    e, w = Input("e", (4, 4)), Input("w", (4, 4))
    shared = build.einsum(["ab", "bc"], "ac", [e, w])
    roots: list[Node] = [
        build.einsum(["ab", "ab"], "ab", [shared, shared], None, 5.0),
        build.einsum(["ab", "bc"], "ac", [shared, shared], None, 5.0),
        build.einsum(["ab", "cd"], "abcd", [shared, w], None, 5.0),
    ]
    check(roots, share_coefficients(roots))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_random_graphs_keep_their_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input(f"x{n}", (3, 3)) for n in range(3)]
    for _ in range(int(rng.integers(3, 14))):
        a, b = [nodes[int(rng.integers(len(nodes)))] for _ in range(2)]
        coefficient = [1, 2.0, 2.0, 0.5, -1][int(rng.integers(5))]
        kind = int(rng.integers(5))
        if kind == 0:
            nodes.append(Add(a, b))
        elif kind == 1:
            nodes.append(Map(POINTWISE["tanh"], a))
        elif kind == 2:
            nodes.append(build.einsum(["ab"], "ba", [a], None, coefficient))
        else:
            spec = [["ab", "ab"], ["ab", "bc"]][kind - 3]
            output = "ab" if kind == 3 else "ac"
            nodes.append(build.einsum(spec, output, [a, b], None, coefficient))
    roots = list(nodes[-4:])
    check(roots, share_coefficients(roots), seed)


@pytest.mark.parametrize("layers", [2, 5])
def test_the_mean_squared_error_of_a_network_is_scaled_at_the_error(layers: int) -> None:
    """No gradient of a weight is multiplied by a number of its own."""
    sizes = [6] * layers + [3]
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(pair) / 3 for pair in zip([5, *sizes], sizes, strict=False)]
    x, y = rng.standard_normal((7, 5)), rng.standard_normal((7, 3))

    def loss(*weights: Any) -> Any:
        h = x
        for w in weights[:-1]:
            h = np.tanh(h @ w)
        return np.mean((h @ weights[-1] - y) ** 2)

    plan = ea.plan(ea.grad(loss, tuple(range(len(weights)))), *weights)
    scaled = [step for step in plan.steps if " * " in step.statement and step.statement.split(" = ")[1][0].isdigit()]
    assert len(scaled) <= 2  # the error, and the last gradient, which is smaller
    found = plan(*weights)
    for n in range(len(weights)):
        step = 1e-6 * rng.standard_normal(weights[n].shape)
        moved = [w + step if k == n else w for k, w in enumerate(weights)]
        back = [w - step if k == n else w for k, w in enumerate(weights)]
        assert np.isclose(np.sum(found[n] * step) * 2, loss(*moved) - loss(*back), rtol=1e-5)


def test_gradients_of_a_shared_node_stay_right() -> None:
    x = Input("x", (4, 4))
    y = build.einsum(["ab", "bc"], "ac", [x, x], None, 3.0)
    (gradient,) = vjp(pipeline.prepare([y]), [Input("v", (4, 4))], [x])
    check([gradient], share_coefficients([gradient]))

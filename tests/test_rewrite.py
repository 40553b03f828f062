"""The laws keep values: against the reference evaluator, exactly on integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einad.backends.reference import evaluate
from einad.diff.jacobian import jacobian
from einad.diff.sweep import vjp
from einad.ir import build
from einad.ir.expr import Add, Einsum, Input, Map, Node
from einad.ir.walk import rebuild, topological, transform
from einad.ops.pointwise import POINTWISE
from einad.ops.structured import reshape, take_slice
from einad.rewrite.engine import flatten_contractions, normal_form, normalise
from einad.rewrite.fingerprint import PRIME, fingerprints


@st.composite
def einsum_graphs(draw: st.DrawFn) -> tuple[list[Node], dict[Node, np.ndarray]]:
    """Graphs of Einsum and Add over small integer-valued inputs, with deltas, broadcasts and traces."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = {label: draw(st.integers(0, 3)) for label in "abc"}
    nodes: list[tuple[str, Node]] = []
    values: dict[Node, np.ndarray] = {}
    for number in range(draw(st.integers(1, 3))):
        labels = "".join(draw(st.lists(st.sampled_from("abc"), max_size=3)))
        node = Input(f"x{number}", tuple(sizes[c] for c in labels))
        values[node] = rng.integers(-3, 4, node.shape).astype(float)
        nodes.append((labels, node))
    for _ in range(draw(st.integers(1, 6))):
        operands = draw(st.lists(st.sampled_from(nodes), max_size=3))
        output = "".join(draw(st.lists(st.sampled_from("abc"), max_size=4)))
        coefficient = draw(st.sampled_from([1, 1, -1, 2, 0.5, 0]))
        new: Node = build.einsum(
            [lab for lab, _ in operands],
            output,
            [n for _, n in operands],
            sizes,
            coefficient,
            None if operands else float,
        )
        same = [n for lab, n in nodes if lab == output]
        if same and draw(st.booleans()):
            new = Add(new, *same)
        nodes.append((output, new))
    return [node for _, node in nodes[-2:]], values


@settings(max_examples=300, deadline=None)
@given(einsum_graphs())
def test_normal_form_keeps_values_exactly(case: tuple[list[Node], dict[Node, np.ndarray]]) -> None:
    roots, values = case
    expected = evaluate(roots, values)
    for law in (normal_form, flatten_contractions, normalise):
        for found, value, root in zip(evaluate(law(roots), values), expected, roots, strict=True):
            assert found.dtype == root.dtype
            np.testing.assert_array_equal(found, value)


@settings(max_examples=100, deadline=None)
@given(einsum_graphs())
def test_normal_form_is_idempotent(case: tuple[list[Node], dict[Node, np.ndarray]]) -> None:
    once = normal_form(case[0])
    assert normal_form(once) == once


@settings(max_examples=100, deadline=None)
@given(einsum_graphs())
def test_the_derivative_of_the_normal_form_is_the_derivative(case: tuple[list[Node], dict[Node, np.ndarray]]) -> None:
    (root, *_), values = case
    inputs = list(values)
    seed = build.full(root.shape, 1)
    plain = evaluate(vjp([root], [seed], inputs), values)
    (rewritten,) = normalise([root])
    for found, value in zip(evaluate(vjp([rewritten], [seed], inputs), values), plain, strict=True):
        np.testing.assert_array_equal(found, value)


def test_a_jacobian_holds_no_delta_as_an_operand() -> None:
    A, X, B = Input("A", (3, 3)), Input("X", (3, 4)), Input("B", (4, 2))
    inner = Map(POINTWISE["tanh"], build.einsum(["ik", "kl", "lj"], "ij", [A, X, B]))
    (J,) = normalise(jacobian(inner, [X], "reverse"))
    for node in topological([J]):
        if isinstance(node, Einsum):
            assert all(not isinstance(child, Einsum) or child.children for child in node.children)


def test_equal_contractions_become_one_node() -> None:
    A, B = Input("A", (3, 4)), Input("B", (4, 5))
    one = build.einsum(["ij", "jk"], "ik", [A, B])
    other = build.einsum(["jk", "ij"], "ki", [B, A])
    total = build.add(one, build.permute(other, (1, 0)))
    (result,) = normal_form([total])
    assert isinstance(result, Einsum)
    assert result.coefficient == 2


def test_zeros_and_equal_terms_vanish() -> None:
    x = Input("x", (3,))
    (result,) = normal_form([build.add(x, build.scale(x, -1), build.zeros((3,)))])
    assert build.is_zero(result)
    assert normal_form([build.add(x, build.zeros((3,)))]) == [x]


def test_a_sum_of_a_broadcast_is_a_factor() -> None:
    x = Input("x", (3,))
    wide = build.broadcast(x, (5, 3), [1])
    (result,) = normal_form([build.reduce_sum(wide, [0])])
    assert isinstance(result, Einsum)
    assert result.coefficient == 5
    assert result.children == (x,)


@pytest.mark.parametrize("doublings", [200])
def test_sharing_stays_linear(doublings: int) -> None:
    node: Node = Input("x", (2,))
    for _ in range(doublings):
        node = build.multiply(node, node)
        node = build.add(node, build.scale(node, 0.5), node)
    (result,) = normalise([node])
    assert len(topological([result])) < 5 * doublings


def test_structured_operands_take_part_like_any_other() -> None:
    x = Input("x", (6, 4))
    node = reshape(take_slice(x, 0, 4, -2, 3), (4, 3))
    value = np.arange(24.0).reshape(6, 4)
    (found,) = evaluate(normalise([build.scale(node, 2)]), {x: value})
    np.testing.assert_array_equal(found, 2 * value[4::-2].reshape(4, 3))


def test_a_projection_onto_the_diagonal_is_no_identity() -> None:
    x = Input("x", (2, 2))
    value = np.array([[2.0, 1.0], [0.0, -2.0]])
    node = build.add(x, build.einsum(["aa"], "aa", [x], None, 2))
    (found,) = evaluate(normalise([node]), {x: value})
    np.testing.assert_array_equal(found, [[6.0, 1.0], [0.0, -6.0]])


def scrambled(node: Node, rng: np.random.Generator) -> Node:
    """The same graph with operands and terms written in another order."""

    def rule(old: Node, children: tuple[Node, ...]) -> Node:
        order = rng.permutation(len(children))
        if isinstance(old, Add):
            return Add(*[children[i] for i in order])
        if isinstance(old, Einsum):
            inputs = [old.spec.inputs[i] for i in order]
            operands = [children[i] for i in order]
            sizes = dict(enumerate(old.sizes))
            return build.einsum(inputs, old.spec.output, operands, sizes, old.coefficient, old.dtype)
        return rebuild(old, children)

    return transform([node], rule)[0]


@settings(max_examples=100, deadline=None)
@given(einsum_graphs(), st.integers(0, 1000))
def test_the_normal_form_does_not_depend_on_the_order_of_terms(
    case: tuple[list[Node], dict[Node, np.ndarray]], seed: int
) -> None:
    roots, values = case
    again = [scrambled(root, np.random.default_rng(seed)) for root in roots]
    for one, other in zip(roots, again, strict=True):
        first, second = normal_form([one]), normal_form([other])
        if first != second:  # only inputs that look alike may stand in another order
            np.testing.assert_array_equal(*[evaluate(form, values)[0] for form in (first, second)])
            assert len(topological(first)) == len(topological(second))


def test_orders_of_writing_meet_in_one_normal_form() -> None:
    A, B, x = Input("A", (3, 3)), Input("B", (3, 3)), Input("x", (3,))
    f = Map(POINTWISE["tanh"], build.einsum(["ij", "jk", "k"], "i", [A, B, x]))
    root = build.add(build.multiply(f, x), build.einsum(["ji", "j"], "i", [A, f]), f, x)
    for seed in range(20):
        assert normal_form([scrambled(root, np.random.default_rng(seed))]) == normal_form([root])


@settings(max_examples=100, deadline=None)
@given(einsum_graphs())
def test_normal_form_keeps_values_modulo_a_prime(case: tuple[list[Node], dict[Node, np.ndarray]]) -> None:
    roots, values = case
    leaves = {node: np.random.default_rng(i).integers(1, PRIME, node.shape) for i, node in enumerate(values)}
    for root, form in zip(roots, normalise(roots), strict=True):
        before, after = fingerprints([root], leaves), fingerprints([form], leaves)
        assert before is not None
        assert after is not None
        np.testing.assert_array_equal(before[root], after[form])

"""diagonal: what is read on its diagonal only is computed there only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einad.backends.reference import evaluate
from einad.ir import build
from einad.ir.expr import Add, Affine, Input, Map, Node, Step
from einad.ir.walk import topological
from einad.ops.pointwise import POINTWISE
from einad.rewrite.diagonal import take_diagonals

N = 3
A, B, C = (Input(name, (N, N)) for name in "ABC")
T, x = Input("T", (N, N, N)), Input("x", (N,))
rng = np.random.default_rng(5)
VALUES = {node: rng.uniform(0.5, 1.5, node.shape) for node in (A, B, C, T, x)}


def check(*roots: Node) -> list[Node]:
    """The roots after the law, which compute the same."""
    found = take_diagonals(roots)
    for old, new in zip(roots, found, strict=True):
        assert (new.shape, new.dtype) == (old.shape, old.dtype)
        (expected,), (value,) = evaluate([old], VALUES), evaluate([new], VALUES)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
    return found


def largest(roots: list[Node]) -> int:
    return max(node.size for node in topological(roots) if node.children)


product = build.einsum(["ij", "jk"], "ik", [A, B])
tanh = POINTWISE["tanh"]


@pytest.mark.parametrize(
    "node",
    [
        build.einsum(["ii"], "", [product]),
        build.einsum(["ii"], "i", [product]),
        build.einsum(["ii"], "i", [Add(product, C)]),
        build.einsum(["ii", "i"], "", [Map(tanh, Add(product, C)), x]),
        build.einsum(["ii"], "ii", [Add(product, build.einsum(["i"], "ii", [x]))]),
        build.einsum(["ii", "jj"], "", [product, product]),
        build.einsum(["iii"], "", [Add(T, build.einsum(["ab", "bc"], "abc", [A, B]))]),
    ],
)
def test_nothing_larger_than_a_diagonal_is_computed(node):
    (found,) = check(node)
    limit = max(N, node.size)
    assert largest([found]) <= limit


def test_a_node_that_is_needed_whole_stays():
    trace = build.einsum(["ii"], "", [product])
    assert check(trace, product) == [trace, product]
    both = build.einsum(["ii", "jk"], "jk", [product, product])
    assert check(both) == [both]


def test_different_diagonals_meet_in_what_they_share():
    whole = Add(T, build.einsum(["ab", "bc"], "abc", [A, B]))
    found = check(build.einsum(["iij"], "ij", [whole]), build.einsum(["iii"], "i", [whole]))
    assert largest(found) == N * N


def test_structured_operands_keep_distinct_labels():
    shifted = build.einsum(["kj", "ki"], "ij", [A, Affine((N, N), (-1, 1), 1)])
    lower = build.einsum(["ij", "ij"], "ij", [A, Step((N, N))])
    check(build.einsum(["ii"], "i", [shifted]), build.einsum(["ii"], "", [lower]))


def test_long_chains():
    node: Node = product
    for _ in range(20_000):
        node = Map(tanh, node)
    (found,) = take_diagonals([build.einsum(["ii"], "", [node])])
    assert largest([found]) == N


@st.composite
def nodes(draw, depth=4):
    """Random matrices built of sums, products, functions and selections."""
    if depth == 0:
        return draw(st.sampled_from([A, B, C]))
    below = nodes(depth=depth - 1)
    match draw(st.integers(0, 4)):
        case 0:
            return Add(draw(below), draw(below))
        case 1:
            return Map(tanh, draw(below))
        case 2:
            spec = draw(st.sampled_from([("ij", "jk"), ("ij", "ik"), ("kk", "ij"), ("ii", "kj"), ("ij", "kk")]))
            output = draw(st.sampled_from(["ik", "ki", "ij", "ii", "kk"]))
            return build.einsum(spec, output, [draw(below), draw(below)])
        case 3:
            return build.einsum(["ii"], "ii", [draw(below)])
        case _:
            return build.einsum(["ii"], "ik", [draw(below)], {"k": N})


@given(st.lists(nodes(), min_size=1, max_size=2))
@settings(max_examples=150, deadline=None)
def test_random_graphs(roots):
    check(*roots, *[build.einsum(["ii"], "", [root]) for root in roots])


@given(nodes())
@settings(max_examples=150, deadline=None)
def test_random_traces(root):
    check(build.einsum(["ii"], "", [root]))

"""Lowering of elementwise calls: blocks with long inner loops, and memory taken through views."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einad import pipeline
from einad.backends import reference
from einad.backends.numpy import compile_program
from einad.ir import build
from einad.ir.expr import Add, Input
from einad.lower import blocks
from einad.lower.graph import lower
from einad.ops import structured

UFUNCS = [np.multiply, np.add, np.subtract, np.divide]


@st.composite
def operands(draw):
    """Shapes of two operands that broadcast, and how operand ``k`` is written out."""
    output = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    x, y = [tuple([n if draw(st.booleans()) else 1 for n in output]) for _ in range(2)]
    output = np.broadcast_shapes(x, y)
    k = draw(st.integers(0, 1))
    kept = draw(st.integers(0, len(output)))
    shape = (*(x, y)[k][:kept], *output[kept:])
    return x, y, blocks.Blocks(k, shape, (x, y)[1 - k] != output, 0)


@settings(deadline=None)
@given(operands(), st.sampled_from(UFUNCS), st.sampled_from([1, 64, 1 << 18]), st.integers(0, 999))
def test_blocks_do_what_the_function_does(case, function, block_bytes, seed):
    x, y, how = case
    rng = np.random.default_rng(seed)
    a, b = rng.random(x) + 1, rng.random(y) + 1
    before = a.copy(), b.copy()
    with mock.patch.object(blocks, "BLOCK_BYTES", block_bytes):
        found = blocks.run_blocks(function, a, b, how)
    np.testing.assert_array_equal(found, function(*before), strict=True)
    assert not np.shares_memory(found, a)
    assert not np.shares_memory(found, b)
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


@settings(deadline=None, max_examples=100)
@given(st.permutations("abcd"), st.permutations("abcd"), st.integers(1, 4), st.integers(1, 4), st.data())
def test_products_by_blocks(first, second, m, n, data):
    """Every product that can be taken by blocks is, whatever its size; operands in any order and layout."""
    one, two = "".join(first[:m]), "".join(second[:n])
    output = "".join(data.draw(st.permutations(sorted({*one, *two}))))
    sizes = dict(zip("abcd", (2, 3, 4, 5), strict=True))
    x, y = (Input(name, tuple(sizes[label] for label in each)) for name, each in (("x", one), ("y", two)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = {node: np.array(rng.random(node.shape), order="F") for node in (x, y)}
    node = build.einsum([one, two], output, [x, y])
    with mock.patch.multiple(
        blocks,
        LEAST_OUTPUT=1,
        SHORT_LOOP=1000,
        LONG_LOOP=2,
        MOST_EXPANDED=1,
        BLOCK_BYTES=data.draw(st.integers(8, 400)),
    ):
        (found,) = compile_program(lower([node], [x, y]))(*[values[each] for each in (x, y)])
    np.testing.assert_array_equal(found, reference.evaluate([node], values)[0])


def test_short_inner_loops_of_large_results_go_by_blocks():
    n = 20
    x, y = Input("x", (n, n)), Input("y", (n, n, n))
    a, b = np.random.default_rng(0).random((n, n)), np.random.default_rng(1).random((n, n, n))
    plan = pipeline.compile_plan([build.einsum(["ab", "cdb"], "cbda", [x, y])], [x, y])
    assert "run_blocks" in plan.source()
    assert plan.peak_bytes < 1.1 * 8 * n**4
    np.testing.assert_array_equal(plan(a, b)[0], np.einsum("ab,cdb->cbda", a, b))
    small = [Input("x", (4, 4)), Input("y", (4, 4, 4))]
    plan = pipeline.compile_plan([build.einsum(["ab", "cdb"], "cbda", small)], small)
    assert "run_blocks" not in plan.source()


def test_a_matrix_product_is_scaled_where_it_stands():
    n = 20
    x, y, z = Input("x", (n, n, n)), Input("y", (n, n, n)), Input("z", (n, n))
    product = build.einsum(["abk", "cdk"], "abcd", [x, y])
    scaled = build.einsum(["abcd", "bc"], "abcd", [product, z])
    program = compile_program(lower([scaled], [x, y, z]))
    assert program.peak_bytes < 1.1 * 8 * n**4
    rng = np.random.default_rng(0)
    a, b, c = rng.random((n, n, n)), rng.random((n, n, n)), rng.random((n, n))
    want = np.tensordot(a, b, ([2], [2])) * c[None, :, :, None]
    (first,), (second,) = program(a, b, c), program(a, b, c)
    np.testing.assert_allclose(first, want)
    assert not np.shares_memory(first, second)


def test_a_result_is_not_written_over_through_a_view():
    n = 20
    x, y, z = Input("x", (n, n, n)), Input("y", (n, n, n)), Input("z", (n, n))
    product = build.einsum(["abk", "cdk"], "abcd", [x, y])
    scaled = build.einsum(["abcd", "bc"], "abcd", [product, z])
    rng = np.random.default_rng(0)
    values = {node: rng.random(node.shape) for node in (x, y, z)}
    found = pipeline.evaluate([product, scaled], values)
    for got, want in zip(found, reference.evaluate([product, scaled], values), strict=True):
        np.testing.assert_allclose(got, want)
    assert not np.shares_memory(*found)


@pytest.mark.parametrize("order", ["ijk", "jik", "kij", "kji"])
@pytest.mark.parametrize("scale", [1.0, -1.0, 3.0])
def test_a_delta_is_written_into_a_permuted_term(order, scale):
    """Where the term dies, its own memory takes the delta, in the term's layout."""
    x, y = Input("x", (5, 5, 5)), Input("y", (5, 5))
    term = build.einsum(["ijk", "ij"], order, [x, y])
    node = Add(term, build.einsum(["ij"], "iij", [y], coefficient=scale))
    plan = compile_program(lower([node], [x, y]))
    rng = np.random.default_rng(0)
    values = {each: rng.random(each.shape) for each in (x, y)}
    np.testing.assert_allclose(plan(values[x], values[y])[0], reference.evaluate([node], values)[0])
    assert plan.peak_bytes <= 2 * 8 * 125


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
@pytest.mark.parametrize("copied", [False, True])
def test_a_box_is_written_into_a_permuted_term_with_single_axes(axes, copied):
    x, y = Input("x", (3, 1, 4, 1)), Input("y", (3, 1, 4, 1))
    term = build.permute(x if copied else build.multiply(x, y), axes)
    part = build.permute(structured.place_slice(structured.take_slice(x, 2, 0, 1, 2), 2, 1, 2, 4), axes)
    rng = np.random.default_rng(0)
    values = {each: rng.random(each.shape) for each in (x, y)}
    node = Add(term, part)
    (found,) = compile_program(lower([node], [x, y]))(values[x], values[y])
    np.testing.assert_allclose(found, reference.evaluate([node], values)[0])
    assert not np.shares_memory(found, values[x])


def test_input_arrays_are_never_the_memory_of_a_sum():
    x, y = Input("x", (40, 40, 40)), Input("y", (40, 40))
    node = Add(x, build.einsum(["ij"], "iij", [y]))
    a, b = np.ones((40, 40, 40)), np.ones((40, 40))
    (found,) = compile_program(lower([node], [x, y]))(a, b)
    assert (a == 1).all()
    assert not np.shares_memory(found, a)
    assert found.sum() == 40**3 + 40**2

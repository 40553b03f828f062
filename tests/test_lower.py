"""Lowering: layouts, structured operands, coefficients, memory that is used again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einad import pipeline
from einad.backends import reference
from einad.backends.numpy import compile_program
from einad.diff.sweep import vjp
from einad.ir import build
from einad.ir.expr import Add, Affine, Einsum, Input, Map, Step
from einad.lower.graph import lower
from einad.lower.kernels import running_sum
from einad.lower.program import Program
from einad.lower.view import View, arrange, plain
from einad.ops import structured
from einad.ops.pointwise import POINTWISE


def agree(roots, values, rtol=1e-10):
    found = pipeline.evaluate(roots, values)
    for got, want in zip(found, reference.evaluate(roots, values), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-12)
    return found


@st.composite
def affine_products(draw):
    """x times an Affine of 1 to 4 labels, any of them shared, kept or dropped."""
    count = draw(st.integers(1, 4))
    sizes = [draw(st.integers(1, 4)) for _ in range(count)]
    coefficients = tuple(draw(st.integers(-3, 3)) for _ in range(count))
    window = Affine(tuple(sizes), coefficients, draw(st.integers(-4, 4)))
    labels = list(range(count))
    if count > 1 and draw(st.booleans()) and sizes[0] == sizes[1]:
        labels[1] = 0
    shared = [label for label in dict.fromkeys(labels) if draw(st.booleans())]
    inputs = [*shared, count] if draw(st.booleans()) else shared
    inputs = draw(st.permutations(inputs))
    output = draw(st.permutations([label for label in {*labels, *inputs} if draw(st.booleans())]))
    if output and draw(st.integers(0, 4)) == 0:
        output = [*output, output[0]]
    extents = dict(enumerate([*sizes, 3]))
    x = Input("x", tuple(extents[label] for label in inputs))
    return build.einsum([inputs, labels], output, [x, window], extents, draw(st.sampled_from([1, -2.0])))


@settings(max_examples=400, deadline=None)
@given(affine_products(), st.integers(0, 2**32))
def test_affine_products(node, seed):
    x = node.children[0]
    values = {x: np.random.default_rng(seed).standard_normal(x.shape)}
    agree([node], values)
    agree([Add(node, build.full(node.shape, 0.5))], values)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(-5, 5),
    st.lists(st.sampled_from("ijk"), max_size=3, unique=True),
    st.lists(st.sampled_from("ijk"), max_size=3, unique=True),
    st.booleans(),
)
def test_step_products(rows, columns, offset, inputs, output, swapped):
    sizes = {"i": rows, "j": columns, "k": 2}
    x = Input("x", tuple(sizes[label] for label in inputs))
    operands, labels = [x, Step((rows, columns), offset)], [inputs, ["i", "j"]]
    if swapped:
        operands, labels = operands[::-1], labels[::-1]
    node = build.einsum(labels, output, operands, sizes)
    agree([node], {x: np.random.default_rng(0).standard_normal(x.shape)})


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(-6, 6), st.booleans(), st.integers(0, 1))
def test_running_sums_with_an_offset(n, count, offset, reverse, axis):
    x = np.random.default_rng(0).standard_normal((n, 2) if axis == 0 else (2, n))
    i, j = np.arange(count), np.arange(n)
    holds = (i[:, None] >= j + offset) if not reverse else (j >= i[:, None] + offset)
    expected = holds @ x if axis == 0 else x @ holds.T
    np.testing.assert_allclose(running_sum(x, axis, count, offset, reverse, x.dtype), expected, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(
    st.permutations([0, 1, 2, 3]),
    st.permutations([0, 1, 2, 3]),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.data(),
)
def test_arranged_views_match_einsum(stored, wanted, cuts, data):
    sizes = {label: data.draw(st.integers(1, 3)) for label in range(4)}
    groups, target = [], []
    for order, result in ((stored, groups), (wanted, target)):
        for n, label in enumerate(order):
            if n and cuts[n - 1]:
                result[-1] = (*result[-1], label)
            else:
                result.append((label,))
    shape = tuple(int(np.prod([sizes[label] for label in group])) for group in groups)
    array = np.arange(np.prod(shape)).reshape(shape)
    program = Program()
    view = View(program.add_input("x", shape, array.dtype), tuple(groups), (), sizes, 1, array.dtype)
    operand, found = arrange(view, target, program), array
    for step, value in operand.views:
        found = getattr(found, step)(value)
    full = array.reshape([sizes[label] for label in stored])
    expected = np.einsum(full, stored, wanted).reshape(
        [int(np.prod([sizes[label] for label in group])) for group in target]
    )
    np.testing.assert_array_equal(found, expected)
    if not operand.copied:
        assert np.shares_memory(found, array)


def test_a_register_knows_its_labels_of_size_one():
    program = Program()
    view = plain(program.add_input("x", (2, 1, 3), np.dtype(float)), program)
    assert view.groups == ((0,), (), (2,))


def test_slices_and_transposes_are_views_until_the_end():
    x = Input("x", (6, 4))
    y = structured.take_slice(build.permute(x, (1, 0)), 1, 4, -2, 3)
    plan = pipeline.compile_plan([y], [x])
    assert [step.kind for step in plan.steps] == ["view", "copy"]
    values = np.arange(24.0).reshape(6, 4)
    np.testing.assert_array_equal(plan(values)[0], values.T[:, 4::-2])


def test_elementwise_results_take_the_memory_of_operands_that_die():
    x = Input("x", (100,))
    y = Map(POINTWISE["tanh"], build.add(build.scale(x, 2.0), build.scale(x, 3.0)))
    plan = pipeline.compile_plan([y], [x])
    assert plan.peak_bytes <= 2 * 800
    values = np.linspace(-1, 1, 100)
    np.testing.assert_allclose(plan(values)[0], np.tanh(5 * values))


def test_memory_still_seen_through_a_view_is_not_taken():
    x = Input("x", (4, 4))
    y = Map(POINTWISE["exp"], x)
    row = structured.take_slice(y, 0, 1, 1, 1)
    z = build.multiply(y, y)
    agree([build.einsum(["ij", "kj"], "ij", [z, row]), z], {x: np.random.default_rng(0).standard_normal((4, 4))})


def test_complex_parts_are_views_that_must_not_be_overwritten():
    z = Input("z", (5,), complex)
    w = Map(POINTWISE["exp"], z)
    real = Map(POINTWISE["real"], w)
    agree([Map(POINTWISE["square"], real), w, real], {z: np.random.default_rng(0).standard_normal(5) + 1j})


def test_products_with_a_reciprocal_are_divisions():
    x, y = Input("x", (5,)), Input("y", (5,))
    node = build.multiply(x, Map(POINTWISE["reciprocal"], y))
    plan = pipeline.compile_plan([node], [x, y])
    a, b = np.array([1.0, 49.0, 3.0, 7.0, 5.0]), np.array([3.0, 49.0, 7.0, 11.0, 13.0])
    np.testing.assert_array_equal(plan(a, b)[0], a / b)
    assert len(plan.steps) == 1


def test_differences_need_no_negation():
    x, y = Input("x", (5,)), Input("y", (5,))
    plan = pipeline.compile_plan([Add(x, build.scale(y, -1.0))], [x, y])
    assert len(plan.steps) == 1
    assert "subtract" in plan.source()


def test_a_common_coefficient_is_applied_once():
    x, y = Input("x", (50,)), Input("y", (50,))
    plan = pipeline.compile_plan([Add(build.scale(x, 0.25), build.scale(y, -0.25))], [x, y])
    assert plan.flops == 100
    np.testing.assert_allclose(plan(np.ones(50), np.full(50, 3.0))[0], -0.5)


def test_deltas_are_written_into_the_sum():
    x, y = Input("x", (50,)), Input("y", (50, 50))
    node = Add(build.einsum(["i"], "ii", [x]), y, build.einsum([], "ii", [], {"i": 50}, 2.0))
    plan = pipeline.compile_plan([node], [x, y])
    assert plan.peak_bytes < 1.1 * 50 * 50 * 8
    values = np.random.default_rng(0).random(50), np.random.default_rng(1).random((50, 50))
    np.testing.assert_allclose(plan(*values)[0], np.diag(values[0]) + values[1] + 2 * np.eye(50))


@pytest.mark.parametrize(
    "spec",
    [
        "bij,bjk->bik",
        "ijb,kjb->bki",
        "bhst,bthk->bshk",
        "bij,bij->b",
        "ib,ib->b",
        "bij,bj->bi",
        "ijkl,lmkn->mijn",
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "complex128", "int64", "float32", "bool"])
def test_pairwise_contractions(spec, dtype):
    left, output = spec.split("->")
    inputs = left.split(",")
    sizes = {label: n for n, label in enumerate(sorted(set(left) - {","}), 2)}
    rng = np.random.default_rng(0)
    xs = [
        Input(name, tuple(sizes[label] for label in labels), dtype) for name, labels in zip("xy", inputs, strict=True)
    ]
    node = build.einsum(inputs, output, xs)
    values = {x: (rng.standard_normal(x.shape) * 2).astype(dtype) for x in xs}
    agree([node], values, rtol=1e-4 if dtype == "float32" else 1e-10)
    reader = build.einsum([output, output], "", [node, node])
    agree([node, reader], values, rtol=1e-4 if dtype == "float32" else 1e-10)


def test_half_precision_sums_do_not_stagnate():
    x = Input("x", (5000,), "float16")
    (found,) = pipeline.evaluate([build.reduce_sum(x, (0,))], {x: np.ones(5000, "float16")})
    assert found == 5000
    assert found.dtype == np.float16


def test_integer_coefficients_wrap_before_a_cast():
    x = Input("x", (2,), "uint8")
    scaled = Einsum(build.scale(x, 1).spec, (x,), (2,), 200, "uint8")
    node = build.cast(scaled, float)
    value = np.array([2, 3], "uint8")
    (found,) = compile_program(lower([node], [x]))(value)
    np.testing.assert_array_equal(found, reference.evaluate([node], {x: value})[0])


def test_concatenations_are_written_without_zeros():
    x, y = Input("x", (3, 2)), Input("y", (3, 4))
    plan = pipeline.compile_plan([structured.concatenate([x, y, x], 1)], [x, y])
    assert "zeros" not in plan.source()
    assert "+=" not in plan.source()
    a, b = np.arange(6.0).reshape(3, 2), np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(plan(a, b)[0], np.concatenate([a, b, a], 1))


def test_zero_sized_labels_give_zeros():
    x, y = Input("x", (3, 0)), Input("y", (0, 2))
    (found,) = pipeline.evaluate([build.einsum(["ij", "jk"], "ik", [x, y])], {x: np.ones((3, 0)), y: np.ones((0, 2))})
    np.testing.assert_array_equal(found, np.zeros((3, 2)))


def test_convolution_and_its_adjoint():
    x, w = Input("x", (2, 9, 3)), Input("w", (3, 3, 4))
    window = Affine((9, 5, 3), (-1, 2, 1), -1)
    y = build.einsum(["bnc", "npr", "rco"], "bpo", [x, window, w])
    v = Input("v", y.shape)
    gradients = vjp(pipeline.prepare([y]), [v], [x, w])
    rng = np.random.default_rng(0)
    agree([y, *gradients], {node: rng.standard_normal(node.shape) for node in (x, w, v)})

"""Contraction paths and the plan record."""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import opt_einsum as oe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import einad as ea
from einad import pipeline
from einad.backends import reference
from einad.backends.numpy import compile_program
from einad.diff.sweep import vjp
from einad.errors import ShapeError
from einad.ir import build
from einad.ir.expr import Affine, Einsum, Input, Map, Step
from einad.ir.walk import topological
from einad.lower.graph import lower
from einad.ops import structured
from einad.ops.pointwise import POINTWISE
from einad.plan.cost import graph_flops
from einad.plan.paths import binarise
from einad.plan.search import best_path, path_flops


def matrix_product_norm(sites=20, bond=8, physical=2):
    """The norm of a matrix product state: every site once in the ket and once in the bra, as separate inputs."""
    operands, inputs = [], []
    for side in range(2):
        for n in range(sites):
            shape = (1 if n == 0 else bond, physical, 1 if n == sites - 1 else bond)
            operands.append(Input(f"{'kb'[side]}{n}", shape))
            inputs.append([(side, n), ("p", n), (side, n + 1)])
    return build.einsum(inputs, [], operands), operands


def plan_of(roots, inputs):
    return compile_program(lower(binarise(roots), inputs))


def test_all_gradients_of_a_long_product_cost_about_twice_its_value():
    norm, operands = matrix_product_norm()
    (tree,) = binarise([norm])
    gradients = binarise(vjp([tree], [build.full((), 1.0)], operands))
    value = plan_of([tree], operands)
    both = plan_of([tree, *gradients], operands)
    assert both.flops <= 3.2 * value.flops
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(x.shape) / 4 for x in operands]
    found = both(*arrays)
    environment = np.ones((1, 1))
    for ket, bra in zip(arrays[:20], arrays[20:], strict=True):
        environment = np.einsum("ab,apc,bpd->cd", environment, ket, bra)
    np.testing.assert_allclose(found[0], environment[0, 0])
    for x, gradient in zip(arrays, found[1:], strict=True):
        np.testing.assert_allclose(np.sum(gradient * x), found[0])


def test_a_long_chain_comes_near_the_transfer_matrix_sweep():
    sites, bond, physical = 20, 8, 2
    norm, _ = matrix_product_norm(sites, bond, physical)
    sweep = 2 * (2 * bond**3 * physical) * sites
    assert graph_flops(binarise([norm])) <= 1.1 * sweep


def opt_einsum_flops(path, inputs, output, sizes):
    """FLOPs of a path by positions, as opt_einsum counts them."""
    text = ",".join("".join(map(oe.get_symbol, x)) for x in inputs) + "->" + "".join(map(oe.get_symbol, output))
    shapes = [tuple(sizes[label] for label in x) for x in inputs]
    return float(oe.contract_path(text, *shapes, shapes=True, optimize=path)[1].opt_cost)


def random_network(rng, count):
    """Operands of a connected-looking network; every label stands on two of them or in the output."""
    sizes = dict(enumerate(rng.integers(2, 9, count + 3).tolist()))
    inputs = [tuple(rng.choice(count + 3, 3, replace=False).tolist()) for _ in range(count)]
    output = frozenset([inputs[0][0]])
    uses = [label for x in inputs for label in x]
    return [tuple(label for label in x if uses.count(label) > 1 or label in output) for x in inputs], output, sizes


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_short_paths_are_as_cheap_as_exhaustive_search_finds(count):
    rng = np.random.default_rng(count)
    for _ in range(10):
        inputs, output, sizes = random_network(rng, count)
        best = oe.paths.optimal([frozenset(x) for x in inputs], output, sizes)
        found = path_flops(best_path(inputs, output, sizes), inputs, output, sizes)
        assert found <= 1.001 * opt_einsum_flops(best, inputs, output, sizes)


def test_sums_over_one_operand_come_first():
    A, B = Input("A", (50, 60)), Input("B", (60, 70))
    plan = plan_of([build.einsum(["ij", "jk"], "", [A, B])], [A, B])
    assert plan.flops <= 50 * 60 + 60 * 70 + 2 * 60
    a, b = np.random.default_rng(0).random((50, 60)), np.random.default_rng(1).random((60, 70))
    np.testing.assert_allclose(plan(a, b)[0], (a @ b).sum())


def test_hundreds_of_operands_and_labels():
    xs = [Input(f"x{n}", (2, 3, 2)) for n in range(300)]
    inputs = [[n, ("p", n), n + 1] for n in range(300)]
    node = build.einsum(inputs, [0, 300], xs)
    assert len(node.sizes) > 600
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 3, 2)) for _ in xs]
    expected = np.eye(2)
    for x in arrays:
        expected = expected @ x.sum(1)
    np.testing.assert_allclose(plan_of([node], xs)(*arrays)[0], expected, rtol=1e-9)


def test_no_einsum_keeps_more_than_two_operands():
    rng = np.random.default_rng(3)
    x = Input("x", (6, 4))
    window = Affine((6, 3, 2), (-1, 2, 1), 0)
    labels = [["n", "c"], ["n", "p", "r"], ["p", "q"], ["r", "c"]]
    node = build.einsum(labels, ["q", "c"], [x, window, Step((3, 3)), Input("w", (2, 4))])
    (tree,) = binarise([node])
    assert all(len(n.children) <= 2 for n in topological([tree]) if isinstance(n, Einsum))
    values = {leaf: rng.standard_normal(leaf.shape) for leaf in topological([node]) if isinstance(leaf, Input)}
    np.testing.assert_allclose(reference.evaluate([tree], values)[0], reference.evaluate([node], values)[0])
    np.testing.assert_allclose(pipeline.evaluate([node], values)[0], reference.evaluate([node], values)[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(10, 16))
def test_refined_paths_are_never_worse_than_greedy(seed, count):
    rng = np.random.default_rng(seed)
    sizes = dict(enumerate(rng.integers(2, 6, 2 * count).tolist()))
    inputs = [tuple(set(rng.integers(0, 2 * count, 3).tolist())) for _ in range(count)]
    output = frozenset(inputs[0][:1])
    found = best_path(inputs, output, sizes)
    assert sorted(n for pair in found for n in pair) == list(range(2 * count - 2))
    greedy = oe.paths.greedy([frozenset(x) for x in inputs], output, sizes)
    assert path_flops(found, inputs, output, sizes) <= 2.1 * opt_einsum_flops(greedy, inputs, output, sizes)


def test_a_plan_prints_its_steps_and_totals():
    A, b = Input("A", (3, 4)), Input("b", (3,))
    y = Map(POINTWISE["tanh"], build.add(build.einsum(["ij"], "i", [A]), b))
    plan = pipeline.compile_plan([y], [A, b])
    text = str(plan)
    assert text.startswith("plan(A: float64[3, 4], b: float64[3])")
    assert "t0[a] = A[a,b]" in text
    assert "tanh(" in text
    assert f"total: {12 + 3 + 3:,} FLOPs" in text
    assert plan.flops == sum(step.flops for step in plan.steps) == 18
    assert plan.peak_bytes == 24
    assert plan.bytes_moved == (12 + 3) * 8 + 3 * 3 * 8 + 2 * 3 * 8


def test_the_peak_counts_what_is_alive():
    x = Input("x", (1000,))
    y = x
    for name in ("sin", "tanh", "exp", "square"):
        y = Map(POINTWISE[name], y)
    plan = pipeline.compile_plan([y], [x])
    assert plan.peak_bytes == 8000
    z = build.add(y, Map(POINTWISE["cos"], x))
    assert pipeline.compile_plan([z, y], [x]).peak_bytes == 16000


def test_matrix_products_count_two_flops_for_each_multiply_add():
    A, B = Input("A", (3, 4)), Input("B", (4, 5))
    plan = pipeline.compile_plan([build.einsum(["ij", "jk"], "ik", [A, B])], [A, B])
    assert plan.flops == 2 * 3 * 4 * 5
    assert [step.kind for step in plan.steps] == ["gemm"]


def test_the_source_says_each_step_in_index_notation():
    A = Input("A", (3, 4))
    source = pipeline.compile_plan([build.einsum(["ij"], "ji", [A], None, 2.0)], [A]).source()
    assert "# a0: A float64[3, 4]" in source
    assert "def plan(a0):" in source
    compile(source, "plan", "exec")


def test_names_that_are_no_identifiers_stay_out_of_the_text():
    x = Input("x\nimport os #", (3,))
    plan = pipeline.compile_plan([build.scale(x, 2.0)], [x])
    assert "import os" not in plan.source()
    np.testing.assert_array_equal(plan(np.ones(3))[0], [2, 2, 2])


@pytest.mark.parametrize(
    ("value", "found"), [(np.ones(4), r"float64\[4\]"), (np.ones(3, "f4"), r"float32\[3\]"), (1.0, r"float64\[\]")]
)
def test_wrong_shapes_and_dtypes_are_refused(value, found):
    x = Input("weights", (3,))
    plan = pipeline.compile_plan([build.scale(x, 2.0)], [x])
    with pytest.raises(ShapeError, match=rf"input 'weights': the plan was made for float64\[3\], found {found}"):
        plan(value)
    with pytest.raises(TypeError, match=r"takes 1 arrays \(weights: float64\[3\]\), got 2"):
        plan(np.ones(3), np.ones(3))


def test_plain_sequences_of_the_right_dtype_are_taken():
    x = Input("x", (3,))
    plan = pipeline.compile_plan([build.scale(x, 2.0)], [x])
    np.testing.assert_array_equal(plan([1.0, 2.0, 3.0])[0], [2, 4, 6])


def test_concatenation_needs_one_buffer():
    x = Input("x", (1000,))
    plan = pipeline.compile_plan([structured.concatenate([x, x, x], 0)], [x])
    assert plan.peak_bytes == 3 * 8000


def test_a_matrix_product_state_of_100_sites() -> None:
    """All gradients cost at most 3.2 times the best known way forward, the sweep of transfer matrices."""
    rng = np.random.default_rng(0)
    chi, sites = 16, 100
    shapes = [(1 if i == 0 else chi, 2, 1 if i == sites - 1 else chi) for i in range(sites)]
    tensors = [rng.standard_normal(shape) / 6 for shape in shapes]

    def norm(*tensors: Any) -> Any:
        bra = [part for i, t in enumerate(tensors) for part in (t, [i, 1000 + i, i + 1])]
        ket = [part for i, t in enumerate(tensors) for part in (t, [2000 + i, 1000 + i, 2001 + i])]
        return np.einsum(*bra, *ket, [])

    sweep = sum(2 * left * d * right * (left + right) for left, d, right in shapes)
    plan = ea.plan(ea.value_and_grad(norm, tuple(range(sites))), *tensors)
    assert plan.flops < 3.2 * sweep


def test_a_plan_says_which_direction_was_chosen_and_what_the_other_would_have_cost() -> None:
    W = np.ones((50, 3))
    text = str(ea.plan(ea.jacobian(lambda x: np.tanh(W @ x) @ np.ones((50, 4))), np.ones(3)))
    assert re.search(r"jacobian: (forward|reverse) \([\d,]+ FLOPs, [\d,]+ bytes\); instead of (forward|reverse)", text)


def test_labels_named_by_opt_einsum() -> None:
    """A chain of 300 labels, whose names run past the letters: among them × and ÷."""
    names = [oe.get_symbol(n) for n in range(301)]
    spec = ",".join(a + b for a, b in pairwise(names)) + "->" + names[0] + names[-1]
    matrices = [np.eye(2) + 0.01 * n for n in range(300)]
    expected = np.linalg.multi_dot(matrices)
    np.testing.assert_allclose(ea.einsum(spec, *matrices), expected, rtol=1e-12)

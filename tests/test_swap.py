"""The swap: its own inverse, and the transpose of every einsum, exactly."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from einad.backends.reference import evaluate
from einad.diff.sweep import jvp, vjp
from einad.ir.expr import Input
from einad.ir.spec import swap
from einad.testing.strategies import arrays, einsum_cases, specs


@given(specs(), st.data())
def test_swap_is_its_own_inverse(spec, data):
    if spec.inputs:
        k = data.draw(st.integers(0, len(spec.inputs) - 1))
        assert swap(swap(spec, k), k) == spec


@given(specs(), st.data())
def test_swaps_of_two_operands_exchange_three_places(spec, data):
    if len(spec.inputs) > 1:
        twice = swap(swap(spec, 0), 1)
        assert (twice.inputs[0], twice.inputs[1], twice.output) == (spec.output, spec.inputs[0], spec.inputs[1])


def pairing(cotangent, tangent):
    return np.sum(cotangent * tangent).real


@settings(max_examples=150)
@given(einsum_cases(dtypes=("float64", "complex128"), max_operands=4), st.data())
def test_forward_and_reverse_are_transposes_exactly(case, data):
    """``<v, J t> == <Jᵀ v, t>`` in integers held by doubles, for all operands at once."""
    node, values = case
    inputs = list(values)
    tangents = {x: Input(f"{x.name}_dot", x.shape, x.dtype) for x in inputs}
    seed = Input("v", node.shape, node.dtype)
    given_values = dict(values)
    for x, dot in tangents.items():
        given_values[dot] = data.draw(arrays(x.shape, x.dtype))
    given_values[seed] = data.draw(arrays(node.shape, node.dtype))
    pushed, *pulled = evaluate([*jvp([node], tangents), *vjp([node], [seed], inputs)], given_values)
    forward = pairing(given_values[seed], pushed)
    reverse = sum(pairing(bar, given_values[tangents[x]]) for x, bar in zip(inputs, pulled, strict=True))
    assert forward == reverse


@settings(max_examples=100)
@given(einsum_cases(dtypes=("float64",), max_operands=3), st.data())
def test_forward_mode_is_the_exact_difference_along_one_operand(case, data):
    """An einsum is multilinear: where an operand stands once, ``f(x + t) - f(x) == J t`` without any limit."""
    node, values = case
    for x, value in values.items():
        if node.children.count(x) == 1:
            dot = Input("dot", x.shape, x.dtype)
            t = data.draw(arrays(x.shape, x.dtype))
            (pushed,) = evaluate(jvp([node], {x: dot}), {**values, dot: t})
            (here,), (there,) = evaluate([node], values), evaluate([node], {**values, x: value + t})
            assert np.array_equal(pushed, there - here)

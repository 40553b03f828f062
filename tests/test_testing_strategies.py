"""The shared strategies reach the cases they promise, and shrink to small ones."""

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings

from einad.testing.strategies import arrays, einsum_cases, functions, specs

LOOK = settings(max_examples=3000, database=None, derandomize=True, phases=[Phase.generate])
SHRINK = settings(max_examples=3000, database=None, derandomize=True)

SPECS = {
    "repeated within an operand": lambda s: any(len(set(labels)) < len(labels) for labels in s.inputs),
    "repeated in the output": lambda s: len(set(s.output)) < len(s.output),
    "output only": lambda s: bool(s.broadcast),
    "summed": lambda s: bool(s.contracted),
    "across operands": lambda s: len(s.inputs) == 2 and bool(set(s.inputs[0]) & set(s.inputs[1])),
    "no operand": lambda s: not s.inputs and bool(s.output),
    "six operands": lambda s: len(s.inputs) == 6,
}
CASES = {
    "an operand twice": lambda c: len(set(c.node.children)) < len(c.node.children),
    "an empty axis": lambda c: 0 in c.node.sizes,
    "mixed dtypes": lambda c: len({x.dtype for x in c.values}) > 1,
    "a strided array": lambda c: any(not v.flags.forc for v in c.values.values()),
    "a read-only array": lambda c: any(not v.flags.writeable for v in c.values.values()),
}
PROGRAMS = (
    "np.einsum",
    "np.stack",
    "np.concatenate",
    "np.sum",
    "np.tanh",
    "reshape",
    "::-1",
    "@",
    "np.cumsum",
    "/ (2 +",
)


@pytest.mark.parametrize("name", SPECS)
def test_specs_reach(name):
    assert len(find(specs(), SPECS[name], settings=LOOK).inputs) <= 6


@pytest.mark.parametrize("name", CASES)
def test_einsum_cases_reach(name):
    find(einsum_cases(), CASES[name], settings=LOOK)


@pytest.mark.parametrize("piece", PROGRAMS)
def test_functions_reach(piece):
    assert piece in find(functions(), lambda p: piece in p.source, settings=LOOK).source


@pytest.mark.parametrize("piece", ["np.tanh", "np.stack", "np.cumsum"])
def test_functions_shrink(piece):
    program = find(functions(), lambda p: piece in p.source, settings=SHRINK)
    assert len(program.args) <= 2
    assert len(program.source.splitlines()) <= 5
    assert all(arg.size <= 1 for arg in program.args)


@given(functions())
def test_functions_run_on_their_arguments_and_print_as_source(program):
    value = program(*program.args)
    assert np.all(np.isfinite(value))
    assert repr(program).startswith(program.source)


@given(functions(dtype="float32"))
def test_functions_keep_single_precision(program):
    assert program(*program.args).dtype == np.float32


@given(arrays((2, 3), "complex64", step=0.25))
def test_arrays_are_exact(x):
    assert x.shape == (2, 3)
    assert np.array_equal((4 * x.real).round(), 4 * x.real)

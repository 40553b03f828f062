"""Shared by the tests of the NumPy door: trace a function and evaluate what it records with the oracle."""

from __future__ import annotations

import numpy as np

from einad.backends import reference
from einad.front.tensor import Tensor, to_node
from einad.front.trace import Binding, Trace, new_input


def new_trace(evaluate=reference.evaluate):
    return Trace(evaluate)


def tensor(value, trace=None, differentiated=False):
    trace = trace or new_trace()
    value = np.asarray(value)
    return Tensor(new_input("x", value, Binding(trace, value, differentiated)), trace)


def traced(f, *arrays, evaluate=reference.evaluate):
    """The value of ``f`` on traced tensors: arrays in the containers that ``f`` returns."""
    trace = new_trace(evaluate)
    return concrete(f(*[tensor(x, trace) for x in arrays]), trace)


def concrete(result, trace):
    if isinstance(result, Tensor):
        return trace.value(to_node(result, trace))
    if isinstance(result, list | tuple):
        return type(result)([concrete(entry, trace) for entry in result])
    return result


def assert_same(found, expected):
    """Equal container, shape, dtype and (nearly) equal entries."""
    if isinstance(expected, list | tuple):
        assert type(found) is type(expected)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
        return
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if expected.dtype.kind in "fc":
        tolerance = {2: 1e-2, 4: 1e-5}.get(np.finfo(expected.dtype).dtype.itemsize, 1e-12)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    else:
        np.testing.assert_array_equal(found, expected)

"""Statements with affine indices, evaluated by slow loops: one pass over all indices, zero outside of ``pad(..)``."""

from itertools import product

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from einad.front.notation_affine import affine_text, linear, merged
from einad.front.notation_records import Factor

SIZES = {"p": 2, "q": 3, "r": 2, "s": 3}


def loop_value(left, factors, tensors, sizes):
    """``Y[left] = sum over the other names of the product of the factors``, one entry at a time."""
    out = np.zeros([sizes[name] for name in left])
    for values in product(*[range(n) for n in sizes.values()]):
        at = dict(zip(sizes, values, strict=True))
        entry = 1.0
        for factor in factors:
            entry *= _entry(factor, tensors[factor.name], at)
        out[tuple(at[name] for name in left)] += entry
    return out


def _entry(factor, array, at):
    places = []
    for index, n in zip(factor.indices, array.shape, strict=True):
        found = linear(index)
        place = found.offset + sum(c * at[name] for name, c in found.terms)
        if not 0 <= place < n:
            assert factor.padded, "an index leaves its tensor"
            return 0.0
        places.append(place)
    return array[tuple(places)]


@st.composite
def affine_indices(draw):
    """An affine index over one to three names, and the range of its values."""
    names = draw(st.lists(st.sampled_from(sorted(SIZES)), min_size=1, max_size=3, unique=True))
    terms = [(name, draw(st.sampled_from([1, 1, 2, 3, -1, -2]))) for name in names]
    low, high = merged(terms).bounds(SIZES)
    return terms, low, high


@st.composite
def affine_statements(draw):
    """A product of two tensors with affine indices, one with names on all axes, and fitting random values.

    Gives the text, the names on the left, the factors, the values, and the sizes of the names that occur.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    factors, shapes = [], {}
    for tensor in ["A", "B"][: draw(st.integers(1, 2))]:
        padded = draw(st.booleans())
        indices, shape = [], []
        for _ in range(draw(st.integers(1, 2))):
            terms, low, high = draw(affine_indices())
            shift = draw(st.integers(-2, 2)) if padded else draw(st.integers(0, 2))
            indices.append(affine_text(merged(terms, shift - low)))
            shape.append(max(1, high - low + 1 + (draw(st.integers(-2, 2)) if padded else shift)))
        factors.append(Factor(tensor, tuple(indices), padded=padded))
        shapes[tensor] = tuple(shape)
    used = sorted({name for factor in factors for name in factor.names})
    factors.append(Factor("W", tuple(used)))
    shapes["W"] = tuple(SIZES[name] for name in used)
    left = draw(st.lists(st.sampled_from(used), max_size=2, unique=True))
    assume(np.prod(shapes["W"]) <= 40)
    tensors = {name: rng.uniform(0.5, 1.5, shape) for name, shape in shapes.items()}
    return left, factors, tensors, {name: SIZES[name] for name in used}

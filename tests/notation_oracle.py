"""An independent meaning of explicit statements, on the full grid of all indices, and random statements."""

import numpy as np
from hypothesis import strategies as st

from einad.front import notation_records as records
from einad.front.notation_records import (
    DELTA,
    Binder,
    Call,
    Factor,
    Inverse,
    Negative,
    Number,
    Power,
    Product,
    Statement,
    Sum,
    free,
)

SIZES = {"i": 2, "j": 3, "k": 2, "l": 3}
SHAPES = {"P": (2, 3), "Q": (3, 2), "S": (2, 2), "u": (2,), "w": (3,), "c": (), "T": (2, 3, 2)}
GRID = dict(zip(SIZES, np.indices(tuple(SIZES.values())), strict=True))
FULL = tuple(SIZES.values())
AXIS = {name: axis for axis, name in enumerate(SIZES)}


def on_grid(expr, values):
    """The value of an expression at every assignment of all indices: an array with one axis for each."""
    match expr:
        case Number(value):
            return np.full(FULL, value)
        case Factor(name, indices) if name == DELTA:
            return (GRID[indices[0]] == GRID[indices[1]]).astype(float)
        case Factor(name, indices):
            return np.asarray(values[name])[tuple(GRID[index] for index in indices)] + np.zeros(FULL)
        case Call(function, args):
            return getattr(np, function)(*[on_grid(arg, values) for arg in args])
        case Power(base, exponent):
            return on_grid(base, values) ** on_grid(exponent, values)
        case Inverse(body):
            return 1 / on_grid(body, values)
        case Negative(body):
            return -on_grid(body, values)
        case Product(factors):
            return np.prod([on_grid(factor, values) for factor in factors], axis=0)
        case Sum(terms):
            return np.sum([on_grid(term, values) for term in terms], axis=0)
        case Binder(indices, body):
            axes = tuple(AXIS[index] for index in indices)
            return np.broadcast_to(on_grid(body, values).sum(axis=axes, keepdims=True), FULL)


def statement_value(statement, values):
    """The target's value, zero off the diagonal of repeated indices."""
    grid = on_grid(statement.expression, values)
    if not statement.indices:
        return grid.flat[0]
    out = np.zeros(tuple(SIZES[index] for index in statement.indices), grid.dtype)
    out[tuple(GRID[index] for index in statement.indices)] = grid
    return out


def tensor_values(rng):
    return {name: rng.uniform(0.3, 1.2, shape) for name, shape in SHAPES.items()}


def _factor(name, draw):
    indices = [draw(st.sampled_from([i for i, n in SIZES.items() if n == size])) for size in SHAPES[name]]
    return Factor(name, tuple(indices))


@st.composite
def leaves(draw, deltas):
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return Number(draw(st.sampled_from([2, 3, 0.5, 1.25])))
    if kind == 1 and deltas:
        return Factor(DELTA, draw(st.sampled_from([("i", "k"), ("j", "l"), ("i", "i")])))
    return _factor(draw(st.sampled_from(sorted(SHAPES))), draw)


@st.composite
def expressions(draw, depth=3, deltas=True):
    """Random expressions in normal form; every function is smooth and bounded away from its poles."""
    if depth == 0:
        return draw(leaves(deltas))
    below = expressions(depth=depth - 1, deltas=deltas)
    match draw(st.integers(0, 8)):
        case 0 | 1 | 2:
            return records.product(draw(st.lists(below, min_size=2, max_size=3)))
        case 3 | 4:
            return records.total(draw(st.lists(below, min_size=2, max_size=3)))
        case 5:
            return Call(draw(st.sampled_from(["tanh", "sin", "cos"])), (draw(below),))
        case 6:
            return draw(st.sampled_from([Power(draw(below), Number(2)), _safe_inverse(draw(below))]))
        case 7:
            return records.negative(draw(below))
        case _:
            body = draw(below)
            names = [index for index in free(body) if draw(st.booleans())]
            return records.binder(names, body)


def _safe_inverse(body):
    return Inverse(Sum((Number(2), Power(Call("sin", (body,)), Number(2)))))


@st.composite
def statements(draw, depth=3, deltas=True, indices=None):
    """Random statements ``y[..] = ..`` whose sums are all explicit, with random or given indices on the left."""
    expr = draw(expressions(depth=depth, deltas=deltas))
    kept = draw(st.lists(st.sampled_from(sorted(SIZES)), max_size=3)) if indices is None else indices
    rest = [index for index in free(expr) if index not in kept]
    return Statement("y", tuple(kept), records.binder(rest, expr))


def renamed(statement, target, names):
    """The statement with another target and with tensors renamed."""

    def rule(part):
        return Factor(names[part.name], part.indices) if isinstance(part, Factor) and part.name in names else None

    return Statement(target, statement.indices, records.edit(statement.expression, rule))

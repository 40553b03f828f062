"""A function under test as one of flat lists of arrays, the pairing of cotangents and tangents, random directions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from einad.containers import Structure, flatten, unflatten
from einad.ir.expr import Array
from einad.testing.numeric import Slope, slope

Leaves = Sequence[Any]


class Problem(NamedTuple):
    """``f`` takes the differentiable leaves and returns a tuple of the differentiable leaves of its result.

    ``names`` are the leaves as a user would write them, and ``path`` says which derivative ``f`` is, if it is one.
    """

    f: Callable[..., tuple[Any, ...]]
    primals: list[Array]
    names: list[str]
    path: str = "f"

    def values(self, primals: Leaves) -> list[Array]:
        """The result at other arguments, as arrays; outside of the domain not finite, without a warning."""
        with np.errstate(all="ignore"):
            return [np.asarray(leaf) for leaf in self.f(*primals)]


def problem_of(f: Callable[..., Any], args: Sequence[Any]) -> Problem:
    """The differentiable part of ``f`` at ``args``; integers, booleans and everything else are held constant."""
    leaves, structure = flatten(tuple(args))
    names = [f"argument {name}" for name in leaf_names(structure)]
    active = [i for i, leaf in enumerate(leaves) if is_inexact(leaf)]
    if not active:
        raise TypeError("nothing to differentiate by: no argument holds floating-point or complex numbers")

    def flat(*variables: Any) -> tuple[Any, ...]:
        filled = list(leaves)
        for i, variable in zip(active, variables, strict=True):
            filled[i] = variable
        return differentiable(f(*unflatten(structure, filled)))

    return Problem(flat, [np.array(leaves[i]) for i in active], [names[i] for i in active])


def differentiable(result: Any) -> tuple[Any, ...]:
    """The floating-point and complex leaves of a result."""
    found = tuple([leaf for leaf in flatten(result)[0] if is_inexact(leaf)])
    if not found:
        raise TypeError("nothing to differentiate: the function returns no floating-point or complex numbers")
    return found


def is_inexact(leaf: Any) -> bool:
    """Whether a leaf holds floating-point or complex numbers."""
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    return bool(np.dtype(dtype).kind in "fc")


def leaf_names(structure: Structure, prefix: str = "") -> list[str]:
    """How a user would write each leaf: ``0``, ``1['W']``, ``2.bias[0]``.

    >>> leaf_names(flatten((1.0, {"W": [2.0, 3.0]}))[1])
    ['0', "1['W'][0]", "1['W'][1]"]
    """
    if structure.kind is None:
        return [prefix]
    names: list[str] = []
    for step, child in zip(_steps(structure), structure.children, strict=True):
        names += leaf_names(child, prefix + step if prefix else step.strip("[]"))
    return names


def _steps(structure: Structure) -> Iterator[str]:
    kind = structure.kind
    for position in range(len(structure.children)):
        if not structure.keys:
            yield f"[{position}]"
        elif kind is not None and issubclass(kind, dict):
            yield f"[{structure.keys[position]!r}]"
        else:
            yield f".{structure.keys[position]}"


def pairing(cotangents: Leaves, tangents: Leaves) -> float:
    """``Re(sum(cotangent * tangent))`` over all leaves: bilinear, without conjugation."""
    return float(sum(np.sum(np.asarray(c) * t).real for c, t in zip(cotangents, tangents, strict=True)))


def magnitude(cotangents: Leaves, tangents: Leaves) -> float:
    """The sum of the sizes of what `pairing` adds up."""
    return float(sum(np.sum(np.abs(np.asarray(c) * t)) for c, t in zip(cotangents, tangents, strict=True)))


def random_like(leaves: Leaves, rng: np.random.Generator, scaled: bool = False) -> list[Array]:
    """Normal deviates in the shapes and dtypes of the leaves; ``scaled`` to a leaf's size if that exceeds 1."""
    return [_random(np.asarray(leaf), rng, scaled) for leaf in leaves]


def _random(leaf: Array, rng: np.random.Generator, scaled: bool) -> Array:
    drawn = rng.standard_normal(leaf.shape)
    values = drawn + 1j * rng.standard_normal(leaf.shape) if leaf.dtype.kind == "c" else drawn
    size = max(1.0, float(np.sqrt(np.mean(np.abs(leaf) ** 2)))) if scaled and leaf.size else 1.0
    return np.asarray(values * size).astype(leaf.dtype)


def epsilon(leaves: Leaves) -> float:
    """The coarsest machine epsilon among the leaves."""
    return max([float(np.finfo(np.asarray(leaf).dtype).eps) for leaf in leaves], default=0.0)


def directional(problem: Problem, cotangents: Leaves, direction: Leaves) -> tuple[Slope, float]:
    """The slope of ``<cotangents, f(primals + h * direction)>`` by ``h``, in double precision, and its size."""
    wide = [_widen(x) for x in problem.primals]
    far = [_widen(t) for t in direction]

    def outputs(h: float) -> list[Array]:
        return problem.values([x + h * t for x, t in zip(wide, far, strict=True)])

    near = [outputs(h) for h in (0.0, -1e-3, 1e-3)]
    sizes = [magnitude(cotangents, values) for values in near]
    size = max([size for size in sizes if np.isfinite(size)], default=np.nan)
    return slope(lambda h: pairing(cotangents, outputs(h)), size, epsilon(near[0])), size


def _widen(x: Any) -> Array:
    x = np.asarray(x)
    return np.asarray(x, np.complex128 if x.dtype.kind == "c" else np.float64)

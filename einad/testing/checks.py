"""Check derivatives against finite differences, and forward mode against reverse mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from einad import transforms
from einad.ir.expr import Array
from einad.testing import report
from einad.testing.problem import (
    Leaves,
    Problem,
    differentiable,
    directional,
    epsilon,
    magnitude,
    pairing,
    problem_of,
    random_like,
)

Jvp = Callable[[Leaves, Leaves], tuple[Any, Any]]
Vjp = Callable[..., tuple[Any, Callable[[Any], Any]]]

ROUNDOFF = 500  # units of machine epsilon allowed to the computed derivative
SAFETY = 20  # times the estimated error allowed to the measured one


def check_grads(
    f: Callable[..., Any], args: Sequence[Any], order: int = 2, modes: Sequence[str] = ("fwd", "rev"), seed: int = 0
) -> None:
    """Check the derivatives of ``f`` at ``args`` up to ``order``.

    Along a random direction ``t`` and for a random cotangent ``v``, ``<v, J t>`` from `einad.jvp` and ``<Jᵀ v, t>``
    from `einad.vjp` must equal each other, and the slope measured by central differences at fourteen step sizes with
    Richardson extrapolation, to within the estimated errors of both. For higher orders the same is asked of the
    functions ``x -> J(x) t`` and ``x -> J(x)ᵀ v``.

    Parameters
    ----------
    f : callable
        Takes and returns arrays or containers of them. Only floating-point and complex leaves take part.
    args : sequence
        The point of the check, away from kinks. Single precision is measured in double precision.
    order : int
        The highest derivative to check.
    modes : sequence of "fwd" and "rev"
        Which modes to check; with both, all their compositions.
    seed : int
        Seeds the random directions.

    Raises
    ------
    GradientError
        An ``AssertionError`` that names the argument, the entry, the computed and the measured value.
    KinkError
        A ``GradientError`` for a point at which one-sided slopes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> check_grads(lambda W, x: np.tanh(W @ x), (np.ones((2, 3)), np.arange(3.0)))
    """
    if not modes or set(modes) - {"fwd", "rev"}:
        raise ValueError(f"modes must be some of 'fwd' and 'rev', got {modes!r}")
    if order < 1:
        raise ValueError(f"order must be at least 1, got {order!r}")
    _check_orders(problem_of(f, args), order, modes, np.random.default_rng(seed))


def check_jvp(f: Callable[..., Any], f_jvp: Jvp, args: Sequence[Any], seed: int = 0) -> None:
    """Check ``f_jvp(primals, tangents) -> (value, tangent)`` against finite differences of ``f``.

    >>> import numpy as np
    >>> check_jvp(np.sin, lambda x, t: (np.sin(x[0]), np.cos(x[0]) * t[0]), (np.array(0.3),))
    """
    _check(_array_problem(f, args), f_jvp, None, np.random.default_rng(seed))


def check_vjp(f: Callable[..., Any], f_vjp: Vjp, args: Sequence[Any], seed: int = 0) -> None:
    """Check ``f_vjp(*primals) -> (value, pullback)`` against finite differences of ``f``.

    The pullback takes one cotangent, or a tuple where ``f`` returns one, and returns a tuple, one for each argument.

    >>> import numpy as np
    >>> check_vjp(np.sin, lambda x: (np.sin(x), lambda ct: (np.cos(x) * ct,)), (np.array(0.3),))
    """

    def pull(*primals: Any) -> tuple[Any, Callable[[Any], Any]]:
        value, pullback = f_vjp(*primals)
        return value, lambda cts: pullback(tuple(cts) if isinstance(value, tuple) else cts[0])

    _check(_array_problem(f, args), None, pull, np.random.default_rng(seed))


def _array_problem(f: Callable[..., Any], args: Sequence[Any]) -> Problem:
    names = [f"argument {i}" for i in range(len(args))]
    return Problem(lambda *xs: differentiable(f(*xs)), [np.array(arg) for arg in args], names)


def _check_orders(problem: Problem, order: int, modes: Sequence[str], rng: np.random.Generator) -> None:
    f = problem.f
    jvp = partial(transforms.jvp, f) if "fwd" in modes else None
    vjp = partial(transforms.vjp, f) if "rev" in modes else None
    _check(problem, jvp, vjp, rng)
    if order == 1:
        return
    if jvp is not None:
        tangents = random_like(problem.primals, rng)
        forward = problem._replace(f=lambda *x: transforms.jvp(f, x, tangents)[1], path=f"jvp of {problem.path}")
        _check_orders(forward, order - 1, modes, rng)
    if vjp is not None:
        cotangents = tuple(random_like(problem.values(problem.primals), rng))
        reverse = problem._replace(f=lambda *x: transforms.vjp(f, *x)[1](cotangents), path=f"vjp of {problem.path}")
        _check_orders(reverse, order - 1, modes, rng)


def _check(problem: Problem, jvp: Jvp | None, vjp: Vjp | None, rng: np.random.Generator) -> None:
    """One order: values and kinds first, then the two modes against each other, then each against the measurement."""
    values = problem.values(problem.primals)
    if not all(np.all(np.isfinite(leaf)) for leaf in [*problem.primals, *values]):
        raise report.not_finite(problem)
    tangents, cotangents = random_like(problem.primals, rng, scaled=True), random_like(values, rng)
    found: dict[str, float] = {}
    eps = epsilon([*problem.primals, *values])
    allowed = ROUNDOFF * eps * magnitude(cotangents, values)
    if jvp is not None:
        pushed = _push(problem, jvp, tangents, values)
        found["jvp"] = pairing(cotangents, pushed)
        allowed += ROUNDOFF * eps * magnitude(cotangents, pushed)
    if vjp is not None:
        pulled = _pull(problem, vjp, cotangents, values)
        found["vjp"] = pairing(pulled, tangents)
        allowed += ROUNDOFF * eps * magnitude(pulled, tangents)
    _compare(problem, found, tangents, cotangents, allowed, jvp, vjp)


def _compare(
    problem: Problem,
    found: dict[str, float],
    tangents: Leaves,
    cotangents: Leaves,
    allowed: float,
    jvp: Jvp | None,
    vjp: Vjp | None,
) -> None:
    measured, size = directional(problem, cotangents, tangents)

    def entry(mode: str) -> report.Entry:
        return report.worst_entry(problem, cotangents, _derivative(problem, mode, cotangents, jvp, vjp))

    if measured.kink:
        raise report.kink(problem, entry(next(iter(found))))
    if not SAFETY * measured.error <= 1e-2 * max(abs(measured.value), size, *map(abs, found.values())):
        raise report.unmeasurable(problem, measured)
    for mode, value in found.items():
        if not abs(value - measured.value) <= SAFETY * measured.error + allowed:
            raise report.mismatch(problem, mode, entry(mode), measured)
    if len(found) == 2 and not abs(found["jvp"] - found["vjp"]) <= allowed:
        raise report.not_transposes(problem, found["jvp"], found["vjp"])


def _derivative(
    problem: Problem, mode: str, cotangents: Leaves, jvp: Jvp | None, vjp: Vjp | None
) -> Callable[[list[Array]], float]:
    """The derivative of ``<cotangents, f>`` along any direction, as computed in one mode."""
    if mode == "vjp":
        assert vjp is not None
        pulled = vjp(*problem.primals)[1](tuple(cotangents))
        return lambda direction: pairing(pulled, direction)
    assert jvp is not None
    return lambda direction: pairing(cotangents, differentiable(jvp(problem.primals, direction)[1]))


def _push(problem: Problem, jvp: Jvp, tangents: Leaves, values: list[Array]) -> list[Array]:
    out, pushed = jvp(problem.primals, tangents)
    _check_kinds(problem, "jvp", out, pushed, values, values)
    return [np.asarray(leaf) for leaf in differentiable(pushed)]


def _pull(problem: Problem, vjp: Vjp, cotangents: Leaves, values: list[Array]) -> list[Array]:
    out, pullback = vjp(*problem.primals)
    pulled = pullback(tuple(cotangents))
    _check_kinds(problem, "vjp", out, pulled, values, problem.primals)
    return [np.asarray(leaf) for leaf in pulled]


def _check_kinds(
    problem: Problem, mode: str, out: Any, derivative: Any, values: list[Array], like: list[Array]
) -> None:
    """The value is that of the plain call; the derivative has the shapes and dtypes of what it belongs to."""
    for given, value in zip(differentiable(out), values, strict=True):
        close = ROUNDOFF * epsilon([value]) * (np.max(np.abs(value), initial=0.0) + np.finfo(value.dtype).tiny)
        if np.shape(given) != value.shape or not np.all(np.abs(np.asarray(given) - value) <= close):
            raise report.wrong_value(problem, mode)
    for leaf, expected in zip(differentiable(derivative), like, strict=True):
        array = np.asarray(leaf)
        if array.shape != expected.shape or array.dtype != expected.dtype:
            raise report.wrong_kind(problem, f"the {mode}", array, expected)

"""What a failed check says: which argument, which entry, what was computed and what was measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from einad.ir.expr import Array
from einad.testing.numeric import Slope
from einad.testing.problem import Leaves, Problem, directional

ENTRIES = 200


class GradientError(AssertionError):
    """A derivative disagrees with finite differences, or with its own transpose."""


class KinkError(GradientError):
    """The function is not differentiable at the point of the check; the derivative may well be right elsewhere."""


class Entry(NamedTuple):
    """One entry of one argument: the derivative by it as computed, and as measured."""

    place: str
    analytic: float
    slope: Slope

    @property
    def miss(self) -> float:
        """How far the two are apart, in units of the measurement's error; kinks are beyond all."""
        if self.slope.kink:
            return np.inf
        gap = abs(self.analytic - self.slope.value)
        return gap / (self.slope.error + 1e-12 * abs(self.slope.value)) if gap == gap else np.inf


def worst_entry(problem: Problem, cotangents: Leaves, analytic: Callable[[list[Array]], float]) -> Entry:
    """The entry whose derivative is furthest off, among at most 200 per argument."""
    entries = [
        Entry(place, analytic(direction), directional(problem, cotangents, direction)[0])
        for k in range(len(problem.primals))
        for place, direction in _unit_directions(problem, k)
    ]
    return max(entries, key=lambda entry: entry.miss)


def _unit_directions(problem: Problem, k: int) -> list[tuple[str, list[Array]]]:
    x = problem.primals[k]
    found = []
    for flat in range(0, x.size, 1 + x.size // ENTRIES):
        index = np.unravel_index(flat, x.shape)
        for unit, part in ((1, " (real part)"), (1j, " (imaginary part)")) if x.dtype.kind == "c" else ((1, ""),):
            direction = [np.zeros_like(leaf) for leaf in problem.primals]
            direction[k][index] = unit
            where = f", entry {[int(i) for i in index]}" if x.ndim else ""
            found.append((f"{problem.names[k]}{where}{part}", direction))
    return found


def mismatch(problem: Problem, mode: str, entry: Entry, total: Slope) -> GradientError:
    """The error for a derivative that disagrees with finite differences."""
    found, measured = entry.analytic, entry.slope
    ratio = f", {found / measured.value:.6g} times as much" if measured.value else ""
    order = "exact up to roundoff" if np.isnan(total.order) else f"of measured order {total.order:.1f}"
    return GradientError(
        f"the {mode} of {problem.path} disagrees with finite differences\n"
        f"  {entry.place}: {mode} gives {found:.10g}, finite differences give {measured.value:.10g} "
        f"(± {measured.error:.1g}){ratio}\n"
        f"  the differences are {order}, so the measurement can be trusted; look at the derivative rule"
    )


def kink(problem: Problem, entry: Entry) -> KinkError:
    """The error for a function that has a kink or jump at the point."""
    return KinkError(
        f"{problem.path} has a kink at this point: its one-sided slopes disagree\n"
        f"  {entry.place}: slope {entry.slope.left:.10g} on the left, {entry.slope.right:.10g} on the right; "
        f"the derivative computed there is {entry.analytic:.10g}\n"
        "  no derivative exists there; check at a point away from ties, zeros and boundaries"
    )


def unmeasurable(problem: Problem, measured: Slope) -> GradientError:
    """The error for finite differences that do not settle."""
    return GradientError(
        f"finite differences of {problem.path} do not converge at this point: best estimate {measured.value:.10g} "
        f"± {measured.error:.1g}, measured order {measured.order:.1f}\n"
        "  the function is not finite nearby, is noisy, or changes too fast; check at another point"
    )


def not_transposes(problem: Problem, forward: float, reverse: float) -> GradientError:
    """The error for a JVP and a VJP that are not each other's transposes."""
    return GradientError(
        f"jvp and vjp of {problem.path} are not transposes: <v, J t> is {forward:.17g}, <Jᵀ v, t> is {reverse:.17g}"
    )


def wrong_kind(problem: Problem, what: str, found: Array, expected: Array) -> GradientError:
    """The error for a derivative of the wrong shape or dtype."""
    return GradientError(
        f"{what} of {problem.path} should be {expected.dtype} of shape {expected.shape}, "
        f"found {found.dtype} of shape {found.shape}"
    )


def wrong_value(problem: Problem, mode: str) -> GradientError:
    """The error for a function whose value changes when it is differentiated."""
    return GradientError(f"the value that {mode} returns beside the derivative is not the value of {problem.path}")


def not_finite(problem: Problem) -> GradientError:
    """The error for a function that has no finite value at the point."""
    return GradientError(f"{problem.path} is not finite at this point, so there is nothing to compare; check elsewhere")

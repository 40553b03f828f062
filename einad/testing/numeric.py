"""The slope of a real function of one real step, by central differences whose convergence is measured.

No tolerance is guessed: differences at halved steps are extrapolated (Richardson, in Ridders' table), and the best
entry of the table comes with an estimate of its own error. A smooth function shows order 2; a kink shows as one-sided
slopes that do not meet.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import inf, isfinite, log2, nan
from statistics import median
from typing import NamedTuple

STEPS = tuple([0.05 * 2.0**-k for k in range(14)])
WIDTH = 6


class Slope(NamedTuple):
    """A measured slope.

    ``error`` estimates the error of ``value``. ``order`` is the measured order of convergence of the plain central
    differences, nan where they are exact up to roundoff. ``left`` and ``right`` are one-sided slopes at the smallest
    step that roundoff leaves usable, and ``kink`` says that they stay apart as the step shrinks.
    """

    value: float
    error: float
    order: float
    left: float
    right: float
    kink: bool


class Sample(NamedTuple):
    """The values of a function at ``-h`` and ``h``."""

    h: float
    minus: float
    plus: float

    @property
    def central(self) -> float:
        """The central difference."""
        return (self.plus - self.minus) / (2 * self.h)


def slope(phi: Callable[[float], float], magnitude: float, eps: float) -> Slope:
    """The slope of ``phi`` at 0.

    Parameters
    ----------
    phi : callable
        A real function of a real step; it may be undefined (nan or infinite) for the larger steps.
    magnitude : float
        The size of the numbers that ``phi`` adds up; its roundoff is about ``eps * magnitude``.
    eps : float
        The machine epsilon of the arithmetic inside ``phi``.

    Examples
    --------
    >>> from math import exp
    >>> found = slope(exp, 1.0, 2.2e-16)
    >>> abs(found.value - 1) < 1e-10, round(found.order), found.kink
    (True, 2, False)
    >>> slope(abs, 1.0, 2.2e-16).kink
    True
    """
    centre = phi(0.0)
    samples = _usable([Sample(h, phi(-h), phi(h)) for h in STEPS])
    if not isfinite(centre) or len(samples) < 3:
        return Slope(nan, inf, nan, nan, nan, False)
    value, error = extrapolate([(s.h, s.central) for s in samples], eps * magnitude)
    order = measured_order([s.central for s in samples], [4 * eps * magnitude / s.h for s in samples])
    return Slope(value, error, order, *_sides(centre, samples, eps * magnitude))


def extrapolate(differences: list[tuple[float, float]], roundoff: float) -> tuple[float, float]:
    """Ridders' table over ``(step, difference)`` with steps halved each time: the best entry and its error estimate."""
    best, best_error = differences[-1][1], inf
    previous: list[float] = []
    for h, difference in differences:
        row = [difference]
        for m, old in enumerate(previous[:WIDTH]):
            factor = 4.0 ** (m + 1)
            row.append((factor * row[m] - old) / (factor - 1))
            error = max(abs(row[-1] - row[m]), abs(row[-1] - old), 4 * roundoff / h)
            if error < best_error:
                best, best_error = row[-1], error
        previous = row
    return best, best_error


def measured_order(differences: list[float], floors: list[float]) -> float:
    """log2 of the ratio of successive changes as steps are halved, where they stand well above roundoff."""
    changes = [abs(a - b) for a, b in pairwise(differences)]
    ratios = [a / b for a, b, floor in zip(changes, changes[1:], floors[2:], strict=False) if min(a, b) > 30 * floor]
    return log2(median(ratios)) if ratios else nan


def _usable(samples: list[Sample]) -> list[Sample]:
    """The samples from the first step on, from which all smaller ones have finite values."""
    start = len(samples)
    while start and isfinite(samples[start - 1].plus) and isfinite(samples[start - 1].minus):
        start -= 1
    return samples[start:]


def _sides(centre: float, samples: list[Sample], roundoff: float) -> tuple[float, float, bool]:
    """One-sided slopes at the smallest step whose roundoff is small, and whether their difference stays as h shrinks.

    A smooth function has a difference of ``h f''``, which at 1/16 of a step is 1/16 as large.
    """
    sides = [((centre - s.minus) / s.h, (s.plus - centre) / s.h) for s in samples]
    scale = median(max(abs(left), abs(right)) for left, right in sides)
    clear = [k for k, s in enumerate(samples) if 20 * roundoff / s.h <= 1e-3 * scale]
    if scale == 0 or len(clear) < 5:
        return *sides[clear[-1] if clear else 0], False
    left, right = sides[clear[-1]]
    earlier_left, earlier_right = sides[clear[-5]]
    gap, earlier_gap = abs(right - left), abs(earlier_right - earlier_left)
    return left, right, gap > 0.5 * earlier_gap and gap > 5e-3 * scale

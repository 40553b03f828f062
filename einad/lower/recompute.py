"""Recomputation: a program that forgets values and computes them again, to stay within a memory limit.

The calls are taken in order. Where one needs more memory than is left, the value that is cheapest to do without is
forgotten; where one needs a value that was forgotten, the calls that make it run again, from whatever is still there.
The value chosen has the least ``cost to make it again / (bytes * time until it is needed)``, where the cost counts all
that is missing on the way to it. This is the rule of Dynamic Tensor Rematerialization (Kirisame et al., 2021), but for
the time since the last use, which stands there for the time until the next: a plan knows that. A chain of n layers is
cut into about sqrt(n) pieces.

The same calls on the same values give the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

from einad.lower.program import Op, Program
from einad.lower.replay import Replay
from einad.lower.schedule import schedule
from einad.lower.values import Facts, facts


class Fitted(NamedTuple):
    """A program, the calls in it that run again, and the most bytes it holds."""

    program: Program
    again: list[Op]
    peak: int


def recompute(program: Program, limit: int) -> Fitted | None:
    """The program that holds at most ``limit`` bytes of its own, by forgetting values; None where none was found."""
    return _replayed(program, facts(program), limit)


def least_memory(program: Program, steps: int = 8) -> int:
    """The fewest bytes for which `recompute` finds a program, to within 1/256 of what the program takes as it is."""
    known = facts(program)
    least = schedule(program).peak
    low, high = 0, least
    for _ in range(steps):
        middle = (low + high) // 2
        found = _replayed(program, known, middle)
        if found is None:
            low = middle
        else:
            high, least = middle, min(least, found.peak)
    return least


def _replayed(program: Program, known: Facts, limit: int) -> Fitted | None:
    replay = Replay(program, known, limit)
    found = replay.run()
    if found is None:
        return None
    peak = schedule(found).peak
    return Fitted(found, replay.again, peak) if peak <= limit else None

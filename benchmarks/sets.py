"""The sets of workloads by name, and the hand-written programs for them."""

from __future__ import annotations

import handwritten
import handwritten_more
import literature
import more
import workloads
from registry import Table

SETS: dict[str, Table] = {"own": workloads.W, "more": more.W, "literature": literature.W}
WORKLOADS: Table = {name: w for table in SETS.values() for name, w in table.items()}
HAND: dict[str, handwritten.Hand] = {**handwritten.HAND, **handwritten_more.HAND}

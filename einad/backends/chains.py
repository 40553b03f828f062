"""The text of a chain: one function that walks over blocks, with a small buffer for every intermediate result.

On several threads each has buffers of its own and takes a share of the blocks. The blocks, and the order in which
sums of parts are added, do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from einad.backends.compiler import Switch
from einad.backends.extra import available
from einad.backends.kernels import Kernel, kernel, runs
from einad.backends.memory import SCRATCH, Block
from einad.backends.threads import free_threads, run_together
from einad.ir.expr import Array, DType, Shape
from einad.lower.chain_calls import part_shape
from einad.lower.chains import Chain, Link
from einad.lower.program import Constant, count
from einad.lower.spaces import Pattern, masked

MOST_THREADS = 8
PAGE, STAGGER = 4096, 320
Name = Callable[[str, Any, Any], str]


def share(part: Callable[[Sequence[Any]], None], blocks: Sequence[Any]) -> None:
    """``part`` for all blocks, on the threads that are free."""
    n = min(free_threads(), MOST_THREADS, len(blocks))
    if n < 2:
        part(blocks)
        return
    ends = [len(blocks) * k // n for k in range(n + 1)]
    run_together([partial(part, blocks[start:stop]) for start, stop in pairwise(ends)])


class BufferLayout(NamedTuple):
    """The buffers of a chain: shape of a block, and dtypes."""

    shape: Shape
    dtypes: tuple[DType, ...]

    @property
    def offsets(self) -> list[int]:
        """Where each buffer begins: on cache lines, and not all at one distance from a page's begin."""
        ends = accumulate([-(-count(self.shape) * dtype.itemsize // PAGE) * PAGE + STAGGER for dtype in self.dtypes])
        return [0, *ends]


def buffers(layout: BufferLayout, length: int | None) -> tuple[Block, list[Array]]:
    """Buffers for blocks; with ``length`` for blocks of that length along their first axis."""
    offsets = layout.offsets
    block = SCRATCH.borrow(offsets[-1])
    shape = layout.shape if length is None else (length, *layout.shape[1:])
    places = zip(layout.dtypes, offsets, strict=False)
    return block, [np.ndarray(shape, dtype, block.data, offset) for dtype, offset in places]


class Blocks(list[tuple[Any, ...]]):
    """For each block its number, and the part of the operands by pattern."""

    def __repr__(self) -> str:
        return f"{len(self)} blocks"


def chain_function(title: str, chain: Chain, writer: Any) -> Callable[..., None]:
    """The function that runs a chain; ``writer`` gives names to what its text refers to."""
    function = _compiled(title, chain_text(title, chain, writer), writer.namespace)
    stretches = runs(chain) if available() else []
    if not stretches:
        return function
    kernels = {start: (stop, kernel(chain, start, stop)) for start, stop in stretches}
    text = _Text(title, chain, writer, kernels=kernels).text()

    def build(compiled: Callable[[Kernel], Any]) -> Callable[..., None]:
        loops = {f"g{start}": compiled(each) for start, (_, each) in kernels.items()}
        return _compiled(title, text, {**writer.namespace, **loops})

    return Switch(function, build, chain.ordered)


def _compiled(title: str, text: str, namespace: dict[str, Any]) -> Callable[..., None]:
    found = dict(namespace)
    exec(compile(text, "<einad chain>", "exec"), found)
    made: Callable[..., None] = found[title]
    return made


def chain_text(title: str, chain: Chain, writer: Any, comments: bool = False) -> str:
    """The text of a chain's function.

    With ``comments`` every call is said in index notation as well; that text is for reading only.
    """
    return _Text(title, chain, writer, comments).text()


class _Text:
    """The lines of one chain."""

    def __init__(
        self,
        title: str,
        chain: Chain,
        writer: Any,
        comments: bool = False,
        kernels: Mapping[int, tuple[int, Kernel]] = MappingProxyType({}),
    ) -> None:
        self.title, self.chain, self.writer, self.comments, self.kernels = title, chain, writer, comments, kernels
        self.walk = chain.walk
        moving = [here for here in chain.patterns if self.walk.moves(here)]
        self.indices = {here: f"i{n}" for n, here in enumerate(dict.fromkeys(moving))}
        self.sums = [n for n, link in enumerate(chain.links) if link.axes and not link.whole]

    def text(self) -> str:
        """The whole function."""
        patterns = self.chain.patterns
        totals = {self.chain.links[n].out for n in self.sums}
        fixed = [(n, here) for n, here in enumerate(patterns) if n not in totals]
        layout = self.writer.name("h", BufferLayout(self.walk.block, self.chain.buffers), ("buffers", id(self.chain)))
        lines = [
            f"def {self.title}({', '.join([f'x{n}' for n in range(len(patterns))])}):",
            *[f"    {line}" for n in self.sums for line in self._before(n)],
            *[f"    x{n} = x{n}[{self._first(here)}]" for n, here in fixed if self._first(here)],
            "    def part(blocks, m=None):",
            f"        block, ({''.join([f'y{n}, ' for n in range(len(self.chain.buffers))])}) = buffers({layout}, m)",
            f"        for {', '.join(['n', *self.indices.values()])} in blocks:",
            *[
                f"            z{n} = x{n}[{self.indices[here]}]"
                for n, here in enumerate(patterns)
                if here in self.indices
            ],
            *[f"            {line}" for line in self._calls()],
            "        give_back_buffers(block)",
            *[f"    {line}" for line in self._runs()],
            *[f"    {self._after(n)}" for n in self.sums],
        ]
        return "\n".join([*lines, ""])

    def _runs(self) -> list[str]:
        """The calls that run full blocks, and those that are left over at the end of the walk's axis."""
        walked = [self.walk.indices(here) for here in self.indices]
        blocks = list(zip(range(self.walk.blocks), *walked, strict=True))
        rest = self.walk.axes[self.walk.axis] % self.walk.step
        parts, runs = self.walk.parts, []
        full = [block for n, block in enumerate(blocks) if not rest or n % parts != parts - 1]
        if full:
            name = self.writer.name("b", Blocks(full), ("full blocks", id(self.chain)))
            runs.append(f"share(part, {name})" if self.chain.parallel else f"part({name})")
        if rest:
            left = Blocks(blocks[parts - 1 :: parts])
            runs.append(f"part({self.writer.name('b', left, ('other blocks', id(self.chain)))}, {rest})")
        return runs

    def _first(self, here: Pattern) -> str:
        """The index that drops the axes before the walk's from an operand that no block moves along."""
        return "" if self.walk.moves(here) or not self.walk.axis else ", ".join(["0"] * self.walk.axis)

    def _before(self, n: int) -> list[str]:
        link = self.chain.links[n]
        assert link.op.target is not None
        shape = (self.walk.blocks, *part_shape(self.chain, link))
        return [f"p{n} = empty({shape}, {self._result_dtype(link)})"]

    def _after(self, n: int) -> str:
        link = self.chain.links[n]
        shape = (self.walk.blocks, *masked(self.walk.axes, self.chain.patterns[link.out]))
        return f"reduce_sum(p{n}.reshape({shape}), 0, {self._result_dtype(link)}, x{link.out})"

    def _result_dtype(self, link: Link) -> str:
        return self._dtype(self.writer.program.registers[link.op.target].dtype)

    def _dtype(self, dtype: Any) -> str:
        return str(self.writer.dtype(dtype))

    def _calls(self) -> list[str]:
        """The calls for one block."""
        lines, n = [], 0
        while n < len(self.chain.links):
            if n in self.kernels:
                stop, found = self.kernels[n]
                lines.append(f"g{n}({', '.join([self._place(place) for place in found.places])})")
                n = stop
            else:
                link = self.chain.links[n]
                lines.append(f"{self._link(n, link)}{self._comment(link)}")
                n += 1
        return lines

    def _link(self, n: int, link: Link) -> str:
        args = [self.writer.number(arg) if isinstance(arg, Constant) else self._place(arg) for arg in link.args]
        if link.op.function == "dot":
            return f"p{n}[n] = dot({', '.join(args)})"
        if link.op.function == "sum":
            out = self._place(link.out) if link.whole else f"p{n}[n]"
            return f"reduce_sum({args[0]}, {link.axes}, {self._result_dtype(link)}, {out}, True)"
        out = self._place(link.out)
        if link.op.function == "astype":
            return f"copyto({out}, {args[0]}, 'unsafe')"
        name = link.op.function
        if name == "row":
            row = link.op.options[0]
            name = self.writer.name("f", row.evaluate, row)
        return f"{name}({', '.join([*args, out])})"

    def _comment(self, link: Link) -> str:
        return f"  # {link.op.statement}" if self.comments else ""

    def _place(self, place: int) -> str:
        """A block of an operand or of a buffer."""
        if place < 0:
            return f"y{-place - 1}"
        return f"{'z' if self.chain.patterns[place] in self.indices else 'x'}{place}"

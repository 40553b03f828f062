"""Improve a contraction tree: search again, exactly, within small subtrees, until nothing gets cheaper."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from einad.plan.exact import ELEMENT, FLOP, Path

Labels = frozenset[int]
Search = Callable[[Sequence[Labels], Labels, Sequence[int], int], Path | None]

LEAVES, ROUNDS = 8, 4


class Tree:
    """A contraction tree: ``children[v]`` are a step's operands, ``kept[v]`` the labels of a result.

    ``cost[v]`` is what a step costs: its FLOPs times `FLOP`, and the elements it reads and writes times `ELEMENT`.
    """

    def __init__(self, path: Path, inputs: Sequence[Labels], output: Labels, extents: Sequence[int]) -> None:
        self.count = len(inputs)
        self.extents = extents
        self.output = output
        self.children = {self.count + n: pair for n, pair in enumerate(path)}
        self.root = self.count + len(path) - 1
        self.kept: dict[int, Labels] = dict(enumerate(inputs))
        self._next = self.root + 1
        self._sizes: dict[Labels, int] = {}
        self._label(inputs)
        self.cost = {v: self._cost(v) for v in self.children}

    def _label(self, inputs: Sequence[Labels]) -> None:
        """A label leaves a result once all its operands lie below it."""
        total: dict[int, int] = {}
        for labels in inputs:
            for label in labels:
                total[label] = total.get(label, 0) + 1
        below: dict[int, dict[int, int]] = {n: dict.fromkeys(labels, 1) for n, labels in enumerate(inputs)}
        for v in self.order():
            i, j = self.children[v]
            counts = below.pop(i)
            for label, n in below.pop(j).items():
                counts[label] = counts.get(label, 0) + n
            open_labels = {label: n for label, n in counts.items() if label in self.output or n < total[label]}
            below[v] = open_labels
            self.kept[v] = frozenset(open_labels)

    def order(self) -> list[int]:
        """The steps, operands first."""
        found, stack = [], [self.root]
        while stack:
            v = stack.pop()
            if v in self.children:
                found.append(v)
                stack.extend(self.children[v])
        return found[::-1]

    def size(self, labels: Labels) -> int:
        """The number of elements over labels."""
        total = self._sizes.get(labels)
        if total is None:
            total = 1
            for label in labels:
                total *= self.extents[label]
            self._sizes[labels] = total
        return total

    def _cost(self, v: int) -> int:
        i, j = self.children[v]
        both, mine = self.kept[i] | self.kept[j], self.kept[v]
        flops = self.size(both) if both == mine else 2 * self.size(both)
        return flops * FLOP + (self.size(self.kept[i]) + self.size(self.kept[j]) + self.size(mine)) * ELEMENT

    def frontier(self, v: int) -> tuple[list[int], list[int]]:
        """Up to 8 operands that make up step ``v``, the most costly steps opened first; and the steps opened."""
        leaves, opened = list(self.children[v]), [v]
        while len(leaves) < LEAVES:
            inner = [leaf for leaf in leaves if leaf in self.children]
            if not inner:
                break
            chosen = max(inner, key=self.cost.__getitem__)
            leaves.remove(chosen)
            leaves.extend(self.children[chosen])
            opened.append(chosen)
        return leaves, opened

    def replace(self, v: int, leaves: Sequence[int], opened: Sequence[int], path: Path) -> None:
        """Put another path over the same leaves in place of the opened steps; ``v`` stays the number of its root."""
        for step in opened:
            del self.children[step], self.cost[step]
        numbers, below = list(leaves), [1 << k for k in range(len(leaves))]
        for n, (i, j) in enumerate(path):
            a, b = numbers[i], numbers[j]
            number = v
            if n < len(path) - 1:
                number, self._next = self._next, self._next + 1
                rest = [self.kept[leaf] for k, leaf in enumerate(leaves) if not (below[i] | below[j]) >> k & 1]
                self.kept[number] = (self.kept[a] | self.kept[b]) & self.kept[v].union(*rest)
            self.children[number] = (a, b)
            self.cost[number] = self._cost(number)
            numbers.append(number)
            below.append(below[i] | below[j])

    def path(self) -> Path:
        """The tree as a path."""
        numbers = {n: n for n in range(self.count)}
        found: list[tuple[int, int]] = []
        for v in self.order():
            i, j = self.children[v]
            found.append((numbers[i], numbers[j]))
            numbers[v] = self.count + len(found) - 1
        return tuple(found)


def refine(path: Path, inputs: Sequence[Labels], output: Labels, extents: Sequence[int], search: Search) -> Path:
    """The path with every subtree of up to 8 operands replaced by a cheaper one, where there is one.

    ``search(inputs, output, extents, below)`` gives a path that costs less than ``below``, or None.
    """
    tree = Tree(path, inputs, output, extents)
    for _ in range(ROUNDS):
        improved = [_improve(tree, v, search) for v in tree.order()]
        if not any(improved):
            break
    return tree.path()


def _improve(tree: Tree, v: int, search: Search) -> bool:
    if v not in tree.children:
        return False
    leaves, opened = tree.frontier(v)
    if len(leaves) < 3:
        return False
    below = sum([tree.cost[step] for step in opened])
    found = search([tree.kept[leaf] for leaf in leaves], tree.kept[v], tree.extents, below)
    if found is None:
        return False
    tree.replace(v, leaves, opened, found)
    return True

"""Improve a contraction tree: search again, exactly, within small subtrees, until nothing gets cheaper."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from einad.ir.spec import Labels

Path = tuple[tuple[int, int], ...]
Search = Callable[[Sequence[Labels], frozenset[int], Sequence[int]], Path]

LEAVES, ROUNDS = 8, 4


class Tree:
    """A contraction tree: ``children[v]`` are a step's operands, ``kept[v]`` the labels of a result."""

    def __init__(
        self, path: Path, inputs: Sequence[frozenset[int]], output: frozenset[int], extents: Sequence[int]
    ) -> None:
        self.count = len(inputs)
        self.extents = extents
        self.output = output
        self.children = {self.count + n: pair for n, pair in enumerate(path)}
        self.root = self.count + len(path) - 1
        self.kept: dict[int, frozenset[int]] = dict(enumerate(inputs))
        self._next = self.root + 1
        self._label(inputs)

    def _label(self, inputs: Sequence[frozenset[int]]) -> None:
        """A label leaves a result once all its operands lie below it."""
        total: dict[int, int] = {}
        for labels in inputs:
            for label in labels:
                total[label] = total.get(label, 0) + 1
        below: dict[int, dict[int, int]] = {n: dict.fromkeys(labels, 1) for n, labels in enumerate(inputs)}
        for v in self.order():
            i, j = self.children[v]
            counts = dict(below.pop(i))
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

    def size(self, labels: frozenset[int]) -> int:
        """The number of elements over labels."""
        total = 1
        for label in labels:
            total *= self.extents[label]
        return total

    def cost(self, v: int) -> int:
        """The multiplications of a step."""
        i, j = self.children[v]
        return self.size(self.kept[i] | self.kept[j])

    def frontier(self, v: int) -> tuple[list[int], list[int]]:
        """Up to 8 operands that make up step ``v``, the most costly steps opened first; and the steps opened."""
        leaves, opened = list(self.children[v]), [v]
        while len(leaves) < LEAVES:
            inner = [leaf for leaf in leaves if leaf in self.children]
            if not inner:
                break
            chosen = max(inner, key=self.cost)
            leaves.remove(chosen)
            leaves.extend(self.children[chosen])
            opened.append(chosen)
        return leaves, opened

    def replace(self, v: int, leaves: Sequence[int], opened: Sequence[int], path: Path) -> None:
        """Put another path over the same leaves in place of the opened steps; ``v`` stays the number of its root."""
        for step in opened:
            del self.children[step]
        numbers = list(leaves)
        for n, (i, j) in enumerate(path):
            number = v if n == len(path) - 1 else self._next
            self._next += number != v
            a, b = numbers[i], numbers[j]
            self.children[number] = (a, b)
            numbers.append(number)
            if number != v:
                outside = [self.kept[leaf] for k, leaf in enumerate(leaves) if not self._covers(number, leaf)]
                needed = self.kept[v].union(*outside)
                self.kept[number] = (self.kept[a] | self.kept[b]) & needed

    def _covers(self, v: int, leaf: int) -> bool:
        stack = [v]
        while stack:
            u = stack.pop()
            if u == leaf:
                return True
            stack.extend(self.children.get(u, ()) if u != leaf else ())
        return False

    def path(self) -> Path:
        """The tree as a path."""
        numbers = {n: n for n in range(self.count)}
        found: list[tuple[int, int]] = []
        for v in self.order():
            i, j = self.children[v]
            found.append((numbers[i], numbers[j]))
            numbers[v] = self.count + len(found) - 1
        return tuple(found)


def refine(
    path: Path, inputs: Sequence[frozenset[int]], output: frozenset[int], extents: Sequence[int], search: Search
) -> Path:
    """The path with every subtree of up to 8 operands replaced by a cheaper one, where there is one."""
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
    before = sum(tree.cost(step) for step in opened)
    found = search([tuple(tree.kept[leaf]) for leaf in leaves], tree.kept[v], tree.extents)
    saved = dict(tree.children), dict(tree.kept)
    tree.replace(v, leaves, opened, found)
    steps = [step for step in tree.children if step == v or step not in saved[0]]
    if sum(tree.cost(step) for step in steps) < before:
        return True
    tree.children, tree.kept = saved
    return False

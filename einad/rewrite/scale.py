"""scale: a coefficient that many results carry is applied once, to the tensor they share.

The mean of squared errors has the coefficient ``2/n`` on the gradient of every layer, because the normal form pulls
numbers out of products. Each costs one pass over a result. Applied to the error itself, all of them get it at once, as
a hand-written program would do. Works on pairwise contractions, after equal nodes are merged, so that nothing is hidden
from that.
"""

from __future__ import annotations

from collections.abc import Sequence

from einad.ir import build
from einad.ir.expr import Add, Einsum, Node, Scalar, Structured, scalar_key
from einad.ir.walk import rebuild, topological

GAIN, ROUNDS = 1.25, 3  # a copy of an operand must save this many times its size


def share_coefficients(roots: Sequence[Node]) -> list[Node]:
    """The same values, with coefficients moved to where they cost least."""
    found = list(roots)
    for _ in range(ROUNDS):
        before = found
        for coefficient in _shared_coefficients(found):
            found = _Move(found, coefficient).apply()
        if found == before:
            break
    return found


def _shared_coefficients(roots: Sequence[Node]) -> list[Scalar]:
    counts: dict[object, tuple[int, Scalar]] = {}
    for node in topological(roots):
        if _carries(node) and isinstance(node, Einsum):
            key = scalar_key(node.coefficient)
            counts[key] = counts.get(key, (0, 0))[0] + 1, node.coefficient
    return [value for count, value in counts.values() if count > 1]


def _carries(node: Node) -> bool:
    return isinstance(node, Einsum) and node.coefficient not in (0, 1, -1) and _is_scalable(node)


def _is_scalable(node: Node) -> bool:
    """Whether a node times a number can be had by scaling an operand."""
    plain = isinstance(node, Einsum | Add) and node.dtype.kind in "fc"
    same = all(child.dtype == node.dtype or isinstance(child, Structured) for child in node.children)
    return plain and same and bool(node.children)


class _Move:
    """One coefficient on its way down. ``scaled`` are nodes that are computed times the coefficient, and nothing else;
    ``through`` tells for a node by which operand it gets the coefficient; ``copies`` are operands scaled for some.
    """

    def __init__(self, roots: Sequence[Node], coefficient: Scalar) -> None:
        self.roots, self.coefficient = roots, coefficient
        self.order = topological(roots)
        self.readers: dict[Node, list[Node]] = {}
        for node in self.order:
            for child in node.children:
                self.readers.setdefault(child, []).append(node)
        key = scalar_key(coefficient)
        self.carriers = {
            node
            for node in self.order
            if isinstance(node, Einsum) and _carries(node) and scalar_key(node.coefficient) == key
        }
        self.scaled: set[Node] = set()
        self.through: dict[Node, Node] = {}
        self.copies: set[Node] = set()

    def apply(self) -> list[Node]:
        """The graph with the coefficient moved, or as it was where that does not pay."""
        self._find_scaled()
        self._prune()
        self._find_copies()
        if self._saved() <= 0:
            return list(self.roots)
        return self._rebuild()

    def _find_scaled(self) -> None:
        ends = set(self.roots)
        for node in reversed(self.order):
            if node in self.carriers or node in ends or not _is_scalable(node):
                continue
            readers = self.readers.get(node, [])
            if readers and all(self._takes(reader, node) for reader in readers):
                self.scaled.add(node)
                for reader in readers:
                    self.through[reader] = node

    def _takes(self, reader: Node, node: Node) -> bool:
        """Whether a reader gets the coefficient if this operand has it."""
        if isinstance(reader, Add):
            return reader in self.scaled
        once = reader.children.count(node) == 1 and reader not in self.through
        return once and (reader in self.carriers or (reader in self.scaled and isinstance(reader, Einsum)))

    def _prune(self) -> None:
        """Go down only as far as that saves work: a node stays unscaled if scaling all its readers costs no more."""
        cost: dict[Node, float] = {}
        for node in self.order:
            if node in self.scaled:
                cost[node] = self._cost(node, cost)
                if cost[node] >= sum([reader.size for reader in self.readers[node]]):
                    self._unscale(node)

    def _cost(self, node: Node, cost: dict[Node, float]) -> float:
        """What it takes to have a node scaled, shared among those who read what is scaled for it."""
        if isinstance(node, Add):
            return sum([cost[x] if x in self.scaled else x.size for x in node.children])
        source = self.through.get(node)
        if source is not None:
            return cost[source] / len(self.readers[source])
        return min([node.size, *[x.size for x in self._copyable(node)]])

    def _copyable(self, node: Node) -> list[Node]:
        """The operands of which a scaled copy would do."""
        fitting = [x for x in node.children if x.dtype == node.dtype and not isinstance(x, Structured)]
        return [x for x in fitting if node.children.count(x) == 1]

    def _unscale(self, node: Node) -> None:
        stack = [node]
        while stack:
            node = stack.pop()
            self.scaled.discard(node)
            for reader in self.readers[node]:
                if self.through.get(reader) is node:
                    del self.through[reader]
            stack.extend([child for child in node.children if child in self.scaled])

    def _find_copies(self) -> None:
        """Operands that are worth a scaled copy for those that do not get the coefficient otherwise."""
        wanting = [node for node in self.order if node in self.carriers or node in self.scaled]
        wanting = [node for node in wanting if isinstance(node, Einsum) and node not in self.through]
        members: dict[Node, list[Node]] = {}
        for node in wanting:
            for child in self._copyable(node):
                members.setdefault(child, []).append(node)
        gains = {child: sum([node.size for node in group]) - child.size for child, group in members.items()}
        for child in sorted(members, key=lambda each: -gains[each]):
            rest = [node for node in members[child] if node not in self.through]
            if rest and sum([node.size for node in rest]) > GAIN * child.size:
                self.copies.add(child)
                self.through.update(dict.fromkeys(rest, child))

    def _saved(self) -> float:
        """Elements that need no longer be scaled, less those that now are."""
        saved = sum([node.size for node in self.carriers if node in self.through])
        spent = sum([node.size for node in self.copies])
        spent += sum([node.size for node in self.scaled if isinstance(node, Einsum) and node not in self.through])
        for node in self.scaled:
            if isinstance(node, Add):
                spent += sum([child.size for child in node.children if child not in self.scaled])
        return saved - spent

    def _rebuild(self) -> list[Node]:
        new: dict[Node, Node] = {}
        for node in self.order:
            if not node.children:
                new[node] = node
            elif isinstance(node, Add) and node in self.scaled:
                new[node] = Add(*[new[x] if x in self.scaled else self._times(new[x]) for x in node.children])
            elif isinstance(node, Einsum):
                new[node] = self._einsum(node, new)
            else:
                new[node] = rebuild(node, tuple([new[child] for child in node.children]))
        return [new[root] for root in self.roots]

    def _einsum(self, node: Einsum, new: dict[Node, Node]) -> Node:
        source, coefficient = self.through.get(node), node.coefficient
        copied = source in self.copies and source not in self.scaled
        children = [self._times(new[x]) if copied and x is source else new[x] for x in node.children]
        if node in self.carriers and source is not None:
            coefficient = 1
        elif node in self.scaled and source is None:
            coefficient = coefficient * self.coefficient
        return Einsum(node.spec, tuple(children), node.sizes, coefficient, node.dtype)

    def _times(self, node: Node) -> Node:
        return build.scale(node, self.coefficient)

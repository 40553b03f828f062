"""Walks over expression graphs: iterative, each node once, linear in the number of nodes."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from einad.ir.expr import Add, Call, Einsum, Map, Node, OneHot


def topological(roots: Iterable[Node], stop: Container[Node] = frozenset()) -> list[Node]:
    """Every node below ``roots``, children before parents; nodes in ``stop`` count as leaves."""
    order: list[Node] = []
    done: set[Node] = set()
    stack = list(roots)[::-1]
    while stack:
        node = stack.pop()
        if node in done:
            continue
        if node.children and node not in stop:
            pending = [child for child in node.children if child not in done]
            if pending:  # the node is met again, once they are done
                stack.append(node)
                stack.extend(pending[::-1])
                continue
        done.add(node)
        order.append(node)
    return order


def dependents(order: Iterable[Node], sources: Iterable[Node]) -> set[Node]:
    """The nodes of ``order`` (children first) that lie on a path from ``sources``, which they include."""
    found = set(sources)
    for node in order:
        if node not in found and not found.isdisjoint(node.children):
            found.add(node)
    return found


def rebuild(node: Node, children: tuple[Node, ...]) -> Node:
    """The same node over other children; ``node`` itself where they are the same."""
    if children == node.children:
        return node
    if isinstance(node, Einsum):
        same = [new.dtype for new in children] == [old.dtype for old in node.children]
        return Einsum(node.spec, children, node.sizes, node.coefficient, node.dtype if same else None)
    if isinstance(node, Map):
        return Map(node.row, *children)
    if isinstance(node, Add):
        return Add(*children)
    if isinstance(node, Call):
        return Call(node.row, children, node.params)
    if isinstance(node, OneHot):
        return OneHot(children[0], node.length)
    return node


def transform(
    roots: Iterable[Node],
    rule: Callable[[Node, tuple[Node, ...]], Node],
    known: Mapping[Node, Node] | None = None,
    order: Sequence[Node] | None = None,
) -> list[Node]:
    """Rebuild a graph bottom-up: ``rule(node, new_children)`` gives each node's replacement, once per node.

    ``known`` holds replacements given in advance (a substitution); nothing below them is visited. ``order`` is the
    graph's topological order, where it is known already.
    """
    roots = list(roots)
    memo: dict[Node, Node] = dict(known or {})
    for node in topological(roots, known or ()) if order is None else order:
        if node not in memo:
            memo[node] = rule(node, tuple([memo[child] for child in node.children]))
    return [memo[root] for root in roots]


def substitute(roots: Iterable[Node], replacements: Mapping[Node, Node]) -> list[Node]:
    """Replace nodes, wherever they stand, by others of the same shape."""
    return transform(roots, rebuild, replacements)


def use_counts(roots: Iterable[Node], order: Sequence[Node] | None = None) -> dict[Node, int]:
    """How often each node stands as an operand below ``roots``; being a root counts as a use.

    ``order`` is the graph's topological order, where it is known already.
    """
    roots = list(roots)
    counts: dict[Node, int] = {}
    for node in topological(roots) if order is None else order:
        counts[node] = 0
        for child in node.children:
            counts[child] += 1
    for root in roots:
        counts[root] += 1
    return counts

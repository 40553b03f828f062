"""Walks over expression graphs: iterative, each node once, linear in the number of nodes."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

from einad.ir.expr import Add, Call, Einsum, Map, Node


def topological(roots: Iterable[Node], stop: Container[Node] = frozenset()) -> list[Node]:
    """Every node below ``roots``, children before parents; nodes in ``stop`` count as leaves."""
    order: list[Node] = []
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, expanded = stack.pop()
        if node in done:
            continue
        if expanded or not node.children or node in stop:
            done.add(node)
            order.append(node)
            continue
        stack.append((node, True))
        stack.extend([(child, False) for child in reversed(node.children) if child not in done])
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
        same = all(new.dtype == old.dtype for new, old in zip(children, node.children, strict=True))
        return Einsum(node.spec, children, node.sizes, node.coefficient, node.dtype if same else None)
    if isinstance(node, Map):
        return Map(node.row, *children)
    if isinstance(node, Add):
        return Add(*children)
    if isinstance(node, Call):
        return Call(node.row, children, node.params)
    return node


def transform(
    roots: Iterable[Node],
    rule: Callable[[Node, tuple[Node, ...]], Node],
    known: Mapping[Node, Node] | None = None,
) -> list[Node]:
    """Rebuild a graph bottom-up: ``rule(node, new_children)`` gives each node's replacement, once per node.

    ``known`` holds replacements given in advance (a substitution); nothing below them is visited.
    """
    roots = list(roots)
    memo: dict[Node, Node] = dict(known or {})
    for node in topological(roots, known or ()):
        if node not in memo:
            memo[node] = rule(node, tuple([memo[child] for child in node.children]))
    return [memo[root] for root in roots]


def substitute(roots: Iterable[Node], replacements: Mapping[Node, Node]) -> list[Node]:
    """Replace nodes, wherever they stand, by others of the same shape."""
    return transform(roots, rebuild, replacements)


def use_counts(roots: Iterable[Node]) -> dict[Node, int]:
    """How often each node stands as an operand below ``roots``; being a root counts as a use."""
    roots = list(roots)
    counts: dict[Node, int] = {}
    for node in topological(roots):
        counts.setdefault(node, 0)
        for child in node.children:
            counts[child] += 1
    for root in roots:
        counts[root] += 1
    return counts

"""Containers of arrays: tuples, lists, dicts, named tuples and dataclasses, nested in any way.

`flatten` lists the leaves and returns a hashable `Structure` that puts leaves back. ``None`` is an empty container.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple


class Structure(NamedTuple):
    """The shape of a container: its type, its keys and the structures of its entries. A leaf has type None."""

    kind: type | None
    keys: tuple[Hashable, ...] = ()
    children: tuple[Structure, ...] = ()

    @property
    def leaf_count(self) -> int:
        """The number of leaves."""
        return 1 if self.kind is None else sum(child.leaf_count for child in self.children)


LEAF = Structure(None)
NOTHING = Structure(type(None))


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of a container in order, and its structure.

    >>> leaves, structure = flatten({"W": [1, 2], "b": (3, None)})
    >>> leaves
    [1, 2, 3]
    >>> unflatten(structure, [10, 20, 30])
    {'W': [10, 20], 'b': (30, None)}
    """
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """A container of the given structure with these leaves."""
    return _unflatten(structure, iter(leaves))


def rebuilder(structure: Structure, leaf: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    """A quick function that puts a sequence of leaves back; ``leaf[n]`` is Python text to be applied to leaf ``n``.

    Nested tuples and lists become one expression, such as ``(v[0][()], (v[1], v[2]))``.

    >>> rebuilder(flatten((1, [2, 3]))[1], ["", "", "[0]"])([10, 20, (30, 40)])
    (10, [20, 30])
    """
    places = iter([f"v[{n}]{text}" for n, text in enumerate(leaf)])
    text = _expression(structure, places)
    if text is not None:
        quick: Callable[[Sequence[Any]], Any] = eval(f"lambda v: {text}", {})
        return quick
    each = [eval(f"lambda x: x{text}", {}) for text in leaf]
    return lambda leaves: unflatten(structure, [apply(x) for apply, x in zip(each, leaves, strict=True)])


def _expression(structure: Structure, places: Iterator[str]) -> str | None:
    """The text that builds a container of tuples and lists from the names of its leaves."""
    if structure.kind is None:
        return next(places)
    if structure.kind not in (tuple, list):
        return None
    parts = [_expression(child, places) for child in structure.children]
    if None in parts:
        return None
    inner = "".join([f"{part}, " for part in parts])
    return f"({inner})" if structure.kind is tuple else f"[{inner}]"


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same container with ``function`` applied to every leaf."""
    leaves, structure = flatten(tree)
    return unflatten(structure, [function(leaf) for leaf in leaves])


def _flatten(tree: Any, leaves: list[Any]) -> Structure:
    kind = type(tree)
    if tree is None:
        return NOTHING
    if isinstance(tree, tuple | list):
        return Structure(kind, (), tuple([_flatten(entry, leaves) for entry in tree]))
    if isinstance(tree, dict):
        return Structure(kind, tuple(tree), tuple([_flatten(entry, leaves) for entry in tree.values()]))
    if is_dataclass(tree) and not isinstance(tree, type):
        names = tuple([field.name for field in fields(tree)])
        return Structure(kind, names, tuple([_flatten(getattr(tree, name), leaves) for name in names]))
    leaves.append(tree)
    return LEAF


def _unflatten(structure: Structure, leaves: Iterator[Any]) -> Any:
    kind, keys, children = structure
    if kind is None:
        return next(leaves)
    if kind is type(None):
        return None
    entries = [_unflatten(child, leaves) for child in children]
    if issubclass(kind, dict):
        return _fill_dict(kind, zip(keys, entries, strict=True))
    if is_dataclass(kind):
        return _fill_dataclass(kind, zip(keys, entries, strict=True))
    build: Any = kind
    return build(*entries) if hasattr(kind, "_fields") else build(entries)


def _fill_dict(kind: Any, items: Iterable[tuple[Hashable, Any]]) -> Any:
    filled: Any = kind()
    filled.update(items)
    return filled


def _fill_dataclass(kind: Any, items: Iterable[tuple[Hashable, Any]]) -> Any:
    filled: Any = object.__new__(kind)
    for name, value in items:
        object.__setattr__(filled, str(name), value)
    return filled

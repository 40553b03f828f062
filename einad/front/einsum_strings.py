"""Reading einsum arguments: NumPy's strings and interleaved lists, and the closed notation.

Beyond NumPy, a label may stand only in the output (a broadcast; its size comes from ``sizes``), several times in the
output (a Kronecker delta), and there may be no operand at all. Axes of size 1 broadcast, as in NumPy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from einad.errors import NotationError, ShapeError
from einad.ir.expr import Shape
from einad.ir.spec import Spec, canonical

Label = Hashable
Labels = list[Label]
FIRST_SYMBOL = "\u00c0"


class Subscripts(NamedTuple):
    """The labels of each operand and of the output as written; ``output`` is None in the implicit form.

    ``Ellipsis`` stands for itself. ``text`` is what the user wrote, for messages.
    """

    inputs: list[Labels]
    output: Labels | None
    text: str


class Contraction(NamedTuple):
    """Labels without ellipsis and with broadcasting made explicit, and the size of every label."""

    inputs: list[Labels]
    output: Labels
    sizes: dict[Label, int]


def read_string(text: str) -> Subscripts:
    """Read a subscripts string such as ``"ij,jk->ik"``, ``"ij,jk"``, ``"...i,...i"`` or ``"->ii"``.

    >>> read_string("ij, jk -> ik")
    Subscripts(inputs=[['i', 'j'], ['j', 'k']], output=['i', 'k'], text='ij, jk -> ik')
    """
    left, arrow, right = text.partition("->")
    if "->" in right:
        raise NotationError("an einsum string has at most one '->'", text, text.rindex("->"))
    inputs, start = [], 0
    for part in left.split(","):
        inputs.append(_read_labels(part, text, start))
        start += len(part) + 1
    if "," in right:
        raise NotationError("an einsum has one output: found ',' behind '->'", text, text.rindex(","))
    output = _read_labels(right, text, len(left) + 2) if arrow else None
    return Subscripts(inputs, output, text)


def _read_labels(part: str, text: str, start: int) -> Labels:
    labels: Labels = []
    position = 0
    while position < len(part):
        character = part[position]
        if part.startswith("...", position):
            if Ellipsis in labels:
                raise NotationError("'...' stands twice in one term", text, start + position)
            labels.append(Ellipsis)
            position += 3
            continue
        if _is_label(character):
            labels.append(character)
        elif not character.isspace():
            raise NotationError(f"expected a letter, ',', '->' or '...', found {character!r}", text, start + position)
        position += 1
    return labels


def _is_label(character: str) -> bool:
    """Letters, and the other characters that opt_einsum's ``get_symbol`` gives from the 76th label on."""
    return character.isalpha() or (character >= FIRST_SYMBOL and character not in "→…" and not character.isspace())


def read_interleaved(args: Sequence[Any]) -> tuple[Subscripts, list[Any]]:
    """Read ``A, [0, 1], B, [1, 2], [0, 2]``: the labels and the operands. The output list may be missing."""
    pairs, rest = args[: len(args) // 2 * 2], args[len(args) // 2 * 2 :]
    inputs = [_check_labels(labels) for labels in pairs[1::2]]
    output = _check_labels(rest[0]) if rest else None
    shown = ", ".join(f"operand {k}, {labels}" for k, labels in enumerate(inputs))
    text = shown + (f", {output}" if rest else "")
    return Subscripts(inputs, output, text.replace("Ellipsis", "...")), list(pairs[::2])


def _check_labels(labels: Any) -> Labels:
    if not isinstance(labels, list | tuple):
        raise NotationError(
            f"expected a list of integer labels behind each operand, found {type(labels).__name__}; "
            "write einsum(A, [0, 1], B, [1, 2], [0, 2]) or einsum('ij,jk->ik', A, B)"
        )
    for label in labels:
        if label is not Ellipsis and not isinstance(label, Hashable):
            raise NotationError(f"labels are integers or ..., found {label!r}")
    if labels.count(Ellipsis) > 1:
        raise NotationError(f"'...' stands twice in one list of labels: {list(labels)}")
    return list(labels)


def resolve(subscripts: Subscripts, shapes: Sequence[Shape], sizes: Mapping[Any, int] | None = None) -> Contraction:
    """Fit subscripts to the operands' shapes: expand ellipses, find sizes, make broadcasting explicit."""
    text = subscripts.text
    if subscripts.inputs == [[]] and not shapes:
        subscripts = subscripts._replace(inputs=[])
    if len(subscripts.inputs) != len(shapes):
        raise ShapeError(
            f"'{text}' names {len(subscripts.inputs)} operands, got {len(shapes)} with shapes {_listed(shapes)}"
        )
    expanded = [_expand(subscripts, k, shape) for k, shape in enumerate(shapes)]
    hidden = max((sum(_is_hidden(label) for label in labels) for labels in expanded), default=0)
    output = _output_labels(subscripts, expanded, hidden)
    found = _label_sizes(expanded, shapes, text)
    _take_given_sizes(found, output, sizes or {}, text)
    inputs = [_stretch(labels, shape, found) for labels, shape in zip(expanded, shapes, strict=True)]
    return Contraction(inputs, output, found)


@lru_cache(1024)
def closed_spec(text: str, shapes: tuple[Shape, ...]) -> tuple[Spec, tuple[int, ...]]:
    """A string fitted to operands' shapes, as a spec of the closed notation and the sizes of its labels.

    >>> closed_spec("ij,jk", ((2, 3), (3, 4)))
    (Spec(inputs=((0, 1), (1, 2)), output=(0, 2)), (2, 3, 4))
    """
    found = resolve(read_string(text), shapes)
    spec, names = canonical(found.inputs, found.output)
    return spec, tuple([found.sizes.get(name, 1) for name in names])  # stretched axes have size 1


def _listed(shapes: Sequence[Shape]) -> str:
    return ", ".join(map(str, shapes)) or "none"


def _is_hidden(label: Label) -> bool:
    return isinstance(label, tuple) and label[:1] == ("...",)


def _hidden(count: int) -> Labels:
    """Labels of the axes an ellipsis stands for, counted from the right because they broadcast from there."""
    return [("...", position) for position in reversed(range(count))]


def _expand(subscripts: Subscripts, k: int, shape: Shape) -> Labels:
    labels = subscripts.inputs[k]
    named = len(labels) - labels.count(Ellipsis)
    extra = len(shape) - named
    if extra < 0 or (extra > 0 and Ellipsis not in labels):
        hint = "" if extra < 0 else "; add labels, or '...' for the remaining axes"
        raise ShapeError(
            f"operand {k} of '{subscripts.text}' has {named} labels, but shape {shape} has {len(shape)} axes{hint}"
        )
    return _replace_ellipsis(labels, _hidden(extra))


def _replace_ellipsis(labels: Labels, hidden: Labels) -> Labels:
    return [new for label in labels for new in (hidden if label is Ellipsis else [label])]


def _output_labels(subscripts: Subscripts, expanded: Sequence[Labels], hidden: int) -> Labels:
    if subscripts.output is None:
        counts = Counter(label for labels in expanded for label in labels if not _is_hidden(label))
        once: list[Any] = [label for label, count in counts.items() if count == 1]
        return [*_hidden(hidden), *sorted(once)]
    if hidden and Ellipsis not in subscripts.output:
        raise NotationError(
            f"'...' stands for {hidden} axes of the operands but does not stand in the output; write '...' there, or "
            "name the axes to sum over them",
            subscripts.text,
        )
    return _replace_ellipsis(subscripts.output, _hidden(hidden))


def _label_sizes(expanded: Sequence[Labels], shapes: Sequence[Shape], text: str) -> dict[Label, int]:
    found: dict[Label, int] = {}
    for labels, shape in zip(expanded, shapes, strict=True):
        own: dict[Label, int] = {}
        for label, n in zip(labels, shape, strict=True):
            known = own.setdefault(label, n)
            if known != n or (found.get(label, 1) not in (1, n) and n != 1):
                _refuse_sizes(label, found.get(label, known) if known == n else known, n, shapes, text)
        for label, n in own.items():
            if found.get(label, 1) == 1:
                found[label] = n
    return found


def _refuse_sizes(label: Label, first: int, second: int, shapes: Sequence[Shape], text: str) -> None:
    shown = "an axis under '...'" if _is_hidden(label) else f"label {label!r}"
    raise ShapeError(
        f"{shown} of '{text}' has size {first} and size {second}; operand shapes: {_listed(shapes)}. Expected equal "
        "sizes (or 1, which broadcasts between operands); check the order of the labels"
    )


def _take_given_sizes(found: dict[Label, int], output: Labels, sizes: Mapping[Any, int], text: str) -> None:
    for label, n in sizes.items():
        if found.setdefault(label, n) not in (n, 1):
            raise ShapeError(f"label {label!r} of '{text}' has size {found[label]}, but sizes says {n}")
        found[label] = n
    missing = [label for label in output if label not in found]
    if missing:
        position = text.rindex(missing[0]) if isinstance(missing[0], str) else None
        raise NotationError(
            f"label {missing[0]!r} stands only in the output, so no operand gives its size; "
            f"check the labels, or give it with sizes={{{missing[0]!r}: n}}",
            text,
            position,
        )


def _stretch(labels: Labels, shape: Shape, found: Mapping[Label, int]) -> Labels:
    """Labels of an operand, an axis of size 1 that is stretched having a label of its own."""
    return [label if found[label] == n else ("one", label) for label, n in zip(labels, shape, strict=True)]

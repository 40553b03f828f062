"""The closed einsum notation: which labels stand on which operand and on the output.

Labels are integers, so there is no limit to their number. A spec is *closed under swapping*: a label
may stand only in the output (a broadcast), several times in one operand (a diagonal) or several times
in the output (a Kronecker delta), and there may be no operand at all.

``Spec`` knows labels only; sizes, operands and the coefficient belong to the node (`einad.ir.expr`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

from einad.errors import NotationError

Labels = tuple[int, ...]
Name = TypeVar("Name", bound=Hashable)


class Spec(NamedTuple):
    """Labels of the operands and of the output, for example ``((0, 1), (1, 2)) -> (0, 2)``.

    Examples
    --------
    >>> spec = parse_spec("ij,jk->ik")
    >>> spec
    Spec(inputs=((0, 1), (1, 2)), output=(0, 2))
    >>> print(spec)
    ab,bc->ac
    """

    inputs: tuple[Labels, ...]
    output: Labels

    def __str__(self) -> str:
        inputs = ",".join("".join(map(symbol, labels)) for labels in self.inputs)
        return f"{inputs}->{''.join(map(symbol, self.output))}"

    @property
    def label_count(self) -> int:
        """One more than the largest label."""
        return 1 + max(chain(*self.inputs, self.output), default=-1)

    @property
    def input_labels(self) -> frozenset[int]:
        """The labels that stand on some operand."""
        return frozenset(chain(*self.inputs))

    @property
    def contracted(self) -> frozenset[int]:
        """The labels summed over: on some operand, not in the output."""
        return frozenset(chain(*self.inputs)).difference(self.output)

    @property
    def broadcast(self) -> frozenset[int]:
        """The labels that stand only in the output."""
        return frozenset(self.output) - self.input_labels


def swap(spec: Spec, k: int) -> Spec:
    """The VJP of every linear thing: exchange the labels of the output with those of operand ``k``.

    ``(s1,..,sk,..,sn -> out)  becomes  (s1,..,out,..,sn -> sk)``, with the cotangent in slot ``k``.
    By the Kronecker-delta derivation the derivative of an einsum by an operand only renames indices;
    there is no special case for traces, diagonals, broadcasts or sums. The swap is its own inverse.

    Examples
    --------
    >>> print(swap(parse_spec("ij,jk->ik"), 0))
    ac,bc->ab
    >>> spec = parse_spec("ii->")
    >>> print(swap(spec, 0))
    ->aa
    >>> swap(swap(spec, 0), 0) == spec
    True
    """
    inputs = (*spec.inputs[:k], spec.output, *spec.inputs[k + 1 :])
    return Spec(inputs, spec.inputs[k])


def lift(spec: Spec, k: int, extra: int) -> Spec:
    """Give operand ``k`` and the output ``extra`` new leading labels, carried through unchanged.

    >>> print(lift(parse_spec("ij,jk->ik"), 0, 1))
    dab,bc->dac
    """
    if not extra:
        return spec
    first = spec.label_count
    fresh = tuple(range(first, first + extra))
    inputs = (*spec.inputs[:k], fresh + spec.inputs[k], *spec.inputs[k + 1 :])
    return Spec(inputs, fresh + spec.output)


def canonical(inputs: Iterable[Sequence[Name]], output: Sequence[Name]) -> tuple[Spec, list[Name]]:
    """Number labels by first appearance; also returns the old label of each new one.

    >>> canonical(["xy", "yz"], "xz")
    (Spec(inputs=((0, 1), (1, 2)), output=(0, 2)), ['x', 'y', 'z'])
    """
    inputs = list(inputs)
    names = list(dict.fromkeys(chain(*inputs, output)))
    number = {name: n for n, name in enumerate(names)}.__getitem__
    return Spec(tuple([tuple(map(number, labels)) for labels in inputs]), tuple(map(number, output))), names


def parse_spec(text: str) -> Spec:
    """Read an explicit spec such as ``"ij,jk->ik"``, ``"->ii"`` or ``"i->ij"`` (no ellipsis).

    Raises
    ------
    NotationError
        When the arrow is missing or a character is not a letter.
    """
    compact = text.replace(" ", "")
    if compact.count("->") != 1:
        raise NotationError("an einsum spec needs exactly one '->'", text, None)
    left, output = compact.split("->")
    for position, character in enumerate(text):
        if not (character.isalpha() or character in ",-> "):
            raise NotationError(f"labels are letters; found {character!r}", text, position)
    inputs = left.split(",") if left else []
    return canonical(inputs, output)[0]


def symbol(label: int) -> str:
    """A letter for a label: a..z, A..Z, then other letters of Unicode.

    >>> symbol(0), symbol(51), symbol(52)
    ('a', 'Z', 'À')
    """
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    if label < len(letters):
        return letters[label]
    code = label - len(letters) + 0xC0
    return chr(code if code < 0xD800 else code + 0x800)

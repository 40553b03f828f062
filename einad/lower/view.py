"""Tensors that need no computation of their own: permuted, broadcast, scaled, spread on diagonals.

A `View` says how a tensor reads a register. Each axis of the register carries a group of labels (several where a
matrix product has merged axes), and each axis of the tensor one label. A label repeated in ``labels`` is a Kronecker
delta, one that stands on no group is a broadcast. Nothing is written until somebody needs the array itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from typing import NamedTuple

from einad.ir.expr import DType, Scalar, Shape
from einad.ir.spec import Labels
from einad.lower.program import Operand, Program, ViewStep, count

Groups = tuple[Labels, ...]


class View(NamedTuple):
    """``tensor[labels] = coefficient * register[groups]``; register None stands for the number 1."""

    register: int | None
    groups: Groups
    labels: Labels
    sizes: Mapping[int, int]
    coefficient: Scalar
    dtype: DType

    @property
    def stored(self) -> Labels:
        """The labels that the register's axes carry, in the register's order."""
        return tuple(chain(*self.groups))

    @property
    def ndim(self) -> int:
        """The number of axes of the tensor."""
        return len(self.labels)

    @property
    def is_spread(self) -> bool:
        """Whether some label is repeated: the tensor is zero off a diagonal."""
        return len(set(self.labels)) < len(self.labels)


def plain(register: int, program: Program) -> View:
    """A register as it is. Labels of size 1 are not stored: they count as broadcasts."""
    shape = program.registers[register].shape
    groups = tuple([(axis,) if n != 1 else () for axis, n in enumerate(shape)])
    return View(
        register, groups, tuple(range(len(shape))), dict(enumerate(shape)), 1, program.registers[register].dtype
    )


def relabel(view: View, names: Mapping[int, int]) -> View:
    """The same tensor under other labels."""
    groups = tuple([tuple([names[label] for label in group]) for group in view.groups])
    labels = tuple([names[label] for label in view.labels])
    sizes = {names[label]: n for label, n in view.sizes.items() if label in names}
    return view._replace(groups=groups, labels=labels, sizes=sizes)


def by_axes(view: View) -> View:
    """Label the axes of an unspread tensor by their numbers."""
    return relabel(view, {label: axis for axis, label in enumerate(view.labels)})


def label_strides(view: View, program: Program) -> dict[int, int]:
    """The assumed stride of each stored label, in elements."""
    if view.register is None:
        return {}
    return _label_strides(view.groups, view.sizes, program.registers[view.register].strides)


def _label_strides(groups: Groups, sizes: Mapping[int, int], strides: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for group, stride in zip(groups, strides, strict=True):
        for label in reversed(group):
            found[label] = stride
            stride *= sizes[label]
    return found


def arrange(view: View, target: Sequence[Sequence[int]], program: Program) -> Operand:
    """The register reshaped and transposed to axes that carry the groups ``target``.

    Labels of ``target`` that the register lacks give axes (or parts of axes) of size 1.
    """
    assert view.register is not None
    register = program.registers[view.register]
    groups = tuple([tuple(group) for group in target])
    if groups == view.groups:
        return Operand(view.register)
    extents = tuple([view.sizes[label] for label in view.stored])
    views, copied = arranged(view.groups, groups, extents, register.shape, register.strides)
    return Operand(view.register, views, copied * register.dtype.itemsize)


@lru_cache(4096)
def arranged(
    groups: Groups, target: Groups, extents: Shape, shape: Shape, strides: tuple[int, ...]
) -> tuple[tuple[ViewStep, ...], int]:
    """The views, and the number of elements they copy; ``extents`` are those of the labels in the register's order."""
    stored = tuple(chain(*groups))
    sizes = dict(zip(stored, extents, strict=True))
    wanted = [[label for label in group if label in sizes] for group in target]
    final = tuple([count([sizes[label] for label in group]) for group in wanted])
    runs = _runs(stored, wanted)
    position = {label: p for p, label in enumerate(chain(*wanted))}
    order = sorted(range(len(runs)), key=lambda r: position[runs[r][0]])
    views: list[ViewStep] = []
    if order != list(range(len(runs))):
        split = tuple([count([sizes[label] for label in run]) for run in runs])
        if split != shape:
            views.append(("reshape", split))
        views.append(("transpose", tuple(order)))
        shape = tuple([split[r] for r in order])
    if shape != final:
        views.append(("reshape", final))
    merged = _merges_are_views(wanted, _label_strides(groups, sizes, strides), sizes)
    return tuple(views), 0 if merged else count(final)


def _runs(stored: Sequence[int], target: Sequence[Sequence[int]]) -> list[list[int]]:
    """Cut the stored labels into the longest runs that stay together within one group of ``target``."""
    place = {label: (g, p) for g, group in enumerate(target) for p, label in enumerate(group)}
    runs: list[list[int]] = []
    previous = (-1, -1)
    for label in stored:
        if place[label] == (previous[0], previous[1] + 1):
            runs[-1].append(label)
        else:
            runs.append([label])
        previous = place[label]
    return runs


def _merges_are_views(groups: Sequence[Sequence[int]], strides: Mapping[int, int], sizes: Mapping[int, int]) -> bool:
    return all(strides[outer] == strides[inner] * sizes[inner] for group in groups for outer, inner in pairwise(group))


def common_groups(views: Sequence[View], fallback: Sequence[int], program: Program) -> Groups:
    """Axes on which all of ``views`` meet in an elementwise call, with as few views and copies as possible.

    The first view that stores every label gives the order; the program's own results come before inputs.
    Where there is none, the order is that of ``fallback``.
    """
    union = {label for view in views for label in view.stored}
    leaders = [view for view in views if len(view.stored) == len(union)]
    if not leaders:
        return tuple([(label,) for label in dict.fromkeys(fallback) if label in union])
    leader = next((view for view in leaders if _is_owned(view, program)), leaders[0])
    others = [(set(view.stored), label_strides(view, program)) for view in views if view is not leader]
    groups: list[Labels] = []
    for group in leader.groups:
        part: Labels = group[:1]
        for outer, inner in pairwise(group):
            if all(_together(outer, inner, here, strides, leader.sizes) for here, strides in others):
                part = (*part, inner)
            else:
                groups.append(part)
                part = (inner,)
        groups.append(part)
    return tuple(groups)


def _is_owned(view: View, program: Program) -> bool:
    return view.register is not None and program.registers[view.register].owned


def _together(outer: int, inner: int, here: set[int], strides: Mapping[int, int], sizes: Mapping[int, int]) -> bool:
    if outer not in here or inner not in here:
        return outer not in here and inner not in here
    return strides[outer] == strides[inner] * sizes[inner]


def group_shape(groups: Sequence[Sequence[int]], sizes: Mapping[int, int]) -> Shape:
    """The shape of an array whose axes carry these groups."""
    return tuple([count([sizes[label] for label in group]) for group in groups])

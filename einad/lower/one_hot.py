"""Contractions with a OneHot operand ``[indices[n] == v]``: gathers, scatter-adds and counts.

With ``v`` summed over, ``x[v,c]`` is gathered; with ``v`` in the output, ``x[n,c]`` is added into rows. Labels that
stand on the indices and on the other operand too make a batch of gathers, or of scatters where they are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from einad.ir.expr import BOOL, DType, Shape
from einad.ir.spec import Labels, symbol
from einad.lower.contract import contract
from einad.lower.emit import cast, diagonal, settle, sum_out
from einad.lower.one_hot_kernels import INDEX, scratch
from einad.lower.program import Argument, Constant, Program, count
from einad.lower.text import reading, say
from einad.lower.view import View, arrange, group_shape, label_strides, relabel


def contract_one_hot(
    x: View, indices: View, labels: Labels, output: Labels, sizes: Mapping[int, int], program: Program
) -> View:
    """``sum of x * OneHot(indices)`` over all labels but those of ``output`` (all different)."""
    *places, v = labels
    kept = set(output)
    if v in places:
        return _on_diagonal(x, indices, labels, output, sizes, program)
    index = _index(indices, tuple(places), sizes, program)
    x = sum_out(x, kept.union(index.stored, (v,)), x.dtype, program)
    summed = (set(places) | {v}) - kept
    if sizes[v] == 1 or (v not in x.stored and v not in kept):  # each row of the one-hot matrix has one 1
        result = _times(x, summed - {v} - set(x.stored))
    elif v not in kept:
        result = _times(_gather(x, index, v, output, program), summed - {v} - {*x.stored, *index.stored})
    elif v not in x.stored:
        result = _times(_scatter(x, index, v, kept, program), summed - {*x.stored, *index.stored})
    else:
        needed = kept.union(x.stored)
        counts = _scatter(_one(x.dtype, sizes), index, v, needed, program)
        counts = _times(counts, summed - {v} - {*index.stored, *x.stored})
        result = _product(x, counts, output, program)
    result = sum_out(result._replace(sizes=sizes), output, x.dtype, program)
    return result._replace(labels=output, sizes=sizes)


def one_hot_array(indices: View, shape: Shape, program: Program) -> View:
    """The operand as an array of booleans."""
    labels = tuple(range(len(shape)))
    sizes = dict(enumerate(shape))
    index = _index(indices, labels[:-1], sizes, program)
    found = _scatter(_one(INDEX, sizes), index, labels[-1], set(labels), program)
    return cast(found, BOOL, program)._replace(labels=labels, sizes=sizes)


def _one(dtype: DType, sizes: Mapping[int, int]) -> View:
    return View(None, (), (), sizes, 1, dtype)


def _times(view: View, labels: set[int]) -> View:
    """The sum over labels on which nothing depends."""
    return view._replace(coefficient=view.coefficient * count([view.sizes[label] for label in labels]))


def _index(indices: View, places: Labels, sizes: Mapping[int, int], program: Program) -> View:
    """The indices under the einsum's labels, as whole numbers of the machine's size, in a register."""
    if indices.register is None:
        target = program.emit("full", [Constant(indices.coefficient, INDEX)], (), INDEX, "constant")
        say(program, target, (), str(indices.coefficient))
        return View(target, (), places, sizes, 1, INDEX)
    names = dict(zip(indices.labels, places, strict=True))
    found = diagonal(relabel(indices, names), program)
    return cast(found._replace(sizes=sizes), INDEX, program)


def _gather(x: View, index: View, v: int, output: Sequence[int], program: Program) -> View:
    """``out[batch, outer, new, inner] = x[batch, outer, index[batch, new], inner]``."""
    batch = tuple([label for label in index.stored if label in x.stored])
    new = tuple([label for label in output if label in index.stored and label not in batch])
    new = (*new, *[label for label in index.stored if label not in (*batch, *new)])
    rest = [label for label in x.stored if label not in batch]
    place = 0 if batch else rest.index(v)
    outer, inner = tuple(rest[:place]), tuple([label for label in rest[place:] if label != v])
    groups = (batch, outer, new, inner)
    operands = [arrange(x, (batch, outer, (v,), inner), program), arrange(index, (batch, new), program)]
    shape = group_shape(groups, x.sizes)
    target = program.emit("take", operands, shape, x.dtype, "gather", flops=count(shape))
    result = x._replace(register=target, groups=groups)
    position = reading(index, program)
    text = [position if label == v else symbol(label) for label in x.stored]
    say(program, target, result.stored, f"{program.registers[x.register or 0].name}[{','.join(text)}]")
    return result


def _scatter(x: View, index: View, v: int, kept: set[int], program: Program) -> View:
    """``out[batch, v, rest] = sum over summed of x[batch, summed, rest] where index[batch, summed] == v``."""
    batch = tuple([label for label in index.stored if label in kept])
    summed = tuple([label for label in index.stored if label not in kept])
    rest = tuple([label for label in x.stored if label not in index.stored])
    many = count([x.sizes[label] for label in summed])
    if many > x.sizes[v] and set(summed).isdisjoint(x.stored) and x.register is not None:
        counts = _scatter(_one(x.dtype, x.sizes), index, v, kept, program)
        return contract(x, counts, (*batch, v, *rest), x.dtype, program)
    args: list[Argument] = [arrange(index, (batch, summed), program)]
    if x.register is not None:
        larger = count([x.sizes[label] for label in (*batch, v, *rest)]) > program.registers[x.register].size
        x = _broadcast(settle(x, program) if larger else x, (*batch, *summed, *rest), program)
        args.append(arrange(x, (batch, summed, rest), program))
    groups = (batch, (v,), rest)
    shape, flops = group_shape(groups, x.sizes), count([x.sizes[label] for label in (*batch, *summed, *rest)])
    length = x.sizes[v]
    width, each = group_shape((rest, batch), x.sizes)
    extra = scratch(each, many, width, length, x.dtype, x.register is None)
    target = program.emit("scatter_add", args, shape, x.dtype, "scatter", flops=flops, options=length, scratch=extra)
    result = x._replace(register=target, groups=groups)
    one = "1" if x.register is None else reading(x, program)
    say(program, target, result.stored, f"{one} * [{reading(index, program)} == {symbol(v)}]")
    return result


def _broadcast(x: View, labels: Labels, program: Program) -> View:
    """``x`` with every one of ``labels`` stored; those it lacks are not copied."""
    if {label for label in labels if x.sizes[label] != 1} <= set(x.stored):
        return x
    groups = tuple([(label,) for label in labels])
    operand = arrange(x, groups, program)
    assert x.register is not None
    found, strides = program.registers[x.register], label_strides(x, program)
    target = program.emit(
        "broadcast",
        [operand],
        group_shape(groups, x.sizes),
        found.dtype,
        "view",
        strides=tuple([strides.get(label, 0) for label in labels]),
        sources=[x.register],
    )
    result = x._replace(register=target, groups=groups)
    say(program, target, labels, reading(x, program))
    return result


def _on_diagonal(
    x: View, indices: View, labels: Labels, output: Labels, sizes: Mapping[int, int], program: Program
) -> View:
    """``v`` is one of the labels of the indices too: ``sum of x * [indices[n] == n]``."""
    *places, v = labels
    other = max(sizes) + 1
    wider = {**sizes, other: sizes[v]}
    index = _index(indices, tuple(places), wider, program)
    counts = _scatter(_one(x.dtype, wider), index, other, {*labels, other}, program)
    joined = relabel(counts._replace(labels=counts.stored), {**{label: label for label in counts.stored}, other: v})
    selected = diagonal(joined, program)._replace(sizes=sizes)
    found = _product(x, _times(selected, set(labels) - {*selected.stored, *x.stored, *output}), output, program)
    return found._replace(labels=output, sizes=sizes)


def _product(x: View, counts: View, output: Sequence[int], program: Program) -> View:
    """``x * counts`` summed over what is not in the output; ``x`` may be a number."""
    if x.register is None:
        return sum_out(counts._replace(coefficient=counts.coefficient * x.coefficient), output, x.dtype, program)
    return contract(x, counts, output, x.dtype, program)

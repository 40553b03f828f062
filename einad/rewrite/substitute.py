"""substitute: structured operands that share a summed label.

::

    Σ_b [a == 2 b + 1] [b == c + 3]          ->  [a == 2 c + 7]                  slices of slices are one slice
    Σ_a x[a] [k == a + 1] [l == a]           ->  (Σ_a x[a] [k == a + 1]) [l == k - 1]      a band of a matrix

The first holds where b lies in its range for every c. The second keeps the operand that it solves for a, so it always
holds; it is used where k and l are axes of the result. What is left is a vector on a diagonal, not a product of
matrices. Ends: the summed label stands on fewer operands. Value: exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from einad.ir.expr import Affine, Node
from einad.rewrite.compose import Labels, Product


class _Form(NamedTuple):
    """``sum of coefficients[label] * label + offset == 0``."""

    coefficients: Mapping[int, int]
    offset: int


def substitute(product: Product) -> Product:
    """The product with the laws applied as often as they can be."""
    while sum(isinstance(operand, Affine) for operand in product.operands) > 1:
        found = _once(product)
        if found is None:
            break
        product = found
    return product


def _once(product: Product) -> Product | None:
    contracted = product.contracted
    forms = {n: _form(x, product.inputs[n]) for n, x in enumerate(product.operands) if isinstance(x, Affine)}
    for n, form in forms.items():
        for label, c in form.coefficients.items():
            others = [m for m, other in forms.items() if m != n and label in other.coefficients]
            if abs(c) != 1 or label not in contracted or not others:
                continue
            alone = all(label not in labels for m, labels in enumerate(product.inputs) if m != n and m not in others)
            if alone and _is_inside(form, label, product.sizes):
                return _replaced(product, forms, n, label, others, drop=True)
            if _is_band(product, form, label, [forms[m] for m in others]):
                return _replaced(product, forms, n, label, others, drop=False)
    return None


def _form(node: Affine, labels: Labels) -> _Form:
    found: dict[int, int] = {}
    for label, coefficient in zip(labels, node.coefficients, strict=True):
        found[label] = found.get(label, 0) + coefficient
    return _Form({label: c for label, c in found.items() if c}, node.offset)


def _is_inside(form: _Form, label: int, sizes: Mapping[int, int]) -> bool:
    """Whether the label, solved for, is in its range for all values of the others."""
    c = form.coefficients[label]
    ends = [(sizes[other] - 1) * -each * c for other, each in form.coefficients.items() if other != label]
    start = -form.offset * c
    low, high = start + sum([min(end, 0) for end in ends]), start + sum([max(end, 0) for end in ends])
    return low >= 0 and high < sizes[label]


def _is_band(product: Product, form: _Form, label: int, others: list[_Form]) -> bool:
    """Whether all of them are slices of axes of the result."""
    output = set(product.output)
    return all(len(each.coefficients) == 2 and set(each.coefficients) - {label} <= output for each in (form, *others))


def _replaced(
    product: Product, forms: Mapping[int, _Form], n: int, label: int, others: list[int], drop: bool
) -> Product:
    """Operand ``n`` solved for the label, put into the others."""
    inputs: list[Labels] = []
    operands: list[Node] = []
    coefficient, output = product.coefficient, product.output
    renamed: dict[int, int] = {}
    for m, (labels, operand) in enumerate(zip(product.inputs, product.operands, strict=True)):
        if m == n and drop:
            continue
        if m not in others:
            inputs.append(labels)
            operands.append(operand)
            continue
        form = _inserted(forms[m], forms[n], label)
        kept = tuple(form.coefficients)
        if not kept:
            coefficient = coefficient if form.offset == 0 else 0
        elif _is_identity(form, product.sizes):
            renamed[max(kept)] = min(kept)
        else:
            shape = tuple([product.sizes[each] for each in kept])
            inputs.append(kept)
            operands.append(Affine(shape, tuple(form.coefficients.values()), form.offset))

    def name(each: int) -> int:
        while each in renamed:
            each = renamed[each]
        return each

    inputs = [tuple([name(each) for each in labels]) for labels in inputs]
    output = tuple([name(each) for each in output])
    used = {*output, *[each for labels in inputs for each in labels]}
    for each, size in product.sizes.items():
        if each not in used and each not in renamed and each != label:
            coefficient = coefficient * size
    sizes = {each: product.sizes[each] for each in used}
    return Product(inputs, operands, output, sizes, coefficient, product.dtype)


def _inserted(form: _Form, solved: _Form, label: int) -> _Form:
    """``form`` with the label replaced by what ``solved`` says it is."""
    factor = -form.coefficients[label] * solved.coefficients[label]
    found = {each: c for each, c in form.coefficients.items() if each != label}
    for each, c in solved.coefficients.items():
        if each != label:
            found[each] = found.get(each, 0) + factor * c
    return _Form({each: c for each, c in found.items() if c}, form.offset + factor * solved.offset)


def _is_identity(form: _Form, sizes: Mapping[int, int]) -> bool:
    """Whether two labels of one size are equal."""
    if len(form.coefficients) != 2 or form.offset:
        return False
    (a, c), (b, d) = form.coefficients.items()
    return c == -d and sizes[a] == sizes[b]

"""Lower an expression graph, node by node, to a straight-line program."""

from __future__ import annotations

from collections.abc import Sequence

from einad.ir.expr import DFT, Add, Affine, Call, Einsum, Input, Map, Node, OneHot, Structured
from einad.ir.walk import topological, use_counts
from einad.lower.einsum import lower_einsum
from einad.lower.elementwise import lower_add, lower_call, lower_map, overwritten
from einad.lower.emit import settle
from einad.lower.fourier import lower_real_transform, real_transforms, scaled_transforms, seen_through
from einad.lower.layout import Readers, is_free_to_order, layout_for
from einad.lower.one_hot import one_hot_array
from einad.lower.over_diagonal import Parts, over_diagonals, taken_apart
from einad.lower.placed import Placed, Value, spread, unspread, whole
from einad.lower.program import Dense, Operand, Program
from einad.lower.rows import Rows
from einad.lower.scan import stored
from einad.lower.shared_views import share_views
from einad.lower.structured import lower_counts, lower_structured
from einad.lower.text import indexed, say
from einad.lower.view import View, by_axes, plain
from einad.ops.calculus import RECIPROCAL
from einad.plan.cut import Cut


def lower(roots: Sequence[Node], inputs: Sequence[Node]) -> Program:
    """The program that computes ``roots`` from arrays for ``inputs``, which may be any nodes below the roots.

    Einsums must have at most two operands (`einad.plan.paths.binarise`).
    """
    program = Program()
    lowering = _Lowering(program, _divisions(roots), over_diagonals(roots), Readers(roots), Rows(roots, program))
    for n, node in enumerate(inputs):
        name = node.name if isinstance(node, Input) and node.name.isidentifier() else f"x{n}"
        strides = node.key.strides if isinstance(node, Input) and isinstance(node.key, Cut) else None
        lowering.values[node] = plain(program.add_input(name, node.shape, node.dtype, strides), program)
    for node in topological(roots, lowering.values.copy()):
        if node not in lowering.values and node not in lowering.skipped and not isinstance(node, Structured):
            lowering.values[node] = lowering.housed(node)
    claimed: set[int] = set()
    for root in roots:
        program.outputs.append(_output(lowering.value(root), claimed, program))
    share_views(program)
    return program


def _divisions(roots: Sequence[Node]) -> dict[Node, int]:
    """Products ``a * reciprocal(b)`` to be computed as ``a / b``: the place of the reciprocal among the operands.

    The reciprocal must be used nowhere else and be as large as the product: where few numbers divide many, products
    are cheaper.
    """
    counts = use_counts(roots)
    found: dict[Node, int] = {}
    for node in counts:
        if isinstance(node, Einsum) and len(node.children) == 2 and node.dtype.kind in "fc":
            for k, child in enumerate(node.children):
                if _is_reciprocal(child) and counts[child] == 1 and _divides(node, k):
                    found[node] = k
                    break
    return found


def _is_reciprocal(node: Node) -> bool:
    return isinstance(node, Map) and node.row is RECIPROCAL and node.dtype.kind in "fc"


def _divides(node: Einsum, k: int) -> bool:
    labels = node.spec.inputs[k]
    return not node.spec.contracted and len(set(labels)) == len(labels) and set(labels) >= set(node.spec.output)


class _Lowering:
    """What has been lowered so far."""

    def __init__(
        self,
        program: Program,
        divisions: dict[Node, int],
        over_diagonals: dict[Node, int],
        readers: Readers,
        rows: Rows,
    ) -> None:
        self.program, self.divisions, self.readers, self.rows = program, divisions, readers, rows
        self.values: dict[Node, Value] = {}
        self.ready: dict[Node, View] = {}
        self.over_diagonals = over_diagonals
        self.transforms, self.scaled = real_transforms(readers), scaled_transforms(readers)
        skipped = [node.children[k] for node, k in (*divisions.items(), *over_diagonals.items())]
        self.skipped = {
            *skipped,
            *rows.terms,
            *[node for chain in self.transforms.values() for node in chain],
            *self.scaled.values(),
        }

    def value(self, node: Node) -> Value:
        """The value of a node; nodes that were left out, and structured operands, are lowered when asked for."""
        found = self.values.get(node)
        if found is None:
            found = self._structured(node) if isinstance(node, Structured) else self.lower(node)
            self.values[node] = found
        return found

    def view(self, node: Node) -> View:
        """A value as the operand of an einsum."""
        found = self.value(node)
        if isinstance(found, Placed):
            found = self.values[node] = unspread(found, self.program)
        return found

    def settled(self, node: Node) -> View:
        """A value with its coefficient applied and its diagonals written out, once for all who ask."""
        if node not in self.ready:
            found = self.value(node)
            if isinstance(found, Placed) or found.is_spread:
                self.ready[node] = unspread(found, self.program)
            else:
                self.ready[node] = settle(found, self.program)
        return self.ready[node]

    def housed(self, node: Node) -> Value:
        """The value of a node whose children have values, computed in its place if it has one in a buffer."""
        value = self.lower(node)
        if node not in self.rows.stacks.places and node not in self.rows.bases:
            return value
        below = [self.values.get(child) for child in node.children] + [self.ready.get(child) for child in node.children]
        return self.rows.house(node, value, [each.register for each in below if isinstance(each, View)])

    def lower(self, node: Node) -> Value:
        """The value of a node whose children have values."""
        if isinstance(node, Einsum):
            return self._with_coefficient(node, self._einsum(node))
        if node.children and not node.size:  # nothing to compute, and no 1 / 0 to warn of
            return View(None, (), tuple(range(node.ndim)), dict(enumerate(node.shape)), 0, node.dtype)
        if isinstance(node, Map):
            found = self._real_transform(node) if node in self.transforms else None
            if found is not None:
                return found
            return lower_map(node, [self.settled(child) for child in node.children], self.program)
        if isinstance(node, Add):
            stacked = self.rows.stack(node, self.value) if node in self.rows.stacks.stacks else None
            if stacked is not None:
                return stacked
            layout = layout_for(self.readers.wishes(node, self.values), tuple(range(node.ndim)))
            return lower_add(node, [self.value(child) for child in node.children], self.program, layout)
        if isinstance(node, Call):
            return lower_call(node, [self.settled(child) for child in node.children], self.program)
        name = node.name if isinstance(node, Input) else repr(node)
        raise KeyError(f"no value was given for the input {name!r}")

    def _einsum(self, node: Einsum) -> Value:
        if 0 in node.sizes:
            return View(None, (), node.spec.output, dict(enumerate(node.sizes)), 0, node.dtype)
        structured = [k for k, child in enumerate(node.children) if isinstance(child, Structured)]
        if structured and len(node.children) == 2:
            fixed = [k for k in structured if not isinstance(node.children[k], OneHot)] or structured
            largest = max(fixed, key=lambda k: node.children[k].size)
            other, indices = self.view(node.children[1 - largest]), self._indices(node.children[largest])
            return lower_structured(node, largest, other, self.program, indices)
        if structured and (node.spec.contracted or isinstance(node.children[0], Affine | OneHot)):
            return lower_counts(node, self._indices(node.children[0]), self.program)
        if node in self.scaled:
            return self._scaled_transform(node, self.scaled[node])
        if node in self.divisions:
            return self._division(node, self.divisions[node])
        if node in self.over_diagonals:
            return self._over_diagonal(taken_apart(node, self.over_diagonals[node]))
        views = [self.view(child) for child in node.children]
        wishes = self.readers.wishes(node, self.values) if is_free_to_order(node) else ()
        return lower_einsum(node, views, self.program, wishes=wishes)

    def _structured(self, node: Structured) -> View:
        """A structured operand as an array, where it is not contracted with."""
        indices = self._indices(node)
        return _stored(node, self.program) if indices is None else one_hot_array(indices, node.shape, self.program)

    def _indices(self, node: Node) -> View | None:
        return self.settled(node.children[0]) if isinstance(node, OneHot) else None

    def _with_coefficient(self, node: Einsum, value: Value) -> Value:
        """The value with its coefficient applied, if that is less work than for each of several readers."""
        if not isinstance(value, View) or value.register is None or value.coefficient in (1, -1) or value.is_spread:
            return value
        readers = self.readers.readers.get(node, ())
        later = sum([reader.size for reader, _ in readers if isinstance(reader, Einsum)])
        cheaper = len(readers) > 1 and self.program.registers[value.register].size <= later
        return settle(value, self.program) if cheaper else value

    def _over_diagonal(self, parts: Parts) -> Value:
        for node in topological([*parts.full.children, parts.values], self.values):
            if node not in self.values and not isinstance(node, Structured):
                self.values[node] = self.lower(node)
        values = by_axes(self.view(parts.values))
        return overwritten(self._scaled(parts.full), spread(values._replace(labels=parts.labels)), self.program)

    def _scaled(self, node: Einsum) -> View:
        """A product with all coefficients applied, to its smaller factor."""
        views = [self.view(child) for child in node.children]
        coefficient = node.coefficient * views[0].coefficient * views[1].coefficient
        sizes = [0 if v.register is None else self.program.registers[v.register].size for v in views]
        small = sizes.index(min(sizes))
        views[1 - small] = views[1 - small]._replace(coefficient=1)
        views[small] = settle(views[small]._replace(coefficient=coefficient), self.program)
        plain_node = Einsum(node.spec, node.children, node.sizes, 1, node.dtype)
        return unspread(lower_einsum(plain_node, views, self.program), self.program)

    def _real_transform(self, node: Map) -> View | None:
        """The real part of a Fourier transform; None where it is not a transform along an axis after all."""
        chain = self.transforms[node]
        transform = chain[-1]
        k = 0 if isinstance(transform.children[0], DFT) else 1
        return lower_real_transform(chain, k, self.view(transform.children[1 - k]), self.program)

    def _scaled_transform(self, node: Einsum, inner: Einsum) -> View:
        coefficient = node.coefficient * inner.coefficient
        found = self._einsum(Einsum(inner.spec, inner.children, inner.sizes, coefficient, inner.dtype))
        return seen_through(node, unspread(found, self.program) if isinstance(found, Placed) else found)

    def _division(self, node: Einsum, k: int) -> Value:
        above, below = self.view(node.children[1 - k]), self.settled(node.children[k].children[0])
        if above.register is None or below.register is None or len(below.stored) < below.ndim:
            return lower_einsum(node, [self.view(child) for child in node.children], self.program)
        inputs = (node.spec.inputs[1 - k], node.spec.inputs[k])
        return lower_einsum(node, [above, below], self.program, inputs, divided=True)


def _stored(node: Structured, program: Program) -> View:
    return stored(Dense(node, node.dtype), tuple(range(node.ndim)), dict(enumerate(node.shape)), program)


def _output(value: Value, claimed: set[int], program: Program) -> int:
    """A register with a root's value in memory that nobody else sees."""
    operand = whole(value, program)
    register = operand.register
    found = program.registers[register]
    view = value if isinstance(value, View) else plain(register, program)
    shape = tuple([view.sizes[label] for label in view.labels])
    if found.owned and register not in claimed and shape and not operand.copied:
        claimed.add(register)
        return _seen(operand, shape, program)
    if register in program.opaque and register not in claimed and shape and not operand.copied:
        claimed.add(register)
        sources = [Operand(register), *map(Operand, found.sources)]
        target = program.emit("fresh", sources, found.shape, found.dtype, "copy")
        say(program, target, range(len(found.shape)), indexed(found.name, range(len(found.shape))))
        return _seen(operand._replace(register=target), shape, program)
    target = program.emit("copy", [operand], shape, found.dtype, "copy")
    say(program, target, range(len(shape)), indexed(found.name, range(len(shape))))
    return target


def _seen(operand: Operand, shape: tuple[int, ...], program: Program) -> int:
    """The register that holds an operand's view."""
    if not operand.views:
        return operand.register
    found = program.registers[operand.register]
    target = program.emit("view", [operand], shape, found.dtype, "view", sources=[operand.register])
    say(program, target, range(len(shape)), f"{found.name}  (view)")
    return target

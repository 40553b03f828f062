"""Plans against the reference evaluator: random closed specs, random graphs, their derivatives."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einad import pipeline
from einad.backends import reference
from einad.diff.sweep import vjp
from einad.ir import build
from einad.ir.expr import Add, Affine, Call, Einsum, Input, Literal, Map, Step
from einad.ops import structured
from einad.ops.pointwise import POINTWISE
from einad.ops.reductions import FUNCTIONS

DTYPES = ["float64", "float32", "float16", "complex128", "complex64", "int64", "int32", "bool"]
TOLERANCE = {"e": 3e-2, "f": 2e-4, "d": 1e-9, "F": 2e-4, "D": 1e-9}


def random_array(rng, shape, dtype):
    """Values of any layout: C order, transposed memory, strided, read-only."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        x = rng.random(shape) < 0.6
    elif dtype.kind in "iu":
        x = rng.integers(-3, 4, shape).astype(dtype)
    else:
        x = rng.standard_normal(shape)
        x = (x + 1j * rng.standard_normal(shape) if dtype.kind == "c" else x).astype(dtype)
    x = np.asarray(x)
    layout = rng.integers(4)
    if layout == 1 and x.ndim:
        x = np.ascontiguousarray(x.T).T
    elif layout == 2:
        wide = np.zeros((*shape, 2), dtype)
        wide[..., 1] = x
        x = wide[..., 1] if shape else x
    elif layout == 3:
        x = np.array(x)
        x.flags.writeable = False
    return x


def check(roots, values):
    before = {node: value.copy() for node, value in values.items()}
    found = pipeline.evaluate(roots, values)
    expected = reference.evaluate(roots, values)
    for root, got, want in zip(roots, found, expected, strict=True):
        assert type(got) is np.ndarray
        assert got.shape == root.shape
        assert got.dtype == root.dtype
        assert got.flags.writeable
        tolerance = TOLERANCE.get(root.dtype.char, 0)
        scale = 1 + (np.abs(want[np.isfinite(want)]).max(initial=0) if want.dtype.kind in "fc" else 0)
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)
    arrays = [*found, *values.values()]
    for n, a in enumerate(found):
        assert not any(np.shares_memory(a, b) for b in arrays[n + 1 :])
    for node, value in values.items():
        np.testing.assert_array_equal(value, before[node])


@st.composite
def einsums(draw):
    """A random closed einsum over 0 to 6 operands: labels repeated, missing, output-only; operands used twice."""
    sizes = draw(st.lists(st.sampled_from([0, 1, 1, 2, 2, 2, 3, 3, 3]), min_size=1, max_size=5))
    labels = st.lists(st.integers(0, len(sizes) - 1), max_size=3).map(tuple)
    inputs = draw(st.lists(labels, max_size=6))
    output = draw(labels)
    mixed = draw(st.booleans())
    first = draw(st.sampled_from(DTYPES))
    dtypes = [draw(st.sampled_from(DTYPES)) if mixed else first for _ in inputs]
    operands = []
    for n, (each, dtype) in enumerate(zip(inputs, dtypes, strict=True)):
        shape = tuple(sizes[label] for label in each)
        twin = next((o for o in operands if o.shape == shape and draw(st.booleans())), None)
        operands.append(twin if twin is not None else Input(f"x{n}", shape, dtype))
    real = not any(np.dtype(d).kind in "bi" for d in dtypes)
    coefficient = draw(st.sampled_from([1, 1, -1, 2.5] if real else [1, 1, -1, 3]))
    return build.einsum(inputs, output, operands, dict(enumerate(sizes)), coefficient)


@settings(max_examples=400, deadline=None)
@given(einsums(), st.integers(0, 2**32))
def test_random_closed_einsums(node, seed):
    rng = np.random.default_rng(seed)
    inputs = dict.fromkeys(child for child in node.children)
    check([node], {x: random_array(rng, x.shape, x.dtype) for x in inputs})


@settings(max_examples=100, deadline=None)
@given(einsums(), st.sampled_from(DTYPES), st.integers(0, 2**32))
def test_casts_at_the_output(node, dtype, seed):
    if np.dtype(dtype).kind != "c" and node.dtype.kind == "c":
        return
    if np.dtype(dtype).kind in "bi" and node.dtype.kind == "f":
        return
    node = Einsum(node.spec, node.children, node.sizes, node.coefficient, dtype)
    rng = np.random.default_rng(seed)
    check([node], {x: random_array(rng, x.shape, x.dtype) for x in dict.fromkeys(node.children)})


class Graphs:
    """Random graphs of small tensors over every kind of node."""

    def __init__(self, rng, dtype="float64"):
        self.rng, self.dtype = rng, dtype
        self.inputs = [Input(f"x{n}", self.shape(), dtype) for n in range(3)]
        self.nodes = list(self.inputs)

    def shape(self):
        return tuple(int(n) for n in self.rng.choice([1, 2, 3, 4], self.rng.integers(0, 4)))

    def pick(self):
        return self.nodes[self.rng.integers(len(self.nodes))]

    def grow(self, count):
        makers = [
            self.contraction,
            self.contraction,
            self.unary,
            self.function,
            self.total,
            self.reduction,
            self.slice,
            self.place,
            self.reshape,
            self.join,
            self.scan,
            self.triangle,
            self.windows,
            self.offset_diagonal,
        ]
        while len(self.nodes) < count:
            node = makers[self.rng.integers(len(makers))]()
            if node is not None and node.size <= 300:
                self.nodes.append(node)
        return self.nodes

    def contraction(self):
        operands = [self.pick() for _ in range(self.rng.integers(1, 4))]
        sizes, inputs = {}, []
        for operand in operands:
            labels = []
            for n in operand.shape:
                fitting = [label for label, m in sizes.items() if m == n]
                label = fitting[self.rng.integers(len(fitting))] if fitting and self.rng.random() < 0.7 else len(sizes)
                sizes[label] = n
                labels.append(label)
            inputs.append(labels)
        output = [label for label in sizes if self.rng.random() < 0.5]
        if self.rng.random() < 0.2:
            sizes[len(sizes)] = 2
            output.append(len(sizes) - 1)
        if output and self.rng.random() < 0.2:
            output.append(output[self.rng.integers(len(output))])
        self.rng.shuffle(output)
        total = int(np.prod([*sizes.values()]))
        if total > 3000:
            return None
        return build.einsum(inputs, output, operands, sizes, float(self.rng.choice([1.0, -1.0, 0.5])))

    def unary(self):
        x = self.pick()
        return build.scale(x, float(self.rng.choice([-1.0, 2.0, 0.25])))

    def function(self):
        name = self.rng.choice(["tanh", "square", "sin", "where", "maximum", "divide"])
        x = self.pick()
        if name == "divide":
            below = build.add(Map(POINTWISE["square"], x), build.full(x.shape, 1.0, x.dtype))
            return build.multiply(self.like(x), Map(POINTWISE["reciprocal"], below))
        if name == "where":
            return Map(POINTWISE["where"], Map(POINTWISE["greater"], x, self.like(x)), x, self.like(x))
        return Map(POINTWISE[name], *([x, self.like(x)] if name == "maximum" else [x]))

    def like(self, x):
        """A node of x's shape, or a constant."""
        fitting = [node for node in self.nodes if node.shape == x.shape]
        if self.rng.random() < 0.3:
            return build.full(x.shape, 0.75, x.dtype)
        return fitting[self.rng.integers(len(fitting))]

    def total(self):
        x = self.pick()
        factors = self.rng.choice([1.0, -1.0, 3.0], self.rng.integers(1, 4))
        terms = [build.scale(self.like(x), float(factor)) for factor in factors]
        if x.ndim == 2 and x.shape[0] == x.shape[1]:
            diagonal = build.einsum(["ij"], "i", [x])
            terms.append(build.einsum(["i"], "ii", [diagonal]))
        return Add(x, *terms)

    def reduction(self):
        x = self.pick()
        if not x.ndim:
            return None
        return Call(FUNCTIONS["max"], (x,), ((int(self.rng.integers(x.ndim)),),))

    def axis(self, x):
        return int(self.rng.integers(x.ndim))

    def slice(self):
        x = self.pick()
        if not x.ndim:
            return None
        axis = self.axis(x)
        n = x.shape[axis]
        start, step = int(self.rng.integers(n)), int(self.rng.choice([1, 2, -1, -2]))
        most = len(range(start, n, step)) if step > 0 else len(range(start, -1, step))
        return structured.take_slice(x, axis, start, step, int(self.rng.integers(1, most + 1)))

    def place(self):
        x = self.pick()
        if not x.ndim:
            return None
        axis = self.axis(x)
        step, start = int(self.rng.choice([1, 2])), int(self.rng.integers(3))
        size = start + step * (x.shape[axis] - 1) + 1 + int(self.rng.integers(2))
        return structured.place_slice(x, axis, start, step, size)

    def reshape(self):
        x = self.pick()
        shapes = {
            1: [(1,), ()],
            2: [(2,), (1, 2)],
            4: [(2, 2), (4,), (2, 1, 2)],
            6: [(2, 3), (3, 2), (6,)],
            8: [(2, 4), (2, 2, 2), (8,)],
            12: [(3, 4), (2, 6), (2, 3, 2), (12,)],
            16: [(4, 4), (2, 8), (16,)],
            24: [(4, 6), (2, 3, 4)],
        }
        options = shapes.get(x.size)
        return structured.reshape(x, options[self.rng.integers(len(options))]) if options else None

    def join(self):
        x = self.pick()
        return structured.concatenate([x, self.like(x), x], self.axis(x)) if x.ndim else None

    def scan(self):
        return self.with_step(True)

    def triangle(self):
        return self.with_step(False)

    def with_step(self, dropped):
        x = self.pick()
        if not x.ndim:
            return None
        axis, count, offset = self.axis(x), int(self.rng.integers(1, 5)), int(self.rng.integers(-3, 4))
        labels = list(range(x.ndim))
        new = x.ndim
        output = [new if label == axis and dropped else label for label in labels] + ([] if dropped else [new])
        if self.rng.random() < 0.5:
            return build.einsum([labels, [new, axis]], output, [x, Step((count, x.shape[axis]), offset)])
        return build.einsum([[axis, new], labels], output, [Step((x.shape[axis], count), offset), x])

    def windows(self):
        x = self.pick()
        if not x.ndim:
            return None
        axis = self.axis(x)
        n = x.shape[axis]
        p, r = x.ndim, x.ndim + 1
        places, width = int(self.rng.integers(1, 4)), int(self.rng.integers(1, 4))
        stride, pad = int(self.rng.integers(1, 3)), int(self.rng.integers(-1, 2))
        window = Affine((n, places, width), (-1, stride, 1), pad)
        output = [label for label in range(x.ndim) if label != axis] + [p] + ([r] if self.rng.random() < 0.5 else [])
        if self.rng.random() < 0.2:
            output.append(axis)
        return build.einsum([list(range(x.ndim)), [axis, p, r]], output, [x, window], {p: places, r: width})

    def offset_diagonal(self):
        x = self.pick()
        if x.ndim < 2:
            return None
        offset = int(self.rng.integers(-2, 3))
        window = Affine((x.shape[0], x.shape[1]), (1, -1), offset)
        output = [label for label in range(x.ndim) if self.rng.random() < 0.6]
        return build.einsum([list(range(x.ndim)), [0, 1]], output, [x, window])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["float64", "float64", "complex128"]))
def test_random_graphs(seed, dtype):
    rng = np.random.default_rng(seed)
    graphs = Graphs(rng, dtype if seed % 3 else "float64")
    if graphs.dtype != "float64":
        graphs.function = graphs.reduction = graphs.unary
    nodes = graphs.grow(12)
    check([nodes[-1], nodes[-2], nodes[-1], nodes[0]], {x: random_array(rng, x.shape, x.dtype) for x in graphs.inputs})


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_random_graphs_backwards(seed):
    rng = np.random.default_rng(seed)
    graphs = Graphs(rng)
    output = graphs.grow(9)[-1]
    cotangent = Input("v", output.shape)
    prepared = pipeline.prepare([output])
    gradients = vjp(prepared, [cotangent], graphs.inputs)
    check([output, *gradients], {x: random_array(rng, x.shape, x.dtype) for x in [*graphs.inputs, cotangent]})


def test_values_may_be_given_for_any_node():
    x = Input("x", (3,))
    y = Map(POINTWISE["exp"], x)
    z = build.multiply(y, y)
    (found,) = pipeline.evaluate([z], {y: np.arange(3.0)})
    np.testing.assert_array_equal(found, [0, 1, 4])


def test_a_missing_input_is_named():
    x = Input("weights", (3,))
    with pytest.raises(KeyError, match="no value was given for the input 'weights'"):
        pipeline.evaluate([build.scale(x, 2.0)], {})


def test_isomorphic_graphs_share_a_plan(monkeypatch):
    pipeline.clear_cache()
    made = []
    plan = pipeline._plan
    monkeypatch.setattr(pipeline, "_plan", lambda *args: made.append(1) or plan(*args))
    for n in range(3):
        x, c = Input("x", (4,), float, n), Literal(np.full(4, float(n)))
        y = Map(POINTWISE["tanh"], build.multiply(x, c))
        (found,) = pipeline.evaluate([y], {x: np.arange(4.0)})
        np.testing.assert_allclose(found, np.tanh(n * np.arange(4.0)))
    assert len(made) == 1


def test_a_failed_planning_leaves_the_cache_alone(monkeypatch):
    pipeline.clear_cache()
    x = Input("x", (4,))
    y = Map(POINTWISE["tanh"], x)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "lower", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pipeline.evaluate([y], {x: np.ones(4)})
    assert not pipeline.PLANS.info().entries
    np.testing.assert_allclose(pipeline.evaluate([y], {x: np.ones(4)})[0], np.tanh(np.ones(4)))


def test_the_cache_is_bounded(monkeypatch):
    pipeline.clear_cache()
    monkeypatch.setattr(pipeline.PLANS, "limit", 3)
    for n in range(1, 7):
        x = Input("x", (n,))
        pipeline.evaluate([Map(POINTWISE["sin"], x)], {x: np.ones(n)})
    assert pipeline.PLANS.info().entries == 3


def test_literals_are_read_at_every_call_and_not_kept_by_the_cache():
    array = np.arange(3.0)
    x = Input("x", (3,))
    plan = pipeline.compile_plan([build.multiply(x, Literal(array))], [x])
    np.testing.assert_array_equal(plan(np.ones(3))[0], [0, 1, 2])
    array[:] = 5
    np.testing.assert_array_equal(plan(np.ones(3))[0], [5, 5, 5])
    probe = weakref.ref(array)
    del plan, array
    gc.collect()
    assert probe() is None


def test_long_chains_and_wide_sums():
    x = Input("x", (3,))
    y = x
    for n in range(5_000):
        y = Map(POINTWISE["sin"], y) if n % 2 else build.scale(y, 1.01)
    (gradient,) = vjp([y], [build.full((3,), 1.0)], [x])
    value, slope = pipeline.evaluate([y, gradient], {x: np.full(3, 0.3)})
    z, dz = 0.3, 1.0
    for n in range(5_000):
        z, dz = (np.sin(z), dz * np.cos(z)) if n % 2 else (1.01 * z, 1.01 * dz)
    np.testing.assert_allclose(value, z)
    np.testing.assert_allclose(slope, dz, rtol=1e-6)


def test_memory_of_slices_and_scans_is_linear():
    n = 1_000_000
    x = Input("x", (n,))
    y = structured.take_slice(x, 0, 1, 1, n - 1)
    y = build.einsum(["j", "ij"], "i", [y, Step((n - 1, n - 1))])
    (gradient,) = vjp([build.einsum(["i", "i"], "", [y, y])], [build.full((), 1.0)], [x])
    plan = pipeline.compile_plan([gradient], [x])
    assert plan.peak_bytes < 8 * n * 8
    values = np.random.default_rng(0).standard_normal(n)
    total = np.cumsum(values[1:])
    np.testing.assert_allclose(plan(values)[0][1:], 2 * np.cumsum(total[::-1])[::-1], rtol=1e-9)

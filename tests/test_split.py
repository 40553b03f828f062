"""Graphs cut along a label: parts put together give what the reference evaluator gives for the whole."""

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import einad as ea
from einad import pipeline
from einad.backends import memory, reference
from einad.backends.parts import cut, slicings, split_plan
from einad.diff.sweep import vjp
from einad.ir import build
from einad.ir.expr import Add, Affine, Call, Input, Map, Step
from einad.ir.walk import topological
from einad.ops.pointwise import POINTWISE
from einad.ops.reductions import FUNCTIONS
from einad.plan.axes import Axes
from einad.plan.roles import Role
from einad.plan.split import split_along
from einad.plan.split_choice import best_split
from einad.testing.memory import peak_bytes

SIZES = {"n": 5, "i": 3, "o": 4}


class Growing:
    """Random graphs of tensors whose axes have names, most of which come from one batch of rows ``n``."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        named = ["ni", "io", "o", "n", "no", ""]
        self.inputs = [Input(f"x{k}", tuple(SIZES[c] for c in names)) for k, names in enumerate(named)]
        self.known = list(zip(self.inputs, named, strict=True))

    def pick(self, names=None):
        fitting = [each for each in self.known if names is None or each[1] == names]
        return fitting[self.rng.integers(len(fitting))]

    def grow(self, count):
        makers = [self.product] * 4 + [self.function] * 2 + [self.add, self.largest, self.shifted, self.running]
        makers += [self.constant, self.delta, self.square, self.ratio, self.ratio]
        for _ in range(count):
            self.known.append(makers[self.rng.integers(len(makers))]())
        return self.known

    def product(self):
        chosen = [self.pick() for _ in range(self.rng.integers(1, 4))]
        here = sorted({c for _, names in chosen for c in names})
        kept = [c for c in here if self.rng.random() < 0.6]
        if self.rng.random() < 0.1:
            kept += [c for c in SIZES if c not in here][:1]
        self.rng.shuffle(kept)
        inputs, operands = [names for _, names in chosen], [node for node, _ in chosen]
        coefficient = float(self.rng.choice([1, 0.5, -1]))
        return build.einsum(inputs, kept, operands, SIZES, coefficient), "".join(kept)

    def function(self):
        x, names = self.pick()
        name = self.rng.choice(["tanh", "square", "sin"])
        return Map(POINTWISE[name], x), names

    def constant(self):
        x, names = self.pick()
        return Map(POINTWISE["maximum"], x, build.full(x.shape, 0.25)), names

    def ratio(self):
        """A tensor divided by a number that depends on all of another."""
        x, names = self.pick()
        y, others = self.pick()
        total = build.einsum([others, others], "", [y, y])
        number = Map(POINTWISE["reciprocal"], Add(total, build.full((), 2.0)))
        return build.einsum(["", names], names, [number, x]), names

    def add(self):
        x, names = self.pick()
        return Add(x, self.pick(names)[0], x), names

    def largest(self):
        x, names = self.pick()
        if not names:
            return x, names
        axis = int(self.rng.integers(len(names)))
        return Call(FUNCTIONS["max"], (x,), ((axis,),)), names[:axis] + names[axis + 1 :]

    def shifted(self):
        x, names = self.pick()
        if not names:
            return x, names
        n = SIZES[names[0]]
        moved = Affine((n, n), (-1, 1), 1)
        return build.einsum([names, [names[0], "k"]], "k" + names[1:], [x, moved]), names

    def running(self):
        x, names = self.pick()
        if not names:
            return x, names
        n = SIZES[names[-1]]
        return build.einsum([names, ["k", names[-1]]], names[:-1] + "k", [x, Step((n, n))]), names

    def delta(self):
        x, names = self.pick()
        if not names:
            return x, names
        spread = build.einsum([names], names[0] + names, [x])
        return build.einsum([("k", *names)], ["k", *names[1:]], [spread]), names

    def square(self):
        x, names = self.pick()
        if not names:
            return x, names
        gram = build.einsum([names, "z" + names[1:]], [names[0], "z"], [x, x])
        return build.einsum([[names[0], "z"], names], ["z", *names[1:]], [gram, x]), names


def random_graph(seed):
    """A prepared graph, its inputs and values for them: some nodes, a scalar and its gradients."""
    growing = Growing(seed)
    known = growing.grow(12)
    loss = build.reduce_sum(known[-1][0], range(known[-1][0].ndim))
    roots = [loss, *vjp([loss], [build.full((), 1.0)], growing.inputs), known[-2][0], known[-5][0], loss]
    values = {x: growing.rng.standard_normal(x.shape) for x in growing.inputs}
    return pipeline.prepare(roots), growing.inputs, values


def every_split(roots):
    order = topological(roots)
    axes = Axes(order)
    labels = dict.fromkeys(each for node in order for each in axes.labels(node))
    splits = [split_along(roots, order, axes, label) for label in labels]
    return [split for split in splits if split.outputs and split.size > 1]


def assert_same(found, expected):
    for got, want in zip(found, expected, strict=True):
        assert type(got) is np.ndarray
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * (1 + np.abs(want).max(initial=0)))


def assert_apart(found, given):
    arrays = [*found, *given]
    for n, a in enumerate(found):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in arrays[n + 1 :])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, 3, 5]), st.booleans())
def test_every_label_of_random_graphs(seed, parts, threads):
    roots, inputs, values = random_graph(seed)
    expected = reference.evaluate(roots, values)
    arrays = [values[x] for x in inputs]
    before = [a.copy() for a in arrays]
    for split in every_split(roots):
        plan = split_plan(split, inputs, min(parts, split.size), pipeline.compile_graph, threads)
        found = plan(*arrays)
        assert_same(found, expected)
        assert_apart(found, arrays)
        assert plan.flops == sum(step.flops for step in plan.steps)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def mlp(X, T, W, b, V):
    h = np.tanh(X @ W + b)
    z = h @ V
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1))) - np.sum(z * T) / X.shape[0]


def mlp_arrays(n=7, dtype=float):
    rng = np.random.default_rng(3)
    T = np.eye(3)[rng.integers(0, 3, n)]
    shapes = [(4, 5), (5,), (5, 3)]
    return [rng.standard_normal((n, 4)).astype(dtype), T.astype(dtype)] + [
        rng.standard_normal(shape).astype(dtype) for shape in shapes
    ]


def traced(f, args):
    """The graph that a function's plan is made from, and its inputs."""
    seen = []

    def note(roots, threads, least):
        seen.append(roots)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("einad.backends.parts.best_split", note)
        pipeline.clear_cache()
        made = ea.plan(f, *args)
    found = {x.key: x for x in topological(seen[-1]) if isinstance(x, Input)}
    inputs = [
        found.get(("plan", n), Input(each.name, each.shape, each.dtype, ("plan", n)))
        for n, each in enumerate(made.inputs)
    ]
    return seen[-1], inputs


def test_gradient_of_a_batch_is_all_in_the_parts():
    args = mlp_arrays()
    roots, inputs = traced(ea.value_and_grad(mlp, (2, 3, 4)), args)
    (split,) = [each for each in every_split(roots) if each.name == "axis 0 of X"]
    assert split.size == 7
    late = [node for node, role in split.roles.items() if role is Role.AFTER and node.size > 1]
    assert not late
    assert not split.before
    for parts in (2, 3, 7):
        found = split_plan(split, inputs, parts, pipeline.compile_graph)(*args)
        assert_same(found, reference.evaluate(roots, dict(zip(inputs, args, strict=True))))


def test_results_that_carry_the_label_are_put_together():
    args = mlp_arrays()
    roots, inputs = traced(ea.grad(mlp, (0, 2)), args)
    (split,) = [each for each in every_split(roots) if each.name == "axis 0 of X"]
    assert [node.shape for node in split.outputs if node in split.axes] == [(7, 4)]
    assert_same(
        split_plan(split, inputs, 3, pipeline.compile_graph)(*args),
        reference.evaluate(roots, dict(zip(inputs, args, strict=True))),
    )


def test_a_number_known_afterwards_multiplies_the_sums():
    def distance(W, V, X, T, m):
        R = (np.tanh(X @ W) @ V - T) * m[:, None]
        return np.sqrt(np.sum(R * R) / np.sum(m))

    rng = np.random.default_rng(1)
    args = [rng.standard_normal(shape) for shape in [(4, 5), (5, 3), (9, 4), (9, 3), (9,)]]
    args[4] = np.abs(args[4])
    roots, inputs = traced(ea.value_and_grad(distance, (0, 1)), args)
    (split,) = [each for each in every_split(roots) if each.name == "axis 0 of X"]
    large = [node for node, role in split.roles.items() if role is Role.AFTER and 9 in node.shape]
    assert not large
    assert split.scales
    found = split_plan(split, inputs, 2, pipeline.compile_graph)(*args)
    assert_same(found, reference.evaluate(roots, dict(zip(inputs, args, strict=True))))


def test_two_phases_leave_the_second_for_after():
    x = Input("x", (6, 3))
    mean = build.einsum(["ni"], "i", [x], None, 1 / 6)
    centred = Add(x, build.einsum(["i"], "ni", [mean], {"n": 6}, -1))
    (root,) = pipeline.prepare([Map(POINTWISE["square"], centred)])
    split = next(each for each in every_split([root]) if each.name == "axis 0 of x")
    assert split.roles[root] is Role.AFTER
    value = np.arange(18.0).reshape(6, 3)
    found = split_plan(split, [x], 2, pipeline.compile_graph)(value)
    np.testing.assert_allclose(found[0], (value - value.mean(axis=0)) ** 2)


def test_symmetric_products_are_split_too():
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((200, 150)), rng.standard_normal(200)
    roots, inputs = traced(lambda X, w: np.einsum("ni,n,nj->ij", X, w, X), (X, w))
    assert any(isinstance(node, Call) for node in topological(roots))
    (split,) = [each for each in every_split(roots) if each.size == 200]
    found = split_plan(split, inputs, 2, pipeline.compile_graph)(X, w)
    np.testing.assert_allclose(found[0], X.T @ (w[:, None] * X), atol=1e-10)


def test_fewer_bytes_slice_by_slice():
    rng = np.random.default_rng(0)
    args = [rng.standard_normal(shape) for shape in [(4000, 6), (4000, 3), (6, 50), (50,), (50, 3)]]
    roots, inputs = traced(ea.value_and_grad(mlp, (2, 3, 4)), args)
    whole = pipeline.compile_graph(roots, inputs)
    slicing = slicings(roots, inputs, pipeline.compile_graph)[0]
    sliced = slicing.plan(10)
    assert slicing.most == 4000
    assert sliced.peak_bytes < whole.peak_bytes / 5
    assert "10 parts, one after the other" in sliced.notes[0]
    assert_same(sliced(*args), whole(*args))


def test_the_same_bits_every_time_and_on_one_thread(monkeypatch):
    args = mlp_arrays(64, np.float32)
    f = ea.jit(ea.value_and_grad(mlp, (0, 2, 3, 4)), threads=2)
    monkeypatch.setattr(sys.modules["einad.plan.split_choice"], "LEAST_GAIN", 1e9)
    value, grads = f(*args)
    for _ in range(5):
        again, others = f(*args)
        assert again == value
        assert all(np.array_equal(a, b) for a, b in zip(grads, others, strict=True))
    monkeypatch.setenv("EINAD_NUM_THREADS", "1")
    again, others = f(*args)
    assert again == value
    assert all(np.array_equal(a, b) for a, b in zip(grads, others, strict=True))


def test_large_programs_are_split_and_say_so(monkeypatch):
    monkeypatch.setattr("einad.pipeline.split_threads", lambda: 2)
    rng = np.random.default_rng(0)
    shapes = [(600, 300), (600, 3), (300, 400), (400,), (400, 3)]
    args = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    many = lambda X, T, W, b, V: sum(mlp(np.tanh(k * X), T, W, b, V) for k in range(1, 12))
    split = ea.plan(ea.value_and_grad(many, (2, 3, 4)), *args)
    assert split.notes[-1] == "split along axis 0 of X (600) in 2 parts, at once on up to 2 threads"
    assert any(step.kind.endswith("(x2)") for step in split.steps)
    assert "def part(" in split.source()
    assert "split along" in str(split)
    monkeypatch.setattr("einad.pipeline.split_threads", lambda: 1)
    whole = ea.plan(ea.value_and_grad(many, (2, 3, 4)), *args)
    assert not whole.notes
    assert whole.flops <= split.flops <= 1.02 * whole.flops
    for a, b in zip(split(*args), whole(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5 * np.abs(b).max())


def test_the_peak_is_that_of_all_parts():
    rng = np.random.default_rng(0)
    args = [rng.standard_normal(shape) for shape in [(2000, 40), (2000, 3), (40, 60), (60,), (60, 3)]]
    roots, inputs = traced(ea.value_and_grad(mlp, (0, 2, 3, 4)), args)
    (split,) = [each for each in every_split(roots) if each.name == "axis 0 of X"]
    plan = split_plan(split, inputs, 2, pipeline.compile_graph)

    def fresh():
        memory.clear()
        return plan(*args)

    assert 0.5 * plan.peak_bytes < peak_bytes(fresh) < 1.1 * plan.peak_bytes


def test_small_programs_and_one_thread_are_not_split():
    args = mlp_arrays()
    assert not ea.plan(ea.value_and_grad(mlp, 2), *args).notes
    roots, _ = traced(ea.value_and_grad(mlp, 2), args)
    assert best_split(roots, 2) is None
    assert best_split(roots, 1, 0) is None


def test_several_callers_at_once():
    args = mlp_arrays(200)
    roots, inputs = traced(ea.value_and_grad(mlp, (2, 3, 4)), args)
    (split,) = [each for each in every_split(roots) if each.name == "axis 0 of X"]
    plan = split_plan(split, inputs, 4, pipeline.compile_graph)
    expected = plan(*args)
    wrong = []

    def call():
        for _ in range(30):
            wrong.extend(1 for a, b in zip(plan(*args), expected, strict=True) if not np.array_equal(a, b))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_cuts_are_even():
    for size in range(1, 30):
        for parts in range(1, size + 1):
            ranges = cut(size, parts)
            assert [n for start, stop in ranges for n in range(start, stop)] == list(range(size))
            assert {stop - start for start, stop in ranges} <= {size // parts, -(-size // parts)}

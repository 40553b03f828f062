from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import opt_einsum
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import engines
import families
import growth
import growth_report
import more
import report
import summary
from registry import directions
from sets import HAND, SETS, WORKLOADS
from worker import digest, leaves

import einad as ea

RUNNER = Path(__file__).parents[1] / "benchmarks" / "run.py"

# What takes too long for a test that only asks whether it is right: smaller tensors will do.
SLOW = {"s0_jac_tanh_axb", "s0_jac_two_layer", "h_mlp", "h_logreg", "g_cp_loss", "g_tucker_inner", "g_attention"}


def reduced(name, w):
    """A workload's function and arguments, with every long axis cut where the function does not name its length."""
    f, args = w.prepare()
    if name not in SLOW:
        return f, args
    longest = {n: min(n, 6 + k) for k, n in enumerate(sorted({n for a in args for n in a.shape}))}
    return f, tuple(np.ascontiguousarray(a[tuple(slice(longest[n]) for n in a.shape)]) for a in args)


@pytest.mark.parametrize("name", HAND)
def test_a_hand_written_program_computes_what_einad_computes(name):
    w = WORKLOADS[name]
    f, args = reduced(name, w)
    ours, hand = leaves(engines.einad(w, f, args)()), leaves(engines.numpy(w, f, args)())
    single = any(leaf.dtype == np.float32 for leaf in ours)
    for a, b in zip(ours, hand, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=(1e-4 if single else 1e-9) * max(1e-3, np.abs(b).max()))


@pytest.mark.parametrize(
    "name", ["g_mps_norm", "m_tensor_train", "t_small_rnn", "m_lstm", "m_gru", "m_attention", "m_softmax_regression"]
)
def test_a_hand_written_gradient_is_the_slope_along_a_direction(name):
    w = WORKLOADS[name]
    f, args = w.prepare("float64")
    v = directions(w, args)
    gradient = HAND[name](*args)[1]
    many_operands = SimpleNamespace(einsum=opt_einsum.contract)
    xp = many_operands if len(args) > 15 else np

    def value(step):
        moved = list(args)
        for n, d in zip(w.argnums, v, strict=True):
            moved[n] = args[n] + step * d
        return float(f(xp, *moved))

    h = 1e-5
    slope = sum(np.vdot(g, d) for g, d in zip(gradient, v, strict=True))
    assert slope == pytest.approx((value(h) - value(-h)) / (2 * h), rel=1e-5)


def test_every_workload_of_own_and_more_has_a_hand_written_program():
    assert set(HAND) == {*SETS["own"], *SETS["more"]}
    assert len(more.W) >= 16


def test_arguments_are_converted_to_another_dtype():
    _, args = WORKLOADS["s2_mlp_step"].prepare("float64")
    assert {a.dtype for a in args} == {np.dtype("float64")}


def test_digests_agree_up_to_the_precision_and_no_further():
    x = np.random.default_rng(0).standard_normal(1000)
    assert summary.agree(digest(x), digest(x + 1e-12), single=False)
    assert not summary.agree(digest(x), digest(x + 1e-5), single=False)
    assert summary.agree(digest(x), digest(x.astype(np.float32)), single=True)
    assert not summary.agree(digest((x, x)), digest((x, 2 * x)), single=True)
    assert not summary.agree(digest((x, x)), digest(x), single=True)


def row(median, first=1.0, *, agrees=True):
    return {"median": median, "minimum": median / 2, "first": first, "agrees": agrees}


RESULTS = {
    "a": {"einad": row(1e-3, 0.1), "numpy": row(2e-3), "jax": row(4e-3, 0.2), "torch": row(8e-3)},
    "b": {"einad": row(4e-3, 0.1), "jax": row(1e-3, 0.8), "torch": row(1e-4, agrees=False), "numpy": {"error": "none"}},
    "c": {"einad": {"error": "failed", "agrees": False}, "jax": row(1e-3)},
}


def test_ratios_count_only_engines_with_the_right_values():
    assert summary.to_peer(RESULTS["a"]) == pytest.approx(4)
    assert summary.to_peer(RESULTS["b"]) == pytest.approx(1 / 4)
    assert summary.to_peer(RESULTS["c"]) is None
    assert summary.to_engine(RESULTS["a"], "numpy") == pytest.approx(2)
    means = summary.means(RESULTS)
    assert means["best peer / einad"] == pytest.approx(1)
    assert means["best peer / einad, worst"] == pytest.approx(1 / 4)
    assert means["first call jax / einad"] == pytest.approx(4)
    assert means["best peer / einad-fast"] is None


def test_the_report_shows_losses_machine_and_growth(tmp_path):
    kept = {"machine": {"numpy": "9.9"}, "cpus": "0", "dtype": "own", "blocks": 1, "seconds": 0.1, "results": RESULTS}
    (tmp_path / "made-up.json").write_text(json.dumps(kept))
    quantities = {key: [1.0, 2.0, 4.0] for key in ("planning", "run", "peak", "plan_peak", "flops")}
    expected = {"run": 1, "plan_peak": 1, "planning": 1}
    grown = {
        "axis": "n",
        "closed_form": "x",
        "derivatives": {"value": {"sizes": [1, 2, 4], "expected": expected, **quantities}},
    }
    (tmp_path / "grown.json").write_text(
        json.dumps({"machine": {"numpy": "9.9"}, "cpus": "0", "growth": {"line": grown}})
    )
    text = report.report(tmp_path)
    assert "numpy 9.9" in text
    assert "| a | 1.000 | 2.000 | 4.000 | 8.000 | 4.00 | 4.00 | 2.00 | 0.100 | 0.200 |" in text
    assert "| b | 4.000 |  | 1.000 | 0.1000 (!) | 0.25 |" in text
    assert "| line | value | n 1 to 4 | 1.00, 1 | 1.00, 1 | 1.00, 1 | 1.00 |" in text
    if "made-up.svg" in text:
        assert (tmp_path / "made-up.svg").stat().st_size < 100_000
        assert (tmp_path / "grown-line-run.svg").exists()


@pytest.mark.parametrize("power", [0, 1, 2.5])
def test_exponents_are_those_of_synthetic_data(power):
    sizes = [10, 30, 100, 300, 1000]
    fixed_cost = [5.0 if n < 50 else 0.0 for n in sizes]
    values = [3 * n**power + cost for n, cost in zip(sizes, fixed_cost, strict=True)]
    assert growth_report.exponent(sizes, values) == pytest.approx(power, abs=1e-9)
    assert growth_report.exponent([10], [1.0]) is None


SMALL = {"matrix": 5, "logistic": 5, "least squares": 4, "chain": 6, "tree": 6, "lattice": 8, "depth": 5, "batch": 4}


@pytest.mark.parametrize("name", families.FAMILIES)
def test_a_family_grows_and_its_gradient_is_right(name):
    family = families.FAMILIES[name]
    f, args = family.make(SMALL[name])
    by = tuple(range(family.by or len(args)))
    value, gradient = ea.value_and_grad(f, by)(*args)
    v = [np.random.default_rng(k).standard_normal(args[k].shape) for k in by]
    h = 1e-6
    high, low = (f(*[a + s * d for a, d in zip(args, v, strict=False)], *args[len(by) :]) for s in (h, -h))
    assert value == pytest.approx(f(*args))
    slope = sum(np.vdot(g, d) for g, d in zip(gradient, v, strict=True))
    assert slope == pytest.approx((high - low) / (2 * h), rel=1e-4, abs=1e-6)


def test_growth_is_measured_up_to_a_size():
    found = growth.grow(families.FAMILIES["matrix"], "gradient", limit=10, seconds=0.01, largest=64)
    assert found["sizes"] == [32, 64]
    assert found["flops"][1] == pytest.approx(8 * found["flops"][0], rel=0.1)
    assert all(t > 0 for t in found["run"] + found["planning"])
    assert all(peak > 0 for peak in found["peak"])


def test_the_runner_measures_one_workload_beside_hand_written_numpy(tmp_path):
    kept = tmp_path / "one.json"
    options = ["--only", "m_tiny_mlp", "--engines", "numpy", "--fast-math", "--blocks", "1", "--seconds", "0.01"]
    command = [sys.executable, str(RUNNER), *options, "--dtype", "float32", "--json", str(kept)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    rows = json.loads(kept.read_text())["results"]["m_tiny_mlp"]
    assert list(rows) == ["einad", "einad-fast", "numpy"]
    assert all(each["agrees"] and each["single"] for each in rows.values())
    assert rows["einad"]["plan_flops"] > 0
    assert rows["einad"]["plan_peak_bytes"] > 0
    assert "| m_tiny_mlp | " in done.stdout

"""Derivations and LaTeX."""

import numpy as np
import pytest

import einad as ea
from einad.errors import DerivativeError

DERIVATIONS = {
    ("z[i] = W[i,j] * x[j]", "W"): [
        "1. z[i] = W[i,j] * x[j]",
        "2. ∂z[i]/∂W[k,l] = δ[i,k] δ[j,l] x[j]",
        "3. W_bar[k,l] = z_bar[i] δ[i,k] δ[j,l] x[j] = z_bar[k] x[l]",
        '4. einsum "k,l->kl"',
    ],
    ("z[i] = W[i,j] * x[j]", "x"): [
        "1. z[i] = W[i,j] * x[j]",
        "2. ∂z[i]/∂x[k] = δ[j,k] W[i,j]",
        "3. x_bar[k] = z_bar[i] δ[j,k] W[i,j] = z_bar[i] W[i,k]",
        '4. einsum "i,ik->k"',
    ],
    ("t = A[i,i]", "A"): [
        "1. t = A[i,i]",
        "2. ∂t/∂A[j,k] = δ[i,j] δ[i,k]",
        "3. A_bar[j,k] = t_bar δ[i,j] δ[i,k] = δ[j,k] t_bar",
        '4. einsum "->jj"',
    ],
    ("G[a,b] = X[a,i] * X[b,i]", "X"): [
        "1. G[a,b] = X[a,i] * X[b,i]",
        "2. ∂G[a,b]/∂X[j,k] = δ[a,j] δ[i,k] X[b,i] + δ[b,j] δ[i,k] X[a,i]",
        (
            "3. X_bar[j,k] = G_bar[a,b] δ[a,j] δ[i,k] X[b,i] + G_bar[a,b] δ[b,j] δ[i,k] X[a,i] = "
            "G_bar[j,b] X[b,k] + G_bar[a,j] X[a,k]"
        ),
        '4. einsum "jb,bk->jk" + einsum "aj,ak->jk"',
    ],
    ("y[i] = 3 * x[i] - 0.5 * x[i]**2 * c", "x"): [
        "1. y[i] = 3 * x[i] - 0.5 * x[i]**2 * c",
        "2. ∂y[i]/∂x[j] = 3 δ[i,j] - 0.5 δ[i,j] x[i] c - 0.5 δ[i,j] x[i] c",
        (
            "3. x_bar[j] = y_bar[i] 3 δ[i,j] - y_bar[i] 0.5 δ[i,j] x[i] c - y_bar[i] 0.5 δ[i,j] x[i] c = "
            "3 y_bar[j] - 0.5 y_bar[j] x[j] c - 0.5 y_bar[j] x[j] c"
        ),
        '4. 3 einsum "j->j" - 0.5 einsum "j,j,->j" - 0.5 einsum "j,j,->j"',
    ],
}


@pytest.mark.parametrize(("text", "wrt"), DERIVATIONS)
def test_derivations(text, wrt):
    assert str(ea.expr(text).derivation(wrt)).splitlines() == DERIVATIONS[text, wrt]


@pytest.mark.parametrize(("text", "wrt"), [key for key in DERIVATIONS if "*" in key[0] and "3" not in key[0]])
def test_the_last_line_of_a_derivation_computes_the_derivative(text, wrt):
    e = ea.expr(text)
    sizes = {"W": (3, 4), "x": (4,), "X": (3, 2)}
    values = {name: np.random.default_rng(2).random(sizes[name]) for name in e.inputs}
    (target,) = e.outputs
    bar = np.random.default_rng(3).random(np.shape(e(**values)))
    derivation = e.derivation(wrt)
    specs = [part.split('"')[1] for part in derivation.steps[-1].text.split(" + ")]
    solved = derivation.steps[-2].text.split(" = ")[-1].split(" + ")
    known = {**values, f"{target}_bar": bar}
    total = sum(
        np.einsum(spec, *[known[factor.split("[")[0]] for factor in term.split()])
        for spec, term in zip(specs, solved, strict=True)
    )
    np.testing.assert_allclose(total, e.vjp(wrt)(**known))


def test_a_derivation_in_latex_and_html():
    derivation = ea.expr("z[i] = W[i,j] * x[j]").derivation("W")
    assert derivation.latex().splitlines() == [
        r"\begin{aligned}",
        r"&z_{i} = \sum_{j} W_{ij} x_{j} \\",
        r"&\frac{\partial z_{i}}{\partial W_{kl}} = \delta_{ik} \delta_{jl} x_{j} \\",
        r"&\bar{W}_{kl} = \bar{z}_{i} \delta_{ik} \delta_{jl} x_{j} = \bar{z}_{k} x_{l} \\",
        r'&\texttt{einsum "k,l->kl"}',
        r"\end{aligned}",
    ]
    assert derivation.html().startswith("<ol><li><code>z[i] = W[i,j] * x[j]</code></li>")
    assert "k,l-&gt;kl" in derivation.html()


@pytest.mark.parametrize(
    ("text", "wrt", "message"),
    [
        ("y[i] = tanh(x[i])", "x", r"x stands inside tanh\(x\[i\]\)"),
        ("y[i] = (x[i] + z[i]) * z[i]", "x", "stands inside"),
        ("h[i] = x[i]; y = h[i]", "x", r"x does not stand in 'y = sum\[i\]\(h\[i\]\)'"),
        ("y[i] = x[i]", "q", "there is no tensor 'q'"),
    ],
)
def test_what_has_no_derivation(text, wrt, message):
    with pytest.raises(DerivativeError, match=message):
        ea.expr(text).derivation(wrt)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("Y[i,k] = W[i,j] * X[j,k]", r"Y_{ik} = \sum_{j} W_{ij} X_{jk}"),
        ("W_bar[i,j] = Y_bar[i,k] * X[j,k]", r"\bar{W}_{ij} = \sum_{k} \bar{Y}_{ik} X_{jk}"),
        ("x_dot = alpha * beta_bar", r"\dot{x} = \alpha \bar{\beta}"),
        ("D[i,j] = δ[i,j] * x[j]", r"D_{ij} = \delta_{ij} x_{j}"),
        ("p = sqrt(a) / (b + 1)", r"p = \frac{\sqrt{a}}{b + 1}"),
        ("p = -a**2 - (b - c)", r"p = -{a}^{2} - \left(b - c\right)"),
        ("y[row,col] = tanh(x[row]) * loss_scale[col]",
         r"y_{\mathrm{row},\mathrm{col}} = \tanh\left(x_{\mathrm{row}}\right) \mathrm{loss\_scale}_{\mathrm{col}}"),
        ("y = 2 * 3 * x", r"y = 2 \cdot 3 x"),
        ("y = 1e-7 * x", r"y = 1 \cdot 10^{-7} x"),
        ("y = (sum[i](a[i]*b[i]) + c) * d1", r"y = \left(\sum_{i} a_{i} b_{i} + c\right) {d^{(1)}}"),
        ("y = abs(z) * conj(z) + greater(a, b)",
         r"y = \left|z\right| \overline{z} + \operatorname{greater}\left(a, b\right)"),
    ],
)  # fmt: skip
def test_latex(text, latex):
    assert ea.expr(text).latex() == latex


def test_latex_of_several_statements():
    assert ea.expr("h[i] = 2 * x[i]; y = h[i]").latex().splitlines() == [
        r"\begin{aligned}",
        r"h_{i} &= 2 x_{i} \\",
        r"y &= \sum_{i} h_{i}",
        r"\end{aligned}",
    ]

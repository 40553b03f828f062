"""The summation rule, and the values of statements."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from notation_oracle import SIZES, expressions, statement_value, statements, tensor_values

from einad.errors import NotationError
from einad.expression import expr
from einad.front.notation import parse
from einad.front.notation_print import statement_text, unparse
from einad.front.notation_records import Statement
from einad.front.notation_sums import explicit, implicit

RULE = {
    "Y[i,k] = W[i,j] * X[j,k]": "Y[i,k] = sum[j](W[i,j] * X[j,k])",
    "r[i] = A[i,j]": "r[i] = sum[j](A[i,j])",
    "t = A[i,i]": "t = sum[i](A[i,i])",
    "Z[n,o] = X[n,i]*W[i,o] + b[o]": "Z[n,o] = sum[i](X[n,i] * W[i,o]) + b[o]",
    "l = 2 * (A[i] + c) * x[i]": "l = sum[i](2 * (A[i] + c) * x[i])",
    "l = 2 * (A[i] + c)": "l = 2 * (sum[i](A[i]) + c)",
    "l = tanh(A[i,j] * x[j]) * v[i]": "l = sum[i](tanh(sum[j](A[i,j] * x[j])) * v[i])",
    "l = x[i] / z[i]": "l = sum[i](x[i] / z[i])",
    "l = log(a[i] * b[i])": "l = log(sum[i](a[i] * b[i]))",
    "l = tanh(a[i]) * tanh(b[i])": "l = sum[i](tanh(a[i]) * tanh(b[i]))",
    "l = (a[i] * b[i])**2": "l = sum[i](a[i] * b[i])**2",
    "l = a[i]**2 * b[i]": "l = sum[i](a[i]**2 * b[i])",
    "l = y[n,o] * log(p[n,o])": "l = sum[n,o](y[n,o] * log(p[n,o]))",
    "p[n,o] = exp(h[n,o]) / sum[o](exp(h[n,o]))": "p[n,o] = exp(h[n,o]) / sum[o](exp(h[n,o]))",
    "l = sum[n](x[n] + c)": "l = sum[n](x[n] + c)",
    "l = sum[i](A[i,j] * b[j])": "l = sum[i,j](A[i,j] * b[j])",
    "l = -x[i] - -y[i]": "l = -sum[i](x[i]) + sum[i](y[i])",
    "y[i] = δ[i,j] * x[j]": "y[i] = sum[j](δ[i,j] * x[j])",
    "n = δ[i,i] * x[i]": "n = sum[i](δ[i,i] * x[i])",
    "D[i,i] = x[i]": "D[i,i] = x[i]",
    "y[i,j] = x[j]": "y[i,j] = x[j]",
    "l = A[i] * (B[i] + C[j])": "l = sum[i](A[i] * (B[i] + sum[j](C[j])))",
    "y[i] = exp(x[i] + A[i,j]*z[j])": "y[i] = exp(x[i] + sum[j](A[i,j] * z[j]))",
}


@pytest.mark.parametrize("text", RULE)
def test_the_rule(text):
    assert unparse(parse(text).explicit) == RULE[text]


@pytest.mark.parametrize("text", RULE)
def test_sums_that_the_rule_implies_need_not_be_written(text):
    (full,) = parse(RULE[text]).statements
    short = implicit(full)
    assert explicit(short) == explicit(full)
    assert len(statement_text(short)) <= len(parse(text).text)


@pytest.mark.parametrize(
    ("text", "outside", "inside"),
    [
        ("loss = log(P[n])", "sum[n](log(P[n]))", "log(sum[n](P[n]))"),
        ("loss = 2 * log(P[n] + 1)", "sum[n](log(P[n] + 1))", "log(sum[n](P[n]) + 1)"),
        ("loss = x[i]**2", "sum[i](x[i]**2)", "sum[i](x[i])**2"),
        ("loss = 1 / x[i]", "sum[i](1 / x[i])", "1 / sum[i](x[i])"),
        ("loss = exp(-x[i])", "sum[i](exp(-x[i]))", "exp(-sum[i](x[i]))"),
        ("loss = log(A[i,i])", "sum[i](log(A[i,i]))", "log(sum[i](A[i,i]))"),
        ("y[i] = log(2 + exp(A[i,j]))", "sum[j](log(2 + exp(A[i,j])))", "log(2 + exp(sum[j](A[i,j])))"),
    ],
)
def test_ambiguous_sums_are_refused_with_both_readings(text, outside, inside):
    with pytest.raises(NotationError, match="stands alone inside a function") as caught:
        parse(text)
    lines = str(caught.value).splitlines()
    assert f"  {outside}" in lines
    assert f"  {inside}" in lines
    for reading in (outside, inside):
        parse(text.split(" = ")[0] + " = " + reading)


@given(statements())
@settings(max_examples=150)
def test_explicit_statements_mean_what_they_say(statement):
    values = tensor_values(np.random.default_rng(0))
    found = expr(statement_text(statement))(**values, **SIZES)
    np.testing.assert_allclose(found, statement_value(statement, values), rtol=1e-10, atol=1e-10)


@given(statements())
@settings(max_examples=100)
def test_leaving_out_implied_sums_changes_nothing(statement):
    short = implicit(statement)
    assert explicit(short) == explicit(statement)
    values = tensor_values(np.random.default_rng(1))
    found = expr(statement_text(short))(**values, **SIZES)
    np.testing.assert_allclose(found, statement_value(statement, values), rtol=1e-10, atol=1e-10)


@given(expressions(depth=2))
@settings(max_examples=100)
def test_explicit_is_idempotent(expression):
    try:
        once = explicit(Statement("y", (), expression))
    except NotationError:
        assume(False)
    assert explicit(once) == once
    assert parse(statement_text(once)).explicit == (once,)

"""Reading and printing index notation, and what is refused."""

import pytest
from hypothesis import given, settings
from notation_oracle import statements

from einad.errors import NotationError
from einad.front.notation import parse
from einad.front.notation_print import expression_text, unparse
from einad.front.notation_read import read
from einad.front.notation_records import Binder, Call, Factor, Inverse, Negative, Number, Power, Product, Sum
from einad.front.notation_split import split

x, y, z = Factor("x"), Factor("y"), Factor("z")


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("x * y * z", Product((x, y, z))),
        ("x * (y * z)", Product((x, y, z))),
        ("x + (y + z)", Sum((x, y, z))),
        ("x - y", Sum((x, Negative(y)))),
        ("x - (y + z)", Sum((x, Negative(Sum((y, z)))))),
        ("-x * y", Negative(Product((x, y)))),
        ("x * -y", Negative(Product((x, y)))),
        ("-(-x)", x),
        ("+x", x),
        ("-x**2", Negative(Power(x, Number(2)))),
        ("(-x)**2", Power(Negative(x), Number(2))),
        ("x**y**z", Power(x, Power(y, z))),
        ("x**-1", Power(x, Negative(Number(1)))),
        ("x / y / z", Product((x, Inverse(y), Inverse(z)))),
        ("x / (y * z)", Product((x, Inverse(Product((y, z)))))),
        ("1 / x", Inverse(x)),
        ("2 / x", Product((Number(2), Inverse(x)))),
        ("x / -y", Negative(Product((x, Inverse(y))))),
        ("sum[i,j](A[i,j])", Binder(("i", "j"), Factor("A", ("i", "j")))),
        ("tanh(x + y)", Call("tanh", (Sum((x, y)),))),
        ("maximum(x, 0)", Call("maximum", (x, Number(0)))),
        ("delta[i,j]", Factor("δ", ("i", "j"))),
        ("δ[i,j]", Factor("δ", ("i", "j"))),
        ("1e-3 * x", Product((Number(0.001), x))),
        ("2j * x", Product((Number(2j), x))),
    ],
)
def test_text_is_read_into_normal_form(text, record):
    (statement,) = read(f"t = {text}")
    assert statement.expression == record


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("y=a*(b*c)-  -d_", "y = a * b * c + d_"),
        ("y = ((x))", "y = x"),
        ("y = x-(a-b)", "y = x - (a - b)"),
        ("y = (a+b)*c", "y = (a + b) * c"),
        ("y = (a*b)**2", "y = (a * b)**2"),
        ("y = (a**b)**c", "y = (a**b)**c"),
        ("y = 1/(a/b)", "y = 1 / (a / b)"),
        ("y = -1/x", "y = -1 / x"),
        ("Y[i , k] = W[i, j]*X[j,k]", "Y[i,k] = W[i,j] * X[j,k]"),
        ("y = where( greater(a,b),a, b)", "y = where(greater(a, b), a, b)"),
        ("D[i,j] = delta[i,j]", "D[i,j] = δ[i,j]"),
    ],
)
def test_canonical_text(text, canonical):
    assert parse(text).text == canonical
    assert parse(canonical).text == canonical


def test_statements_are_separated_by_lines_and_semicolons_and_may_hold_comments_and_long_lines():
    text = """
        h[n] = X[n,i] * w[i]   # the layer; with a comment
        loss = sum[n](
            h[n]**2 + 1
        ); twice = 2 * loss
    """
    assert parse(text).text == "h[n] = X[n,i] * w[i]\nloss = sum[n](h[n]**2 + 1)\ntwice = 2 * loss"


def test_pieces_know_their_offset():
    text = "a = b ;\n  c = (a\n + a)"
    assert [text[piece.at : piece.at + len(piece.text)] for piece in split(text)] == ["a = b", "c = (a\n + a)"]


@given(statements())
@settings(max_examples=150)
def test_printed_statements_read_as_the_same_records(statement):
    text = unparse((statement,))
    (again,) = read(text)
    assert again == statement
    assert unparse((again,)) == text


def test_numbers_keep_their_value_and_type():
    (statement,) = read("y = 3 + 3.0 + 1e300 + 1e999 + 9007199254740993")
    assert expression_text(statement.expression) == "3 + 3.0 + 1e+300 + 1e999 + 9007199254740993"


REFUSED = {
    "y = foo(x)": ("unknown function 'foo'", "foo"),
    "y = tanhh(x[i])": ("did you mean tanh", "tanhh"),
    "y = tanh(x, x)": ("tanh takes 1 argument, got 2", "tanh"),
    "y = maximum(x)": ("maximum takes 2 arguments, got 1", "maximum"),
    "y = x.T": ("attributes", "x.T"),
    "y = x.sum()": ("attributes", "x.sum"),
    "y = tanh(x, out=z)": ("no keyword arguments", "z)"),
    "y = (lambda: 0)": ("lambda", "lambda"),
    "y = 'text'": ("strings", "'text'"),
    "y = x < z": ("greater", "x < z"),
    "y = x and z": ("logical_and", "x and"),
    "y = x if z else w": ("where", "x if"),
    "y = x[1:2]": ("slices", "1:2"),
    "y = x[1]": ("an index is a name", "1]"),
    "y = x[i*j]": ("names and whole numbers", "i*j"),
    "y = x[2*(i/2)]": ("names and whole numbers", "i/2"),
    "y = x[1.5*i]": ("names and whole numbers", "1.5*i"),
    "y = x[i-i]": ("cancel", "i-i"),
    "y = x[2**40*i]": ("names and whole numbers", "2**40"),
    "y = x[1099511627776*i]": ("at most", "1099511627776"),
    "y[2*i] = x[i]": ("left side has names", "y[2*i]"),
    "y = sum[i+1](x[i])": ("takes names of indices", "sum"),
    "y[i] = x[i]; z = d(y[i+1], x[i])": ("d(..) takes names", "y[i+1]"),
    "y = pad(tanh)[i]": ("reserved", "tanh"),
    "y = pad(x, 2)[i+1]": ("statement of its own", "pad"),
    "y = x[()]": ("bare name", "()"),
    "y = x[f(i)]": ("an index is a name", "f(i)"),
    "y = d(x[i], x[i])": ("stands in d(..) only", "x[i]"),
    "y = pad(x[i])": ("pad(X)[n,p+r-1]", "pad"),
    "y = sum(x[i])": ("sum needs its indices", "sum"),
    "y = sum[i]": ("reserved", "sum"),
    "y = sum[i,i](x[i])": ("twice", "sum"),
    "y = sum[i](x[i], x[i])": ("one expression, got 2", "sum"),
    "y = prod[i](x[i])": ("only sum", "prod"),
    "y = A @ B": ("A[i,j] * B[j,k]", "A @"),
    "y = (x, z)": ("one value", "(x"),
    "y = tanh": ("reserved", "tanh"),
    "y = δ[i]": ("two indices", "δ"),
    "y = (x)(z)": ("unknown function 'x'", "(x)"),
    "y = (x*z)(z)": ("only a function's name", "x*z"),
    "y = (x*z)[i]": ("statement of its own", "x*z"),
    "y = True": ("is no number", "True"),
    "y = 99999999999999999999": ("too large", "9999"),
    "tanh = x": ("reserved", "tanh"),
    "sum = x": ("reserved", "sum"),
    "d[i] = x[i]": ("reserved", "d"),
    "x + z": ("a statement is", "x"),
    "y += x": ("a statement is", "y"),
    "import os": ("a statement is", "import"),
    "y = z = x": ("one '='", "z"),
    "(y, z) = x": ("left side", "(y"),
    "2 = x": ("cannot be read", "2"),
    "y = 2x": ("cannot be read", "2x"),
    "y = = x": ("cannot be read", "= x"),
    "y = (x": ("never closed", "("),
    "y = x)": ("closes nothing", ")"),
    "y = x[i)": ("closes nothing", ")"),
    "y = x $ z": ("is no part", "$"),
    "y = x % z": ("no part of the notation", "x %"),
    "y = x // z": ("no part of the notation", "x //"),
    "y = [x]": ("no part of the notation", "[x]"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_is_shown_with_a_caret(text):
    message, place = REFUSED[text]
    with pytest.raises(NotationError) as caught:
        parse(text)
    assert message in str(caught.value)
    shown, caret = str(caught.value).splitlines()[-2:]
    assert shown == f"  {text}"
    column = caret.index("^") - 2
    assert text.startswith(place, column) or column in range(text.index(place), text.index(place) + len(place))


def test_carets_count_characters_and_point_into_the_right_line():
    with pytest.raises(NotationError) as caught:
        parse("a = b\nD[i,j] = δ[i,j] * foo(x[j])")
    assert str(caught.value).endswith("  D[i,j] = δ[i,j] * foo(x[j])\n" + " " * 20 + "^")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no statement"),
        (" \n ; # nothing", "no statement"),
        ("y = " + "x + " * 40_000 + "x", "too long"),
        ("y = " + "(" * 150 + "x" + ")" * 150, "too deep"),
        ("y = " + "-" * 150 + "x", "too deep"),
        ("y = " + "-" * 20_000 + "x", "too deep"),
        ("y = " + "x**" * 20_000 + "x", "too deep"),
        ("y = " + "x + " * 20_000 + "x", "too deep"),
        ("y = x[" + ",".join("i" * 33) + "]", "too many indices"),
        ("\n".join(f"y{n} = x" for n in range(10_001))[:99_000], "too many statements|defined twice"),
    ],
)
def test_limits(text, message):
    with pytest.raises(NotationError, match=message):
        parse(text)


@pytest.mark.parametrize("value", [None, 3, b"y = x", ["y = x"]])
def test_what_is_no_string(value):
    with pytest.raises(TypeError, match="index notation is a string"):
        parse(value)


@pytest.mark.parametrize(
    ("text", "message", "second"),
    [
        ("a = x; a = z", "'a' is defined twice", "a = z"),
        ("a = a * x", "in its own definition", "a * x"),
        ("a = b; b = x", "used before it is defined", "b = x"),
        ("a = b; b = a", "used before it is defined", "b = a"),
        ("y[i] = W[i,j] * x[j] + W[i]", "2 indices in one place and 1 index in another", "W[i]"),
        ("h = x; y = h[i]", "no indices in one place and 1 index in another", "h[i]"),
    ],
)
def test_faults_between_two_places_show_both(text, message, second):
    with pytest.raises(NotationError) as caught:
        parse(text)
    found = str(caught.value)
    assert message in found
    assert found.splitlines()[-1].index("^") - 2 == text.rindex(second)


def test_inputs_outputs_and_indices():
    program = parse("h[n,o] = X[n,i] * W[i,o]; loss = h[n,o] * A[n,n] * c")
    assert program.inputs == {"X": ("n", "i"), "W": ("i", "o"), "A": ("n", "n"), "c": ()}
    assert program.outputs == {"h": ("n", "o"), "loss": ()}
    assert program.indices == ("n", "o", "i")

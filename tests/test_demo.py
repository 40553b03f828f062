"""The demo: what it prints is right, it learns, and its options are checked."""

import builtins
import io
import re
import sys

import numpy as np
import pytest

from einad.cli import main
from einad.demo import digits, network, plot, progress
from einad.demo.training import Adam, Epoch, minibatches
from einad.transforms import value_and_grad

FAST = ["--epochs", "1", "--hidden", "8", "--batch", "200"]


def test_the_images_are_complete_and_in_range():
    images = digits.load()
    assert images.X.shape == (1797, 64)
    assert images.T.shape == (1797, 10)
    assert images.X.min() == 0
    assert images.X.max() == 1
    assert images.T.sum(axis=0).astype(int).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_split_is_fixed_by_the_seed_and_has_no_overlap():
    images = digits.load()
    training, held_out = digits.split(images, 3)
    again, _ = digits.split(images, 3)
    assert (len(training.X), len(held_out.X)) == (1438, 359)
    assert np.array_equal(training.X, again.X)
    assert np.array_equal(np.sort(np.concatenate([training.X, held_out.X]), axis=0), np.sort(images.X, axis=0))


def test_the_gradient_is_that_of_a_softmax_classifier_by_hand():
    rng = np.random.default_rng(0)
    weights, X, T = network.initial(5, rng), rng.random((7, 64)), np.eye(10)[rng.integers(0, 10, 7)]
    value, gradient = value_and_grad(network.loss)(weights, X, T)
    H1 = np.tanh(X @ weights["W1"] + weights["b1"])
    H2 = np.tanh(H1 @ weights["W2"] + weights["b2"])
    scores = np.exp(H2 @ weights["W3"] + weights["b3"])
    P = scores / scores.sum(axis=1, keepdims=True)
    Z3 = (P - T) / 7
    Z2 = Z3 @ weights["W3"].T * (1 - H2**2)
    Z1 = Z2 @ weights["W2"].T * (1 - H1**2)
    np.testing.assert_allclose(value, -np.mean(np.log(P[T == 1])), rtol=1e-13)
    expected = {"W3": H2.T @ Z3, "b3": Z3.sum(0), "W2": H1.T @ Z2, "b2": Z2.sum(0), "W1": X.T @ Z1, "b1": Z1.sum(0)}
    for name, by_hand in expected.items():
        np.testing.assert_allclose(gradient[name], by_hand, rtol=1e-11, atol=1e-14)


def test_scores_too_large_for_exp_give_a_finite_loss():
    weights = network.initial(5, np.random.default_rng(0))
    weights["W3"] = 1e4 * weights["W3"]
    value, gradient = value_and_grad(network.loss)(weights, np.ones((2, 64)), np.eye(10)[:2])
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(g)) for g in gradient.values())


def test_minibatches_cover_the_images_once():
    images = digits.Images(np.arange(10.0)[:, None], np.eye(10))
    batches = list(minibatches(images, 3, np.random.default_rng(0)))
    assert [len(batch.X) for batch in batches] == [3, 3, 3]
    assert len({float(x) for batch in batches for x in batch.X[:, 0]}) == 9


def test_the_first_step_of_adam_has_the_size_of_its_rate():
    weights = {"w": np.array([1.0, -2.0])}
    after = Adam(weights).step(weights, {"w": np.array([0.3, -70.0])})
    np.testing.assert_allclose(after["w"], [1 - 3e-3, -2 + 3e-3], rtol=1e-6)
    assert weights["w"].tolist() == [1.0, -2.0]


def test_it_learns_and_says_what_it_does(tmp_path, capsys):
    picture = tmp_path / "run.png"
    assert main(["demo", "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    for statement in ("Z[n,o] = X[n,i] * W[i,o] + b[o]", "W_bar[i,o] = X[n,i] * Z_bar[n,o]", "b_bar[o] = Z_bar[n,o]"):
        assert statement in printed
    assert float(re.search(r"relative difference (\S+)", printed)[1]) < 1e-9
    assert float(re.search(r"held-out accuracy: (\S+)%", printed)[1]) >= 96
    assert float(re.search(r"30 epochs in (\S+) s", printed)[1]) < 60
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_quiet_prints_the_accuracy_only(tmp_path, capsys):
    assert main(["demo", *FAST, "--quiet", "--plot", str(tmp_path / "run.svg")]) == 0
    captured = capsys.readouterr()
    assert re.fullmatch(r"held-out accuracy: \d+\.\d+%\n", captured.out)
    assert captured.err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "none"], "argument --epochs: expected a whole number, found 'none'"),
        (["--epochs", "0"], "argument --epochs: expected a number from 1 to 10000, found 0"),
        (["--batch", "2000"], "argument --batch: expected a number from 1 to 1438, found 2000"),
        (["--hidden", "-1"], "argument --hidden: expected a number from 1 to 10000, found -1"),
        (["--seed", "1.5"], "argument --seed: expected a whole number, found '1.5'"),
        (["--plot", "run.doc"], r"argument --plot: expected a file name ending in .png, .pdf, .svg, found 'run.doc'"),
        (["--plot", "nowhere/run.png"], "argument --plot: there is no directory 'nowhere'"),
        (["--epoch", "3", "--speed"], "unrecognized arguments: --speed"),
    ],
)
def test_wrong_options_are_refused(options, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["demo", *options])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


EPOCHS = [Epoch(1, 0.5, 0.9), Epoch(2, 0.25, 0.95)]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def without(monkeypatch, package):
    """Make imports of a package fail, as where it is not installed."""
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_progress_is_silent_where_nobody_watches(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress.watched(EPOCHS, 2, quiet=False)) == EPOCHS
    assert stream.getvalue() == ""


def test_progress_without_tqdm_is_plain_lines(monkeypatch):
    without(monkeypatch, "tqdm")
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress.watched(EPOCHS, 2, quiet=False)) == EPOCHS
    assert stream.getvalue().splitlines()[1] == "epoch 2/2: loss 0.2500, held-out accuracy 95.0%"


def test_progress_with_tqdm_is_a_bar(monkeypatch):
    pytest.importorskip("tqdm")
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress.watched(EPOCHS, 2, quiet=False)) == EPOCHS
    assert "2/2" in stream.getvalue()


def test_a_plot_without_matplotlib_says_how_to_get_it(monkeypatch, tmp_path):
    without(monkeypatch, "matplotlib")
    assert "pip install" in plot.draw(EPOCHS, tmp_path / "run.png")
    assert not (tmp_path / "run.png").exists()

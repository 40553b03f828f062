"""The command line: help, wrong usage, interruption."""

import subprocess
import sys

import pytest

from einad import cli
from einad.demo import command


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    assert "demo" in capsys.readouterr().out


def test_help_of_the_demo_explains_every_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["demo", "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "handwritten digits" in printed
    for option in ("--epochs", "--batch", "--hidden", "--seed", "--plot", "--quiet"):
        assert option in printed


@pytest.mark.parametrize(("arguments", "message"), [([], "required"), (["dance"], "invalid choice: 'dance'")])
def test_wrong_usage_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_an_interruption_ends_with_130(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "derivations", interrupted)
    assert cli.main(["demo", "--epochs", "1"]) == 130
    assert capsys.readouterr().err.endswith("interrupted\n")


def test_it_runs_as_a_program():
    program = "import sys; from einad.cli import main; sys.exit(main(sys.argv[1:]))"
    command_line = [sys.executable, "-c", program, "demo", "--epochs", "x"]
    done = subprocess.run(command_line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected a whole number, found 'x'" in done.stderr

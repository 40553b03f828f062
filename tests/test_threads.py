"""Jobs on several threads: order, errors, nesting, forks, and BLAS set back to what it was."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from einad.backends import threads
from einad.backends.threads import find_blas, free_threads, one_blas_thread, pool, run_together

has_blas = pytest.mark.skipif(find_blas() is None, reason="the BLAS of this NumPy cannot be told how many threads")


@pytest.fixture(autouse=True)
def _two_cpus(monkeypatch):
    monkeypatch.setattr(threads, "cpu_count", lambda: 2)


@pytest.fixture
def blas():
    found = find_blas()
    before = found.get()
    found.set(2)
    yield found
    found.set(before)


def test_results_come_in_order():
    assert run_together([lambda n=n: n * n for n in range(7)]) == [n * n for n in range(7)]
    assert run_together([]) == []


def test_jobs_run_side_by_side():
    barrier = threading.Barrier(2, timeout=10)
    assert sorted(run_together([barrier.wait, barrier.wait])) == [0, 1]


def test_within_a_job_there_is_one_thread():
    assert free_threads() == 2
    assert run_together([free_threads, free_threads]) == [1, 1]
    inner = lambda: run_together([threading.get_ident, threading.get_ident])
    for first, second in run_together([inner, inner]):
        assert first == second
    assert free_threads() == 2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("which", [0, 1])
@has_blas
def test_errors_come_out_after_all_jobs_have_ended(blas, error, which):
    ended = []

    def fail():
        raise error("on purpose")

    def work():
        time.sleep(0.02)
        ended.append(1)

    with pytest.raises(error, match="on purpose"):
        run_together([fail, work] if which == 0 else [work, fail])
    assert len(ended) == 1 or which == 1
    assert blas.get() == 2
    assert free_threads() == 2
    assert run_together([lambda: 1, lambda: 2]) == [1, 2]


@has_blas
def test_blas_has_one_thread_inside_and_its_own_afterwards(blas):
    assert run_together([blas.get, blas.get]) == [1, 1]
    assert blas.get() == 2
    with one_blas_thread(), one_blas_thread():
        assert blas.get() == 1
    assert blas.get() == 2


@has_blas
def test_blas_is_restored_when_the_last_of_many_callers_ends(blas):
    def call():
        for _ in range(50):
            assert run_together([blas.get, blas.get]) == [1, 1]

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert blas.get() == 2


def test_jobs_see_the_callers_error_state():
    divide = lambda: np.divide(np.ones(3), np.zeros(3))
    with np.errstate(divide="ignore"):
        run_together([divide, divide])
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        run_together([divide, lambda: None])


def test_a_busy_pool_holds_nobody_up():
    blocked = threading.Event()
    waiting = [pool().submit(blocked.wait, 10) for _ in range(8)]
    try:
        assert run_together([lambda: 1, lambda: 2]) == [1, 2]
    finally:
        blocked.set()
    assert all(each.result() for each in waiting)


@pytest.mark.parametrize(("variables", "most"), [({}, 64), ({"OMP_NUM_THREADS": "1"}, 1)])
def test_the_environment_bounds_the_threads(monkeypatch, variables, most):
    monkeypatch.undo()
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert 1 <= threads.cpu_count() <= max(most, 1) or not variables
    monkeypatch.setenv("EINAD_NUM_THREADS", "1")
    assert threads.cpu_count() == 1


FORK = """
import os, sys
import numpy as np
from einad.backends import threads
threads.cpu_count = lambda: 2
blas = threads.find_blas()
if blas: blas.set(2)
assert threads.run_together([lambda: 1, lambda: 2]) == [1, 2]
def forked():
    child = os.fork()
    if child == 0:
        ok = threads.run_together([lambda: 3, lambda: 4]) == [3, 4] and (blas is None or blas.get() == 2)
        os._exit(0 if ok else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert forked() == 0
with threads.one_blas_thread():
    assert forked() == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_threads_of_its_own():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)

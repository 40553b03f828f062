"""Several Python threads at once: the shared pool, and NumPy's BLAS held to one thread while they run.

NumPy releases the interpreter's lock in its loops and in BLAS, so parts of a program run side by side on Python
threads. OpenBLAS shares one set of threads among all callers and serves one caller at a time; held to one thread it
runs within each caller. Setting its number of threads takes 0.2 µs, handing a job to a thread about 20 µs.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from importlib import import_module
from threading import Lock, local
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")
VARIABLES = "EINAD_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"
SUFFIXES = "64_", ""
PTHREADS = 1


class Blas(NamedTuple):
    """How many threads NumPy's BLAS uses, and how to change that."""

    get: Callable[[], int]
    set: Callable[[int], object]


class _State:
    """The pool, and how many regions hold BLAS to one thread; made anew in a forked process."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.pool: ThreadPoolExecutor | None = None
        self.regions = 0
        self.saved = 0
        self.here = local()


_state = _State()


def cpu_count() -> int:
    """How many threads are worth their while: the CPUs that this process may use, or fewer if the environment says so.

    ``EINAD_NUM_THREADS`` comes before the variables that BLAS libraries read.
    """
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for name in VARIABLES:
        if (asked := os.environ.get(name, "")).isdecimal():
            return max(1, min(found, int(asked)))
    return found


def split_threads() -> int:
    """How many parts of a program may run at once: one where BLAS cannot be held to one thread in each."""
    return cpu_count() if blas_is_tame() else 1


def free_threads() -> int:
    """How many threads a call made here may use: all CPUs, but one within a job of `run_together`."""
    return 1 if getattr(_state.here, "busy", False) else cpu_count()


def pool() -> ThreadPoolExecutor:
    """The pool of this process, one thread fewer than CPUs (the caller works too), made when first asked for.

    A job must not wait for another job of the pool: use `run_together`, which never does.
    """
    with _state.lock:
        if _state.pool is None:
            futures = import_module("concurrent.futures")  # takes 4 ms, which importing einad need not wait for
            _state.pool = futures.ThreadPoolExecutor(max(1, cpu_count() - 1), "einad")
        return _state.pool


def run_together(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """The results of the jobs, run at the same time on several threads, the last on the caller's.

    Each job sees the caller's context (such as ``np.errstate``), and BLAS uses one thread in each. Jobs that no thread
    has taken up are run by the caller, so a busy pool delays nothing. All have ended when this returns or raises.
    Within a job the jobs of another call run one after the other.
    """
    if len(jobs) < 2 or free_threads() < 2:
        return [job() for job in jobs]
    futures: list[Future[T] | None] = []
    with one_blas_thread():
        try:
            futures.extend(map(_submit, jobs[:-1]))
            last = _job(jobs[-1])
            firsts = [
                _job(job) if future is None or future.cancel() else future.result()
                for job, future in zip(jobs[:-1], futures, strict=True)
            ]
            return [*firsts, last]
        finally:
            _settle(futures)


def _submit(job: Callable[[], T]) -> Future[T] | None:
    """A job given to the pool; None where it takes no more jobs because the interpreter is ending."""
    try:
        return pool().submit(copy_context().run, _job, job)
    except RuntimeError:
        return None


def _job(job: Callable[[], T]) -> T:
    _state.here.busy = True
    try:
        return job()
    finally:
        _state.here.busy = False


def _settle(futures: Sequence[Future[Any] | None]) -> None:
    """Wait for what runs; what has not begun never will."""
    for future in [future for future in futures if future is not None and not future.cancel()]:
        future.exception()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold NumPy's BLAS to one thread; what it was is set again when the last of several uses ends."""
    blas = find_blas()
    if blas is None:
        yield
        return
    state = _state
    with state.lock:
        if not state.regions:
            state.saved = blas.get()
            if state.saved != 1:
                blas.set(1)
        state.regions += 1
    try:
        yield
    finally:
        with state.lock:
            state.regions -= 1
            if not state.regions and state.saved != 1:
                blas.set(state.saved)


def blas_is_tame() -> bool:
    """Whether several threads may call BLAS at once with one thread each: it can be told to, or was told to."""
    return find_blas() is not None or any(os.environ.get(name) == "1" for name in VARIABLES[1:])


@cache
def find_blas() -> Blas | None:
    """The controls of the BLAS that NumPy has loaded; None where they are not found or would not hold."""
    return _openblas() or _by_threadpoolctl()


def _openblas() -> Blas | None:
    """OpenBLAS with threads of its own. One built for OpenMP counts threads for each caller, which does not hold."""
    try:
        library = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__ or "")
    except (ImportError, OSError):
        return None
    for prefix in ("scipy_openblas", "openblas"):
        for suffix in SUFFIXES:
            names = [f"{prefix}_{name}{suffix}" for name in ("get_num_threads", "set_num_threads", "get_parallel")]
            if all(hasattr(library, name) for name in names):
                get, put, parallel = [getattr(library, name) for name in names]
                return Blas(get, put) if parallel() == PTHREADS else None
    return None


def _by_threadpoolctl() -> Blas | None:
    """What ``threadpoolctl`` finds, if it is installed and finds one BLAS with threads of its own."""
    try:
        controller = import_module("threadpoolctl").ThreadpoolController().select(user_api="blas")
    except (ImportError, OSError, RuntimeError):
        return None
    found = [each for each in controller.lib_controllers if each.info().get("threading_layer") == "pthreads"]
    if len(found) != 1 or len(controller.lib_controllers) != 1:
        return None
    return Blas(found[0].get_num_threads, found[0].set_num_threads)


def _after_fork() -> None:
    """In a child process no thread of the pool lives, and no region is open."""
    global _state
    before, _state = _state, _State()
    blas = find_blas()
    if before.regions and before.saved != 1 and blas is not None:
        blas.set(before.saved)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

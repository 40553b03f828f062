"""Caches: bounded, settable, cleared together; contraction paths between processes."""

import gc
import json
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import einad as ea
from einad import pipeline
from einad.caching import Cache
from einad.ir import build
from einad.ir.expr import Input
from einad.plan import stored_paths
from einad.plan.search import DIRECTORY, PATHS, best_path
from einad.transforms.compiling import JitCache


@pytest.fixture
def fresh():
    """Empty caches, and the limits as they were afterwards."""
    limits = {name: info.limit for name, info in ea.cache_info().items()}
    ea.clear_cache()
    yield
    ea.set_cache_size(**limits)
    ea.clear_cache()


def chain(count, size=3):
    inputs = [(n, n + 1) for n in range(count)]
    return inputs, frozenset([0, count]), dict.fromkeys(range(count + 1), size)


def test_a_cache_forgets_what_was_used_least_recently():
    cache = Cache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
    cache.resize(1)
    assert cache.info() == (1, 1, 3, 1)
    cache.resize(0)
    cache.put("d", 4)
    assert cache.get("d") is None
    with pytest.raises(ValueError, match="0 or more entries, got -1"):
        cache.resize(-1)


def test_a_cache_is_safe_between_threads():
    cache = Cache(50)

    def work(seed):
        for n in range(3000):
            key = (n * seed) % 97
            assert cache.get(key) in (None, str(key))
            cache.put(key, str(key))
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, (3, 5, 7, 11)))
    assert cache.info().entries == 50


@pytest.mark.usefixtures("fresh")
def test_the_plans_of_a_jitted_function_are_bounded():
    f = ea.jit(lambda x: np.sin(x).sum())
    ea.set_cache_size(jit=3)
    for n in range(1, 8):
        assert f(np.ones(n)) == pytest.approx(n * np.sin(1))
    assert ea.cache_info()["jit"].entries == 3
    ea.set_cache_size(jit=1)
    assert ea.cache_info()["jit"].entries == 1
    assert f(np.ones(2)) == pytest.approx(2 * np.sin(1))
    with pytest.raises(ValueError, match="at least 1 plan, got 0"):
        ea.set_cache_size(jit=0)


@pytest.mark.usefixtures("fresh")
def test_a_function_traced_anew_reuses_its_plan():
    f = ea.grad(lambda x: np.sum(np.sin(x) * x))
    f(np.ones(3))
    before = ea.cache_info()["plans"]
    for _ in range(3):
        np.testing.assert_allclose(f(np.ones(3)), np.cos(1) + np.sin(1))
    after = ea.cache_info()["plans"]
    assert (after.misses, after.entries) == (before.misses, before.entries)
    assert after.hits >= before.hits + 3


@pytest.mark.usefixtures("fresh")
def test_clearing_forgets_everything():
    f = ea.jit(ea.grad(lambda x: np.einsum("i,i,i->", x, x, x)))
    f(np.ones(3))
    assert all(info.entries for info in ea.cache_info().values())
    ea.clear_cache()
    assert not any(info.entries for info in ea.cache_info().values())
    np.testing.assert_allclose(f(np.ones(3)), 3)


def test_a_function_that_is_gone_leaves_no_cache():
    f = ea.jit(lambda x: 2 * x)
    f(np.ones(3))
    mine = [each for each in JitCache.every if each.entries]
    before = len(JitCache.every)
    del f
    mine.clear()
    gc.collect()
    assert len(JitCache.every) < before


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """An empty directory for paths, and nothing known from before."""
    monkeypatch.setenv(DIRECTORY, str(tmp_path / "paths"))
    PATHS.clear()
    stored_paths.open_store.cache_clear()
    yield tmp_path / "paths"
    PATHS.clear()
    stored_paths.open_store.cache_clear()


def forget():
    PATHS.clear()
    stored_paths.open_store.cache_clear()


def the_file(directory):
    (file,) = directory.iterdir()
    return file


def test_paths_are_kept_on_disk_and_found_again(directory, monkeypatch):
    path = best_path(*chain(15))
    assert best_path(*chain(5))  # small networks are quicker to search than to look up
    assert len(the_file(directory).read_text().split()) == 2 + len(path)
    forget()
    monkeypatch.setattr(sys.modules["einad.plan.search"], "refine", None)  # no search is needed any more
    assert best_path(*chain(15)) == path


SEARCH = """
import json, sys
import importlib
search = importlib.import_module("einad.plan.search")
def chain(count):
    return [(n, n + 1) for n in range(count)], frozenset([0, count]), dict.fromkeys(range(count + 1), 3)
print(json.dumps([search.best_path(*chain(int(n))) for n in sys.argv[1:]]))
"""


def search_in_process(*counts):
    command = [sys.executable, "-c", SEARCH, *map(str, counts)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ), text=True)


def test_two_processes_at_once_share_the_file(directory):
    first, second = search_in_process(*range(10, 40)), search_in_process(*range(39, 9, -1))
    a, b = (json.loads(process.communicate(timeout=120)[0]) for process in (first, second))
    assert a == b[::-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = stored_paths.open_store(str(directory))
    assert len(store.paths) == 30


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace(b" ", b"", 1),
        lambda text: b"\x00\xff\xfe" * 100,
        lambda text: text.replace(b",", b";"),
        lambda text: text.replace(b"0", b"1"),
    ],
)
def test_a_damaged_file_is_passed_over_and_mended(directory, damage):
    path = best_path(*chain(15))
    file = the_file(directory)
    file.write_bytes(damage(file.read_bytes()))
    forget()
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert best_path(*chain(15)) == path
    forget()
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert list(stored_paths.open_store(str(directory)).paths.values()) == [path]


def test_a_path_that_is_none_is_not_taken(directory):
    store = stored_paths.open_store(str(directory))
    inputs, output, sizes = chain(15)
    problem = tuple(inputs), output, tuple(sizes.values())
    for wrong in ([(0, 1)], [(0, 0)] * 14, [(n, n + 99) for n in range(14)]):
        store.save(problem, tuple(wrong))
        assert store.load(problem, 15) is None


def test_a_directory_that_cannot_be_written_only_warns(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(DIRECTORY, str(tmp_path / "file"))  # no directory can be made here, whoever asks
    forget()
    with pytest.warns(RuntimeWarning, match="cannot be"):
        assert len(best_path(*chain(16))) == 15
    forget()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_only_warns(directory):
    directory.mkdir()
    directory.chmod(0o500)
    with pytest.warns(RuntimeWarning, match="cannot be written"):
        assert len(best_path(*chain(16))) == 15
    directory.chmod(0o700)


def test_the_file_is_bounded(directory, monkeypatch):
    monkeypatch.setattr(stored_paths, "MAX_BYTES", 2000)
    for count in range(10, 40):
        best_path(*chain(count))
        assert the_file(directory).stat().st_size <= 2000


def test_values_do_not_depend_on_the_file(directory):
    inputs, output, sizes = chain(12)
    operands = [Input(f"x{n}", (3, 3)) for n in range(12)]
    node = build.einsum(inputs, sorted(output), operands, sizes)
    rng = np.random.default_rng(0)
    arrays = {x: rng.standard_normal((3, 3)) for x in operands}
    left_to_right = ((0, 1), *[(n + 1, n + 11) for n in range(1, 11)])
    (first,) = pipeline.evaluate([node], arrays)
    stored_paths.open_store(str(directory)).save((tuple(inputs), output, tuple(sizes.values())), left_to_right)
    PATHS.clear()
    pipeline.clear_cache()
    np.testing.assert_allclose(pipeline.evaluate([node], arrays)[0], first, rtol=1e-12)
    np.testing.assert_allclose(first, np.linalg.multi_dot(list(arrays.values())), rtol=1e-12)

"""A golden on disk is whole, of this version, and what its record tells of; anything else is said by name."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ptycho.base.errors import GoldenError
from ptycho.testing.golden import compare, files
from ptycho.testing.golden.files import Evidence, Record

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1, 5, 2])}


def record(arrays=None, **changes):
    entries = {name: compare.entry_of(array) for name, array in (arrays or ARRAYS).items()}
    plain = Record("test_it", files.FROZEN, "why", ("again",), entries, {}, "", {"numpy version": "2"})
    return replace(plain, **changes)


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "test_it.npz"
    files.write(path, ARRAYS, record())
    return path


def test_what_is_written_is_read(stored):
    arrays, told = files.read(stored)
    np.testing.assert_array_equal(arrays["a"], ARRAYS["a"])
    np.testing.assert_array_equal(arrays["b"], ARRAYS["b"])
    assert (told.reason, told.claims, told.arrays, told.calibrated) == (
        "why",
        ("again",),
        record().arrays,
        False,
    )


def test_writing_twice_gives_the_same_bytes(stored):
    before = stored.read_bytes(), files.sidecar_of(stored).read_bytes()
    files.write(stored, ARRAYS, record())
    assert (stored.read_bytes(), files.sidecar_of(stored).read_bytes()) == before


def test_evidence_counts_for_the_numbers_that_it_was_measured_of(stored):
    told = files.read_record(stored)
    evidence = Evidence(
        told.sha256, {"again": {"a": 1e-9}, "one thread": {"a": 3e-9}}, {"F:x": 50.0, "F:y": None}
    )
    files.write_record(stored, replace(told, evidence=evidence))
    found = files.read_record(stored)
    assert found.evidence == evidence
    assert found.calibrated
    assert (found.evidence.floor("a"), found.evidence.floor("b"), found.evidence.separation) == (3e-9, 0, 50)
    assert not replace(found, sha256="other").calibrated


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p.unlink(), "cannot be read"),
        (lambda p: files.sidecar_of(p).unlink(), "is missing; a golden has its arrays and their record"),
        (lambda p: files.sidecar_of(p).write_text("{"), "no JSON"),
        (lambda p: files.sidecar_of(p).write_text("[]"), "is no record of a golden"),
        (lambda p: edit(p, format=2), "has format 2, this version reads 1"),
        (lambda p: edit(p, rests_on="hope"), "rests_on = 'hope': one of analytic"),
        (lambda p: edit(p, surprise=1), "is no record of a golden"),
        (lambda p: np.savez(p, **ARRAYS), "SHA-256 differs.*an accept was interrupted"),
        (lambda p: reshape(p), r"a is float64 \(3, 2\), but test_it.json says float64 \(2, 3\)"),
        (lambda p: drop(p), "b stands in one of test_it.npz and test_it.json only"),
        (lambda p: garbage(p), "cannot be read"),
    ],
)
def test_what_is_damaged_is_refused_by_name(stored, damage, words):
    damage(stored)
    with pytest.raises(GoldenError, match=words):
        files.read(stored)


def edit(path, **changes):
    place = files.sidecar_of(path)
    place.write_text(json.dumps({**json.loads(place.read_text()), **changes}))


def _with_its_sum(path, write):
    from ptycho.base import identity

    write()
    edit(path, sha256=identity.file_sha256(path))


def reshape(path):
    _with_its_sum(path, lambda: np.savez(path, a=ARRAYS["a"].T.copy(), b=ARRAYS["b"]))


def drop(path):
    _with_its_sum(path, lambda: np.savez(path, a=ARRAYS["a"]))


def garbage(path):
    _with_its_sum(path, lambda: path.write_bytes(b"no zip"))


def test_a_golden_has_a_limit_of_size_and_nothing_is_left_of_one_that_exceeds_it(tmp_path):
    large = {"a": np.random.default_rng(0).random(20_000)}
    with pytest.raises(GoldenError, match=r"would have 1\d+ bytes; a golden has at most 100000"):
        files.write(tmp_path / "x.npz", large, record(large))
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.text("aA-+_.[] /:é%~", max_size=12), min_size=2, max_size=2, unique=True))
@example(["::", "."])
def test_no_two_tests_share_a_name(ids):
    names = {files.name_of(f"tests/test_it.py::test_it[{text}]") for text in ids}
    assert len(names) == 2
    assert all("/" not in name and " " not in name for name in names)


def test_methods_of_two_classes_and_long_ids_have_names_of_their_own():
    assert files.name_of("t.py::TestA::test_it") == "TestA.test_it"
    assert files.name_of("t.py::TestA::test_it") != files.name_of("t.py::TestB::test_it")
    one, other = (files.name_of(f"t.py::test_it[{'x' * 300}{end}]") for end in "ab")
    assert one != other
    assert max(len(one), len(other)) <= files.LONGEST_NAME


HOLD = """
import sys
from pathlib import Path
from ptycho.testing.golden import files

with files.alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_write_one_golden(tmp_path):
    path = tmp_path / "x.new.npz"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(GoldenError, match="another process is writing it"), files.alone(path):
            pass
        other.stdin.close()
        assert other.wait(30) == 0
    with files.alone(path):
        assert not path.exists()

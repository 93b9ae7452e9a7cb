"""Proposing, looking, accepting: changed only, again the same, never without a reason or less sharp than before."""

import functools
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from command import call, without_xdist

from ptycho.testing.golden import files

pytestmark = pytest.mark.slow

PRODUCT = "def double(x):\n    return {factor} * x\n\ndef lonely(x):\n    return {factor} * x\n"
FAULTS = """
from ptycho.testing.fault import Fault

FAULTS = (Fault("A", "by-four", "product:double", lambda original: lambda x: 4 * x),)
"""
TESTS = """
import numpy as np
import product

RAMP = np.arange(1.0, 13.0).reshape(3, 4)

def test_one(golden):
    golden.check({{"a": product.{function}(RAMP) * np.exp(1j * RAMP), "b": 3.0}})

def test_other(golden):
    golden.check({{"a": product.double(RAMP) ** 0 * RAMP + product.double(0 * RAMP + 2) * 0 + product.double(2) % 4}})
"""


def run(folder, *options):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *options]
    environment = {name: value for name, value in without_xdist().items() if name != "CI"}
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return SimpleNamespace(code=found.returncode, out=found.stdout + found.stderr)


def write(folder, factor=2, function="double"):
    (folder / "product.py").write_text(PRODUCT.format(factor=factor))
    (folder / "test_it.py").write_text(TESTS.format(function=function))


@pytest.fixture(scope="module")
def accepted(tmp_path_factory):
    """Two goldens, accepted, one of them calibrated."""
    folder = tmp_path_factory.mktemp("accepted")
    (folder / "faults.py").write_text(FAULTS)
    (folder / "pytest.ini").write_text("[pytest]\nfindings_faults = faults\npythonpath = .\n")
    write(folder)
    run(folder, "--regen-all")
    run(folder, "--calibrate", "test_it.py::test_one")
    return folder


@pytest.fixture
def project(accepted, tmp_path, monkeypatch):
    """A copy for each test."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(accepted, tmp_path, dirs_exist_ok=True)
    golden = tmp_path / "test_it" / "test_one.npz"
    return SimpleNamespace(
        folder=golden.parent,
        write=functools.partial(write, tmp_path),
        pytest=functools.partial(run, tmp_path),
        golden=golden,
        new=golden.with_name("test_one.new.npz"),
    )


def said(capsys):
    text = capsys.readouterr()
    return " ".join((text.out + text.err).split())


def test_from_a_change_to_the_accepted_golden(project, capsys):
    project.write(factor=6)
    before = project.golden.read_bytes()
    assert call("golden", "propose") == 0
    text = said(capsys)
    assert "changed: test_it/test_one (frozen behaviour)" in text
    assert "largest change 2 of the largest magnitude, 12 of 12 changed; 1 - correlation " in text
    assert ", factor 3" in text
    assert "b:" not in text, "what did not change is not spoken of"
    assert "test_other" not in text
    proposed = project.new.read_bytes(), files.sidecar_of(project.new).read_bytes()
    assert call("golden", "propose") == 0
    assert (project.new.read_bytes(), files.sidecar_of(project.new).read_bytes()) == proposed, (
        "again the same"
    )
    assert project.golden.read_bytes() == before
    assert project.pytest("test_it.py::test_one").code == 1, "what is proposed counts for nothing"

    assert call("golden", "review", "--out", "page.html") == 0
    page = (project.folder.parent / "page.html").read_text()
    assert page.count("data:image/png") == 1
    assert "test_it/test_one" in page
    assert "another than that of the old" not in page

    said(capsys)
    assert call("golden", "accept", "test_one") == 2
    assert "--reason: say why" in said(capsys)
    assert call("golden", "accept", "test_two", "--reason", "x") == 2
    assert "test_two: nothing of that name; there is test_one" in said(capsys)
    assert call("golden", "accept", "test_one", "--reason", "three times as much") == 0
    assert "accepted: test_it/test_one" in said(capsys)
    assert not project.new.exists()
    record = files.read_record(project.golden)
    assert (record.reason, record.calibrated, list(record.evidence.faults)) == (
        "three times as much",
        True,
        ["A:by-four"],
    )
    assert project.pytest("test_it.py::test_one").code == 0
    assert call("golden") == 0
    text = said(capsys)
    assert "golden files: 2, " in text
    assert "; 0 analytic, 0 second implementation, 2 frozen behaviour" in text


def test_a_golden_that_lets_a_bug_pass_is_refused(project, capsys):
    """It comes from a function now that no fault replaces: the known bug would pass."""
    project.write(factor=6, function="lonely")
    call("golden", "propose")
    before = project.golden.read_bytes()
    said(capsys)
    assert call("golden", "accept", "--all", "--reason", "simpler") == 2
    assert "refused: test_it/test_one: no registered fault moves it: it shows nothing" in said(capsys)
    assert project.golden.read_bytes() == before
    assert project.new.exists()
    assert call("golden", "reject", "--all") == 0
    assert not project.new.exists()
    assert call("golden", "diff") == 0
    assert "no golden file differs" in said(capsys)
    assert call("golden", "accept", "--all", "--reason", "none") == 2
    assert "nothing is proposed; run ptycho golden propose first" in said(capsys)


def test_a_golden_that_notices_less_than_before_is_refused(project, capsys):
    record = json.loads(files.sidecar_of(project.golden).read_text())
    record["evidence"]["faults"]["A:by-five"] = 1e9
    files.sidecar_of(project.golden).write_text(json.dumps(record))
    project.write(factor=6)
    call("golden", "propose")
    said(capsys)
    assert call("golden", "accept", "--all", "--reason", "new factor") == 2
    assert "refused: test_it/test_one: no longer notices A:by-five" in said(capsys)


def test_an_interrupted_accept_is_told_and_done_again(project, capsys):
    project.write(factor=6)
    call("golden", "propose")
    project.golden.write_bytes(project.new.read_bytes())
    assert "an accept was interrupted" in project.pytest("test_it.py::test_one").out
    assert call("golden", "accept", "--all", "--reason", "once more") == 0
    assert project.pytest("test_it.py::test_one").code == 0


def test_numbers_of_other_code_are_not_calibrated(project):
    project.write(factor=6)
    found = project.pytest("--calibrate", "test_it.py::test_one")
    assert found.code == 1
    assert "test_it.py::test_one: a does not come out again as stored" in found.out
    assert files.read_record(project.golden).calibrated, "what was measured of the stored ones stays"


def test_ci_proposes_and_accepts_nothing(project, monkeypatch, capsys):
    project.write(factor=6)
    call("golden", "propose")
    monkeypatch.setenv("CI", "1")
    said(capsys)
    for arguments in (("propose",), ("accept", "--all", "--reason", "x")):
        assert call("golden", *arguments) == 2
        assert "CI is set, and golden files are never written there" in said(capsys)
    assert call("golden", "diff") == 0


def test_what_differs_from_a_commit_is_told(project, capsys):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True, capture_output=True
        )

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "before")
    assert call("golden", "diff", "--against", "HEAD") == 0
    assert "no golden file differs" in said(capsys)
    project.write(factor=6)
    project.pytest("--force-regen")
    (project.folder / "test_other.npz").unlink()
    (project.folder / "test_other.json").unlink()
    assert call("golden", "diff", "--against", "HEAD") == 0
    text = said(capsys)
    assert "changed: test_it/test_one" in text
    assert "deleted: test_it/test_other" in text
    assert call("golden", "diff", "--against", "nosuch") == 2
    assert "git diff" in said(capsys)


def test_a_failure_is_replayed_without_the_test(project, capsys, tmp_path):
    project.write(factor=6)
    project.pytest("test_it.py::test_one")
    (bundle,) = (tmp_path / ".pytest_cache" / "d" / "golden-failures").iterdir()
    for name in ("product.py", "test_it.py"):
        (tmp_path / name).unlink()
    assert call("replay", str(bundle), "--out", "page.html") == 1
    text = said(capsys)
    assert "first divergence: a[2, 3]: " in text
    assert "test_it.py::test_one" in text
    assert "data:image/png" in (tmp_path / "page.html").read_text()
    assert call("replay", str(tmp_path / "nosuch.zip")) == 2
    assert "no such file" in said(capsys)

"""The commands by which this project is used, literally: what each of them runs, and what it says it leaves out."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiers
from command import without_xdist

REPOSITORY = Path(__file__).resolve().parents[2]
SCENARIOS = [
    "test_a_stable_profile_passes_its_gates",
    "test_finite_but_untrained_is_no_success",
    "test_low_dose_stays_finite",
    "test_the_published_settings_pass_their_gates",
    "test_training_switched_off_is_noticed",
]
COMMANDS = {
    "pytest": [],
    "pytest -m gpu": ["-m", "gpu"],
    "pytest tests/scenarios": ["tests/scenarios"],
    "pytest -m soak": ["-m", "soak"],
    "pytest -m bench": ["-m", "bench"],
    "pytest -m slow": ["-m", "slow"],
    "pytest -m isolate": ["-m", "isolate"],
    "pytest -m fuzz": ["-m", "fuzz"],
}
COLLECT = """
import json, sys
import pytest
class Collected:
    def pytest_collection_finish(self, session):
        self.found = [(item.nodeid, sorted({mark.name for mark in item.iter_markers()})) for item in session.items]
found = {}
for name, arguments in json.loads(sys.argv[1]).items():
    plugin = Collected()
    pytest.main([*arguments, "--collect-only", "-qq", "-p", "no:cacheprovider", "-p", "no:syrupy"], [plugin])
    found[name] = plugin.found
assert not {"keras", "tensorflow"} & set(sys.modules), "collecting loads a framework"
json.dump(found, sys.stderr)
"""


def collect():
    """{command: [(node id, markers)]}, from processes that run each command as far as its collection."""
    names = list(COMMANDS)
    halves = [{name: COMMANDS[name] for name in part} for part in (names[:2], names[2:])]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", COLLECT, json.dumps(half)],
            cwd=REPOSITORY,
            # To pytest-benchmark a worker's environment is a reason to complain.
            env=without_xdist(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for half in halves
    ]
    found = {}
    for process in both:
        out, err = process.communicate(timeout=300)
        assert err.startswith("{"), err + out[-2000:]
        found |= json.loads(err)
    return found


def functions(tests):
    return {nodeid.split("::")[1].split("[")[0] for nodeid, _ in tests}


@pytest.mark.slow
def test_each_command_runs_its_tier_and_nothing_else_and_no_test_is_out_of_reach():
    # One test, so that one worker collects.
    collected = collect()
    assert len(collected["pytest"]) > 1400
    assert {tiers.tier_of(markers) for _, markers in collected["pytest"]} == {"fast"}
    assert {name: len(tests) for name, tests in collected.items() if name != "pytest"} == {
        "pytest -m gpu": 6,
        "pytest tests/scenarios": 16,
        "pytest -m soak": 106,
        "pytest -m bench": 14,
        "pytest -m slow": 109,
        "pytest -m isolate": 6,
        "pytest -m fuzz": 11,
    }
    for command, tier in [(tier, tier) for tier in ("gpu", "soak", "bench", "slow", "isolate", "fuzz")]:
        assert {tiers.tier_of(markers) for _, markers in collected[f"pytest -m {command}"]} == {tier}
    assert functions(collected["pytest tests/scenarios"]) == set(SCENARIOS)
    assert len({tiers.unit_of_work(nodeid) for nodeid, _ in collected["pytest -m gpu"]}) == 1
    # What one command leaves out another runs: no test stands in two, and all files in tests/ are reached.
    ids = [nodeid for tests in collected.values() for nodeid, _ in tests]
    assert len(ids) == len(set(ids))
    files = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "tests").rglob("test_*.py")}
    assert {nodeid.split("::")[0] for nodeid in ids} == files


@pytest.mark.parametrize(
    ("arguments", "expression", "left_out"),
    [
        ([], "", {"scenario", "gpu", "soak", "bench", "slow", "isolate", "fuzz"}),
        (["tests/scenarios"], "", {"gpu", "soak", "bench", "slow", "isolate", "fuzz"}),
        (["tests/scenarios/test_scenarios.py"], "", {"gpu", "soak", "bench", "slow", "isolate", "fuzz"}),
        (["tests/scenarios"], "gpu", {"soak", "bench", "slow", "isolate", "fuzz"}),
        ([], "not gpu", {"scenario", "gpu", "soak", "bench", "slow", "isolate", "fuzz"}),
        ([], "soak and not gpu", {"scenario", "gpu", "bench", "slow", "isolate", "fuzz"}),
        ([], "slow or not slow", {"scenario", "gpu", "soak", "bench", "isolate", "fuzz"}),
    ],
)
def test_the_header_names_what_is_left_out_and_how_to_get_it(arguments, expression, left_out):
    lines = tiers.header(arguments, expression)
    assert len(lines) == len(left_out)
    for tier in left_out:
        assert f"left out: {tier} tests (run them with: {tiers.HOW_TO_RUN[tier]})" in lines


def test_a_test_that_is_named_by_its_id_runs_whatever_its_tier():
    named = "tests/scenarios/test_scenarios.py::test_no_seed_goes_nan"
    assert tiers.is_wanted(f"{named}[gs1_ideal-3]", ["soak"], [named], "")
    assert not tiers.is_wanted(f"{named}[gs1_ideal-3]", ["soak"], ["tests/scenarios"], "")


def assertion_helpers():
    """Names of what asserts for a test: the metamorphic relations, golden files, pytest's and numpy's own."""
    tree = ast.parse((REPOSITORY / "tests" / "metamorphic.py").read_text())
    relations = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return relations | {"raises", "warns", "check", "outcome", "assert_outcomes"}


def every_test():
    """(file, function) of every test that is written."""
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield path, node


def own_statements(node, inside_if=False):
    """(statement, whether a condition guards it) of a test, without those of functions within it.

    What follows an expected error is guarded too, and may end a test: the error was the check.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        guarded = inside_if or isinstance(node, (ast.If, ast.ExceptHandler))
        if isinstance(child, ast.stmt):
            yield child, guarded
        yield from own_statements(child, guarded)


def test_no_test_ends_before_its_checks():
    """A return, or a condition around all that is checked, would let a test pass that has compared nothing."""
    helpers, wrong = assertion_helpers(), []
    for path, test in every_test():
        statements = list(own_statements(test))
        handlers = [node for node in ast.walk(test) if isinstance(node, ast.ExceptHandler)]
        expected = {id(inner) for handler in handlers for inner in ast.walk(handler)}
        returns = any(isinstance(s, ast.Return) and id(s) not in expected for s, _ in statements)
        checks = [guarded for statement, guarded in statements if checks_something(statement, helpers)]
        # A rule of the architecture is asked of every module, and does not concern all of them.
        rule = path.name == "test_architecture.py"
        if not rule and (returns or (checks and all(checks))):
            wrong.append(f"{path.name}::{test.name}")
    assert not wrong, "\n".join(wrong)


def checks_something(statement, helpers):
    if isinstance(statement, ast.Assert):
        return True
    headers = [item.context_expr for item in getattr(statement, "items", [])] or [statement]
    return any(calls_a_check(node, helpers) for part in headers for node in ast.walk(part))


def calls_a_check(node, helpers):
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    return name.startswith("assert_") or name in helpers


def test_every_test_can_fail():
    """A test that asserts nothing passes whatever happens. (Benchmarks measure.)"""
    helpers, silent = assertion_helpers(), []
    for path, test in every_test():
        if not any(isinstance(node, ast.Assert) or calls_a_check(node, helpers) for node in ast.walk(test)):
            silent.append(f"{path.name}::{test.name}")
    assert [name for name in silent if not name.startswith("test_numpy_stages")] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "code"),
    [
        # A lost worker: syrupy warns of its missing report, and the warning once was an internal error.
        (["--max-worker-restart", "0", "-k", "red or crash"], 1),
        # Stopped at the first failure: or-ed with syrupy's code for unused snapshots that once was 3.
        (["-x", "-k", "red or there"], 2),
    ],
)
def test_a_red_run_under_xdist_shows_its_failures_and_is_no_internal_error(options, code, tmp_path):
    (tmp_path / "test_red.py").write_text(
        "import os\n\n"
        "def test_there(snapshot):\n    assert snapshot == 1\n\n"
        "def test_red():\n    assert 1 + 1 == 3\n\n"
        "def test_crash():\n    os._exit(1)\n"
    )
    (tmp_path / "__snapshots__").mkdir()
    names = "".join(f"# name: {name}\n  1\n# ---\n" for name in ("test_gone", "test_there"))
    (tmp_path / "__snapshots__" / "test_red.ambr").write_text(f"# serializer version: 1\n{names}")
    ours = ["-c", str(REPOSITORY / "pytest.ini"), "--rootdir", str(tmp_path), "-p", "conftest"]
    environment = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(tmp_path), *ours, "-p", "no:cacheprovider", "-n", "2", *options],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "assert (1 + 1) == 3" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--dist", "loadgroup"]])
def test_what_belongs_together_runs_in_one_worker(options):
    """Not by xdist's own mark, which pytest 9.2 made a silent nothing of."""
    together = "tests/unit/testing/test_artifacts.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-v", "-k", "Parting or Pictures", together, *options],
        cwd=REPOSITORY,
        env=without_xdist(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    workers = [line.split("]")[0] for line in done.stdout.splitlines() if "PASSED" in line]
    assert len(workers) > 8, done.stdout + done.stderr
    assert len(set(workers)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("option", [["-n", "2"], ["--benchmark-disable"]])
def test_benchmarks_that_would_measure_nothing_are_refused(option):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "bench", *option],
        cwd=REPOSITORY,
        env=without_xdist(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 4
    assert "benchmarks are disabled" in done.stderr


@pytest.mark.slow
def test_what_benchmarks_measured_is_printed_as_a_table(pytester):
    """Figures that otherwise only JSON files hold."""
    shutil.copy(REPOSITORY / "tests" / "benchmarks" / "conftest.py", pytester.path / "conftest.py")
    pytester.makepyfile(
        """
        def test_stitching(benchmark):
            benchmark(sum, [1, 2])
            benchmark.extra_info.update({"place_ratio": 12.3456, "seconds": 0.5})

        def test_without_figures(benchmark):
            benchmark(sum, [1, 2])
        """
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=pytester.path,
        env=without_xdist(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    told = done.stdout.split("what was measured")[1]
    assert "test_stitching\n    place_ratio  12.35\n    seconds      0.5\n" in told
    assert "test_without_figures" not in told

"""README and docs say what is so: every command that they show is one, runs, and every name is where they say."""

import importlib
import re
import shlex
from pathlib import Path

import numpy as np
import oracles
import pytest
from command import call

import ptycho
from ptycho.commands import cli
from ptycho.scan.formats import npz

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
TINY_MODEL = (
    "model.filters=2",
    "model.levels=1",
    "model.steps=1",
    "model.warm_steps=1",
    "model.final_steps=0",
)
TINY = (
    *("N=32", "simulation.object_size_px=96", "simulation.base_total_images=64", "simulation.buffer_px=0"),
    *("grouping.n_groups=none", "inference.n_groups=none", "training.epochs=1", "training.batch_size=4"),
    *TINY_MODEL,
)
"""What makes a scenario small; what a run is to show is left as it is."""
STANDS_FOR = {
    "NAME": "gs1_ideal",
    "QUESTION": "params",
    "SIDE": "gs1_ideal",
    "OTHER": "second",
    "RUN": "first",
    "DIR": "made",
    "ID": "NEW-SPLIT-ALIGN:positions-unsliced",
    "STAGE": "split",
    "FILE": "solved/reconstruction.npz",
    "siemens_star.npz": "scan.npz",
    "bundle.npz": "DIR/bundle.npz",
    "other.npz": "scan.npz",
}
"""What the words in capitals, and files that a reader has, stand for here."""


def shown(text):
    """Yield the commands of a page: in backticks, and alone in an indented line."""
    for found in re.finditer(
        r"`(ptycho [^`]+)`|^    (?:pip install[^\n]*&& )?(ptycho [^\n]+)$", text, flags=re.MULTILINE
    ):
        yield (found[1] or found[2]).split("  #")[0].strip()


def words_of(command):
    """The words of an example as somebody would type them: brackets, which mark what may be left out, are gone."""
    found = []
    for word in shlex.split(command.replace("[SIDE ...]", "").replace("[", "").replace("]", ""))[1:]:
        stem, equals, _ = word.partition("=")
        if stem == "STAGE" and equals:
            word = f"split={STANDS_FOR['RUN']}"
        elif word.startswith("DIR/"):
            word = word.replace("DIR", STANDS_FOR["DIR"])
        found.append(STANDS_FOR.get(word, word))
    return found


EXAMPLES = sorted(
    {(page.name, command) for page in PAGES for command in shown(page.read_text(encoding="utf-8"))}
)
WHOLE = [(page, command) for page, command in EXAMPLES if len(command.split()) > 2]
"""Without bare names, as in "`ptycho solve` does"."""


def test_the_pages_show_something():
    assert len(WHOLE) > 35
    assert (
        "README.md",
        "ptycho solve --data siemens_star.npz",
    ) in WHOLE


@pytest.mark.parametrize(("page", "command"), WHOLE)
def test_an_example_is_a_command_with_its_options(page, command):
    if command.split()[1] == "golden":
        command = command.replace("TESTS", "tests").replace("...", "why")
    bound = cli.app.parse_args(words_of(command), exit_on_error=False, print_error=False)[1]
    assert bound.arguments or len(command.split()) <= 3


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with what a reader of the examples has: a scan, a mask of its detector."""
    folder = tmp_path_factory.mktemp("desk")
    scan = oracles.make_scan(count=80, N=32, shape=(80, 90), seed=4).without_truth()
    npz.write_npz(folder / "scan.npz", scan)
    mask = np.zeros((32, 32))
    mask[3, 5] = 1
    np.savez(folder / "mask.npz", bad_pixels=mask)
    return folder


IN_ORDER = (
    # README, the way of a scan by its parts
    "ptycho simulate NAME --out simulated.npz",
    "ptycho train --data scan.npz --out DIR",
    "ptycho infer DIR/bundle.npz --data scan.npz --out reconstruction.npz [--all]",
    "ptycho evaluate reconstruction.npz --bundle DIR/bundle.npz --data scan.npz [--all] [--out judged]",
    "ptycho run NAME [--profile stable] [--seed 1] [--out first]",
    "ptycho run NAME --fault ID",
    "ptycho run NAME --until STAGE --out until",
    "ptycho run --data scan.npz [--intensity] [--geometry swap_axes] --out swapped",
    "ptycho run NAME --refine --out refined",
    "ptycho run history/gs1_ideal_2026_01 --set history.sigmoid_head=false --out past",
    "ptycho doctor scan.npz --out examined",
    "ptycho convert scan.npz binned.npz --drop-frames 3,7",
    "ptycho diagnose all RUN --out answers",
    "ptycho diagnose solvable SIDE",
    # docs/solve.md
    "ptycho solve gs2_custom",
    "ptycho solve --data scan.npz --probe refine --modes 3 --out solved",
    "ptycho run --data scan.npz --probe-from solved/reconstruction.npz --out from_solved",
    "ptycho run --data scan.npz --probe-from solve --out solved_first",
    "ptycho solve --data scan.npz --probe refine --modes 3 --positions refine --out three",
    "ptycho solve --data scan.npz --probe refine --halves --out halved",
    "ptycho solve --data scan.npz --mask mask.npz --out masked",
    "ptycho solve --data scan.npz --start FILE --out onwards",
    "ptycho scenarios",
    "ptycho stages",
    "ptycho findings [--stage STAGE] [--json]",
    "ptycho findings show NEW-SPLIT-ALIGN",
    "ptycho findings faults",
    "ptycho cache info",
)
"""The examples in an order in which each finds what it needs; folders are named where two would share one."""
SHRUNK = {"run": TINY, "train": TINY, "simulate": TINY, "solve": (*TINY, "solver.passes=4")}


@pytest.mark.slow
def test_the_examples_run_one_after_the_other(desk, monkeypatch, capfd):
    """Small, so that gates may fail: exit code 0 or 1, and never a word of a bug."""
    monkeypatch.chdir(desk)
    for command in IN_ORDER:
        words = words_of(command)
        measured = "--data" in words
        settings = TINY_MODEL if measured else SHRUNK.get(words[0], ())
        settings = ("training.epochs=1", *settings) if measured and words[0] in ("run", "train") else settings
        if measured and words[0] == "solve":
            settings = ("solver.passes=4",)
        if words[0] in SHRUNK:
            words += [part for text in settings for part in ("--set", text)]
        code = call(*words)
        told = capfd.readouterr()
        assert code in (0, 1), (command, told.err)
        assert "bug of ptycho" not in told.err, command
    assert (desk / "first" / "report.html").exists()
    assert (desk / "answers" / "diagnosis.html").exists()


def test_every_page_has_its_examples_run():
    """What runs above are examples of the pages, but for names of folders."""
    patterns = {re.sub(r" \[?--out \w+\]?| --out [\w.]+", "", command) for _, command in EXAMPLES}
    ours = {re.sub(r" \[?--out \w+\]?| --out [\w.]+", "", command) for command in IN_ORDER}
    heads = {" ".join(command.split()[:2]) for command in ours}
    assert {" ".join(command.split()[:2]) for command in patterns} - heads <= {
        "ptycho case-study",  # tests/unit/findings/test_case_study.py
        "ptycho golden",
        "ptycho isolate",  # tests/unit/commands/test_isolate.py: a run of it takes many of the others
        "ptycho replay",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_dotted_name_is_there(page):
    for name in re.findall(r"\bptycho(?:\.[A-Za-z_]\w*)+", page.read_text(encoding="utf-8")):
        if name.endswith((".toml", ".npz")):
            continue
        module, rest = name, []
        while True:
            try:
                found = importlib.import_module(module)
                break
            except ModuleNotFoundError:
                module, _, last = module.rpartition(".")
                rest.insert(0, last)
        for part in rest:
            found = getattr(found, part)
        assert found is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page):
    for name in re.findall(r"`((?:ptycho|tests|docs)/[\w/.]+)`", page.read_text(encoding="utf-8")):
        assert (REPOSITORY / name).exists(), name


def test_every_path_of_the_settings_is_there():
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    paths = [
        path.replace("/*.py", "") for path in re.findall(r'"((?:ptycho|tests)/[^"*]+(?:/\*\.py)?)"', text)
    ]
    assert len(paths) > 5
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []


def test_what_python_needs_can_be_had_from_the_package():
    """Names that the documentation uses without a module."""
    for name in ("Config", "Execution", "RawData", "Store", "load_scenario", "read_npz", "run_pipeline"):
        assert getattr(ptycho, name) is not None


def test_the_golden_example_works(pytester, monkeypatch):
    """docs/golden.md, with a probe and patches to be diffracted."""
    (code,) = re.findall(
        r"```python\n(.*?)```", (REPOSITORY / "docs" / "golden.md").read_text(), flags=re.DOTALL
    )
    monkeypatch.delenv("CI", raising=False)  # where no golden is written
    pytester.makepyfile(
        "import numpy as np\n"
        "from ptycho.physics.forward import far_field_amplitude as far_field\n"
        "rng = np.random.default_rng(0)\n"
        "patches, probe = rng.normal(size=(3, 8, 8)) + 1j, rng.normal(size=(1, 8, 8)) + 0.5j\n" + code
    )
    options = ("-p", "no:xdist", "-p", "no:cacheprovider")
    pytester.runpytest_inprocess(*options).assert_outcomes(failed=1)  # it stores, and says so
    assert list(pytester.path.rglob("*.npz"))
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)


@pytest.mark.slow
def test_the_tutorial_goes_as_it_says(tmp_path, monkeypatch, capsys):
    """Every command of it, in its order, as it is; of the network's training one epoch."""
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8")
    wrong, shown_lines = "doctor mirrored.cxi --out examined", []
    for command in (line.strip() for line in text.splitlines() if line.startswith("    ptycho ")):
        words = shlex.split(command)[1:]
        more = ("--set", "training.epochs=1") if words[0] == "run" else ()
        code = call(*words, *more)
        told = capsys.readouterr().out
        shown_lines += told.splitlines()
        assert code == (1 if " ".join(words) == wrong else 0) or words[0] == "run", (
            f"{command}: {code}\n{told}"
        )
    # What the page quotes is what is said, up to where it leaves out.
    for line in re.findall(r"^    ((?:failed|passed|Wrong|Nothing) .*)$", text, flags=re.MULTILINE):
        quoted = line.removesuffix("...").strip()
        assert any(quoted in each for each in shown_lines), quoted
    assert (tmp_path / "object.tif").is_file()
    assert (tmp_path / "result.cxi").is_file()

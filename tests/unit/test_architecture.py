"""Architecture: the rules of the house, read off the source. A new module is covered as soon as it exists."""

import ast
import builtins
import importlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import ptycho

PACKAGE = Path(ptycho.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Every wing and its storey. A module may import from lower storeys and from its own wing, never from above or
# from a neighbour on the same storey. A wing that is missing here is an error: give it a place on purpose.
STOREY = {
    "base": 0,
    "settings": 1,
    "testing": 1,
    "artifacts": 2,
    "physics": 3,
    "scan": 4,
    "network": 5,
    "solve": 6,
    "evaluation": 7,
    "stages": 8,
    "report": 9,
    "runs": 10,
    "diagnose": 11,
    "isolate": 11,
    "findings": 12,
    "commands": 13,
    "__main__": 14,
}
MOST_DOORS = 18
"""Wings and modules at the top of the package, `__init__` and `__main__` among them."""
MOST_ARROWS = 92
"""Pairs of wings of which one imports from the other."""
OUTSIDE = ("findings", "testing")
"""Wings that the product does not know: they look at it from outside, and only the command line opens them."""
FRAMEWORK_FREE = ("schedule", "inference", "group_canvas")
"""Modules of the network that work on plain arrays; its others are the only ones that may name a framework."""


def may_name_a_framework(name):
    return name.startswith("ptycho.network.") and name.rpartition(".")[2] not in FRAMEWORK_FREE


LOADS_NO_FRAMEWORK = ("ptycho.network.training", "ptycho.network.bundle")
"""Modules that name a framework in their functions only."""
LEGACY_RANDOM = {
    "scan/objects.py": "a seed has to give the published object",
    "scan/positions.py": "a seed has to give the published positions",
}
RANDOM_WITHOUT_STATE = {"default_rng", "Generator", "SeedSequence", "PCG64", "BitGenerator"}
FRAMEWORKS = {"tensorflow", "keras", "jax", "torch"}
READ_THE_ENVIRONMENT = (
    *("ptycho.runs.prepare", "ptycho.settings.scenarios", "ptycho.base.provenance"),
    "ptycho.findings.case_study",
)
"""Where files lie, which backend runs, and what a process of the case study inherits."""
MAX_LINES = 400


def name_of(path):
    """Dotted name of a module file."""
    parts = ["ptycho", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(name):
    """`ptycho.scan.formats.npz` -> `scan`; `ptycho` itself -> ``."""
    return [*name.split("."), ""][1]


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


MODULES = {name_of(path): path for path in FILES}


def imports_of(path):
    """Dotted names that a module imports anywhere, with lines; `from ptycho.base import atomic` -> ptycho.base.atomic."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by the full name"
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield (longer if longer in MODULES else node.module), node.lineno


def for_types(path):
    """Lines of imports that never run: of `if TYPE_CHECKING`."""
    blocks = [n for n in tree_of(path).body if isinstance(n, ast.If) and dotted(n.test) == "TYPE_CHECKING"]
    return {line for block in blocks for line in range(block.lineno, block.end_lineno + 1)}


def dotted(node):
    """`np.random.seed` of an attribute chain, or None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return inner and f"{inner}.{node.attr}"
    return None


def every_module(rule):
    """Hold every module to a rule; those that break it are listed together."""

    def test():
        broken = []
        for path in FILES:
            try:
                rule(path)
            except AssertionError as error:
                broken.append(f"{path.relative_to(PACKAGE)}: {error}")
        assert not broken, "\n".join(broken)

    test.__doc__ = rule.__doc__
    return test


def test_the_walk_found_the_package():
    assert len(FILES) > 15
    assert {"ptycho.physics.coords", "ptycho.scan.formats.npz", "ptycho.scan"} <= set(MODULES)
    assert ("ptycho.physics.coords", "ptycho.base.errors") in {
        ("ptycho.physics.coords", target) for target, _ in imports_of(MODULES["ptycho.physics.coords"])
    }


def test_a_stranger_has_few_doors_to_try():
    doors = {
        path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert len(doors) <= MOST_DOORS, sorted(doors)
    assert doors == {"__init__.py", "__main__.py", *STOREY} - {"__main__"}


def test_few_arrows_join_the_wings():
    arrows = {
        (room_of(name), room_of(target))
        for name, path in MODULES.items()
        for target, _ in imports_of(path)
        if target.startswith("ptycho.") and room_of(name) not in ("", room_of(target))
    }
    assert 30 < len(arrows) <= MOST_ARROWS, sorted(arrows)


@every_module
def test_every_wing_has_a_storey(path):
    room = room_of(name_of(path))
    assert room == "" or room in STOREY, f"wing {room!r} has no place in STOREY of {__file__}"


@every_module
def test_imports_point_downwards(path):
    here = room_of(name_of(path))
    for target, line in imports_of(path):
        if target.split(".")[0] != "ptycho" or here == "":
            continue
        there = room_of(target)
        if there in ("", here):
            continue
        assert there in STOREY, f"{path}:{line}: imports {target}, which is no wing"
        known = there not in OUTSIDE or here in (*OUTSIDE, "commands")
        assert known, f"{path}:{line}: the product may not import {target}"
        assert STOREY[there] < STOREY[here], (
            f"{path}:{line}: {here} may not import {target}, which is not below it"
        )


def test_no_two_modules_need_each_other():
    """Inside of a wing, too, arrows point one way: what a module imports, anywhere, never leads back to it."""
    arrows = {
        name: {target for target, line in imports_of(path) if line not in for_types(path)}
        & set(MODULES) - {name}
        for name, path in MODULES.items()
    }
    left = dict(arrows)
    while left:
        ends = {name for name, targets in left.items() if not targets & set(left)}
        wanted = {name for name in left if any(name in targets for targets in left.values())}
        assert ends, f"among these some import each other in a circle: {sorted(wanted)}"
        left = {name: targets for name, targets in left.items() if name not in ends}


@every_module
def test_no_function_is_imported_by_name(path):
    """Functions are called through their module: `coords.translate(...)` says where it comes from, and replacing
    it there replaces it everywhere. Values and classes may be imported."""
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.ImportFrom) or node.module not in MODULES:
            continue
        functions = {
            item.name for item in tree_of(MODULES[node.module]).body if isinstance(item, ast.FunctionDef)
        }
        named = sorted(functions & {alias.name for alias in node.names})
        assert not named, f"{path}:{node.lineno}: import the module {node.module}, not {', '.join(named)}"


def test_no_package_hides_a_module_behind_another_thing():
    """`ptycho.evaluation.evaluate` must not be a function where there is a module of that name."""
    for name in MODULES:
        parent, _, own = name.rpartition(".")
        if parent in MODULES:
            bound = set()
            for node in tree_of(MODULES[parent]).body:
                bound |= {getattr(node, "name", None)} | {dotted(t) for t in getattr(node, "targets", [])}
                bound |= {
                    alias.asname or alias.name
                    for alias in getattr(node, "names", [])
                    if isinstance(node, ast.ImportFrom) and f"{node.module}.{alias.name}" not in MODULES
                }
            assert own not in bound, f"{parent} binds {own}, which is also a module of it"


@every_module
def test_only_the_network_names_a_deep_learning_framework(path):
    if may_name_a_framework(name_of(path)) or name_of(path) == "ptycho.findings.faults.networks":
        return
    named = [
        f"{path}:{line}: {target}" for target, line in imports_of(path) if target.split(".")[0] in FRAMEWORKS
    ]
    assert not named


def test_pages_are_made_in_one_room():
    """What is filled into HTML is escaped there, whoever fills it in. A page of Markdown is no HTML."""
    makers = {
        name
        for name, path in MODULES.items()
        for target, _ in imports_of(path)
        if target.startswith("jinja2")
    }
    assert makers == {"ptycho.base.page", "ptycho.findings.story", "ptycho.findings.faults.files"}


@every_module
def test_nothing_is_printed(path):
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    assert not [f"{path}:{call.lineno}" for call in calls if dotted(call.func) in ("print", "builtins.print")]


@every_module
def test_nothing_is_global(path):
    assert not [f"{path}:{node.lineno}" for node in ast.walk(tree_of(path)) if isinstance(node, ast.Global)]


@every_module
def test_no_module_keeps_a_mutable_table_that_is_written_later(path):
    """Tables at module level are constants: nothing in the module assigns into, updates or clears them."""
    tree = tree_of(path)
    tables = set()
    for node in tree.body:
        value = getattr(node, "value", None)
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if isinstance(value, (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)) or (
            isinstance(value, ast.Call) and dotted(value.func) in ("dict", "list", "set", "defaultdict")
        ):
            tables |= {target.id for target in targets if isinstance(target, ast.Name)}
    writing = {
        "append",
        "add",
        "update",
        "clear",
        "pop",
        "setdefault",
        "extend",
        "insert",
        "remove",
        "popitem",
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
            assert dotted(node.value) not in tables, f"{path}:{node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in writing:
            assert dotted(node.func.value) not in tables, f"{path}:{node.lineno}"


@every_module
def test_random_numbers_come_from_a_generator_that_is_passed_down(path):
    for node in ast.walk(tree_of(path)):
        match = (
            re.fullmatch(r"(?:np|numpy)\.random\.(\w+)", dotted(node) or "")
            if isinstance(node, ast.Attribute)
            else None
        )
        if match is None or match[1] in RANDOM_WITHOUT_STATE or "/findings/faults/" in path.as_posix():
            continue
        legacy = match[1] == "RandomState" and path.relative_to(PACKAGE).as_posix() in LEGACY_RANDOM
        assert legacy, f"{path}:{node.lineno}: {dotted(node)}"
    named = [target for target, _ in imports_of(path) if target in ("random", "numpy.random")]
    assert not named, f"{path}: imports {named}"


@every_module
def test_no_stage_reads_the_environment(path):
    """Where data lie is asked at the edge, never in a stage."""
    if room_of(name_of(path)) in ("commands", "testing") or name_of(path) in READ_THE_ENVIRONMENT:
        return
    reads = [
        f"{path}:{node.lineno}"
        for node in ast.walk(tree_of(path))
        if dotted(node) in ("os.environ", "os.getenv") and isinstance(node, ast.Attribute)
    ]
    assert not reads


@every_module
def test_no_error_is_swallowed_whole(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            caught = (
                [dotted(item) for item in getattr(node.type, "elts", [node.type])] if node.type else [None]
            )
            raises_again = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            broad = {None, "Exception", "BaseException"} & set(caught)
            # A picture never fails a run, a question none of the others, an experiment's error is its outcome, and the command
            # line tells a bug in one line.
            last = (
                *("ptycho/report/write.py", "ptycho/commands/diagnose.py", "ptycho/commands/cli.py"),
                *("ptycho/isolate/worker.py", "ptycho/isolate/laboratory.py"),
            )
            allowed = path.as_posix().endswith(last)
            assert not broad or raises_again or allowed, f"{path}:{node.lineno}: catches everything"
            silent = all(isinstance(inner, ast.Pass) for inner in node.body)
            assert not (silent and broad), f"{path}:{node.lineno}: passes over it"


@every_module
def test_no_check_is_left_to_assert(path):
    """Asserts vanish under -O; what a user can get wrong has an error of its own."""
    assert not [f"{path}:{node.lineno}" for node in ast.walk(tree_of(path)) if isinstance(node, ast.Assert)]


@every_module
def test_no_bare_exception_is_raised(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Raise) and node.exc is not None:
            kind = dotted(node.exc.func) if isinstance(node.exc, ast.Call) else dotted(node.exc)
            assert kind not in ("Exception", "BaseException"), f"{path}:{node.lineno}: name the kind"


def public_definitions(body, prefix=""):
    for node in body:
        if isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        ) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{prefix}{node.name}.")


@every_module
def test_everything_public_is_explained(path):
    tree = tree_of(path)
    assert ast.get_docstring(tree), f"{path}: no docstring"
    silent = [
        f"{path}:{node.lineno}: {name}"
        for name, node in public_definitions(tree.body)
        if not ast.get_docstring(node)
    ]
    assert not silent


SHAPE = re.compile(r"\((?:[A-Za-z0-9_*+/.-]+ ?)+,[ A-Za-z0-9_*+/.,-]*\)|any shape")
"""A shape in prose: (M, N, N), (b,), (..., H, W); or that any will do."""
OURS = re.compile(r"[A-Z]\w*(?:Error|Diverged)")


def public_functions(path):
    """Public functions and methods of a module that a program may call; commands have a user's help instead."""
    if room_of(name_of(path)) == "commands" or "/findings/faults/" in path.as_posix():
        return
    for name, node in public_definitions(tree_of(path).body):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield name, node


@every_module
def test_a_function_of_arrays_says_their_shapes(path):
    for name, node in public_functions(path):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        types = [ast.unparse(a.annotation) for a in arguments if a.annotation]
        types += [ast.unparse(node.returns)] if node.returns else []
        if any(re.search(r"np\.ndarray|\bTensor\b|\bPair\b", kind) for kind in types):
            assert SHAPE.search(ast.get_docstring(node)), f"{path}:{node.lineno}: {name} says no shape"


@every_module
def test_a_function_says_which_errors_it_raises(path):
    for name, node in public_functions(path):
        raised = {
            item.exc.func.id
            for item in ast.walk(node)
            if isinstance(item, ast.Raise)
            and isinstance(item.exc, ast.Call)
            and isinstance(item.exc.func, ast.Name)
        }
        silent = {kind for kind in raised if OURS.fullmatch(kind) and kind not in ast.get_docstring(node)}
        assert not silent, f"{path}:{node.lineno}: {name} raises {', '.join(sorted(silent))} without a word"


@every_module
def test_no_module_is_too_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


PARTICIPLES = {"found", "made", "said", "told"}
"""No names of values: a reader asks what was found."""


@every_module
def test_no_value_is_named_by_a_participle(path):
    bound = {
        f"{path}:{node.lineno}: {node.id}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in PARTICIPLES
    }
    bound |= {
        f"{path}:{node.lineno}: {node.arg}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.arg) and node.arg in PARTICIPLES
    }
    if path.name == "files.py" and path.parent.name == "golden":
        bound = {text for text in bound if not text.endswith(": made")}  # a key of the files of goldens
    assert not bound


@every_module
def test_no_builtin_is_shadowed_at_module_level(path):
    """Attributes and keys may be called `object` or `hash`; a module's own names may not."""
    names = set()
    for node in tree_of(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        for target in getattr(node, "targets", []):
            names |= {target.id} if isinstance(target, ast.Name) else set()
    assert not {name for name in names if hasattr(builtins, name) and not name.startswith("__")}


class TestPublicNames:
    def test_every_public_name_is_defined_where_it_is_said_to_live(self):
        for name, home in ptycho._HOME_OF.items():
            assert home in MODULES, f"ptycho.{name}: there is no module {home}"
            defined = set()
            for node in tree_of(MODULES[home]).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    defined.add(node.name)
                elif isinstance(node, (ast.Import, ast.ImportFrom)):
                    defined |= {alias.asname or alias.name for alias in node.names}
            assert name in defined, f"ptycho.{name} is not defined in {home}"

    def test_no_public_name_is_also_the_name_of_a_module(self):
        """Importing the module would bind the name to it: what `ptycho.x` is would depend on import order."""
        assert not {name for name in ptycho.__all__ if f"ptycho.{name}" in MODULES}

    def test_an_unknown_name_is_an_attribute_error(self):
        with pytest.raises(AttributeError, match="module 'ptycho' has no attribute 'nonsense'"):
            ptycho.nonsense  # noqa: B018

    def test_names_are_listed_and_loaded_on_use(self):
        assert set(ptycho._HOME_OF) < set(dir(ptycho))
        from ptycho.settings.config import Config

        assert ptycho.Config is Config


def in_fresh_process(code, folder):
    """Run code in an interpreter of its own, in an empty folder; return what it wrote."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{code}",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def without_a_framework():
    """Modules that load without one: all but the network's own, and the tools of the tests."""
    return [
        name
        for name in MODULES
        if (not may_name_a_framework(name) or name in LOADS_NO_FRAMEWORK)
        and room_of(name) not in ("testing", "__main__")
        and not name.startswith(("ptycho.findings.faults", "ptycho.findings.scenario_runs"))
    ]


class Forbidding:
    """A finder that lets no framework be loaded."""

    def find_spec(self, name, path=None, target=None):
        assert name not in FRAMEWORKS, f"loading the package asks for {name}"


class TestImport:
    @pytest.mark.finding("ANTIPATTERN-001")
    def test_loading_all_modules_anew_asks_for_no_framework(self):
        """In this process, where a fault can be: without the modules that are loaded already."""

        def own():
            return [name for name in sys.modules if name == "ptycho" or name.startswith("ptycho.")]

        names = without_a_framework()
        state = np.random.get_state()[1].copy()
        loaded = {name: sys.modules[name] for name in (*own(), *FRAMEWORKS) if name in sys.modules}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "meta_path", [Forbidding(), *sys.meta_path])
            try:
                for name in loaded:
                    del sys.modules[name]
                for name in names:
                    importlib.import_module(name)
            finally:
                for name in own():
                    del sys.modules[name]
                sys.modules.update(loaded)
        assert (np.random.get_state()[1] == state).all()

    def test_the_package_alone_loads_next_to_nothing_and_leaves_no_trace(self, tmp_path):
        code = """
before = set(sys.modules)
import ptycho
heavy = {'numpy', 'scipy', 'tensorflow', 'keras', 'pydantic', 'matplotlib', 'skimage', 'rich'}
loaded = set(sys.modules) - before
assert not heavy & loaded, heavy & loaded
assert {name for name in loaded if name.startswith('ptycho')} == {'ptycho'}, loaded
"""
        assert in_fresh_process(code, tmp_path) == ("", "")
        assert list(tmp_path.iterdir()) == []

    def test_all_but_the_network_load_without_a_framework_a_word_a_file_or_a_random_number(self, tmp_path):
        names = without_a_framework()
        assert len(names) > 15
        code = f"""
import importlib, os
import numpy
state, environment = numpy.random.get_state()[1].copy(), dict(os.environ)
for name in {names!r}:
    importlib.import_module(name)
    loaded = {FRAMEWORKS!r} & set(sys.modules)
    assert not loaded, (name, loaded)
assert (numpy.random.get_state()[1] == state).all(), 'the global generator was touched'
assert dict(os.environ) == environment, 'the environment was changed'
"""
        assert in_fresh_process(code, tmp_path) == ("", "")
        assert list(tmp_path.iterdir()) == []


def test_the_tests_of_the_numpy_rooms_load_no_framework():
    """The fast tier stays fast: these files and the helpers import none."""
    tests = Path(__file__).resolve().parent
    files = [
        *tests.glob("*.py"),
        *(tests / "io").glob("*.py"),
        *(tests / "simulate").glob("*.py"),
        *tests.parent.glob("*.py"),
    ]
    assert len(files) > 10
    own = {
        "errors",
        "config",
        "coords",
        "data",
        "grouping",
        "scaling",
        "forward",
        "stitching",
        "architecture",
    }
    for path in files:
        if path.parent == tests and path.stem.removeprefix("test_") not in own:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & FRAMEWORKS, path


def test_the_command_line_starts_without_what_help_does_not_need(tmp_path):
    """Parameters and numbers are loaded by the command that wants them: they take longer than the help."""
    costly = ("numpy", "pydantic", "ptycho.settings.config", "ptycho.findings.faults")
    code = f"import ptycho.commands.cli\nprint([name for name in {costly} if name in sys.modules])"
    assert in_fresh_process(code, tmp_path)[0].strip() == "[]"

"""Faults of what touches files of other people, and what is sent to a terminal."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.base import atomic
from ptycho.evaluation import frames
from ptycho.testing.fault import Fault


def _anything_goes(original: Any) -> Any:
    """Refuse nothing."""
    return lambda *args, **kwargs: None


def _any_folder(original: Any) -> Any:
    """Take any folder, whatever it holds."""
    return lambda folder, name, *args, **kwargs: folder / name


def _other_pages_deleted(original: Any) -> Any:
    """Take away every other page in the folder."""

    def write(folder: Path) -> int:
        count: int = original(folder)
        ours = {
            path.name for path in folder.glob("*.md") if path.read_text().startswith(("# Findings", "# A"))
        }
        for path in folder.glob("*.md"):
            if path.name not in ours:
                path.unlink()
        return count

    return write


def _only_of_now(original: Any) -> Any:
    """Keep the stages of this run alone."""
    return lambda earlier, stages: dict(stages)


def _anything_half_written(original: Any) -> Any:
    """Take every hidden file for one that a killed writer left."""
    return lambda name, of: name.startswith(".")


def _page_last(original: Any) -> Any:
    """Write the answers of a diagnosis before what its folder is known by."""

    def files(folder: Path, diagnoses: Any, sides: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for result in diagnoses:
            atomic.write_json(folder / f"{result.name}.json", result.to_dict())
            atomic.write_text(folder / f"{result.name}.md", result.to_markdown())
        page: Path = original(folder, diagnoses, sides)
        return page

    return files


def _readable_by_all(original: Any) -> Any:
    """Let everybody read what is written."""

    @contextmanager
    def replacing(path: Path) -> Iterator[Any]:
        with original(path) as stream:
            yield stream
        path.chmod(0o644)

    return replacing


def _json_alone(original: Any) -> Any:
    """Take whatever the library takes."""
    return lambda text, *args: json.loads(text)


def _arrays_alone(original: Any) -> Any:
    """Read arrays as the library does."""

    def read_arrays(path: Path, keys: Any = None) -> dict[str, np.ndarray]:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if keys is None or name in keys}

    return read_arrays


def _members_as_they_are(original: Any) -> Any:
    """Take whatever numpy hands out for an array."""
    return lambda stored, names: {name: stored[name] for name in names}


def _called_a_bug(original: Any) -> Any:
    """Take a path that cannot be used for a bug of ours."""
    return lambda error: 3


def _moved_to_nothing(original: Any) -> Any:
    """Move by anything under a quarter of the picture, whatever is left of it."""

    def moved(pair: Any, shift: tuple[float, float]) -> Any:
        small = max(map(abs, shift)) < min(pair.mask.shape) / 4
        return frames.apply_shift(pair, shift) if small else pair

    return moved


def _unchecked_state(original: Any) -> Any:
    """Take a checkpoint's arrays as they are."""

    def parsed(self: Any, state: Any, arrays: Any) -> Any:
        names = ("canvas", "previous", "probe", "positions", "velocity")
        return {name: arrays[name] for name in names}, list(state["errors"]), int(state["since_restart"])

    return parsed


def _shared_folder(original: Any) -> Any:
    """Keep what is compiled wherever a folder can be had."""

    def private_folder() -> Path | None:
        from ptycho.base import machine

        cache = machine.user_cache()
        if cache is None:
            return None
        (cache / "kernels").mkdir(parents=True, exist_ok=True)
        return cache / "kernels"

    return private_folder


def _empty_words(original: Any) -> Any:
    """Hand empty words on."""
    return lambda arguments: list(arguments)


def _as_it_is(original: Any) -> Any:
    """Leave a text, or a console, as it is."""
    return lambda thing: thing


def _lost_output_ends_it(original: Any) -> Any:
    """End the command where nothing can be written."""

    def print_(self: Any, *objects: Any, **how: Any) -> None:
        super(type(self), self).print(*objects, **how)

    return print_


def _option_handed_on(original: Any) -> Any:
    """Hand whatever is named to git."""

    def since(reference: str, root: Path) -> list[Any]:
        subprocess.run(["git", "diff", reference], cwd=root, capture_output=True, check=False)
        return []

    return since


def _values_as_markup(original: Any) -> Any:
    """Fill values in as they are."""

    def html(template: str, **values: Any) -> str:
        import jinja2

        environment = jinja2.Environment(loader=jinja2.PackageLoader("ptycho", ""))
        environment.filters["number"] = str
        return environment.get_template(template).render(**values)

    return html


def _staging_too(original: Any) -> Any:
    """Throw away what others are writing."""

    def clear(self: Any) -> int:
        count: int = original(self)
        shutil.rmtree(self.folder / "staging", ignore_errors=True)
        return count

    return clear


def _loads_first(original: Any) -> Any:
    """Load the command line before an interruption is caught."""

    def main() -> None:
        importlib.import_module("ptycho.commands.cli").main()

    return main


def _home_is_there(original: Any) -> Any:
    """Ask for the user's folder as if everybody had one."""

    def user_cache() -> Path | None:
        import platformdirs

        return platformdirs.user_cache_path("ptycho")

    return user_cache


FAULTS = (
    Fault("OUT-OVER-INPUT-001", "anything-goes", "ptycho.runs.claim:file", _anything_goes),
    Fault("PAGE-MARKUP-001", "as-it-is", "ptycho.base.page:html", _values_as_markup),
    Fault("PAGES-OVER-OTHERS-001", "any-folder", "ptycho.runs.claim:record", _any_folder),
    Fault("PAGES-OVER-OTHERS-001", "others-deleted", "ptycho.findings.pages:write", _other_pages_deleted),
    Fault("CACHE-UNMARKED-001", "any-folder", "ptycho.artifacts.store:Store.check", _anything_goes),
    Fault("CLEARED-MEANWHILE-001", "staging-too", "ptycho.artifacts.store:Store.clear", _staging_too),
    Fault("EARLY-INTERRUPT-001", "loads-first", "ptycho.__main__:main", _loads_first),
    Fault("NO-HOME-001", "home-is-there", "ptycho.base.machine:user_cache", _home_is_there),
    Fault("NAME-LEADS-OUTSIDE-001", "any-name", "ptycho.settings.config:check_name", _anything_goes),
    Fault("RECORD-SHRINKS-001", "only-of-now", "ptycho.runs.directory:grown", _only_of_now),
    Fault("FIRST-WRITE-001", "record-last", "ptycho.runs.directory:Writer.open_record", _anything_goes),
    Fault("FIRST-WRITE-001", "page-last", "ptycho.diagnose.write:files", _page_last),
    Fault("KILLED-WRITER-001", "left-for-ever", "ptycho.runs.claim:sweep", _anything_goes),
    Fault("KILLED-WRITER-001", "of-a-file", "ptycho.base.atomic:sweep", _anything_goes),
    Fault("KILLED-WRITER-001", "all-hidden", "ptycho.base.atomic:half_written", _anything_half_written),
    Fault("UMASK-001", "readable-by-all", "ptycho.base.atomic:replacing", _readable_by_all),
    Fault("FOREIGN-DOCUMENT-001", "json-alone", "ptycho.base.documents:parsed", _json_alone),
    Fault("FOREIGN-ARRAYS-001", "arrays-alone", "ptycho.base.archive:read_arrays", _arrays_alone),
    Fault("FOREIGN-ARRAYS-001", "no-array", "ptycho.base.archive:arrays_of", _members_as_they_are),
    Fault("UNUSABLE-PATH-001", "a-bug", "ptycho.commands.cli:unusable", _called_a_bug),
    Fault("MOVED-AWAY-001", "to-nothing", "ptycho.evaluation.summary:moved", _moved_to_nothing),
    Fault("COMPILED-UNCHECKED-001", "unchecked", "ptycho.solve.engine:Solver.parsed", _unchecked_state),
    Fault("KERNEL-CACHE-001", "shared", "ptycho.solve.compiling:private_folder", _shared_folder),
    Fault("EMPTY-WORD-001", "handed-on", "ptycho.commands.options:spelled_out", _empty_words),
    Fault("TERMINAL-ESCAPES-001", "as-it-is", "ptycho.commands.terminal:plain", _as_it_is),
    Fault("NARROW-TERMINAL-001", "as-narrow-as-it-is", "ptycho.commands.terminal:wide_enough", _as_it_is),
    Fault("OUTPUT-LOST-001", "ends-it", "ptycho.commands.terminal:Patient.print", _lost_output_ends_it),
    Fault(
        "OPTION-FOR-ANOTHER-PROGRAM-001",
        "handed-on",
        "ptycho.testing.golden.changes:since",
        _option_handed_on,
    ),
)

"""The store: what it hands out is whole and the right one, whatever happened to it; and it never costs a run."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest

from ptycho.artifacts.stage import Stage
from ptycho.artifacts.store import Store
from ptycho.base import atomic, identity
from ptycho.base.errors import RunDirectoryError

KEY = "0123456789abcdef01234567"


def save(artifact, folder, about):
    np.save(folder / "values.npy", artifact)
    atomic.write_json(folder / "more.json", {"about": about})


def row(name="row"):
    home = types.ModuleType("home")
    home.save, home.load = save, lambda folder, inputs: np.load(folder / "values.npy")
    return Stage(name, home)


def artifact(size=100, start=0):
    return np.arange(start, start + size, dtype=np.float64)


def put(store, key=KEY, value=None, stage=None):
    value = artifact() if value is None else value
    known = {
        "digest": identity.digest(value),
        "telemetry": {"a": float("nan")},
        "notes": ["n"],
        "passed": None,
    }
    store.put(stage or row(), key, value, known, {"config": {}})


def found(store, key=KEY):
    entry = store.find(row(), key)
    return None if entry is None else entry.load(row(), {})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


class TestRoundTrip:
    def test_what_was_put_is_found_with_all_that_is_known_of_it(self, store):
        assert found(store) is None
        put(store)
        np.testing.assert_array_equal(found(store), artifact())
        entry = Store(store.folder).find(row(), KEY)
        assert entry.digest == identity.digest(artifact())
        assert entry.notes == ("n",)
        assert entry.passed is None
        assert np.isnan(entry.telemetry["a"])

    def test_another_key_or_stage_finds_nothing(self, store):
        put(store)
        assert found(store, KEY[::-1]) is None
        assert store.find(row("other"), KEY) is None

    def test_a_fresh_store_finds_nothing_and_stores_anew(self, store):
        put(store, value=artifact(start=1))
        fresh = Store(store.folder, fresh=True)
        assert found(fresh) is None
        put(fresh)
        np.testing.assert_array_equal(found(store), artifact())

    def test_it_counts_and_clears(self, store):
        put(store)
        put(store, KEY[::-1])
        put(store, stage=row("other"))
        assert {name: count for name, (count, _) in store.info().items()} == {"row": 2, "other": 1}
        assert store.info()["row"][1] > 1600
        assert store.clear() == 3
        assert store.info() == {}
        assert found(store) is None

    def test_clearing_removes_the_locks_that_nobody_holds(self, store):
        locks = store.folder / "locks"
        for key in ("free", "held"):
            with store.lock(key, lambda: None):
                put(store)
        with Store(store.folder).lock("held", lambda: None):
            assert store.clear() == 1
            assert [path.name for path in locks.iterdir()] == ["held.lock"]
        store.clear()
        assert list(locks.iterdir()) == []

    def test_an_empty_store_is_no_error(self, store):
        assert store.info() == {}
        assert store.clear() == 0


def edit(folder, change):
    text = json.loads((folder / "entry.json").read_text())
    change(text)
    (folder / "entry.json").write_text(json.dumps(text))


def flip(folder):
    data = bytearray((folder / "values.npy").read_bytes())
    data[-3] ^= 1
    (folder / "values.npy").write_bytes(data)


def replace_by(make):
    def damage(folder):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        make(folder)

    return damage


DAMAGES = {
    "a flipped bit": flip,
    "a truncated file": lambda folder: os.truncate(folder / "values.npy", 200),
    "a missing file": lambda folder: (folder / "values.npy").unlink(),
    "an added file": lambda folder: (folder / "other.npy").write_bytes(b"x"),
    "no description": lambda folder: (folder / "entry.json").unlink(),
    "half a description": lambda folder: os.truncate(folder / "entry.json", 60),
    "a description of binary": lambda folder: (folder / "entry.json").write_bytes(b"\xff\xfe"),
    "a description of another type": lambda folder: (folder / "entry.json").write_text("[1]"),
    "another digest": lambda folder: edit(folder, lambda text: text.update(digest="f" * 24)),
    "another stage": lambda folder: edit(folder, lambda text: text.update(stage="other")),
    "another key": lambda folder: edit(folder, lambda text: text.update(key="f" * 24)),
    "another format": lambda folder: edit(folder, lambda text: text.update(format="ptycho-entry-9")),
    "a path out of it": lambda folder: edit(folder, lambda text: text["files"].update({"../x": [0, ""]})),
    "a file in its place": replace_by(lambda folder: folder.write_text("x")),
    "an empty folder": replace_by(lambda folder: folder.mkdir()),
    "a dangling link": replace_by(lambda folder: folder.symlink_to("nowhere")),
}


class TestDamage:
    @pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
    def test_it_is_thrown_away_with_a_warning_and_made_anew(self, damage, store, caplog):
        put(store)
        damage(store.folder / "entries" / f"row-{KEY}")
        assert found(store) is None
        assert "the stored artifact of stage row is damaged" in caplog.text
        assert not os.path.lexists(store.folder / "entries" / f"row-{KEY}")
        caplog.clear()
        assert found(store) is None
        assert not caplog.text
        put(store)
        np.testing.assert_array_equal(found(store), artifact())

    def test_an_entry_of_another_key_is_not_taken_for_this_one(self, store, caplog):
        put(store)
        folder = store.folder / "entries"
        (folder / f"row-{KEY}").rename(folder / f"row-{KEY[::-1]}")
        assert found(store, KEY[::-1]) is None
        assert "belongs to something else" in caplog.text


class TestSize:
    def test_the_least_recently_used_go_first(self, store):
        keys = [f"{k:024d}" for k in range(4)]
        put(store, keys[0])
        size = store.info()["row"][1]
        bounded = Store(store.folder, max_bytes=3 * size + size // 2)
        for age, key in enumerate(keys[:3]):
            put(bounded, key)
            os.utime(store.folder / "entries" / f"row-{key}", (1000 + age, 1000 + age))
        assert found(bounded, keys[0]) is not None  # used just now
        put(bounded, keys[3])
        assert [found(bounded, key) is not None for key in keys] == [True, False, True, True]

    def test_what_is_larger_than_the_store_is_not_kept_and_pushes_nothing_out(self, store):
        put(store)
        small = Store(store.folder, max_bytes=5000)
        put(small, KEY[::-1], artifact(10_000))
        assert found(small, KEY[::-1]) is None
        assert found(small) is not None


class TestTrouble:
    def test_a_folder_that_cannot_be_made_is_told_once_and_done_without(self, tmp_path, caplog):
        (tmp_path / "file").write_text("")
        store = Store(tmp_path / "file" / "cache")
        with store.lock(KEY, lambda: pytest.fail("nobody else is at it")):
            assert found(store) is None
            put(store)
        put(store)
        assert found(store) is None
        assert caplog.text.count("cannot be used") == 1
        assert "going on without it" in caplog.text

    @pytest.mark.parametrize(
        "error",
        [
            OSError(errno.ENOSPC, "No space left on device"),
            RunDirectoryError("cannot write: No space left on device"),
        ],
        ids=["numpy", "atomic"],
    )
    def test_a_full_disk_is_told_once_and_leaves_nothing(self, error, store, caplog):
        def full(value, folder, about):
            (folder / "values.npy").write_bytes(b"half of i")
            raise error

        stage = row()
        stage.home.save = full
        put(store, stage=stage)
        put(store, stage=stage)
        assert caplog.text.count("No space left on device") == 1
        assert list((store.folder / "staging").iterdir()) == []
        assert store.info() == {}

    def test_an_interrupted_writer_leaves_nothing(self, store):
        def interrupted(value, folder, about):
            (folder / "values.npy").write_bytes(b"half of i")
            raise KeyboardInterrupt

        stage = row()
        stage.home.save = interrupted
        with pytest.raises(KeyboardInterrupt):
            put(store, stage=stage)
        assert list((store.folder / "staging").iterdir()) == []
        assert found(store) is None
        put(store)
        assert found(store) is not None

    def test_what_a_dead_writer_left_is_swept_and_what_a_living_one_writes_is_not(self, store):
        put(store)
        for key in ("dead", "living"):
            (store.folder / "staging" / f"{key}.0").mkdir()
        with Store(store.folder).lock("living", lambda: None):
            put(store, KEY[::-1])
        assert [path.name for path in (store.folder / "staging").iterdir()] == ["living.0"]

    @pytest.mark.finding("CLEARED-MEANWHILE-001")
    def test_clearing_takes_away_what_dead_writers_left_and_costs_a_living_one_nothing(self, store, caplog):
        put(store, KEY[::-1])
        (store.folder / "staging" / "dead.0").mkdir()

        def cleared(value, folder, about):
            Store(store.folder).clear()
            save(value, folder, about)

        stage = row()
        stage.home.save = cleared
        with store.lock(KEY, lambda: None):
            put(store, stage=stage)
        assert caplog.text == ""
        assert found(store) is not None
        assert list((store.folder / "staging").iterdir()) == []


PROCESS = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from ptycho.base import identity
    from ptycho.stages import pipeline
    from ptycho.settings.config import Config
    from ptycho.artifacts.stage import Execution
    from ptycho.scan import simulate
    from ptycho.artifacts.store import Store
    folder, pause = Path(sys.argv[1]), float(sys.argv[2])
    plain = simulate.simulate_scan
    def slow(config):
        with (folder / "log").open("a") as log:
            log.write("computed\\n")
        time.sleep(pause)
        return plain(config)
    simulate.simulate_scan = slow
    config = Config(N=32, simulation={"object_size_px": 90, "base_total_images": int(sys.argv[3])})
    (folder / "ready").write_text("")
    result = pipeline.run_pipeline(config, Execution(cache=Store(folder / "cache")), until="split")
    print(result.records["scan"].how, identity.digest(result.artifacts["split"]))
    """
)


SUICIDE = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import test_store
    from ptycho.base import atomic
    from ptycho.artifacts.store import Store
    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)
    def half(value, folder, about):
        (folder / "values.npy").write_bytes(b"half of i")
        die()
    store, stage, point = Store(Path({folder!r})), test_store.row(), {point!r}
    with store.lock(test_store.KEY, die):
        if point == "compute":
            die()
        if point == "save":
            stage.home.save = half
        if point == "describe":
            write, atomic.write_json = atomic.write_json, lambda path, text: (
                die() if path.name == "entry.json" else write(path, text))
        if point == "rename":
            Path.rename = die
        if point == "trim":
            Store._trim = die
        test_store.put(store, stage=stage)
    """
)


def start(folder, pause, images=40):
    command = [sys.executable, "-c", PROCESS, str(folder), str(pause), str(images)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def output(process):
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return text.split()


def test_who_waits_for_another_says_so_before_it_waits(tmp_path):
    """The other goes on only once it has been told."""
    store, told, got = Store(tmp_path), threading.Event(), threading.Event()

    def second():
        with Store(tmp_path).lock("k", told.set):
            got.set()

    waiter = threading.Thread(target=second, daemon=True)
    with store.lock("k", lambda: None):
        waiter.start()
        assert told.wait(20), "it waits without a word"
        assert not got.is_set()
    waiter.join(20)
    assert got.is_set()


class TestProcesses:
    @pytest.mark.slow
    def test_two_that_need_the_same_compute_it_once(self, tmp_path):
        both = [start(tmp_path, 1.5), start(tmp_path, 1.5)]
        said = [output(process) for process in both]
        assert sorted(how for how, _ in said) == ["computed", "loaded"]
        assert said[0][1] == said[1][1]
        assert (tmp_path / "log").read_text() == "computed\n"

    @pytest.mark.parametrize("point", ["compute", "save", "describe", "rename", "trim"])
    def test_one_that_is_killed_leaves_nothing_wrong(self, point, store):
        """kill -9 at every step of storing an artifact: it is there whole or not at all, and its lock is free."""
        code = SUICIDE.format(tests=str(Path(__file__).parent), folder=str(store.folder), point=point)
        done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL
        with store.lock(KEY, lambda: pytest.fail("the dead hold no lock")):
            value = found(store)
            assert (value is not None) == (point == "trim")
            put(store)
        np.testing.assert_array_equal(found(store), artifact())
        put(store, KEY[::-1])  # and with the lock free, whoever stores next clears away what was left
        assert list((store.folder / "staging").iterdir()) == []

    @pytest.mark.soak
    @pytest.mark.parametrize("delay", np.linspace(0, 0.6, 25))
    def test_one_that_is_killed_at_any_time_leaves_nothing_wrong(self, delay, tmp_path):
        process = start(tmp_path, 0, 4000)
        wait_for(tmp_path / "log")
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        _, digest = output(start(tmp_path, 0, 4000))
        (tmp_path / "clean").mkdir()
        assert output(start(tmp_path / "clean", 0, 4000)) == ["computed", digest]
        assert output(start(tmp_path, 0, 4000)) == ["loaded", digest]


def wait_for(path: Path):
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.005)

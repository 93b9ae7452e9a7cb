"""What a machine can hold: that of the container, where there is one."""

import os
import threading

import pytest

from ptycho.base import machine
from ptycho.base.errors import DataContractError


@pytest.mark.parametrize(
    ("text", "expected"), [("1048576\n", 2**20), ("max\n", None), (f"{2**80}", None), ("", None)]
)
def test_a_container_may_have_less_than_its_machine(text, expected, tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    limit.write_text(text)
    monkeypatch.setattr(machine, "LIMITS", (tmp_path / "absent", limit))
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine.memory_bytes() == (expected or whole)


def test_what_needs_more_is_refused_with_the_limit(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text(str(2**30))
    monkeypatch.setattr(machine, "LIMITS", (tmp_path / "memory.max",))
    with pytest.raises(
        DataContractError, match=r"a canvas needs 2\.0 GiB but the machine has 1\.0 GiB of memory; crop it"
    ):
        machine.check_memory(2**31, "a canvas", "crop it", DataContractError)


def test_items_side_by_side_come_back_in_their_order_and_in_several_threads(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 3)
    together = threading.Barrier(3, timeout=30)

    def waits(item):
        together.wait()  # nobody goes on before three are here
        return 10 * item

    assert machine.side_by_side(waits, range(3)) == [0, 10, 20]

"""Any file: damaged in a way that knows its structure it is read, or refused in words of ours."""

import random

import beamline
import mutations
import oracles
import pytest

from ptycho.base.errors import DataContractError, PtychoError
from ptycho.scan.formats import registry
from ptycho.settings.request import Reading

HOW = {
    "as it is": Reading(),
    "by keys": Reading(
        key=("patterns=/entry_1/data_1/data", "positions=/entry_1/data_1/translation"),
        positions_unit="m",
        energy="9keV",
        distance="2m",
        detector_pixel="75um",
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "scan.cxi"
    scan = oracles.make_scan(count=12, N=32, shape=(70, 80), seed=4)
    beamline.write_cxi(path, beamline.measured(beamline.bright(scan), (36, 40), (2, 3)), probe=scan.probe[0])
    return path.read_bytes()


def refused(path, how):
    """What is said where a file is refused; nothing where it is a scan."""
    try:
        registry.read(path, how)
    except PtychoError as error:
        return str(error)
    except (RuntimeError, OSError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        pytest.fail(f"{type(error).__name__}: {error}")
    return ""


@pytest.mark.finding("FOREIGN-TREE-001")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["cut", "flipped", "inserted", "array", "member"])
def test_a_damaged_file_is_read_or_refused_with_its_name(kind, how, whole, tmp_path):
    path, told = tmp_path / "scan.cxi", []
    for number in range(15):
        path.write_bytes(mutations.ALL[kind](random.Random(number), whole))
        told.append(refused(path, HOW[how]))
    assert any(told)
    assert all(str(path) in words for words in told if words)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataContractError, match=r"none\.cxi: no such file"):
        registry.read(tmp_path / "none.cxi")

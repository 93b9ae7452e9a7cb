"""All faults: each puts a known bug back."""

from ptycho.testing.fault import Fault
from ptycho.testing.faults import arrays, judging, networks, running, scans

FAULTS: tuple[Fault, ...] = (
    *scans.FAULTS,
    *arrays.FAULTS,
    *networks.FAULTS,
    *running.FAULTS,
    *judging.FAULTS,
)

"""All faults: each puts a known bug back."""

from ptycho.testing.fault import Fault
from ptycho.testing.faults import arrays, judging, scans

FAULTS: tuple[Fault, ...] = (*scans.FAULTS, *arrays.FAULTS, *judging.FAULTS)

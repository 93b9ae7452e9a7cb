"""All faults: each puts a known bug back."""

from ptycho.testing.fault import Fault
from ptycho.testing.faults import arrays, judging, networks, scans

FAULTS: tuple[Fault, ...] = (*scans.FAULTS, *arrays.FAULTS, *networks.FAULTS, *judging.FAULTS)

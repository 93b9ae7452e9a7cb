"""Synthetic scans: object, probe, positions, photons."""

from ptycho.simulate.scan import simulate_scan

__all__ = ["simulate_scan"]

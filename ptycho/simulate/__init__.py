"""Synthetic scans: object, probe, positions, photons."""

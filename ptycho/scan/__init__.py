"""A scan and groups of it: read from files or simulated, checked, set right, grouped."""

"""Files of scans: one module a format."""

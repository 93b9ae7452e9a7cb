"""Golden files that cannot lie: strict comparison, tolerances with evidence, review."""

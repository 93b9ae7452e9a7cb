"""The ledger of findings: every way in which a pipeline is known to have gone wrong, and the tests that pin it."""

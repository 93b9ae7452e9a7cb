"""What proves the regression tests: faults that put known bugs back, and the pytest plugin that runs them."""

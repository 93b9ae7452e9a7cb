"""Which stage and which parameters, data or code broke a run, and the proof."""

"""Pictures and one self-contained page about a run. Nothing in here can fail a run."""

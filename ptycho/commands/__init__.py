"""The command line: one module for each group of commands, their options, and what a terminal shows."""

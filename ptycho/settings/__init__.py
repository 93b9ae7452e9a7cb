"""What can be set and what was asked for: the one table of parameters, its layers, scenarios, states of the past."""

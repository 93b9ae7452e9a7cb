"""The direct solver: object, probe and positions from the patterns alone, without a network."""

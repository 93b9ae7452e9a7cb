"""How good is a reconstruction: in its frame, inside its coverage, with and without registration."""

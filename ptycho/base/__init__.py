"""What every other wing stands on: errors, progress, the machine, identity of values, files read and written safely."""

"""A run from what was asked for to its directory: whose a folder is, what lies in it, what may be resumed."""

"""What to ask of a run, one module a question: a table, a picture, and a sentence that is computed from the numbers."""

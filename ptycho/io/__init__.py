"""Files: one module for each format, and atomic writing for all of them."""

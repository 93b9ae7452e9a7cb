"""How Sphinx makes the site of these pages: `tox -e docs`."""

project = "ptycho"
author = "The ptycho developers"
copyright = "the ptycho developers"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_title = "ptycho"
html_sidebars = {"*": []}
"""Pages below others alone have a list of their neighbours."""
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "show_nav_level": 1}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
"""Links such as formats.md#written lead to headings."""
suppress_warnings = ["myst.xref_missing", "toc.not_included", "ref.python"]
"""Links that leave the pages (../README.md, sources) are those of the repository, and tests follow them; pages of findings are in
their own table; attributes of several classes share a name."""

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"
"""Docstrings give shapes, dtypes and units, which types do not."""
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": False}
autodoc_mock_imports = ["keras", "tensorflow", "torch", "jax", "numba"]
napoleon_google_docstring = False
napoleon_use_ivar = True

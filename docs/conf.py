"""How the documentation is built: `make docs`, warnings being errors. The pages are the Markdown files beside this one."""

from importlib.metadata import version as installed

project = "disbench"
author = "the disbench authors"
release = version = installed("disbench")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_param = napoleon_use_rtype = False  # entries as they are written: several names may share one
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
default_role = "code"  # as the docstrings use backticks

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"disbench {release}"
html_show_sourcelink = False
html_show_copyright = False

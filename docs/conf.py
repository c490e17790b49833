"""How the documentation is built: `make docs`, with warnings as errors. The pages are the Markdown files beside this one.

The built pages need no network: MathJax, fonts and search are files of the documentation.
"""

from importlib.metadata import metadata, version as installed

project = "disbench"
author = "the disbench authors"
release = version = installed("disbench")
urls = dict(entry.split(", ", 1) for entry in metadata("disbench").get_all("Project-URL") or ())

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
]
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_param = napoleon_use_rtype = False  # entries as they are written: several names may share one
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
default_role = "code"  # as the docstrings use backticks

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_theme_options = {"source_repository": urls["Repository"]} if "Repository" in urls else {}
html_title = f"disbench {release}"
html_static_path = ["_static"]
html_css_files = ["disbench.css"]
html_show_sourcelink = False
html_show_copyright = False

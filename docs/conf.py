"""Sphinx: ``make docs`` builds the pages into docs/_build/html."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from eventworker import __version__

project = "eventworker"
copyright = "eventworker developers, Apache License 2.0"
version = release = __version__

extensions = [
    "command_reference",
    "conformance_table",
    "form_table",
    "option_table",
    "sphinx.ext.autodoc",
]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
exclude_patterns = ["_build"]
highlight_language = "python3"
nitpicky = True
# Names of Python: docstrings speak of modules that have no page, and of other projects.
nitpick_ignore_regex = [("py:.*", ".*")]

html_theme = "alabaster"
html_theme_options = {
    "description": "Reliable asynchronous work from the changes made through a web API",
    "fixed_sidebar": True,
    "page_width": "1080px",
}
html_show_sourcelink = False

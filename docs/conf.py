"""Settings of the documentation; ``make docs`` builds it, and takes every warning for an error."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "snnsim"
author = "the snnsim developers"
copyright = "2026, the snnsim developers"
version = release = version_of("snnsim")

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb", "sphinx_from_code"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"snnsim {release}"
html_show_sphinx = False
nitpicky = True
# Names of other libraries, which these pages do not link to.
nitpick_ignore_regex = [("py:.*", r"(?!snnsim\.)[\w.]+")]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_merge_streams = True

numpydoc_show_class_members = False
numpydoc_xref_param_type = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"

"""Sphinx's settings for hk's documentation."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "hk"
author = "The authors of hk"
project_copyright = author
version = release = installed_version("hyperkube-core")

exclude_patterns = ["_build", "changes"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"

html_theme = "alabaster"
html_theme_options = {
    "description": "Kubernetes' server side as a pip install",
    "fixed_sidebar": True,
    "show_powered_by": False,
}
html_static_path: list[str] = []

"""Sphinx's settings for hk's documentation."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent))
from validationrules import RuleTables

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "hk"
author = "The authors of hk"
project_copyright = author
version = release = installed_version("hyperkube-core")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "changes"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
nitpicky = False

# Docstrings write `names` and `code` alike.
default_role = "py:obj"
smartquotes = False

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


class FlagTable(SphinxDirective):
    """Upstream's flags that a server warns of or refuses, with the reasons; of the API server, or the one it names."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        server = self.arguments[0] if self.arguments else "apiserver"
        module = import_module(f"hyperkube_{server.replace('-', '_')}.flags")
        flags, treatments = module.foreign_flags(), module.treatments()
        found: list[nodes.Node] = []
        for treatment in ("warned", "refused"):
            found.append(nodes.rubric(text=f"Flags that are {treatment}"))
            names = sorted(name for name, chosen in treatments.items() if chosen == treatment)
            items = [
                nodes.list_item(
                    "",
                    nodes.paragraph("", "", nodes.literal(text=f"--{name}"), nodes.Text(f": {flags[name].reason}")),
                )
                for name in names
            ]
            found.append(nodes.bullet_list("", *items))
        return found


def setup(app: Sphinx) -> None:
    """Add the directives; called by Sphinx."""
    app.add_directive("flag-table", FlagTable)
    app.add_directive("rule-tables", RuleTables)

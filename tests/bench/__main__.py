"""All benches in turn, or those that are named: `python -m tests.bench [NAME…] [--server URL …]`.

Each is a module beside this one, and a process of its own. With `--server`, only those run that ask a server, and they
ask that one; what follows is for them. Exits with 1 if one missed what it is meant to reach.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

NAMES = (
    "launch",
    "schema",
    "expressions",
    "customschema",
    "customresources",
    "customrules",
    "policies",
    "access",
    "rights",
    "operations",
    "steps",
    "serving",
    "storage",
    "client",
    "apiserver",
    "curves",
    "proxy",
    "scheduler",
    "cluster",
    "containers",
)
ASKING = ("apiserver", "curves")
"""Those that can ask a server that runs already."""


def main() -> int:
    """Run them; 1 if one missed something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--server", metavar="URL", help="one that runs; see the help of tests.bench.apiserver")
    arguments, rest = parser.parse_known_args()
    names = arguments.names or (ASKING if arguments.server else NAMES)
    if unknown := set(names) - set(NAMES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if arguments.server:
        rest = ["--server", arguments.server, *rest]
    if rest and (deaf := set(names) - set(ASKING)):
        parser.error(
            f"{' '.join(rest)} means nothing to {', '.join(sorted(deaf))}: only {', '.join(ASKING)} take options"
        )
    missed = []
    for name in names:
        print(f"\n── {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *rest], check=False).returncode != 0:
            missed.append(name)
    if missed:
        print(f"\nmissed by: {', '.join(missed)}", flush=True)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())

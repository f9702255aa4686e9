"""All benches in turn, or those that are named: `python -m tests.bench [NAME…]`.

Each is a module beside this one, and a process of its own. Exits with 1 if one missed what it is meant to reach.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

NAMES = ("launch", "schema", "access", "serving", "storage", "apiserver", "curves")


def main() -> int:
    """Run them; 1 if one missed something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    names = parser.parse_args().names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    missed = []
    for name in names:
        print(f"\n── {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode != 0:
            missed.append(name)
    if missed:
        print(f"\nmissed by: {', '.join(missed)}", flush=True)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())

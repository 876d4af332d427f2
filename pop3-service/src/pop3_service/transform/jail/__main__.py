"""Starts the launcher; its one argument is the control socket's descriptor."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # The package's parent comes last: nothing in it can stand in for the standard library.
    sys.path.append(__file__.rsplit("/", 2)[0])
    __package__ = "jail"
    from .launching import main

    main(int(sys.argv[1]))

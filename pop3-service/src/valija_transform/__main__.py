"""``python -m valija_transform``."""

from valija_transform.cli import main

if __name__ == "__main__":
    raise SystemExit(main())

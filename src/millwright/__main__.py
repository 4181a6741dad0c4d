"""`python -m millwright` is `mill`."""

from __future__ import annotations

from millwright.cli.main import main

if __name__ == "__main__":
    main()

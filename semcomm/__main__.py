"""`python -m semcomm`, the same as the command."""

import sys

from semcomm.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m pneumo_utils ...` is the same as `pneumo ...`."""

import sys

from pneumo_utils.cli import main

if __name__ == "__main__":
    sys.exit(main())

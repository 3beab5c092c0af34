"""`python -m MedSAMSegmentLib` is `medsam-segment`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m pinn` is the command line."""

import sys

from pinn.cli import main

sys.exit(main())

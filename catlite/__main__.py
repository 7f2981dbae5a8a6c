"""`python -m catlite` is the `catlite` command."""

import sys

from catlite.cli.main import main

sys.exit(main())

"""``python -m nbtorchviz``: the command line where the script is not on the PATH."""

import sys

from nbtorchviz.cli import main

sys.exit(main())

# SPDX-License-Identifier: MIT
"""python3 scripts/nidus_lab run|setup ARGUMENTS: the entry of scripts/run and scripts/test."""

import os
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from nidus_lab import run, setup  # noqa: E402 (needs the path above)

TOOLS = {"run": run.main, "setup": setup.main}

sys.exit(TOOLS[sys.argv[1]](sys.argv[2:]))

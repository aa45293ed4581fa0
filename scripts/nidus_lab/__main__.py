# SPDX-License-Identifier: MIT
"""python3 scripts/nidus_lab run|setup|media ARGUMENTS: the entry of scripts/run, scripts/test and make's media."""

import os
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from nidus_lab import media, run, setup  # noqa: E402 (needs the path above)

TOOLS = {"run": run.main, "setup": setup.main, "media": media.main}

sys.exit(TOOLS[sys.argv[1]](sys.argv[2:]))

# SPDX-License-Identifier: MIT
"""python3 scripts/nidus_lab run|gdb|setup|media|write-usb ARGUMENTS: the entry of scripts/run, scripts/gdb, scripts/test, make's media and scripts/write-usb."""

import os
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from nidus_lab import debug, media, run, setup, write_usb  # noqa: E402 (needs the path above)

TOOLS = {"run": run.main, "gdb": debug.main, "setup": setup.main, "media": media.main, "write-usb": write_usb.main}

sys.exit(TOOLS[sys.argv[1]](sys.argv[2:]))

# SPDX-License-Identifier: MIT
"""The lab: makes boot images of Nidus, starts them in an emulator and watches the console."""

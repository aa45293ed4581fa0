# SPDX-License-Identifier: MIT
"""The set-up of scripts/test: every package and emulator that the tests use, and the boot images' tools."""

from nidus_lab import bochs, debian, packages
from nidus_lab.common import LabError, say

NEEDS = ("build", "efi", "bios-image", "uefi-image", "uefi-app-image", "ovmf", "qemu", "network-roms", "unit-tests", "lab-tests", "demo")


def main(_argv):
    try:
        packages.ensure(*NEEDS)
        found, origin = bochs.find()
        say(f"Bochs {'.'.join(map(str, found.version))} ({origin})")
        debian.fetch()
    except LabError as error:
        say(f"error: {error}")
        return error.status
    return 0

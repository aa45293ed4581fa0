# SPDX-License-Identifier: MIT
"""Debian's QEMU with what it needs, for an initramfs: an L1 runs it, with KVM, to have a Linux as its L2."""

from nidus_lab import foreign
from nidus_lab.common import os_release

PACKAGE = "qemu-system-x86"
# Debian also builds QEMU with nothing but its machine 'microvm': a third of the size and of the libraries.
PROGRAMS = {"usr/bin/qemu-system-x86_64": ("usr/bin/qemu-system-x86_64-microvm", "usr/bin/qemu-system-x86_64")}
ROM_PLACES = ("usr/share/seabios", "usr/share/qemu")
ROMS = {f"usr/share/qemu/{rom}": tuple(f"{place}/{rom}" for place in ROM_PLACES)
        for rom in ("bios-microvm.bin", "linuxboot_dma.bin")}


def files():
    """name in an initramfs -> path here."""
    return foreign.files(foreign.fetch("qemu", os_release()["VERSION_CODENAME"], [PACKAGE], PROGRAMS, ROMS))

# SPDX-License-Identifier: MIT
"""Nidus below QEMU with KVM: Debian's Linux, which has the VT-x to itself, runs Debian's QEMU, and that boots a CD with Nidus."""

import os
import shutil

from nidus_lab import conf_files, debian, foreign, image, kvm, qemu_guest
from nidus_lab.common import os_release

PROGRAMS = {"usr/bin/qemu-system-x86_64": ("usr/bin/qemu-system-x86_64",)}
ROMS = {f"usr/share/qemu/{rom}": tuple(f"{place}/{rom}" for place in qemu_guest.ROM_PLACES)
        for rom in ("bios-256k.bin", "kvmvapic.bin", "vgabios-stdvga.bin")}


def init():
    with open(os.path.join(kvm.SOURCES, "init_nidus"), encoding="ascii") as file:
        return file.read()


def base(work):
    """Makes the part of the initramfs that all boots share, in the directory work."""
    qemu = foreign.files(foreign.fetch("qemu-pc", os_release()["VERSION_CODENAME"], [qemu_guest.PACKAGE], PROGRAMS, ROMS))
    out = os.path.join(work, "qemu.cpio")
    debian.initramfs(out, work, init(), kvm.modules(work), qemu)
    return out


def make(work, shared, nidus, conf, cmdline=""):
    """Makes the initramfs whose QEMU boots Nidus with that configuration file: what base() has made, and the CD after it."""
    image.grub_iso("bios", nidus, conf_files.stage(conf), work, cmdline)
    os.rename(os.path.join(work, "boot.iso"), os.path.join(work, "nidus.iso"))
    out = os.path.join(work, "under-qemu.cpio")
    shutil.copyfile(shared, out)
    debian.cpio(out, work, ["nidus.iso"], "ab")
    return out

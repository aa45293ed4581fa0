# SPDX-License-Identifier: MIT
"""Nidus below QEMU with KVM: Debian's Linux, which has the machine's VT-x to itself, runs Debian's QEMU, which boots CDs with Nidus."""

import os
import shlex
import shutil
import tempfile

from nidus_lab import conf_files, debian, foreign, image, kvm, qemu_guest
from nidus_lab.common import os_release

PROGRAMS = {"usr/bin/qemu-system-x86_64": ("usr/bin/qemu-system-x86_64",)}
ROMS = {f"usr/share/qemu/{rom}": tuple(f"{place}/{rom}" for place in qemu_guest.ROM_PLACES)
        for rom in ("bios-256k.bin", "kvmvapic.bin", "vgabios-stdvga.bin")}


class Step:
    """One start of QEMU. conf: a configuration file of Nidus's; kvm: NAME=VALUE ... of kvm_intel; limit: seconds of Linux's time."""

    def __init__(self, name, conf, options, kvm="", limit=20):
        self.name, self.conf, self.options, self.kvm, self.limit = name, conf, options, kvm, limit

    def line(self, cd):
        return f"step {shlex.quote(self.name)} {cd} {self.limit} {shlex.quote(self.kvm)} {self.options}\n"


def base(work):
    """Makes the part of the initramfs that all boots share, in the directory work."""
    with open(os.path.join(kvm.SOURCES, "init_nidus"), encoding="ascii") as file:
        init = file.read()
    qemu = foreign.files(foreign.fetch("qemu-pc", os_release()["VERSION_CODENAME"], [qemu_guest.PACKAGE], PROGRAMS, ROMS))
    out = os.path.join(work, "qemu.cpio")
    debian.initramfs(out, work, init, kvm.modules(work), qemu)
    return out


def make_cd(out, nidus, conf):
    with tempfile.TemporaryDirectory() as work:
        shutil.move(image.make("bios", nidus, conf_files.stage(conf), work, ""), out)


def make(work, shared, nidus, steps):
    """Makes the initramfs that takes the steps: what base() has made, with CDs of the image nidus behind it."""
    tree = os.path.join(work, "steps")
    os.makedirs(tree)
    cds, lines = {}, []
    for step in steps:
        if step.conf not in cds:
            cds[step.conf] = f"{len(cds)}.iso"
            make_cd(os.path.join(tree, cds[step.conf]), nidus, step.conf)
        lines.append(step.line(cds[step.conf]))
    with open(os.path.join(tree, "steps"), "w", encoding="ascii") as file:
        file.writelines(lines)
    out = os.path.join(work, "under-qemu.cpio")
    shutil.copyfile(shared, out)
    debian.cpio(out, tree, ["steps", *cds.values()], "ab")
    return out

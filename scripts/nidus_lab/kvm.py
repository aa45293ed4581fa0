# SPDX-License-Identifier: MIT
"""An L1 that is not Nidus's: Debian's Linux with its own KVM, and in it guest/kvm's small user of KVM with a small L2."""

import os

from nidus_lab import debian, packages
from nidus_lab.common import TOP, command

SOURCES = os.path.join(TOP, "guest/kvm")
MODULES = ("irqbypass", "kvm", "kvm-intel")  # in the order in which they are loaded
WARNINGS = ("-O2", "-Wall", "-Wextra", "-Werror", f"-I{TOP}")
# A flat binary that runs where it is loaded: 8000H.
GUEST = ("-ffreestanding", "-nostdlib", "-static", "-fno-pic", "-no-pie", "-mno-red-zone", "-mgeneral-regs-only",
         "-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables",
         "-Wl,--oformat=binary,-e,start,--section-start=.start=0x8000,-Ttext=0x9000,--build-id=none,-z,noexecstack")


def modules(work):
    """The paths of KVM's modules."""
    return [debian.module(debian.fetch(), name, work) for name in MODULES]


def compile_l2(work):
    """Compiles l2 and its guest; returns their paths."""
    packages.ensure("build")
    program, guest = os.path.join(work, "l2"), os.path.join(work, "l2.bin")
    command(["gcc", *WARNINGS, "-static", "-pthread", "-o", program, "l2.c"], "compile l2", cwd=SOURCES)
    command(["gcc", *WARNINGS, *GUEST, "-o", guest, "l2_start.S", "l2_main.c"], "compile l2's guest", cwd=SOURCES)
    return [program, guest]


def programs(work):
    """The files for /bin of an initramfs: l2, its guest, and the modules."""
    return [*compile_l2(work), *modules(work)]


def make(work):
    """Makes the files of such an L1 in the directory work: their names -> paths."""
    with open(os.path.join(SOURCES, "init"), encoding="ascii") as file:
        init = file.read()
    out = os.path.join(work, "kvm.cpio")
    debian.initramfs(out, work, init, programs(work))
    return {"vmlinuz": debian.kernel(), "kvm.cpio": out}

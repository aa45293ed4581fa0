# SPDX-License-Identifier: MIT
"""An L1 that is not Nidus's: Debian's Xen, Debian's generic kernel as its PV dom0 (the cloud kernel cannot be one), and
Xen's own tools in it, which start PVH guests as L2."""

import gzip
import os

from nidus_lab import archive, debian, foreign
from nidus_lab.common import CACHE, TOP, locked, say

SOURCES = os.path.join(TOP, "guest/xen")
SUITE = "trixie"  # Xen 4.20
OPTIONS = "console=com1 com1=115200,8n1 dom0_mem=512M loglvl=all guest_loglvl=all noreboot"
DOM0_OPTIONS = "console=hvc0 panic=-1"
MODULES = ("xen-privcmd", "xen-evtchn", "xen-gntdev", "xenfs")  # in the order in which they are loaded
PACKAGES = ("xen-utils-4.20", "xenstore-utils")
TEST_KERNELS = ("hello", "smp")  # of guest/, as L2
HOME = "usr/lib/xen-4.20/bin"
TOOLS = {**{f"{HOME}/{name}": (f"{HOME}/{name}",) for name in ("xl", "xenstored", "xenconsoled", "xen-init-dom0")},
         "bin/xenstore-exists": ("usr/bin/xenstore-exists",)}
OTHERS = {"etc/xen/xl.conf": ("etc/xen/xl.conf",),
          "lib/x86_64-linux-gnu/libgcc_s.so.1": ("usr/lib/x86_64-linux-gnu/libgcc_s.so.1",)}  # libc loads it to end a thread


def fetch():
    """The directory in the cache that has Xen and the kernel; fetched when it is not there."""
    directory = os.path.join(CACHE, f"xen-{SUITE}")
    with locked("xen"):
        if not os.path.exists(directory):
            say(f"fetching Xen and a kernel for dom0 from Debian's archive ({SUITE}): not installed")
            apt = archive.PrivateApt(SUITE)
            apt.update()
            hypervisor = apt.dependency("xen-system-amd64", "xen-hypervisor-")
            kernel = apt.dependency("linux-image-amd64", "linux-image-")
            archive.unpack(apt.fetch(hypervisor, kernel, closure=False), directory)
            apt.clean()
    return directory


def hypervisor(out):
    """Writes Xen's ELF file, which Debian packs."""
    with gzip.open(debian.one(fetch(), "boot/xen-*amd64.gz")) as packed, open(out, "wb") as file:
        file.write(packed.read())


def source(name):
    return os.path.join(SOURCES, name)


def text(name):
    with open(source(name), encoding="ascii") as file:
        return file.read()


def guests(work, kernels):
    """What dom0 starts: name in its initramfs -> path here."""
    cpio = os.path.join(work, "l2.cpio")
    debian.initramfs(cpio, work, text("init_l2"))
    files = {**{f"l2/{name}.cfg": source(f"{name}.cfg") for name in (*TEST_KERNELS, "linux")},
             **{f"l2/{name}.elf": os.path.join(kernels, f"{name}.elf") for name in TEST_KERNELS}}
    return {**files, "l2/vmlinuz": debian.kernel(), "l2/linux.cpio": cpio}


def make(work, kernels):
    """Makes the files of such an L1 in the directory work: their names -> paths. kernels: where the test kernels are."""
    xen, cpio = os.path.join(work, "xen.elf"), os.path.join(work, "dom0.cpio")
    hypervisor(xen)
    tools = foreign.files(foreign.fetch("xen-tools", SUITE, PACKAGES, TOOLS, OTHERS))
    modules = [debian.module(fetch(), name, work) for name in MODULES]
    debian.initramfs(cpio, work, text("init"), modules, {**tools, **guests(work, kernels)})
    return {"xen.elf": xen, "vmlinuz": debian.one(fetch(), "boot/vmlinuz-*"), "dom0.cpio": cpio}

# SPDX-License-Identifier: MIT
"""An L1 that is not Nidus's: Debian's Xen, with Debian's generic kernel as its PV dom0 (the cloud kernel cannot be one)."""

import gzip
import os

from nidus_lab import archive, debian
from nidus_lab.common import CACHE, locked, say

SUITE = "trixie"  # Xen 4.20
OPTIONS = "console=com1 com1=115200,8n1 dom0_mem=512M loglvl=all noreboot"
DOM0_OPTIONS = "console=hvc0 panic=-1"
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
cd /sys/hypervisor
echo "Hello from dom0, Linux $(/bin/busybox uname -r)"
echo "dom0: $(/bin/busybox cat guest_type) on Xen $(/bin/busybox cat version/major).$(/bin/busybox cat version/minor)"
/bin/busybox sleep 1 # a slow serial port has to show all of it first
/bin/busybox poweroff -f
"""


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


def make(work):
    """Makes the files of such an L1 in the directory work: their names -> paths."""
    xen, cpio = os.path.join(work, "xen.elf"), os.path.join(work, "dom0.cpio")
    hypervisor(xen)
    debian.initramfs(cpio, work, INIT)
    return {"xen.elf": xen, "vmlinuz": debian.one(fetch(), "boot/vmlinuz-*"), "dom0.cpio": cpio}

# SPDX-License-Identifier: MIT
"""The demo: Debian's own cloud kernel, as it is, with an initramfs of busybox that greets and powers off."""

import glob
import os
import shutil
import subprocess

from nidus_lab import archive, packages
from nidus_lab.common import BUILD, CACHE, LabError, locked, os_release, say

KERNEL_PACKAGE = "linux-image-cloud-amd64"
DIRECTORIES = ("bin", "dev", "proc", "sys")
CONF = """\
# The demo: a Debian Linux, unmodified, in one VM.
[nidus]
console = com1
loglevel = info

[vm debian]
kernel = vmlinuz
initrd = initramfs.cpio
cmdline = console=ttyS0 quiet
memory = 256M
vcpus = 1
"""
INIT = """\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
field() { $b sed -n "s/^$1[^:]*: *//p" "$2" | $b head -n 1; }
set -- $(field flags /proc/cpuinfo)
flags=$#
case " $* " in *" hypervisor "*) under="a hypervisor says it is there" ;; *) under="no hypervisor in CPUID" ;; esac
echo
echo "Hello from Debian's Linux $($b uname -r), in a VM of Nidus."
echo "  CPU:      $(field 'model name' /proc/cpuinfo), $($b grep -c ^processor /proc/cpuinfo) online, $flags flags, $under"
echo "  memory:   $(field MemTotal /proc/meminfo)"
echo "  up for:   $($b cut -d ' ' -f 1 /proc/uptime) s"
echo "Powering off."
$b poweroff -f
"""


def fetch():
    """The directory in the cache that has vmlinuz and busybox; fetched when it is not there."""
    suite = os_release()["VERSION_CODENAME"]
    directory = os.path.join(CACHE, f"demo-{suite}")
    with locked("demo"):
        if not os.path.exists(directory):
            say(f"fetching {KERNEL_PACKAGE}'s kernel and busybox-static from Debian's archive ({suite}): not installed")
            apt = archive.PrivateApt(suite)
            apt.update()
            kernel = apt.dependency(KERNEL_PACKAGE, "linux-image-")
            archive.unpack(apt.fetch(kernel, "busybox-static", closure=False), directory)
            apt.clean()
    return directory


def one(directory, pattern):
    found = glob.glob(os.path.join(directory, pattern))
    if not found:
        raise LabError(f"no {pattern} in {directory}: remove that directory and try again")
    return found[0]


def initramfs(busybox, out, work):
    """An archive of newc form with /init and busybox."""
    tree = os.path.join(work, "initramfs")
    shutil.rmtree(tree, ignore_errors=True)
    for name in DIRECTORIES:
        os.makedirs(os.path.join(tree, name))
    shutil.copy(busybox, os.path.join(tree, "bin/busybox"))
    init = os.path.join(tree, "init")
    with open(init, "w", encoding="ascii") as file:
        file.write(INIT)
    os.chmod(init, 0o755)
    names = "\n".join(("bin", "bin/busybox", "dev", "proc", "sys", "init", ""))
    with open(out, "wb") as file:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "--reproducible", "-R", "0:0"], cwd=tree,
                       input=names.encode(), stdout=file, check=True)


def make():
    """Makes the demo's files in build/demo and returns its configuration."""
    packages.ensure("demo")
    fetched, out = fetch(), os.path.join(BUILD, "demo")
    os.makedirs(out, exist_ok=True)
    with locked("demo"):
        shutil.copyfile(one(fetched, "boot/vmlinuz-*"), os.path.join(out, "vmlinuz"))
        busybox = (glob.glob(f"{fetched}/bin/busybox") or glob.glob(f"{fetched}/usr/bin/busybox") or [None])[0]
        if not busybox:
            raise LabError(f"no busybox in {fetched}: remove that directory and try again")
        initramfs(busybox, os.path.join(out, "initramfs.cpio"), out)
        conf = os.path.join(out, "nidus.conf")
        with open(conf, "w", encoding="ascii") as file:
            file.write(CONF)
    return conf

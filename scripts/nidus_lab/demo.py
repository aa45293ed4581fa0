# SPDX-License-Identifier: MIT
"""The demo: Debian's own cloud kernel, as it is, with an initramfs of busybox: a greeting, and a shell at a terminal."""

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
cmdline = console=ttyS0 quiet{words}
memory = 256M
vcpus = 2
"""
# The kernel gives words of its command line that it does not know to /init as arguments.
INIT = """\
#!/bin/busybox sh
b=/bin/busybox
mode=$1
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
if [ "$mode" = interactive ]; then
    $b --install -s /bin
    echo "This is its shell: 'exit' or 'poweroff -f' ends the VM."
    PATH=/bin HOME=/ PS1='debian:\\w# ' $b setsid $b cttyhack $b sh
fi
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


def one(directory, *patterns):
    for pattern in patterns:
        found = glob.glob(os.path.join(directory, pattern), recursive=True)
        if found:
            return found[0]
    raise LabError(f"no {patterns[0]} in {directory}: remove that directory and try again")


def kernel():
    """The path of Debian's vmlinuz."""
    return one(fetch(), "boot/vmlinuz-*")


def initramfs(out, work, init, programs=()):
    """Makes an archive of newc form with /init (a text), busybox and the programs (or other files: paths) in /bin."""
    packages.ensure("demo")
    tree = os.path.join(work, "initramfs")
    shutil.rmtree(tree, ignore_errors=True)
    for name in DIRECTORIES:
        os.makedirs(os.path.join(tree, name))
    files = [one(fetch(), "bin/busybox", "usr/bin/busybox"), *programs]
    for path in files:
        shutil.copy(path, os.path.join(tree, "bin"))
    path = os.path.join(tree, "init")
    with open(path, "w", encoding="ascii") as file:
        file.write(init)
    os.chmod(path, 0o755)
    names = "\n".join((*DIRECTORIES, *(f"bin/{os.path.basename(path)}" for path in files), "init", ""))
    with open(out, "wb") as file:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "--reproducible", "-R", "0:0"], cwd=tree,
                       input=names.encode(), stdout=file, check=True)


def make(interactive=False):
    """Makes the demo's files in build/demo and returns its configuration: with a shell, or one that just powers off."""
    out = os.path.join(BUILD, "demo")
    os.makedirs(out, exist_ok=True)
    conf = os.path.join(out, "interactive.conf" if interactive else "nidus.conf")
    with locked("demo-files"):
        shutil.copyfile(kernel(), os.path.join(out, "vmlinuz"))
        initramfs(os.path.join(out, "initramfs.cpio"), out, INIT)
        with open(conf, "w", encoding="ascii") as file:
            file.write(CONF.format(words=" interactive" if interactive else ""))
    return conf

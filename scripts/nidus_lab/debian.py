# SPDX-License-Identifier: MIT
"""Debian's own cloud kernel, as it is, with an initramfs of busybox: what Linux guests are made of."""

import glob
import os
import shutil
import subprocess

from nidus_lab import archive, packages
from nidus_lab.common import CACHE, LabError, locked, os_release, say

KERNEL_PACKAGE = "linux-image-cloud-amd64"
DIRECTORIES = ("bin", "dev", "proc", "sys")


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

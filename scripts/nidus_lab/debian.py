# SPDX-License-Identifier: MIT
"""Debian's own cloud kernel, as it is, with an initramfs of busybox: what Linux guests are made of."""

import glob
import lzma
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


def module(tree, name, work):
    """The path of a kernel module of the tree as insmod wants it: later Debian releases compress them."""
    path = one(tree, f"lib/modules/*/kernel/**/{name}.ko", f"lib/modules/*/kernel/**/{name}.ko.xz",
               f"usr/lib/modules/*/kernel/**/{name}.ko.xz")
    if not path.endswith(".xz"):
        return path
    out = os.path.join(work, f"{name}.ko")
    with lzma.open(path) as packed, open(out, "wb") as file:
        file.write(packed.read())
    return out


def folders(names):
    """The directories that files of these names need, each after the one that it is in."""
    found = []
    for name in names:
        parts = name.split("/")[:-1]
        found += ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    return list(dict.fromkeys(found))


def cpio(out, tree, names, mode="wb"):
    """Makes an archive of newc form of what is in the directory tree; mode "ab": Linux takes several in a row."""
    with open(out, mode) as file:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "--reproducible", "-R", "0:0"], cwd=tree,
                       input="\n".join((*names, "")).encode(), stdout=file, check=True)


def initramfs(out, work, init, programs=(), files=None):
    """Makes an archive of newc form with /init (a text), busybox and the programs (or other files: paths) in /bin.

    files: name in it -> path here.
    """
    packages.ensure("demo")
    tree = os.path.join(work, "initramfs")
    shutil.rmtree(tree, ignore_errors=True)
    programs = [one(fetch(), "bin/busybox", "usr/bin/busybox"), *programs]
    files = {**{f"bin/{os.path.basename(path)}": path for path in programs}, **(files or {})}
    directories = list(dict.fromkeys((*DIRECTORIES, *folders(files))))
    for name in directories:
        os.makedirs(os.path.join(tree, name))
    for name, path in files.items():
        shutil.copy(path, os.path.join(tree, name))
    path = os.path.join(tree, "init")
    with open(path, "w", encoding="ascii") as file:
        file.write(init)
    os.chmod(path, 0o755)
    cpio(out, tree, (*directories, *files, "init"))

# SPDX-License-Identifier: MIT
"""Programs of Debian's packages with the shared libraries they want, for an initramfs: nothing is installed."""

import os
import re
import shutil

from nidus_lab import archive, debian
from nidus_lab.common import CACHE, command, locked, say

LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
LOADER = "ld-linux-x86-64.so.2"


def libraries(root, loader, program):
    """The paths of the shared libraries that the program of the tree wants, by the tree's own dynamic loader."""
    places = ":".join(os.path.join(root, place) for place in LIBRARIES)
    listed = command([loader, "--library-path", places, "--list", program], f"list the libraries of {program}")
    return [path for path in re.findall(rf"=> ({re.escape(root)}/\S+)", listed) if not path.endswith(LOADER)]


def collect(root, directory, programs, others):
    """Copies what an initramfs is to have from the tree of unpacked packages into the directory.

    programs, others: name in the initramfs -> paths (glob patterns) in the tree, of which the first that is there counts.
    """
    loader = debian.one(root, *(f"{place}/{LOADER}" for place in LIBRARIES))
    found = {name: debian.one(root, *patterns) for name, patterns in {**programs, **others}.items()}
    needed = [path for name in programs for path in libraries(root, loader, found[name])]
    files = {**found, f"lib64/{LOADER}": loader, **{f"lib/x86_64-linux-gnu/{os.path.basename(path)}": path for path in needed}}
    for name, path in files.items():
        out = os.path.join(directory, name)
        os.makedirs(os.path.dirname(out), exist_ok=True)
        shutil.copy(path, out)


def fetch(name, suite, packages, programs, others):
    """The directory in the cache with the files of collect(); fetched when it is not there."""
    directory = os.path.join(CACHE, f"{name}-{suite}")
    with locked(name):
        if not os.path.exists(directory):
            say(f"fetching {' and '.join(packages)} from Debian's archive ({suite}): not installed")
            apt = archive.PrivateApt(suite)
            apt.update()
            archive.unpack(apt.fetch(*packages, closure=True), f"{directory}.root")
            apt.clean()
            shutil.rmtree(f"{directory}.part", ignore_errors=True)
            collect(f"{directory}.root", f"{directory}.part", programs, others)
            shutil.rmtree(f"{directory}.root")
            os.rename(f"{directory}.part", directory)
    return directory


def files(top):
    """name in an initramfs -> path here, of all that is in the directory."""
    return {os.path.relpath(os.path.join(folder, name), top): os.path.join(folder, name)
            for folder, _, names in os.walk(top) for name in names}

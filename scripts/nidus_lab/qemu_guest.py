# SPDX-License-Identifier: MIT
"""Debian's QEMU with what it needs, for an initramfs: an L1 runs it, with KVM, to have a Linux as its L2."""

import os
import re
import shutil

from nidus_lab import archive, debian
from nidus_lab.common import CACHE, command, locked, os_release, say

PACKAGE = "qemu-system-x86"
# Debian also builds QEMU with nothing but its machine 'microvm': a third of the size and of the libraries.
PROGRAMS = ("usr/bin/qemu-system-x86_64-microvm", "usr/bin/qemu-system-x86_64")
PROGRAM = "usr/bin/qemu-system-x86_64"
LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
LOADER = "ld-linux-x86-64.so.2"
ROMS = ("bios-microvm.bin", "linuxboot_dma.bin")
ROM_PLACES = ("usr/share/seabios", "usr/share/qemu")


def libraries(root, program):
    """The paths of the shared libraries that the program of the tree wants, by the tree's own dynamic loader."""
    loader = debian.one(root, *(f"{place}/{LOADER}" for place in LIBRARIES))
    places = ":".join(os.path.join(root, place) for place in LIBRARIES)
    listed = command([loader, "--library-path", places, "--list", program], "list QEMU's libraries")
    return [path for path in re.findall(rf"=> ({re.escape(root)}/\S+)", listed) if not path.endswith(LOADER)], loader


def collect(root, directory):
    """Copies what an initramfs is to have from the tree of unpacked packages into the directory."""
    program = debian.one(root, *PROGRAMS)
    needed, loader = libraries(root, program)
    files = {PROGRAM: program, f"lib64/{LOADER}": loader,
             **{f"lib/x86_64-linux-gnu/{os.path.basename(path)}": path for path in needed},
             **{f"usr/share/qemu/{rom}": debian.one(root, *(f"{place}/{rom}" for place in ROM_PLACES)) for rom in ROMS}}
    for name, path in files.items():
        out = os.path.join(directory, name)
        os.makedirs(os.path.dirname(out), exist_ok=True)
        shutil.copy(path, out)


def fetch():
    """The directory in the cache; fetched when it is not there."""
    suite = os_release()["VERSION_CODENAME"]
    directory = os.path.join(CACHE, f"qemu-{suite}")
    with locked("qemu"):
        if not os.path.exists(directory):
            say(f"fetching {PACKAGE} from Debian's archive ({suite}): not installed")
            apt = archive.PrivateApt(suite)
            apt.update()
            archive.unpack(apt.fetch(PACKAGE, closure=True), f"{directory}.root")
            apt.clean()
            shutil.rmtree(f"{directory}.part", ignore_errors=True)
            collect(f"{directory}.root", f"{directory}.part")
            shutil.rmtree(f"{directory}.root")
            os.rename(f"{directory}.part", directory)
    return directory


def files():
    """name in an initramfs -> path here."""
    top = fetch()
    return {os.path.relpath(os.path.join(folder, name), top): os.path.join(folder, name)
            for folder, _, names in os.walk(top) for name in names}

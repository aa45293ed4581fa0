# SPDX-License-Identifier: MIT
"""Which Debian packages are needed for what, and their installation: only what is missing, sudo when not root."""

import glob
import os
import re
import shutil
import subprocess

from nidus_lab.common import LabError, command, locked, say

# What it is for: the packages, and a file of each that shows that it is there (a glob pattern).
NEEDS = {
    "build": ("to build Nidus", {
        "gcc": "/usr/bin/gcc", "make": "/usr/bin/make", "binutils": "/usr/bin/ld", "libc6-dev": "/usr/include/stdio.h",
        "lz4": "/usr/bin/lz4"}),
    "efi": ("to build the UEFI application", {"gnu-efi": "/usr/include/efi/efi.h"}),
    "bios-image": ("to make a boot image for BIOS", {
        "grub-common": "/usr/bin/grub-mkimage", "grub-pc-bin": "/usr/lib/grub/i386-pc/cdboot.img",
        "xorriso": "/usr/bin/xorriso"}),
    "uefi-image": ("to make a boot image for UEFI", {
        "grub-common": "/usr/bin/grub-mkimage", "grub-efi-amd64-bin": "/usr/lib/grub/x86_64-efi/multiboot2.mod",
        "xorriso": "/usr/bin/xorriso", "mtools": "/usr/bin/mformat"}),
    "uefi-app-image": ("to make a UEFI boot disk", {"mtools": "/usr/bin/mformat"}),
    "ovmf": ("as UEFI firmware", {"ovmf": "/usr/share/ovmf/OVMF.fd"}),
    "qemu": ("as the emulator", {"qemu-system-x86": "/usr/bin/qemu-system-x86_64"}),
    "network-roms": ("to boot over the network", {
        "ipxe-qemu": "/usr/lib/ipxe/qemu/pxe-e1000.rom", "ipxe": "/usr/lib/ipxe/ipxe.efi"}),
    "bochs": ("as the emulator", {
        "bochs": "/usr/bin/bochs-bin", "bochs-term": "/usr/lib/*/bochs/plugins/libbx_term_gui.so",
        "bochsbios": "/usr/share/bochs/BIOS-bochs-latest", "seabios": "/usr/share/seabios/vgabios-isavga.bin"}),
    "private": ("to fetch packages without installing them", {
        "dpkg": "/usr/bin/dpkg-deb", "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg"}),
    "debootstrap": ("to fetch Bochs", {"debootstrap": "/usr/sbin/debootstrap"}),
    "gdb": ("to debug guests", {"gdb": "/usr/bin/gdb"}),
    "demo": ("to make the demo's initramfs", {"cpio": "/usr/bin/cpio"}),
    "unit-tests": ("for the unit tests", {
        "libcmocka-dev": "/usr/include/cmocka.h", "libzydis-dev": "/usr/include/Zydis/Zydis.h",
        "clang": "/usr/bin/clang", "libclang-rt-dev": "/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.asan-x86_64.a"}),
    "lab-tests": ("for the lab tests", {
        "python3-pytest": "/usr/lib/python3/dist-packages/pytest/__init__.py",
        "python3-pytest-xdist": "/usr/lib/python3/dist-packages/xdist/__init__.py",
        "python3-pexpect": "/usr/lib/python3/dist-packages/pexpect/__init__.py", "gdb": "/usr/bin/gdb", "e2fsprogs": "/sbin/mke2fs",
        "spin": "/usr/bin/spin"}),
}


def as_root():
    """The words before a command that needs root."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        return ["sudo"]
    raise LabError("packages are missing and sudo is not there: run this once as root")


def real_name(package):
    """Debian has no unversioned libclang-rt-dev before 13: the one of the default clang."""
    if package == "libclang-rt-dev":
        dash = subprocess.run(["apt-cache", "depends", "clang"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"Depends: clang-(\d+)", dash)
        return f"libclang-rt-{found[1]}-dev" if found else package
    return package


def missing(*what):
    """(package, reason) of each package that the named needs want and that is not there."""
    lacking = {}
    for need in what:
        reason, packages = NEEDS[need]
        for package, shown_by in packages.items():
            if not glob.glob(shown_by):
                lacking.setdefault(package, reason)
    return lacking


def ensure(*what):
    """Installs what is missing of the named needs; says what and why."""
    if not missing(*what):
        return
    with locked("apt"):
        lacking = missing(*what)  # another process may have installed it meanwhile
        if not lacking:
            return
        root = as_root()
        command([*root, "apt-get", "-q", "update"], "update the package lists")
        names = {package: real_name(package) for package in lacking}
        for reason in sorted(set(lacking.values())):
            say(f"installing {', '.join(names[p] for p in lacking if lacking[p] == reason)} {reason}")
        command([*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "install",
                 "--no-install-recommends", *names.values()], "install packages")
        still = missing(*what)
        if still:
            raise LabError(f"installed {', '.join(still)}, but the expected files are not there")


def candidate_version(package):
    """The version that apt-get install would bring, as text; None if it knows none."""
    out = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Candidate: (\S+)", out)
    return None if not found or found[1] == "(none)" else found[1]

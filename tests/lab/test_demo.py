# SPDX-License-Identifier: MIT
"""Debian's own kernel, unmodified, in VMs."""

import pathlib
import re
import subprocess
import sys
import time

import pexpect
import pytest

from nidus_lab import demo

HERE = pathlib.Path(__file__).resolve().parent / "linux"
PLACES = [pytest.param(vcpus, cpus, firmware, marks=[] if short else pytest.mark.long(0.7))
          for firmware in ("bios", "uefi", "uefi-app") for cpus in (1, 2) for vcpus in (1, 2, 4)
          for short in [(vcpus, cpus, firmware) in ((1, 1, "bios"), (2, 1, "uefi"), (2, 2, "uefi-app"), (4, 2, "bios"))]]
# What the kernel complains of on this machine, and why it may.
ACCEPTED = (
)


@pytest.fixture(scope="session")
def linux(tmp_path_factory):
    """The files of a VM of linux_vm()."""
    work = tmp_path_factory.mktemp("linux")
    sources = [*HERE.glob("*.c"), *HERE.glob("*.S")]
    subprocess.run(["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", work / "stress", *sources],
                   check=True)
    demo.initramfs(work / "initramfs.cpio", work, (HERE / "init").read_text(), [str(work / "stress")])
    return {"vmlinuz": demo.kernel(), "initramfs.cpio": work / "initramfs.cpio"}


def linux_vm(name, do, words="quiet", memory="256M", **options):
    """A [vm] section; do: the steps of linux/init; words: more of the kernel's command line."""
    lines = [f"[vm {name}]", "kernel = vmlinuz", "initrd = initramfs.cpio",
             f"cmdline = console=ttyS0 do={do} {words}", f"memory = {memory}",
             *(f"{option} = {value}" for option, value in options.items())]
    return "\n".join(lines) + "\n"

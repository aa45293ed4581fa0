# SPDX-License-Identifier: MIT
"""QEMU: with KVM where the host can nest, else TCG, which has no VT-x."""

import os
import re

from nidus_lab import media, packages

# With the ROM of iPXE on BIOS; without, so that UEFI boots by what it has itself.
NETWORK_CARD = ("e1000", "virtio-net-pci,romfile=")
NESTED = "/sys/module/kvm_intel/parameters/nested"


def why_not_kvm():
    """Why QEMU with KVM cannot give Nidus VT-x here; None if it can."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        if not re.search(r"^flags\s*:.*\bvmx\b", file.read(), re.MULTILINE):
            return "the host CPU has no VT-x (no vmx flag in /proc/cpuinfo)"
    try:
        with open(NESTED, encoding="ascii") as file:
            if file.read().strip() not in ("Y", "1"):
                return f"nested virtualization is off ({NESTED})"
    except OSError:
        return "kvm_intel is not loaded"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm is not accessible"
    return None


def smp(cpus):
    sockets, _, rest = cpus.partition(":")
    cores, _, threads = rest.partition(":")
    return f"sockets={sockets},cores={cores},threads={threads}" if rest else cpus


def command_line(setup, image, console, work):
    """(argv, environment, log file)."""
    network = os.path.isdir(image)
    packages.ensure("qemu", *(["ovmf"] if setup.firmware != "bios" else []), *(["network-roms"] if network else []))
    kvm = why_not_kvm() is None
    log = setup.log or os.path.join(work, "qemu.log")
    argv = ["qemu-system-x86_64", "-machine", "q35,accel=" + ("kvm" if kvm else "tcg"),
            "-cpu", setup.cpu or ("host" if kvm else "max"), "-smp", smp(setup.cpus), "-m", str(setup.memory),
            "-display", "none", "-vga", "std", "-nodefaults", "-no-reboot", *console.for_qemu(),
            *(setup.com2.for_qemu() if setup.com2 else []), "-D", log]
    if setup.firmware != "bios":
        argv += ["-bios", "/usr/share/ovmf/OVMF.fd"]
    if network:
        argv += ["-netdev", f"user,id=net,tftp={image},bootfile={media.BOOT_FILES[setup.firmware]}",
                 "-device", NETWORK_CARD[setup.firmware != "bios"] + ",netdev=net,bootindex=0"]
    elif image.endswith(".iso"):
        argv += ["-cdrom", image]
    elif setup.medium:
        argv += ["-drive", f"file={image},format=raw,if=none,id=stick", "-device", "qemu-xhci",
                 "-device", "usb-storage,drive=stick,bootindex=0"]
    else:
        argv += ["-drive", f"file={image},format=raw,if=ide"]
    return argv, dict(os.environ), log

# SPDX-License-Identifier: MIT
"""L1 is Debian's Xen, unmodified, with a PV dom0: it uses ring 3 for a kernel, takes VMX, and reads what a BIOS leaves.

Xen's own tools in dom0 start PVH guests, one after another: L2.
"""

import re

import pytest

from nidus_lab import xen

# What Xen makes of the VMX that it is given, hardware-assisted paging included.
VMX = ("HVM: VMX enabled", "HVM: ASIDs enabled.", "HVM: Hardware Assisted Paging (HAP) detected",
       "HVM: HAP page sizes: 4kB, 2MB, 1GB")
FEATURES = {"APIC MMIO access virtualisation", "APIC TPR shadow", "Extended Page Tables (EPT)", "Virtual-Processor Identifiers (VPID)",
            "Virtual NMI", "MSR direct-access bitmap", "Unrestricted Guest", "TSC Scaling"}


GUESTS = ("hello", "smp", "linux")  # in the order in which xl starts them: domain 1, 2, 3


@pytest.fixture(scope="session")
def files(images, tmp_path_factory):
    return xen.make(str(tmp_path_factory.mktemp("xen")), images.guest("hello").parent)


def conf(vcpus):
    return (f"[vm xen]\nkernel = xen.elf\ncmdline = {xen.OPTIONS}\nmodule = vmlinuz {xen.DOM0_OPTIONS} l2={','.join(GUESTS)}\n"
            f"module = dom0.cpio\nmemory = 1024M\nvcpus = {vcpus}\nnested = on\n")


def check_boot(result):
    lines = [line.removeprefix("(XEN) ") for line in result.lines]
    assert "Call Trace" not in result.text and "FATAL" not in result.text
    assert any(line.startswith("Hello from dom0, Linux ") for line in lines)
    assert any(line.startswith("dom0: PV on Xen 4.") for line in lines)
    assert result.status == 0
    result.find(r"xen: powered off: ACPI soft-off$")
    return lines


def check_guests(result):
    # Xen's lines may come in the middle of dom0's.
    assert "(d1) hello: started by PVH " in result.text
    assert "(d1) hello from 64-bit mode\n" in result.text and "(d1) hello: power off\n" in result.text
    assert "(d2) smp: 2 CPUs, ok\n" in result.text
    assert re.search(r"^Hello from L2, Linux .*, PVH, 1 CPUs, up ", result.text, re.MULTILINE)
    for domain, name in enumerate(GUESTS, 1):
        assert f"Domain {domain} has shut down, reason code 0 " in result.text
        assert f"dom0: xl ended with 0: {name}" in result.lines
        assert f"dom0: {name} is gone" in result.lines


@pytest.mark.long(3)
@pytest.mark.parametrize("vcpus", [1, 2])
def test_xen_with_vmx(boot, files, vcpus):
    result = boot(conf(vcpus), files, memory=2048, timeout=1500)
    lines = check_boot(result)
    for line in VMX:
        assert line in lines
    assert {line[3:] for line in lines if line.startswith(" - ")} >= FEATURES
    assert f"Brought up {vcpus} CPUs" in lines
    check_guests(result)

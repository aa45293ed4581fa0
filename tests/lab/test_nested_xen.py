# SPDX-License-Identifier: MIT
"""L1 is Debian's Xen, unmodified, with a PV dom0: it uses ring 3 for a kernel, takes VMX, and reads what a BIOS leaves."""

import pytest

from nidus_lab import xen

# What Xen makes of the VMX that it is given, hardware-assisted paging included.
VMX = ("HVM: VMX enabled", "HVM: ASIDs enabled.", "HVM: Hardware Assisted Paging (HAP) detected",
       "HVM: HAP page sizes: 4kB, 2MB, 1GB")
FEATURES = {"APIC MMIO access virtualisation", "APIC TPR shadow", "Extended Page Tables (EPT)", "Virtual-Processor Identifiers (VPID)",
            "Virtual NMI", "MSR direct-access bitmap", "Unrestricted Guest", "TSC Scaling"}


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return xen.make(str(tmp_path_factory.mktemp("xen")))


def conf(vcpus=1, options=""):
    return (f"[vm xen]\nkernel = xen.elf\ncmdline = {xen.OPTIONS} {options}\nmodule = vmlinuz {xen.DOM0_OPTIONS}\n"
            f"module = dom0.cpio\nmemory = 1024M\nvcpus = {vcpus}\nnested = on\n")


def check_boot(result):
    lines = [line.removeprefix("(XEN) ") for line in result.lines]
    assert "Call Trace" not in result.text and "FATAL" not in result.text
    assert any(line.startswith("Hello from dom0, Linux ") for line in lines)
    assert any(line.startswith("dom0: PV on Xen 4.") for line in lines)
    assert result.status == 0
    result.find(r"xen: powered off: ACPI soft-off$")
    return lines


@pytest.mark.long(2.5)
@pytest.mark.parametrize("vcpus", [1, 2])
def test_xen_with_vmx(boot, files, vcpus):
    result = boot(conf(vcpus), files, memory=2048, timeout=900)
    lines = check_boot(result)
    for line in VMX:
        assert line in lines
    assert {line[3:] for line in lines if line.startswith(" - ")} >= FEATURES
    assert f"Brought up {vcpus} CPUs" in lines

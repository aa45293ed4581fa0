# SPDX-License-Identifier: MIT
"""L1 is Debian's Linux with its KVM, unmodified; L2 is guest/kvm's: under Nidus, and on the bare machine for comparison."""

import re

import pytest

from nidus_lab import kvm

# What KVM makes do without, as options of its module; "": nothing.
WITHOUT = {"": "", "ept": "ept=0", "unrestricted": "unrestricted_guest=0", "vpid": "vpid=0", "shadow-vmcs": "enable_shadow_vmcs=0",
           "apicv": "enable_apicv=0", "all": "ept=0 vpid=0 enable_shadow_vmcs=0 enable_apicv=0"}
# Bochs 3.0 clears a bit of the posted-interrupt descriptor's address, so that KVM's first VM entry with APICv fails.
BARE = "tsc_early_khz=50000 kvm_intel.enable_apicv=0"


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return kvm.make(str(tmp_path_factory.mktemp("kvm")))


def words(without, vcpus):
    options = " ".join(f"kvm_intel.{option}" for option in WITHOUT[without].split())
    return f"console=ttyS0 quiet panic=-1 vcpus={vcpus} {options}"


def check(result, without, vcpus):
    for option in WITHOUT[without].split():
        assert f"L1: kvm_intel.{option.replace('=0', '=N')}" in result.lines
    assert "Hello from L2" in result.lines
    assert result.lines.count("L2: real mode") == vcpus
    assert "L2: all vCPUs: ok" in result.lines
    assert re.search(r"^L1: l2 ended with 0, ", result.text, re.MULTILINE)
    assert "BUG" not in result.text.replace("[Firmware Bug]", "") and "Call Trace" not in result.text


def check_under_nidus(boot, files, without, l1, l2, cpus=1, more=""):
    conf = (f"[vm l1]\nkernel = vmlinuz\ninitrd = kvm.cpio\ncmdline = {words(without, l2)}\nmemory = 256M\nvcpus = {l1}\n"
            f"nested = on\n{more}")
    result = boot(conf, files, memory=1024, cpus=cpus, timeout=300)
    assert result.status == 0
    check(result, without, l2)
    for option in "enable_apicv", "enable_ipiv":
        assert f"L1: kvm_intel.{option}={'N' if 'enable_apicv=0' in WITHOUT[without] else 'Y'}" in result.lines
    result.find(r"l1: powered off: ACPI soft-off$")


SHORT = (("", 1, 1), ("", 2, 2), ("ept", 1, 2), ("apicv", 2, 2), ("unrestricted", 1, 1), ("vpid", 1, 2), ("shadow-vmcs", 1, 1))


@pytest.mark.parametrize("without, l1, l2", SHORT)
def test_kvm_under_nidus(boot, files, without, l1, l2):
    check_under_nidus(boot, files, without, l1, l2)


@pytest.mark.long(0.7)
@pytest.mark.parametrize("without, l1, l2", SHORT)
@pytest.mark.parametrize("apic", ["apicv", "posted"])
def test_kvm_where_the_cpu_does_l1s_apics(boot, files, apic, without, l1, l2):
    check_under_nidus(boot, files, without, l1, l2, more=f"apic = {apic}\n")


@pytest.mark.long(0.7)
@pytest.mark.parametrize("cpus, l1, l2", [(1, 2, 2), (2, 2, 4)])
@pytest.mark.parametrize("without", WITHOUT)
def test_kvm_under_nidus_without(boot, files, without, cpus, l1, l2):
    check_under_nidus(boot, files, without, l1, l2, cpus)


@pytest.mark.long(0.5)
@pytest.mark.parametrize("l2", [1, 4])
@pytest.mark.parametrize("without", [name for name in WITHOUT if name != "apicv"])
def test_kvm_on_the_bare_machine(boot, files, without, l2):
    """GRUB loads Linux instead of Nidus."""
    result = boot("[vm unused]\ninitrd = kvm.cpio\n", files, image=files["vmlinuz"], memory=512, timeout=300,
                  cmdline=f"{BARE} {words(without, l2)}")
    check(result, without, l2)

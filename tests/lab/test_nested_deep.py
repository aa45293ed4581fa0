# SPDX-License-Identifier: MIT
"""L1 is Debian's Linux with its KVM and QEMU, L2 another Debian's Linux with its KVM, L3 guest/kvm's guest.

Under Nidus, and on the bare machine for comparison.
"""

import re

import pytest

import emulator
from nidus_lab import deep

# Bochs 3.0 clears a bit of the posted-interrupt descriptor's address, so that KVM's first VM entry with APICv fails.
BARE = "tsc_early_khz=50000 kvm_intel.enable_apicv=0"


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return deep.make(str(tmp_path_factory.mktemp("deep")))


def words(l2, l3):
    return f"console=ttyS0 quiet oops=panic panic=-1 mitigations=off vcpus={l2}" + (f" l3={l3}" if l3 else "")


def check(result, l2, l3):
    # L1 puts its time before what L2 says.
    said = [found[1] for found in re.finditer(r"^\d+\.\d+: (.*)$", result.text, re.MULTILINE)]
    assert any(re.match(rf"Hello from L2, Linux .*, {l2} CPUs, up ", line) for line in said)
    if l3:
        assert said.count("L3: L2: real mode") == l3
        assert "L3: Hello from L2" in said  # guest/kvm's guest, which is an L2 elsewhere
        assert "L3: L2: all vCPUs: ok" in said
        assert "L3: ended with 0" in said
    assert any(line.endswith("reboot: Power down") for line in said)
    assert "QEMU ended with 0" in said
    assert "BUG" not in result.text.replace("[Firmware Bug]", "") and "Call Trace" not in result.text


def check_under_nidus(boot, files, cpus, l1, l2, l3):
    conf = (f"[vm l1]\nkernel = vmlinuz\ninitrd = deep.cpio\ncmdline = {words(l2, l3)}\nmemory = 1G\nvcpus = {l1}\nnested = on\n")
    result = boot(conf, files, memory=2048, cpus=cpus, timeout=900)
    if cpus > 1:
        emulator.excuse_stale_rip(result)
    assert result.status == 0
    check(result, l2, l3)
    result.find(r"l1: powered off: ACPI soft-off$")


@pytest.mark.long(1.5)
@pytest.mark.parametrize("l1, l2", [(1, 1), (1, 2), (2, 2)])
def test_l2_linux_under_nidus(boot, files, l1, l2):
    check_under_nidus(boot, files, 1, l1, l2, 0)


@pytest.mark.long(2)
@pytest.mark.parametrize("cpus, l1, l2, l3", [(1, 1, 1, 1), (1, 2, 2, 2), (2, 2, 2, 2)])
def test_l3_under_nidus(boot, files, cpus, l1, l2, l3):
    check_under_nidus(boot, files, cpus, l1, l2, l3)


@pytest.mark.long(1)
@pytest.mark.parametrize("l2, l3", [(1, 0), (2, 0), (1, 1), (2, 2)])
def test_on_the_bare_machine(boot, files, l2, l3):
    """GRUB loads Linux instead of Nidus."""
    result = boot("[vm unused]\ninitrd = deep.cpio\n", files, image=files["vmlinuz"], memory=1536, timeout=900,
                  cmdline=f"{BARE} {words(l2, l3)}")
    check(result, l2, l3)

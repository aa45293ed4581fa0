# SPDX-License-Identifier: MIT
"""Ways to boot, numbers of CPUs, models of CPUs; and machines that Nidus cannot use."""

import re

import pytest

from sections import vm

FIRMWARE = ("bios", "uefi", "uefi-app")
LOADER = {"bios": r"GRUB \S+$", "uefi": r"GRUB \S+, UEFI$", "uefi-app": r".*, UEFI$"}
# From the oldest with unrestricted guests to the newest in Bochs 3.0.
MODELS = ("corei5_arrandale_m520", "corei7_sandy_bridge_2600k", "corei7_ivy_bridge_3770k", "corei7_haswell_4770",
          "broadwell_ult", "corei7_skylake_x", "corei3_cnl", "corei7_icelake_u", "tigerlake", "sapphire_rapids",
          "arrow_lake")
# Bochs 3.0 stops in them, without Nidus too, at a write to a read-only page while CR0.WP is 0.
NO_READ_ONLY_WRITES = ("tigerlake", "sapphire_rapids", "arrow_lake")


@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("firmware", FIRMWARE)
def test_every_way_and_number_of_cpus(boot, firmware, cpus):
    result = boot(vm("one") + vm("many", "smp", vcpus=4, cmdline="cpus=4 rounds=100"), firmware=firmware, cpus=cpus)
    assert result.status == 0
    result.find(rf"Nidus, loaded by {LOADER[firmware]}")
    result.find(rf"CPUs: {cpus}, x2APIC$")
    assert "hello from 64-bit mode" in result.vm("one")
    assert "smp: 4 CPUs, ok" in result.vm("many")


@pytest.mark.parametrize("cpus, pin", [(1, "0,0"), (2, "1,0"), (2, "0,0,1,1"), (4, "3,2,1,0"), (4, "2,2")])
def test_pinned_vcpus(boot, cpus, pin):
    vcpus = pin.count(",") + 1
    result = boot(vm("one", "smp", vcpus=vcpus, pin=pin, cmdline=f"cpus={vcpus} rounds=100"), cpus=cpus)
    assert result.status == 0
    assert f"smp: {vcpus} CPUs, ok" in result.lines


@pytest.mark.long(0.4)
@pytest.mark.parametrize("x2apic", ["", "x2apic"])
@pytest.mark.parametrize("vcpus", [2, 3, 8])
@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("firmware", FIRMWARE)
def test_smp_everywhere(boot, firmware, cpus, vcpus, x2apic):
    pin = ",".join(str(i % cpus) for i in range(vcpus))
    cmdline = f"cpus={vcpus} rounds=300 {x2apic}"
    result = boot(vm("shared", "smp", vcpus=vcpus, cmdline=cmdline) +
                  vm("pinned", "smp", vcpus=vcpus, pin=pin, cmdline=cmdline), firmware=firmware, cpus=cpus, timeout=300)
    assert result.status == 0
    for name in ("shared", "pinned"):
        assert f"smp: {vcpus} CPUs, ok" in result.vm(name)


def smoke(model, name="one", **options):
    return vm(name, "smoke", **options, cmdline="nested=off" + (" skip=exception-pf,mode-32-faults,mode-pae-faults" if model in NO_READ_ONLY_WRITES else ""))


def check_smoke(lines):
    assert not [line for line in lines if line.startswith("FAIL")]
    assert re.search(r"^smoke: \d+ passed, 0 failed$", "\n".join(lines), re.MULTILINE)


@pytest.mark.parametrize("model", MODELS)
def test_smoke_on_every_model(boot, model):
    result = boot(smoke(model), cpu=model)
    assert result.status == 0
    check_smoke(result.lines)


@pytest.mark.long(0.3)
@pytest.mark.parametrize("cpus", [2, 4])
@pytest.mark.parametrize("model", MODELS)
def test_smoke_and_smp_on_every_model(boot, model, cpus):
    # Not on CPU 0, which in Bochs 3.0 may forget an interrupt shadow: docs/testing.md.
    result = boot(smoke(model, pin=1) + vm("two", "smp", vcpus=cpus), cpu=model, cpus=cpus, timeout=300)
    assert result.status == 0
    check_smoke(result.vm("one"))
    assert f"smp: {cpus} CPUs, ok" in result.vm("two")


@pytest.mark.parametrize("missing", ["x2apic", "invpcid", "smep", "smap", "rdtscp", "1g_pages"])
def test_without_what_is_only_wanted(boot, missing):
    """Features that Nidus uses where they are and does without where they are not."""
    # Not on CPU 0, which in Bochs 3.0 may forget an interrupt shadow: docs/testing.md.
    result = boot(vm("one", "smoke", pin=1) + vm("two", cmdline="count=10"), cpu=f"corei7_skylake_x,-{missing}", cpus=2)
    assert result.status == 0
    check_smoke(result.vm("one"))
    assert "hello: count 10" in result.vm("two")


def test_a_machine_with_memory_above_4_gib(boot):
    result = boot(vm("one", memory="32M"), memory=4352)
    assert result.status == 0
    assert "hello from 64-bit mode" in result.lines


@pytest.mark.long(0.5)
def test_a_vm_with_memory_above_4_gib(boot):
    result = boot(vm("one", memory="3900M") + vm("two"), memory=6144)
    assert result.status == 0
    assert any(line.startswith("hello: memory 0x000100000000-") for line in result.vm("one"))
    assert "hello from 64-bit mode" in result.vm("two")


def test_a_cpu_with_vmx_that_does_not_qualify(boot):
    """Each missing thing by name, with the MSR and its bit. Penryn: VMX of 2008, without EPT."""
    result = boot(vm("one"), cpu="core2_penryn_t9600")
    assert result.status == 3
    result.find(r"error: needs enable EPT: IA32_VMX_PROCBASED_CTLS2\[33\]$")
    result.find(r"error: needs load IA32_EFER on entry: IA32_VMX_TRUE_ENTRY_CTLS\[47\]$")
    assert "unrestricted guest" not in result.text  # what belongs to EPT is not named again
    assert result.nidus()[-1] == "end: status 3 (Nidus failed)"


def test_a_cpu_with_ept_but_without_unrestricted_guests(boot):
    result = boot(vm("one"), cpu="corei5_lynnfield_750")
    assert result.status == 3
    assert [line for line in result.nidus() if line.startswith("error: ")] == [
        "error: needs unrestricted guest: IA32_VMX_PROCBASED_CTLS2[39]"]


@pytest.mark.parametrize("options", [{"cpu": "ryzen"}, {"cpu": "corei7_skylake_x,-vmx"},
                                     *({"emulator": "qemu", "firmware": firmware} for firmware in FIRMWARE)],
                         ids=lambda options: "-".join(options.values()))
def test_no_vtx_is_said(boot, options):
    result = boot(vm("one"), **options)
    assert result.status == 3
    result.find(r"error: this CPU has no VT-x \(CPUID\.01H:ECX\.VMX\[5\]\)")
    assert "hello from 64-bit mode" not in result.text

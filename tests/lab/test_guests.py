# SPDX-License-Identifier: MIT
"""Multiboot kernels start as the specifications say, with their command lines, memory maps and modules."""

import struct

import pytest

from sections import vm

MULTIBOOT1, MULTIBOOT2 = struct.pack("<I", 0x1badb002), struct.pack("<I", 0xe85250d6)
MODULES = {"first.bin": b"12345", "dir/second.bin": bytes(range(256)) * 40, "empty.bin": b""}


@pytest.fixture
def only(images):
    """only(1) or only(2): hello with the header of that multiboot version alone."""
    def make(protocol):
        image = images.guest("hello").read_bytes()
        gone = MULTIBOOT2 if protocol == 1 else MULTIBOOT1
        assert image.count(gone) == 1
        return image.replace(gone, b"\0\0\0\0")
    return make


@pytest.mark.parametrize("firmware", ["bios", "uefi-app"])
@pytest.mark.parametrize("protocol, magic", [(1, "2badb002"), (2, "36d76289")])
def test_protocols(boot, only, protocol, magic, firmware):
    conf = ("[vm one]\nkernel = hello.elf\ncmdline = one two  three # four\nmemory = 48M\nmodule = first.bin with  arguments\n"
            "module = dir/second.bin\nmodule = first.bin again\n")
    result = boot(conf, {"hello.elf": only(protocol), **MODULES}, firmware=firmware)
    assert result.status == 0
    assert f"hello: started by multiboot {protocol} (magic 0x{magic}), loader 'Nidus'" in result.lines
    assert "hello: command line 'hello.elf one two  three # four'" in result.lines
    memory = [line for line in result.lines if line.startswith("hello: memory")]
    assert "hello: memory 0x000000000000-0x0000000a0000 type 1" in memory
    assert "hello: memory 0x000000100000-0x000003000000 type 1" in memory
    modules = [line.split(" ", 2)[2] for line in result.lines if line.startswith("hello: module")]
    assert [module.split("'")[1] for module in modules] == [
        "first.bin with  arguments", "dir/second.bin", "first.bin again"]
    assert modules[0].endswith(" size 5: 31 32 33 34 35")
    assert modules[1].endswith(" size 10240: " + " ".join(f"{i:02x}" for i in range(16)))
    assert all(int(module.split()[-1 - (5 if "size 5" in module else 16) - 2], 16) % 4096 == 0 for module in modules)


def test_first_header_counts_when_there_are_both(boot):
    assert "hello: started by multiboot 1 " in boot(vm("one")).text


def test_the_reserved_places_of_the_memory_map_hold_acpi(boot):
    """smp finds its CPUs in the MADT."""
    result = boot(vm("one", "smp", vcpus=3, cmdline="cpus=3 rounds=10"))
    assert result.status == 0
    assert "no MADT" not in result.text


def test_apic_ids(boot):
    """Interrupts, start-up and NMIs by id; the last CPU is in x2APIC mode when it starts."""
    result = boot(vm("one", "smp", vcpus=3, apicid="1,5,300", cmdline="x2apic cpus=3 rounds=10"))
    assert result.status == 0
    for cpu, apic_id in enumerate([1, 5, 300]):
        assert f"smp: CPU {cpu} has APIC id {apic_id}" in result.lines


def test_apic_ids_beyond_xapic_need_x2apic(boot):
    result = boot(vm("one", vcpus=2, apicid="0,255") + vm("two", vcpus=2, apicid="0,256", hide="APIC") + vm("three"))
    assert result.status == 2
    result.find(r"error: nidus.conf:4: '255' is not an APIC id; write numbers from 0 to 32767 other than 255, as in apicid = 0,2$")
    result.find(r"error: nidus.conf:8: two: apicid 256 exists with x2APIC only, which is hidden; use ids up to 254$")


@pytest.mark.parametrize("hide, without", [("X2APIC", "x2apic-deadline"), ("AVX2,FMA", None), ("RDTSCP,INVPCID", None)])
def test_hidden_features(boot, hide, without):
    result = boot(vm("one", "smoke", hide=hide))
    assert result.status == 0
    assert without is None or f"ok {without}" not in result.lines


@pytest.mark.parametrize("hide, vmx", [("HLE", "on"), ("EPT,TRUE_CONTROLS", "on"), ("SECONDARY_CONTROLS", "on"), ("VMX", "off")])
def test_vmx_is_shown(boot, hide, vmx):
    """CPUID, CR4.VMXE and the capability MSRs."""
    result = boot(vm("one", "smoke", nested="on", hide=hide, cmdline=f"nested={vmx}"))
    assert result.status == 0
    assert "ok privileged-vmx" in result.lines and "ok privileged-vmx-lock" in result.lines


@pytest.mark.parametrize("size", ["1M", "2M", "17M", "300M"])
def test_sizes_of_memory(boot, size):
    """hello is at 1 MiB and does not fit into 1 MiB."""
    result = boot(vm("one", memory=size) + vm("other"))
    assert result.status == (2 if size == "1M" else 0)
    assert ("hello from 64-bit mode" in result.vm("one")) == (size != "1M")
    assert "hello from 64-bit mode" in result.vm("other")

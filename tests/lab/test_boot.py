# SPDX-License-Identifier: MIT
"""Nidus on every firmware, on 1, 2 and 4 CPUs, on CPU models old and new, and on those that do not qualify."""

import re

import pytest

from nidus_lab import demo

HELLO = "[vm one]\nkernel = hello.elf\nmemory = 16M\n"


def check_hello(result):
    assert result.status == 0
    assert "hello from 64-bit mode" in result.lines
    assert any(line.startswith("one: powered off") for line in result.nidus())


@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("firmware", ["bios", "uefi", "uefi-app"])
def test_firmware_and_cpus(boot, firmware, cpus):
    result = boot(HELLO, firmware=firmware, cpus=cpus)
    check_hello(result)
    assert any(line.startswith(f"CPUs: {cpus}") for line in result.nidus())


@pytest.mark.parametrize("cpu", ["corei5_arrandale_m520", "corei7_sandy_bridge_2600k", "corei7_ivy_bridge_3770k",
                                 "corei7_haswell_4770", "broadwell_ult", "corei7_skylake_x", "corei7_icelake_u",
                                 "tigerlake"])
def test_cpu_models(boot, cpu):
    check_hello(boot(HELLO, cpu=cpu))


@pytest.mark.parametrize("cpu", ["core2_penryn_t9600", "corei5_lynnfield_750"])
def test_cpu_that_does_not_qualify_is_refused_by_name(boot, cpu):
    result = boot(HELLO, cpu=cpu)
    assert result.status == 3
    assert any("needs" in line and "IA32_VMX_PROCBASED_CTLS2[" in line for line in result.nidus())


@pytest.mark.parametrize("firmware", ["bios", "uefi-app"])
def test_no_vt_x_is_said(boot, firmware):
    result = boot(HELLO, emulator="qemu", cpu="qemu64", firmware=firmware)
    assert result.status == 3
    assert any("no VT-x" in line for line in result.nidus())


def test_much_memory(boot):
    check_hello(boot(HELLO, memory=6144))


def test_missing_file_stops_its_vm_alone(boot):
    result = boot("[vm one]\nkernel = missing.elf\nmemory = 16M\n[vm two]\nkernel = hello.elf\nmemory = 16M\n")
    assert result.status == 2
    assert any("nidus.conf:2" in line and "missing.elf" in line for line in result.nidus())
    assert "hello from 64-bit mode" in result.vm("two")


def test_demo_reaches_its_init_and_powers_off(boot):
    result = boot(demo.make(), memory=1024)
    assert result.status == 0
    assert any(line.startswith("Hello from Debian's Linux") for line in result.lines)

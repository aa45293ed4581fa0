# SPDX-License-Identifier: MIT
"""The word 'self-test' of the command line: a page about the machine."""

import re

import pytest

from sections import vm
from test_boot import MODELS

NOT_A_VM = vm("one")  # scripts/run wants a configuration; the self-test starts no VM
CHECKS = ("VMXOFF, VMXON", "VM entry on each CPU", "VM entry, exit by VMCALL", "EPT violation", "EPT, INVEPT", "VPID, INVVPID",
          "preemption timer", "monitor trap flag", "virtual-interrupt delivery", "posted interrupt", "IPI virtualization", "TSC by timers")
AMONG_CPUS = ("IPIs to all CPUs and back", "TSCs in step")
# What the models have not.
WITHOUT = {"IPI virtualization": MODELS, "virtual-interrupt delivery": (*MODELS[:3], "corei3_cnl"),
           "posted interrupt": (*MODELS[:5], "corei3_cnl")}


def check_page(lines, cpus, absent):
    """lines: Nidus's own, of one page."""
    page = lines[max(i for i, line in enumerate(lines) if line.startswith("Nidus, loaded by")):]
    assert len(page) <= 64 and not [line for line in page if len(line) > 93 and not line.startswith("CPU: ")]
    found = {}
    for line in page:
        match = re.match(r"(.*?): (ok|FAILED|not on this CPU)(?:$|: )", line)
        if match:
            found[match[1]] = match[2]
    assert found == {name: "not on this CPU" if name in absent else "ok" for name in (*CHECKS, *(AMONG_CPUS if cpus > 1 else ()))}
    assert page[-2] == f"self-test: {len(found) - len(absent)} checks ok, 0 FAILED, {len(absent)} not on this CPU"
    assert page[-1] == "end: status 0 (self-test: passed)"


@pytest.mark.parametrize("model, cpus, firmware", [
    ("corei7_skylake_x", 2, "bios"), ("corei7_skylake_x", 1, "uefi"), ("corei5_arrandale_m520", 2, "bios"), ("corei7_haswell_4770", 1, "bios"),
    *(pytest.param(model, cpus, firmware, marks=pytest.mark.long(0.2)) for model in MODELS for cpus in (1, 4) for firmware in ("bios", "uefi"))])
def test_passes(boot, model, cpus, firmware):
    result = boot(NOT_A_VM, cpu=model, cpus=cpus, firmware=firmware, cmdline="self-test power-off")
    assert result.status == 0
    check_page(result.nidus(), cpus, [name for name, models in WITHOUT.items() if model in models])
    assert "hello from" not in result.text


@pytest.mark.parametrize("apicid", ["0,300,7", "9,250,0\nhide = X2APIC"], ids=["x2APIC", "xAPIC"])
def test_on_what_nidus_offers(boot, images, apicid):
    """Nidus in a VM of Nidus, without a configuration: among the CPUs, one with IPI virtualization."""
    result = boot(f"[vm machine]\nkernel = nidus.elf\ncmdline = self-test power-off\nmemory = 64M\nvcpus = 3\nnested = on\napicid = {apicid}\n",
                  files={"nidus.elf": images.elf}, cpus=2)
    inner = [line[len("| nidus: "):] for line in result.lines if line.startswith("| nidus: ")]
    check_page(inner, 3, [])


@pytest.mark.parametrize("hidden, absent", [("EPT_1G,VPID,PREEMPTION_TIMER,MONITOR_TRAP_FLAG", ("VPID, INVVPID", "preemption timer", "monitor trap flag")),
                                            ("TPR_SHADOW", ("virtual-interrupt delivery", "posted interrupt", "IPI virtualization"))])
def test_on_a_cpu_with_less(boot, images, hidden, absent):
    result = boot(f"[vm machine]\nkernel = nidus.elf\ncmdline = self-test power-off\nmemory = 64M\nnested = on\nhide = {hidden}\n", files={"nidus.elf": images.elf})
    inner = [line[len("| nidus: "):] for line in result.lines if line.startswith("| nidus: ")]
    check_page(inner, 1, absent)


@pytest.mark.parametrize("options", [{"cpu": "corei5_lynnfield_750"}, {"emulator": "qemu"}], ids=["no unrestricted guest", "no VT-x"])
def test_a_cpu_that_nidus_cannot_use(boot, options):
    result = boot(NOT_A_VM, cmdline="self-test power-off", **options)
    assert result.status == 3
    result.find("error: (needs unrestricted guest|this CPU has no VT-x)")
    result.find("CPU: ")
    result.find("VT-x: FAILED: Nidus cannot run here, as said above$")
    result.find("TSC by timers: ok: ")
    assert result.nidus()[-1] == "end: status 3 (self-test: FAILED)"
    assert bool([line for line in result.nidus() if line.startswith("MSRs: ")]) == ("cpu" in options)


def test_without_a_configuration(boot, images):
    """Not the self-test: it is said, and the exit status is that of mistakes in one."""
    result = boot("[vm machine]\nkernel = nidus.elf\nmemory = 64M\nnested = on\n", files={"nidus.elf": images.elf})
    assert "| nidus: error: the boot loader did not bring nidus.conf; give it as a module of that name" in result.lines
    assert "| nidus: end: status 2 (the configuration has errors)" in result.lines

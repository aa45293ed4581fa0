# SPDX-License-Identifier: MIT
"""The kernel apic: interrupts of the local APICs and the I/O APIC; between vCPUs none is lost, none comes twice."""

import re

import pytest

from sections import DEBUG, vm

ROUNDS = ["xapic-flat", "x2apic", "xapic-cluster", "x2apic"]
NO_MSR = {f"{model}-ipi-self-msr": "not in x2APIC mode" for model in ("xapic-flat", "xapic-cluster")}


def apic(name, vcpus, options="", **others):
    return vm(name, "apic", cmdline=options, memory="16M", vcpus=vcpus, **others)


def check(result, skips):
    """Every test of the kernel's has passed, or has been left out for one of these reasons."""
    assert result.status == 0
    assert [line for line in result.lines if "FAIL" in line] == []
    assert dict(re.match(r"skip ([\w-]+): (.*)", line).groups() for line in result.lines if line.startswith("skip ")) == skips
    assert [line for line in result.lines if re.match(r"apic: \d+ passed, 0 failed$", line)]


def test_by_name(boot):
    check(boot(apic("one", 4), cpus=2), NO_MSR)


# With several CPUs Bochs delivers virtual interrupts while interrupts are off: docs/testing.md.
@pytest.mark.parametrize("level", ["apicv", "posted"])
def test_by_name_with_apicv(boot, level):
    result = boot(apic("one", 4, apic=level))
    check(result, NO_MSR)
    result.find(rf"one: .*, APIC: {level}$")


def test_alone(boot):
    """What takes a second vCPU is left out, and nothing else."""
    result = boot(apic("one", 1))
    check(result, NO_MSR | dict.fromkeys(re.findall(r"^skip ([\w-]+): too few CPUs$", result.text, re.MULTILINE), "too few CPUs"))


def test_x2apic_ids(boot):
    """Several clusters, and an id that only x2APIC mode has."""
    result = boot(apic("one", 6, "x2apic skip=mode-", apicid="0,1,16,17,33,300"))
    check(result, {})


@pytest.mark.long(0.5)
@pytest.mark.parametrize("vcpus, cpus", [(2, 1), (2, 2), (3, 4), (5, 2), (8, 1), (8, 4)])
def test_by_name_on_more(boot, vcpus, cpus):
    check(boot(apic("one", vcpus), cpus=cpus), NO_MSR)


# --- random IPIs ---

def check_stress(lines, vcpus, count):
    assert [line for line in lines if "FAIL" in line] == []
    rounds = [re.match(r"apic: stress: ([\w-]+): (\d+) CPUs, (\d+) arrived", line) for line in lines]
    rounds = [found.groups() for found in rounds if found]
    assert [model for model, *_ in rounds] == ROUNDS
    assert {int(cpus) for _, cpus, _ in rounds} == {vcpus}
    assert sum(int(arrived) for *_, arrived in rounds) >= count
    assert f"apic: stress: {count} IPIs or more, ok" in lines


@pytest.mark.parametrize("vcpus, cpus", [(4, 2), (8, 1)])
def test_random_ipis(boot, vcpus, cpus):
    result = boot(DEBUG + apic("a", vcpus, "stress count=20000") + vm("busy", cmdline="count=20 work=400000", memory="16M"), cpus=cpus)
    assert result.status == 0
    check_stress(result.vm("a"), vcpus, 20000)


@pytest.mark.parametrize("level", ["apicv", "posted"])
def test_random_ipis_with_apicv(boot, level):
    result = boot(DEBUG + apic("a", 5, "stress count=20000", apic=level) + apic("b", 3, "stress count=20000 seed=2", apic=level))
    assert result.status == 0
    check_stress(result.vm("a"), 5, 20000)
    check_stress(result.vm("b"), 3, 20000)


@pytest.mark.parametrize("vcpus, cpus", [(4, 2), pytest.param(8, 4, marks=pytest.mark.long(1))])
def test_random_ipis_with_apicv_on_more(boot, vcpus, cpus):
    """They may come while interrupts are off, but none is lost."""
    result = boot(DEBUG + apic("a", vcpus, "stress loose count=20000", apic="apicv") + vm("busy", cmdline="count=20 work=400000", memory="16M"),
                  cpus=cpus)
    assert result.status == 0
    check_stress(result.vm("a"), vcpus, 20000)


@pytest.mark.long(2)
@pytest.mark.parametrize("vcpus, cpus", [(8, 4), (4, 2), (8, 1), (2, 2)])
def test_a_million_random_ipis(boot, vcpus, cpus):
    """In all; others compete, so that vCPUs are preempted and go to other CPUs."""
    result = boot(DEBUG + apic("a", vcpus, f"stress count=250000 seed={vcpus}") + apic("b", 3, "stress count=100000 seed=100") +
                  vm("busy", cmdline="count=40 work=4000000", memory="16M"), cpus=cpus, timeout=1200)
    assert result.status == 0
    check_stress(result.vm("a"), vcpus, 250000)
    check_stress(result.vm("b"), 3, 100000)

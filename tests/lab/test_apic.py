# SPDX-License-Identifier: MIT
"""The kernel apic: interrupts between vCPUs; none is lost, none comes twice."""

import re

import pytest

from sections import DEBUG, vm

MODELS = ["xapic-flat", "x2apic", "xapic-cluster", "x2apic"]
BUSY = vm("busy", cmdline="count=40 work=4000000", memory="16M")


def apic(name, options, vcpus, **others):
    return vm(name, "apic", cmdline=options, memory="16M", vcpus=vcpus, **others)


def check_stress(lines, vcpus, count):
    assert [line for line in lines if "FAIL" in line] == []
    rounds = [re.match(r"apic: stress: ([\w-]+): (\d+) CPUs, (\d+) arrived", line) for line in lines]
    rounds = [found.groups() for found in rounds if found]
    assert [model for model, *_ in rounds] == MODELS
    assert {int(cpus) for _, cpus, _ in rounds} == {vcpus}
    assert sum(int(arrived) for *_, arrived in rounds) >= count
    assert f"apic: stress: {count} IPIs or more, ok" in lines


@pytest.mark.parametrize("vcpus, cpus", [(4, 2), (8, 1)])
def test_random_ipis(boot, vcpus, cpus):
    result = boot(DEBUG + apic("a", "stress count=20000", vcpus) + vm("busy", cmdline="count=20 work=400000", memory="16M"), cpus=cpus)
    assert result.status == 0
    check_stress(result.vm("a"), vcpus, 20000)


@pytest.mark.long(2)
@pytest.mark.parametrize("vcpus, cpus", [(8, 4), (4, 2), (8, 1), (2, 2)])
def test_a_million_random_ipis(boot, vcpus, cpus):
    """In all; others compete, so that vCPUs are preempted and go to other CPUs."""
    result = boot(DEBUG + apic("a", f"stress count=250000 seed={vcpus}", vcpus) +
                  apic("b", "stress count=100000 seed=100", 3) + BUSY, cpus=cpus, timeout=1200)
    assert result.status == 0
    check_stress(result.vm("a"), vcpus, 250000)
    check_stress(result.vm("b"), 3, 100000)

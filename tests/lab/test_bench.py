# SPDX-License-Identifier: MIT
"""bench's figures. With one CPU the emulated TSC counts instructions, so they are exact and say nothing of the host."""

import re

import pytest

from conftest import TOP
from sections import vm

# The most that each may cost, in instructions, as the guest sees it.
LIMITS = {"cpuid": 100, "vmcall": 100, "in_uart_lsr": 150, "in_unclaimed": 150, "out_unclaimed": 150, "xapic_version": 400}
# What KVM takes for the same on the same emulated CPU.
KVM = {"rdmsr_apic_base": 1142, "rdmsr_tsc_adjust": 2165, "wrmsr_tsc_adjust": 2828, "in_0x61": 2323, "out_0x70": 2225,
       "in_unclaimed": 3246, "out_unclaimed": 3186, "xapic_version": 6770, "xapic_eoi_idle": 3730,
       "xapic_self_ipi": 3809, "xapic_self_ipi_eoi": 3089}
# What must not exit at all.
DIRECT = ("rdmsr_fs_base", "wrmsr_fs_base", "cr0_ts_toggle", "cr4_tsd_toggle", "cr3_write", "invlpg")


def table(result):
    rows = re.findall(r"^bench: (\w+) = (\d+|-)$", result.text, re.MULTILINE)
    assert "bench: end" in result.lines
    return {name: None if value == "-" else int(value) for name, value in rows}


@pytest.fixture(scope="module")
def figures():
    """One boot for all tests of this file that a worker has."""
    cache = {}

    def get(boot):
        if not cache:
            result = boot(vm("one", "bench"))
            assert result.status == 0
            cache.update(table(result))
        return cache
    return get


def test_limits(boot, figures):
    got = figures(boot)
    assert {name: got[name] for name in LIMITS if got[name] > LIMITS[name]} == {}


def test_below_kvm(boot, figures):
    got = figures(boot)
    assert {name: got[name] for name in KVM if not got[name] or got[name] >= KVM[name]} == {}


LEVELS = ["emulated", "apicv", "posted"]


def documented_levels():
    """level -> {name: instructions}, from the tables of docs/figures.md whose columns are levels."""
    rows = re.findall(r"^\| `(\w+)`.*? \| ([\d,]+) \(\d\) \| ([\d,]+) \(\d\) \| ([\d,]+) \(\d\) \|", (TOP / "docs/figures.md").read_text("utf-8"),
                      re.MULTILINE)
    return {level: {row[0]: int(row[n + 1].replace(",", "")) for row in rows} for n, level in enumerate(LEVELS)}


@pytest.mark.parametrize("level", LEVELS)
def test_apic_levels(boot, level):
    """With two vCPUs, and what changes nothing with one: a figure that the documentation gives is kept."""
    promised = documented_levels()[level]
    assert len(promised) == 19
    result = boot(vm("two", "bench", vcpus=2, apic=level))
    assert result.status == 0
    result.find(rf"two: .*, APIC: {level}$")
    got = table(result)
    other = {name: n for name, n in promised.items() if "_ipi_" in name and "self" not in name}
    assert len(other) == 8
    assert {name: (got[name], n) for name, n in other.items() if not got[name] or got[name] > n} == {}
    got = table(boot(vm("one", "bench", apic=level)))
    assert {name: (got[name], n) for name, n in promised.items() if name not in other and got[name] > n} == {}
    assert {name: got[name] for name in other} == dict.fromkeys(other)


def documented():
    """name -> instructions, from the table of docs/figures.md; `_end` after a `name` is name_end."""
    rows = re.findall(r"^\| (`[^|]*) \| ([\d, ]+) \|", (TOP / "docs/figures.md").read_text("utf-8"), re.MULTILINE)
    promised = {}
    for names, numbers in rows:
        names, numbers = re.findall(r"`(\w+)`", names), [int(n.replace(",", "")) for n in numbers.split(", ")]
        for i, name in enumerate(names):
            promised[names[0] + name if name.startswith("_") else name] = numbers[min(i, len(numbers) - 1)]
    return promised


def test_documented_figures_are_kept(boot, figures):
    got, promised = figures(boot), documented()
    assert len(promised) >= 15
    assert {name: (got[name], n) for name, n in promised.items() if got[name] > n} == {}


def test_what_does_not_exit(boot, figures):
    got = figures(boot)
    assert {name: got[name] for name in DIRECT} == dict.fromkeys(DIRECT, 1)


def test_the_same_each_time(boot, figures):
    assert table(boot(vm("one", "bench"))) == figures(boot)


def test_bench_without_nidus(boot, images):
    """GRUB loads it: the bare machine's figures."""
    got = table(boot(vm("unused"), image=images.guest("bench")))
    assert got["cpuid"] == 1 and got["rdmsr_apic_base"] == 1
    assert got["vmcall"] is None or got["vmcall"] < 100

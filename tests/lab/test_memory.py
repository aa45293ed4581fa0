# SPDX-License-Identifier: MIT
"""Nidus's own page tables, and who holds how much memory."""

import pytest

from sections import DEBUG, vm


@pytest.mark.parametrize("firmware, cpus", [("bios", 1), ("bios", 4), ("uefi", 2), ("uefi-app", 2)])
def test_live_page_tables_keep_the_rules(boot, firmware, cpus):
    """Nidus walks them itself and panics at a page that breaks a rule; these lines tell that it did."""
    result = boot(DEBUG + vm("one") + vm("two", memory="33M"), firmware=firmware, cpus=cpus)
    assert result.status == 0
    leaves, executable, direct = map(int, result.find(
        r"page tables: (\d+) leaves, (\d+) of them executable, direct map (\d+) KiB, W\^X kept, null page unmapped, "
        r"NX, SMEP, SMAP, WP$").groups())
    assert 0 < executable < leaves
    assert direct <= 8192  # only what Nidus's own pool holds: no map of all memory
    for name in ("one", "two"):
        assert int(result.find(rf"{name}: page tables: (\d+) KiB of its RAM in its own space and nowhere else$")[1]) > 0


def test_page_tables_of_a_cpu_without_smep_and_smap(boot):
    result = boot(DEBUG + vm("one"), cpu="corei5_arrandale_m520")
    assert result.status == 0
    result.find(r"page tables: .*W\^X kept, null page unmapped, NX, WP$")


def returned(result, name):
    """(KiB that each life of the VM held, KiB free after it)."""
    words = [line.split() for line in result.nidus() if line.startswith(f"{name}: its ")]
    return [int(w[2]) for w in words], [int(w[6]) for w in words]


def test_each_life_returns_what_it_held(boot):
    result = boot(DEBUG + vm("one", vcpus=3, cmdline="reboot", restart="reset"), timeout=7)
    assert result.status == 124
    assert "not returned" not in result.text
    held, free = returned(result, "one")
    assert len(held) >= 4
    assert len(set(held)) == 1 and len(set(free)) == 1


@pytest.mark.long(1)
def test_many_lives_beside_others(boot):
    result = boot(DEBUG + vm("one", vcpus=3, cmdline="reboot", restart="reset", memory="16M") +
                  vm("two", "hostile", cmdline="do=triple", restart="crash", memory="16M"), cpus=2, timeout=60)
    held, free = returned(result, "one")
    assert len(held) >= 20 and len(set(held)) == 1
    assert len(set(free)) <= 2  # with or without the other one


def free_at_end(result):
    """KiB that are free when the last VM has ended."""
    return int([line for line in result.nidus() if line.endswith("KiB are free")][-1].split()[-4])


def test_all_is_free_again_whatever_ran(boot):
    """The same files, CPUs and VMs; little or much done by them. What grew for it may stay Nidus's, not the VM's."""
    quiet, busy = (free_at_end(boot(
        DEBUG + vm("one", memory="32M") + vm("two", "hostile", cmdline=cmdline, memory="64M") +
        vm("three", "smp", vcpus=vcpus, cmdline="rounds=20"), cpus=2))
        for cmdline, vcpus in (("do=edge     ", 1), ("do=wild stride=0x1000000", 6)))
    assert abs(quiet - busy) <= 2048


def test_nidus_is_small(boot, images):
    """Image at most 300 KiB; memory held with no guest at most 4 MiB."""
    assert images.elf.stat().st_size <= 300 * 1024
    assert int(boot(vm("one")).find(r"memory: \d+ MiB, of which Nidus holds (\d+) KiB")[1]) <= 4096

# SPDX-License-Identifier: MIT
"""vCPUs share CPUs by time: all go on, none keeps a CPU, idle ones leave it."""

import re

import pytest

from sections import DEBUG, vm

WORK = 400000  # loops between two lines: much less than a time slice


def turns(result):
    """The names in the order of their lines 'count N', each run of lines of the same VM once."""
    names = [match[1] for match in map(re.compile(r"(\w+)\| hello: count \d+$").match, result.lines) if match]
    return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]


def counters(names, n=40, **options):
    return "".join(vm(name, cmdline=f"count={n} work={WORK}", memory="16M", **options) for name in names)


def check_all_counted(result, names, n=40):
    assert result.status == 0
    for name in names:
        assert [line for line in result.vm(name) if "count " in line] == [f"hello: count {i}" for i in range(1, n + 1)]


def idle_percent(result, cpu):
    return int(result.find(rf"cpu {cpu}: idle for (\d+) %")[1])


@pytest.mark.parametrize("pin", [None, "0"])
def test_four_vms_take_turns_on_one_cpu(boot, pin):
    names = ("a", "b", "c", "d")
    result = boot(DEBUG + counters(names, **({"pin": pin} if pin else {})))
    check_all_counted(result, names)
    order = turns(result)
    for name in names:
        assert order.count(name) >= 4
    # Equals: when the first has ended, the last is through most of its work too.
    first_end = next(i for i, line in enumerate(result.lines) if re.match(r"\w\| hello: power off", line))
    for name in names:
        assert f"{name}| hello: count 25" in result.lines[:first_end]
    assert idle_percent(result, 0) <= 10


def test_three_vms_on_two_cpus(boot):
    names = ("a", "b", "c")
    result = boot(DEBUG + counters(names), cpus=2)
    check_all_counted(result, names)
    assert len(turns(result)) >= 12
    assert idle_percent(result, 0) <= 40 and idle_percent(result, 1) <= 40


def test_pinned_vms_stay(boot):
    names = ("a", "b")
    result = boot(DEBUG + counters(names, n=100, pin="1"), cpus=2)
    check_all_counted(result, names, n=100)
    assert len(turns(result)) >= 4
    assert idle_percent(result, 0) >= 70
    assert idle_percent(result, 1) <= 30


def ends(result):
    return [line.split(":")[0] for line in result.nidus() if "powered off" in line]


@pytest.mark.parametrize("cpus, pin", [(1, "0"), (2, "1")])
def test_a_loop_without_exits_does_not_keep_the_cpu(boot, cpus, pin):
    """Its second line comes after a hundred slices; the other is through long before."""
    result = boot(vm("loops", cmdline="count=2 work=20000000", memory="16M", pin=pin) + counters(("a",), pin=pin), cpus=cpus)
    check_all_counted(result, ("a",))
    assert ends(result) == ["a", "loops"]


def test_exits_without_end_do_not_keep_the_cpu(boot):
    result = boot(vm("hog", "hostile", cmdline="do=hog rounds=100", memory="16M") + counters(("a",), n=20))
    check_all_counted(result, ("a",), n=20)
    assert ends(result) == ["a", "hog"]


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_halted_vm_leaves_its_cpu_idle(boot, cpus):
    result = boot(DEBUG + vm("idle", cmdline="idle=3000"), cpus=cpus)
    assert result.status == 0
    for cpu in range(cpus):
        assert idle_percent(result, cpu) >= 90


def test_a_halted_vm_does_not_slow_its_neighbour(boot):
    """The one that works is through long before the other's timer has come often enough."""
    result = boot(vm("idle", cmdline="idle=10000", memory="16M") + counters(("a",), n=20))
    assert result.status == 0
    assert ends(result) == ["a", "idle"]


@pytest.mark.long(0.5)
@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_sixteen_vms(boot, cpus):
    names = [f"vm{i}" for i in range(16)]
    result = boot(counters(names), cpus=cpus, timeout=300)
    check_all_counted(result, names)


@pytest.mark.long(1)
@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_many_vcpus_of_many_vms(boot, cpus):
    names = ("a", "b", "c")
    result = boot("".join(vm(name, "smp", vcpus=vcpus, cmdline="rounds=200") for name, vcpus in zip(names, (2, 5, 8))),
                  cpus=cpus, timeout=600)
    assert result.status == 0
    for name, vcpus in zip(names, (2, 5, 8)):
        assert f"smp: {vcpus} CPUs, ok" in result.vm(name)

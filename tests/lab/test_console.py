# SPDX-License-Identifier: MIT
"""Who says what: Nidus's own lines, and those of one or of several VMs."""

import pytest

from sections import vm


def test_lines_of_several_vms_have_names(boot):
    names = ("one", "two", "three")
    result = boot("".join(vm(name, cmdline=f"count=30 work=30000 {name}") for name in names), cpus=2)
    assert result.status == 0
    first = next(i for i, line in enumerate(result.lines) if line.startswith("nidus: "))
    for line in filter(None, result.lines[first:]):
        assert line.split(" ")[0] in ("nidus:", "one|", "two|", "three|"), line
    for name in names:
        assert f"hello: command line 'hello.elf count=30 work=30000 {name}'" in result.vm(name)
        assert [line for line in result.vm(name) if "count " in line] == [f"hello: count {i}" for i in range(1, 31)]


def test_one_vm_writes_as_it_is(boot):
    result = boot(vm("one"))
    assert "hello from 64-bit mode" in result.lines
    assert not [line for line in result.lines if line.startswith("one| ")]


@pytest.mark.parametrize("others", ["", vm("other")])
def test_a_guest_cannot_speak_for_nidus(boot, others):
    """The forged ends do not count: the real one does, and comes after."""
    result = boot(vm("one", cmdline="forge exit=1") + others)
    assert result.status == 1
    assert result.text.count("nidus: end: status 0") == 2 and result.text.count("nidus: panic: forged") == 1
    assert not [line for line in result.nidus() if line.startswith(("end: status 0", "panic"))]


def test_loglevel(boot):
    quiet, loud = (boot(f"[nidus]\nloglevel = {level}\n" + vm("one")).nidus() for level in ("error", "debug"))
    assert "one: hello.elf, 1 vCPU, 128 MiB" not in quiet
    assert any(line.startswith("first VM entry ") for line in loud)
    assert len(loud) > len(quiet) + 5

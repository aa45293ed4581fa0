# SPDX-License-Identifier: MIT
"""The keys that say which VM has the console."""

import pytest

from sections import vm


def stop(process, child):
    child.send("\x01x")
    child.expect("stopped by the keyboard")
    assert process.wait(20) == 130


IDLES, WORKS = ({"pin": 0}, {"pin": 1}), ({"pin": 1}, {"pin": 0})


@pytest.mark.parametrize("console, cpus, pins", [("com1", 1, ({}, {})), ("com1", 2, IDLES), ("com1", 2, WORKS), ("port:0x3f8", 2, IDLES), ("port:0x3f8", 1, ({}, {}))],
                         ids=["one CPU", "CPU 0 idles", "CPU 0 works", "CPU 0 idles, no interrupt", "one CPU, no interrupt"])
def test_keys_choose_the_vm(at_terminal, console, cpus, pins):
    """CPU 0 takes the console's interrupts. The VM that works has its own off."""
    process, child = at_terminal(f"[nidus]\nconsole = {console}\n" + vm("one", cmdline="idle=2000000", memory="16M", **pins[0]) +
                                 vm("two", cmdline="count=100000 work=300000", memory="16M", **pins[1]), cpus)
    child.expect(r"\none\| hello from")
    child.expect(r"\ntwo\| hello: count \d")
    child.send("\x1dn")
    child.expect("\nnidus: console: the keys go to two\r")
    child.send("\x1da")
    child.expect("\nnidus: console: only the VM that has the keys is shown\r")
    child.expect(r"\nhello: count \d+\r")
    child.send("\x1d1")
    child.expect("\nnidus: console: the keys go to one\r")
    child.send("\x1d7")
    child.expect("\nnidus: console: VM 7 does not run\r")
    child.send("\x1d8")
    child.expect("\nnidus: console: VM 8 does not run\r")
    assert b"hello: count" not in child.before
    child.send("\x1da")
    child.expect("\nnidus: console: all VMs are shown\r")
    child.expect(r"\ntwo\| hello: count \d")
    child.send("\x1d?")
    child.expect(r"\nnidus: console: Ctrl-\] and n: the next VM")
    stop(process, child)


def test_keys_reach_nidus_past_a_vm_with_interrupts_off(at_terminal):
    """One CPU, and one vCPU that has neither exits nor a timer."""
    process, child = at_terminal(vm("one", cmdline="spin", memory="16M"), 1)
    child.expect(r"\nhello: spin\r")
    child.send("\x1d?")
    child.expect(r"\nnidus: console: Ctrl-\] and n: the next VM")
    stop(process, child)

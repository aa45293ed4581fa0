# SPDX-License-Identifier: MIT
"""Physical devices of a VM's own: the lab's second serial port, and video memory behind Nidus's screen."""

import re

import pytest

DEBUG = "[nidus]\nloglevel = debug\n"
COM2 = "port = 0x2f8-0x2ff\nirq = 3\n"
SCREEN = "mmio = 0xb9000-0xbffff\n"


def vm(name, cmdline, *lines):
    return f"[vm {name}]\nkernel = device.elf\nmemory = 16M\ncmdline = {cmdline}\n" + "".join(lines)


def exits(result, name):
    """Exits of a VM by reason, as the log has them."""
    reasons = result.find(rf"{name}: \d+ exits: (.*)")[1]
    return {reason: int(n) for reason, n in re.findall(r"([^,]+?) (\d+)(?:, |$)", reasons)}


def test_alone(boot):
    """Ports and memory without exits, one interrupt for each byte; the other VM sees nothing of it."""
    result = boot(DEBUG + vm("one", "memory=0xb9000 accesses=5000", COM2, SCREEN) + vm("two", "absent memory=0xb9000"))
    assert result.status == 0
    for line in ("device: 10000 accesses of ports, ok", "device: memory was 0x7200720, ok",
                 "device: 200 bytes by interrupts, ok"):
        assert line in result.vm("one")
    assert "device: nothing is there, ok" in result.vm("two")
    assert exits(result, "one")["I/O instruction"] < 1000
    assert 200 <= exits(result, "one")["external interrupt"] < 300
    result.find(r"cpu 0: idle for \d+ % of the time; 0 NMIs, 0 spurious interrupts, 0 APIC errors")


def test_pinned(boot):
    """Each VM has a CPU; the line arrives at that of its VM."""
    result = boot(vm("one", "ioapic", COM2, "pin = 1\n") + vm("two", "absent", "pin = 0\n"), cpus=2)
    assert result.status == 0
    assert "device: 200 bytes by interrupts, ok" in result.vm("one")


def test_other_cpu(boot):
    """The vCPU is on any CPU, the line arrives at CPU 0."""
    result = boot(vm("one", "ioapic", COM2) + vm("two", "absent"), cpus=2)
    assert result.status == 0
    assert "device: 200 bytes by interrupts, ok" in result.vm("one")


def test_restart(boot):
    """It has them again after a reset, until its end; what it wrote to video memory is still there."""
    result = boot(vm("one", "memory=0xb9000 leave reboot count=20", COM2, SCREEN, "restart = reset\n"), timeout=8)
    assert result.status == 124
    assert result.lines.count("device: 20 bytes by interrupts, ok") >= 3
    assert result.lines.count("device: memory was 0x1d2a5c3e, ok") >= 2


@pytest.mark.parametrize("words", ["", "ept=off "])
def test_nested(boot, words):
    """A guest of the VM's gets at them if the VM lets it."""
    result = boot(f"[vm one]\nkernel = l1.elf\nmemory = 64M\nnested = on\ncmdline = {words}given only=exit-io\n{COM2}{SCREEN}")
    assert result.status == 0
    assert "ok exit-io-given" in result.lines


def test_no_execution(boot):
    """A device's memory holds no instructions, for the guest and for Nidus."""
    result = boot(f"[vm one]\nkernel = hostile.elf\nmemory = 16M\ncmdline = do=nowhere at=0xb9000\n{SCREEN}")
    assert result.status == 0
    assert "hostile: nowhere survived" in result.lines
    result.find(r"error: one.0: cannot emulate the instruction at 0xb9000 .*it is not in RAM")


@pytest.mark.parametrize("option, message", [
    ("port = 0x3f8-0x3ff", "port cannot be given: Nidus's serial port has it"),
    ("port = 0x3e8-0x3f8", "port cannot be given: Nidus's serial port has it"),
    ("port = 0x20-0x21", "port cannot be given: Nidus needs it"),
    ("port = 0xcf8-0xcff", "port cannot be given: it configures PCI devices"),
    ("port = 0xb000-0xb0ff", "port cannot be given: Nidus needs it"),
    ("port = 0xf4", "port cannot be given: a virtual device of the VM's is there"),
    ("mmio = 0x100000-0x1fffff", "mmio cannot be given: the machine has memory there"),
    ("mmio = 0x50000000-0x50000fff", None),
    ("mmio = 0xb8000-0xbffff", "mmio cannot be given: Nidus's screen is there"),
    ("mmio = 0xfec00000-0xfec00fff", "mmio cannot be given: Nidus needs it"),
    ("mmio = 0xfee00000-0xfee00fff", "mmio cannot be given: Nidus needs it"),
    ("mmio = 0xf0000-0xfffff", "mmio cannot be given: the VM has RAM there"),
    ("irq = 4", "irq cannot be given: Nidus's serial port has it"),
    ("irq = 8", "irq cannot be given: a virtual device of the VM's uses it"),
    ("irq = 24", "'24' is not an interrupt line; use 0 to 23"),
])
def test_refused(boot, option, message):
    result = boot(f"[vm one]\nkernel = hello.elf\nmemory = 16M\n{option}\n")
    if message is None:
        assert result.status == 0
        return
    assert result.status == 2
    assert any(line.startswith("error: nidus.conf:4:") and line.endswith(message) for line in result.nidus())


def test_two_owners(boot):
    """The second one does not start."""
    result = boot(vm("one", "", COM2) + vm("two", "absent", "port = 0x2ff\n"))
    assert result.status == 2
    assert "device: 200 bytes by interrupts, ok" in result.vm("one")
    assert "error: nidus.conf:11: '0x2ff', or a part of it, is given away in line 5 already; remove one" in result.nidus()

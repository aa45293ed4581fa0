# SPDX-License-Identifier: MIT
"""The demo: Debian's own kernel, unmodified, from its first instruction to its power-off."""

import os
import re
import subprocess

import pytest
from pexpect import EOF, fdpexpect

from conftest import RUN
from nidus_lab import demo


def check_demo(result):
    assert result.status == 0
    assert re.search(r"^Hello from Debian's Linux \S+, in a VM of Nidus\.$", result.text, re.MULTILINE)
    assert "a hypervisor says it is there" in result.text
    assert ", 2 online, " in result.text
    result.find(r"debian: powered off: ACPI soft-off$")


def test_demo_powers_off(boot):
    check_demo(boot(demo.make(), memory=1024))


# Under load the terminal sometimes ends before its time (not understood yet): not among the tests that gate.
@pytest.mark.long(1)
@pytest.mark.parametrize("end", ["exit", "poweroff -f"])
def test_demo_has_a_shell_at_a_terminal(images, end):
    """Keys, the line discipline with Ctrl-C, and programs."""
    keys, terminal = os.openpty()
    process = subprocess.Popen([RUN, "--image", images.elf, "--emulator", "bochs", "--timeout", "300"],
                               stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    child = fdpexpect.fdspawn(keys, timeout=300)
    child.expect("Hello from Debian's Linux")
    child.expect("debian:/# ")
    child.send("echo $((6 * 7)) $(nproc) $(tty)\r")
    child.expect(r"\n42 2 /dev/ttyS0\r")
    child.send("sleep 100000\r")
    child.expect(r"sleep 100000\r+\n")
    child.send("\x03")
    child.expect("debian:/# ")
    child.send(f"{end}\r")
    child.expect("debian: powered off: ACPI soft-off")
    child.expect("nidus: end: status 0")
    try:
        child.expect(EOF)
    except OSError:
        pass  # the terminal is closed on the other side
    assert process.wait(20) == 0


@pytest.mark.long(0.7)
@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("firmware", ["bios", "uefi", "uefi-app"])
def test_demo_everywhere(boot, firmware, cpus):
    check_demo(boot(demo.make(), memory=1024, firmware=firmware, cpus=cpus, timeout=300))


@pytest.mark.long(0.7)
@pytest.mark.parametrize("model", ["corei5_arrandale_m520", "corei7_haswell_4770", "corei7_icelake_u"])
def test_demo_on_models(boot, model):
    check_demo(boot(demo.make(), memory=1024, cpu=model, timeout=300))

# SPDX-License-Identifier: MIT
"""The keys that say which VM has the console."""

import os
import shutil
import subprocess

from pexpect import fdpexpect

from conftest import RUN
from sections import vm


def test_keys_choose_the_vm(images, tmp_path):
    """CPU 0, which takes the console's interrupts, idles: Bochs holds them while a guest has interrupts off."""
    conf = tmp_path / "two.conf"
    conf.write_text(vm("one", cmdline="idle=2000000", memory="16M", pin=0) +
                    vm("two", cmdline="count=100000 work=300000", memory="16M", pin=1))
    shutil.copyfile(images.guest("hello"), tmp_path / "hello.elf")
    keys, terminal = os.openpty()
    process = subprocess.Popen([RUN, conf, "--image", images.elf, "--emulator", "bochs", "--cpus", "2", "--timeout", "60"],
                               stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    child = fdpexpect.fdspawn(keys, timeout=60)
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
    child.send("\x01x")
    child.expect("stopped by the keyboard")
    assert process.wait(20) == 130

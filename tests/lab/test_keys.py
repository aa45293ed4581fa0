# SPDX-License-Identifier: MIT
"""The keys that say which VM has the console."""

import glob
import os
import socket
import struct
import subprocess
import time

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


def screen_port(pid):
    """Where the emulator below this process listens: its screen, by VNC."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        words = [line.split() for line in file.readlines()[1:]]
    ports = {f"socket:[{word[9]}]": int(word[1].split(":")[1], 16) for word in words if word[3] == "0A"}
    below = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    children = list(zip(map(int, below[::2]), map(int, below[1::2])))
    family = {pid}
    while more := {child for child, parent in children if parent in family} - family:
        family |= more
    links = (os.readlink(fd) for member in family for fd in glob.glob(f"/proc/{member}/fd/*") if os.path.islink(fd))
    return next(ports[link] for link in links if ports.get(link, 0) // 100 == 59)


def press(screen, *keys):
    """Together, by VNC: RFC 6143, 'KeyEvent'."""
    for down, order in ((1, keys), (0, reversed(keys))):
        for key in order:
            screen.sendall(struct.pack(">BBHI", 4, down, 0, key))
            time.sleep(0.05)


def test_keys_of_the_machines_own_keyboard(at_terminal):
    process, child = at_terminal(vm("one", cmdline="idle=2000000", memory="16M") + vm("two", cmdline="count=100000 work=300000", memory="16M"), 1)
    child.expect(r"\ntwo\| hello: count \d")
    with socket.create_connection(("127.0.0.1", screen_port(process.pid)), timeout=10) as screen:
        assert screen.recv(12).startswith(b"RFB ")
        screen.sendall(b"RFB 003.003\n")
        screen.recv(4)
        screen.sendall(b"\1")
        assert screen.recv(4096)
        press(screen, 0xffe3, ord("]"))
        press(screen, ord("n"))
        child.expect("\nnidus: console: the keys go to two\r")
        stop(process, child)

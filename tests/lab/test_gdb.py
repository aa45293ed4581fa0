# SPDX-License-Identifier: MIT
"""Debian's GDB debugs guests by way of the second serial port: at L1, in L2, and with noise on the line."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from pexpect import fdpexpect

from conftest import RUN, TOP
from sections import vm

TIMEOUT = 100


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Machine:
    """A machine that runs, its console, and GDB's port of it."""

    def __init__(self, configuration, images, directory, cpus):
        conf, self.console, self.directory = directory / "test.conf", directory / "console.txt", directory
        conf.write_text("[nidus]\ngdb = com2\n" + configuration)
        for name in set(re.findall(r"=\s*(\w+)\.elf\b", configuration)):
            shutil.copyfile(images.guest(name), directory / f"{name}.elf")
        self.images, self.port = images, free_port()
        self.process = subprocess.Popen([RUN, conf, "--image", images.elf, "--emulator", "bochs", "--cpus", str(cpus), "--memory", "512",
                                         "--timeout", str(TIMEOUT), "--serial", self.console, "--gdb", str(self.port)],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def text(self):
        return self.console.read_bytes().decode("utf-8", "replace").replace("\r", "") if self.console.exists() else ""

    def wait_for(self, pattern, seconds=60):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text(), re.MULTILINE):
            assert time.monotonic() < end and self.process.poll() is None, f"no '{pattern}' on the console:\n{self.text()}"
            time.sleep(0.1)

    def gdb(self, symbols, commands):
        """What GDB prints. Where that is a line INTERRUPT, it gets Ctrl-C a second later."""
        script = self.directory / "commands.gdb"
        script.write_text(f"set confirm off\nset remotetimeout 20\ntarget extended-remote 127.0.0.1:{self.port}\n{commands}\n")
        symbols = self.images.guest(symbols).with_suffix(".debug")
        child = subprocess.Popen(["gdb", "-nx", "-batch", "-x", script, symbols], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        limit = threading.Timer(TIMEOUT, child.kill)
        limit.start()
        out = ""
        for line in child.stdout:
            out += line
            if line == "INTERRUPT\n":
                threading.Timer(1, child.send_signal, [signal.SIGINT]).start()
        child.wait()
        limit.cancel()
        print(out)
        return out

    def end(self):
        """Its exit status, once it has ended by itself."""
        messages = self.process.communicate(timeout=TIMEOUT)[1]
        print(self.text(), messages.decode())
        return self.process.returncode


@pytest.fixture
def start(images, tmp_path):
    machines = []

    def start_one(configuration, cpus=1):
        machines.append(Machine(configuration, images, tmp_path, cpus))
        machines[-1].wait_for("^nidus: GDB can attach at port 0x2f8, 115200 baud$")
        return machines[-1]

    yield start_one
    for machine in machines:
        if machine.process.poll() is None:
            machine.process.terminate()
            machine.process.wait()


def in_order(text, *patterns):
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.MULTILINE).search(text, at)
        assert found, f"not there, or not in this order: {pattern}"
        at = found.end()


BOTH_LEVELS = """
attach 11
monitor vms
add-inferior
inferior 2
file {symbols}
attach 12
info threads

inferior 1
break l1_round
continue
backtrace 2
print $cr0 & 0x80000001
print /x $efer & 0x500
set var l1_rounds = 12345
next
next
print l1_rounds == round
watch l1_rounds
delete 1
continue
delete

inferior 2
hbreak l2_add thread 2.1
continue
delete
stepi
stepi
x/i $pc
print $rax == l2_total + l2_rounds
watch l2_total
continue
delete
stepi
x/i $pc
stepi
x/i $pc
info threads
set var enough = 7
detach inferiors 2
detach inferiors 1
"""


def test_a_guest_and_its_guest(start, images):
    """GUEST/l1 goes round with an L2 until 'enough' is set."""
    machine = start(vm("one", "l1", cmdline="debugged", memory="64M", nested="on"))
    machine.wait_for("^l1: to be debugged$")
    text = machine.gdb("l1", BOTH_LEVELS.format(symbols=images.guest("l1").with_suffix(".debug")))
    in_order(text, r"^11 one, 1 vCPUs\n12 one, its L2$",
             r"1\.1 +Thread 11\.1 \(one\.0 L1.*\n.*2\.1 +Thread 12\.1 \(one\.0 L2",
             r"^Thread 1\.1 .*hit Breakpoint 1.*, l1_round \(round=(round@entry=)?\d+\)",
             r"^#1 .* debugged_run \(\)", r"^\$1 = 2147483649$", r"^\$2 = 0x500$", r"^\$3 = 1$",
             r"hit Hardware watchpoint \d+: l1_rounds\n\nOld value = \d+\nNew value = \d+$",
             r"^Thread 2\.1 .*hit Breakpoint \d+.*, l2_add \(total=\d+, round=\d+\)", r"^\$4 = 1$",
             r"hit Hardware watchpoint \d+: l2_total\n\nOld value = \d+\nNew value = \d+$", r"jmp .*<l2_main", r"mov .*<l2_rounds>",
             r"Thread 11\.1 \(one\.0 L1, L2 runs\)", r"^\[Inferior 2 \(process 12\) detached\]$", r"^\[Inferior 1 \(process 11\) detached\]$")
    assert machine.end() == 0
    assert re.search(r"^l1: enough is 7, L2's last exit 18, its total \d+$", machine.text(), re.MULTILINE)


def noise(port):
    """Anything but good packets, and some good ones that ask for nonsense."""
    source = random.Random(1)
    with socket.create_connection(("127.0.0.1", port)) as line:
        def packet(text):
            data = text if isinstance(text, bytes) else text.encode()
            line.sendall(b"$" + data + b"#%02x" % (sum(data) & 255))
        line.sendall(b"\3$#+++---$$$$}#00#7d$m0,1#00\xff\xfe")
        line.sendall(bytes(source.randrange(256) for _ in range(3000)))
        packet("m" * 2000)
        for text in ("vAttach;ffffffffffffffffff", "m", "Mffffffffffffffff,ffffffff:", "X0,1:", "P", "vCont;c", "Z0", "Hg-2", "Tp.1",
                     "qXfer:features:read:target.xml:ffffffffffffffff,ffffffffffffffff", "qRcmd,zz", "D;ffffffffff", "\0", "vCont;s:p-1.-1;"):
            packet(text)
        line.settimeout(2)
        answers = b""
        for _ in range(20):  # until it has come so far
            packet("qAttached")
            try:
                while True:
                    answers += line.recv(4096)
            except TimeoutError:
                pass
            if answers.endswith(b"$1#31"):
                break
        print("answers to noise:", answers)
        assert answers.endswith(b"$1#31")


TWO_VMS = r"""
attach 21
monitor vms
break printf
continue
delete
echo INTERRUPT\n
continue
info threads
detach
"""


def test_one_of_two_vms_and_noise(start):
    """The other goes on meanwhile."""
    machine = start(vm("one", cmdline="count=100000 work=300000", memory="16M") + vm("two", cmdline="count=100000 work=300000", memory="16M", vcpus=2), cpus=2)
    machine.wait_for(r"^two\| hello: count 2$")
    noise(machine.port)
    text = machine.gdb("hello", TWO_VMS)
    in_order(text, r"^11 one, 1 vCPUs\n21 two, 2 vCPUs$", r"hit Breakpoint 1, printf", r"received signal SIGINT", r"Thread 21\.1 \(two\.0 L1",
             r"Thread 21\.2 \(two\.1 L1, waits for its start\)", r"^\[Inferior 1 \(process 21\) detached\]$")
    counted = len(re.findall(r"^two\| hello: count", machine.text(), re.MULTILINE))
    machine.wait_for(rf"^two\| hello: count {counted + 10}$")
    for name in ("one", "two"):
        counts = [int(n) for n in re.findall(rf"^{name}\| hello: count (\d+)$", machine.text(), re.MULTILINE)]
        assert counts == list(range(1, len(counts) + 1))
    assert len(re.findall(r"^one\| hello: count", machine.text(), re.MULTILINE)) > counted + 10  # the other has stood meanwhile


def test_on_the_console(images, tmp_path):
    """Ctrl-] g gives GDB the line, until it detaches; here a test types what it would send."""
    conf = tmp_path / "test.conf"
    conf.write_text("[nidus]\ngdb = console\n" + vm("one", cmdline="count=100000 work=300000", memory="16M"))
    shutil.copyfile(images.guest("hello"), tmp_path / "hello.elf")
    keys, terminal = os.openpty()
    process = subprocess.Popen([RUN, conf, "--image", images.elf, "--emulator", "bochs", "--timeout", "60"], stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    child = fdpexpect.fdspawn(keys, timeout=60)
    child.expect(r"\nnidus: GDB can have the console: Ctrl-\] g\r")
    child.expect("\nhello: count 3\r")
    child.send("\x1dg")
    time.sleep(1)
    child.send("$?#3f")
    child.expect_exact("+$T05thread:1;")
    assert b"count" not in child.before.splitlines()[-1]
    child.send("+$m100000,4#ee")
    child.expect(r"\+\$[0-9a-f]{8}#")
    child.send("+$D#44")
    child.expect_exact("+$OK#9a")
    child.expect(r"\nnidus: console: it is GDB's no longer\r")
    child.expect(r"\nhello: count \d+\r")
    child.send("\x01x")
    child.expect("stopped by the keyboard")
    assert process.wait(20) == 130


def test_scripts_gdb(images, tmp_path):
    """As docs/gdb.md has it, from a configuration that does not know of GDB to a breakpoint in an L2."""
    conf, commands = tmp_path / "test.conf", tmp_path / "commands.gdb"
    conf.write_text(vm("one", "l1", cmdline="debugged", memory="64M", nested="on"))
    shutil.copyfile(images.guest("l1"), tmp_path / "l1.elf")
    commands.write_text("break l2_add\ncontinue\n")
    done = subprocess.run([TOP / "scripts/gdb", conf, "--symbols", images.guest("l1").with_suffix(".debug"), "--attach", "12", "--after", "to be debugged",
                           "--serial", tmp_path / "console.txt", "--image", images.elf, "--emulator", "bochs", "--memory", "512", "--timeout", "60",
                           "--", "-batch", "-x", commands], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    in_order(done.stdout, r"^Breakpoint 1, l2_add \(total=\d+, round=\d+\)")

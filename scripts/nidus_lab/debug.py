# SPDX-License-Identifier: MIT
"""scripts/gdb: a machine by scripts/run, and GDB that is attached to a VM in it."""

import argparse
import os
import re
import signal
import socket
import subprocess
import time

from nidus_lab import common, packages
from nidus_lab.common import BUILD, EXIT_FAILED, EXIT_USAGE, TOP, LabError, say

READY = re.compile(rb"^nidus: GDB can attach.*?^nidus: [\w-]+: [^\n]* vCPUs?,", re.MULTILINE | re.DOTALL)
NOT_READY = re.compile(rb"^nidus: (error: gdb:[^\r\n]*|end: [^\r\n]*|panic[^\r\n]*)", re.MULTILINE)
NONE = "none"

TEXT = """\
VMs are processes: 11 is the first VM of the configuration, 12 its own guest (L2), 21 the second VM, and so on; 'monitor vms'
lists them. Nidus's console goes to a file meanwhile. The machine is stopped when GDB ends. All other options are scripts/run's.
"""


def parser():
    p = argparse.ArgumentParser(
        prog="scripts/gdb", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=TEXT, allow_abbrev=False,
        usage="scripts/gdb [options] FILE.conf [-- GDB's own arguments]",
        description="Boots Nidus as scripts/run does, and attaches Debian's GDB to a VM of it.")
    p.add_argument("conf", metavar="FILE.conf", help="the configuration; it need not have the option gdb")
    p.add_argument("--symbols", metavar="FILE", help="an ELF file with the symbols of the guest, such as vmlinux")
    p.add_argument("--attach", metavar="PROCESS", default="11", help=f"what GDB attaches to; '{NONE}': nothing yet (default: 11)")
    p.add_argument("--after", metavar="TEXT", help="attach when the console has said this (default: as soon as the VM is there)")
    p.add_argument("--serial", metavar="FILE", default=os.path.join(BUILD, "gdb-console.txt"),
                   help="where the console goes (default: build/gdb-console.txt)")
    return p


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_ready(machine, path, after):
    """Until Nidus listens, and has started what is to be debugged."""
    pattern = re.compile(re.escape(after.encode())) if after else READY
    while True:
        over = machine.poll() is not None
        try:
            with open(path, "rb") as file:
                text = file.read().replace(b"\r", b"")
        except OSError:
            text = b""
        wrong = NOT_READY.search(text)
        if wrong:
            raise LabError(f"Nidus says: {wrong[1].decode('utf-8', 'replace')}", EXIT_FAILED)
        if over:
            raise LabError(f"the machine has ended before GDB could attach; its console is in {path}", EXIT_FAILED)
        if READY.search(text) and pattern.search(text):
            return
        time.sleep(0.1)


def debug(options, rest, own):
    packages.ensure("gdb")
    if options.symbols and not os.path.isfile(options.symbols):
        raise LabError(f"--symbols {options.symbols}: no such file", EXIT_USAGE)
    port, console = free_port(), os.path.abspath(options.serial)
    os.makedirs(os.path.dirname(console), exist_ok=True)
    if os.path.exists(console):
        os.unlink(console)
    run = [os.path.join(TOP, "scripts/run"), options.conf, "--serial", console, "--gdb", str(port), *rest]
    # Ctrl-C is for GDB alone.
    with subprocess.Popen(run, stdin=subprocess.DEVNULL, start_new_session=True) as machine:
        try:
            wait_until_ready(machine, console, options.after)
            say(f"the console is in {console}")
            start = ["-ex", "set remotetimeout 10", "-ex", f"target extended-remote 127.0.0.1:{port}"]
            if options.attach != NONE:
                start += ["-ex", f"attach {options.attach}"]
            if options.symbols:  # after attaching: a large file takes its time, and the guest would run on
                start += ["-ex", f"symbol-file {os.path.abspath(options.symbols)}"]
            signal.signal(signal.SIGINT, lambda *_: None)
            return subprocess.run(["gdb", "-q", *start, *own], check=False).returncode
        finally:
            if machine.poll() is None:
                machine.send_signal(signal.SIGTERM)


def interrupted(*_):
    raise KeyboardInterrupt


def main(argv):
    common.PROGRAM = "gdb"
    signal.signal(signal.SIGTERM, interrupted)
    own = []
    if "--" in argv:
        own = argv[argv.index("--") + 1:]
        argv = argv[:argv.index("--")]
    options, rest = parser().parse_known_args(argv)
    try:
        return debug(options, rest, own)
    except LabError as error:
        say(f"error: {error}")
        return error.status
    except KeyboardInterrupt:
        return common.EXIT_INTERRUPTED

# SPDX-License-Identifier: MIT
"""scripts/run: set-up, build, boot image, machine, console, exit status."""

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile

from nidus_lab import bochs, conf_files, demo, image, packages, qemu
from nidus_lab.common import (BUILD, EXIT_INTERRUPTED, EXIT_USAGE, TOP, LabError, command, locked, say)
from nidus_lab.console import FifoConsole, Keyboard, Output, SocketConsole
from nidus_lab.gdb import Bridge
from nidus_lab.machine import Machine

STATUSES = """\
exit status, the first that applies:
  3    Nidus itself failed (or could not be built or started)
  124  the time limit was reached
  2    bad usage or configuration
  1    a VM crashed: triple fault, refused VM entry, or a value other than zero written to port 0xf4
  0    every VM ended by its own power-off
  130  stopped by the user (Ctrl-A x, or Ctrl-C when there is no terminal)

Console lines go to standard output, the script's own messages to standard error. With a terminal, its keys go to
the machine's serial port; Ctrl-A x stops the machine.
"""


def positive(kind):
    def convert(text):
        value = kind(text)
        if not 0 < value < 1e9:
            raise ValueError
        return value
    convert.__name__ = "positive number"
    return convert


def cpus(text):
    if not re.fullmatch(r"[1-9]\d*(:[1-9]\d*:[1-9]\d*)?", text):
        raise argparse.ArgumentTypeError(f"{text}: write a number, or SOCKETS:CORES:THREADS")
    return text


def tcp_port(text):
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not a TCP port: use 1 to 65535")
    return int(text)


def parser():
    p = argparse.ArgumentParser(
        prog="scripts/run", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=STATUSES, allow_abbrev=False,
        description="Builds Nidus, boots it with the VMs of a configuration in an emulated machine, and shows its "
                    "serial console.\nInstalls what is missing (with sudo when not root).")
    p.add_argument("conf", metavar="FILE.conf", nargs="?",
                   help="the configuration; files named in it are relative to it (default: a demo, Debian's Linux in a VM)")
    p.add_argument("--firmware", choices=("bios", "uefi", "uefi-app"), default="bios",
                   help="GRUB on BIOS, GRUB on UEFI, or Nidus as a UEFI application (default: bios)")
    p.add_argument("--cpu", metavar="MODEL", help="the emulator's name of the CPU, and ,+FEATURE or ,-FEATURE "
                   f"(default: {bochs.DEFAULT_CPU} on Bochs, host on QEMU with KVM, max on QEMU without)")
    p.add_argument("--cpus", metavar="N", type=cpus, default="1",
                   help="number of CPUs, or SOCKETS:CORES:THREADS (default: 1)")
    p.add_argument("--memory", metavar="MiB", type=positive(int), default=1024, help="memory (default: 1024)")
    p.add_argument("--timeout", metavar="SECONDS", type=positive(float), help="stop after this long (default: never)")
    p.add_argument("--serial", metavar="FILE", help="write the console to FILE (default: the terminal, or standard output)")
    p.add_argument("--emulator", choices=("auto", "bochs", "qemu"), default="auto",
                   help="auto: QEMU where it has KVM with VT-x and nesting, else Bochs (default)")
    p.add_argument("--log", metavar="FILE", help="keep the emulator's own log in FILE")
    p.add_argument("--ips", metavar="N", type=positive(int), default=50000000,
                   help="Bochs: instructions in a second of the machine's time (default: 50000000)")
    p.add_argument("--cmdline", metavar="TEXT", default="",
                   help="Nidus's own command line, when GRUB loads it; see docs/running.md")
    p.add_argument("--grub", metavar="COMMANDS", default="",
                   help="what GRUB does before it loads Nidus, such as 'wrmsr 0x3a 1'; ';' between commands")
    p.add_argument("--gdb", metavar="PORT", type=tcp_port,
                   help="GDB reaches the machine's com2 at this TCP port of 127.0.0.1; gdb = com2 is added to the configuration "
                   "if it has no gdb")
    p.add_argument("--image", metavar="FILE", help="boot this Nidus instead of building one")
    p.add_argument("--medium", metavar="PATH", help="boot this stick (FILE.img), CD (FILE.iso) or directory over the "
                   "network, as made by make usb, make iso and make pxe, without a FILE.conf")
    return p


def choose_emulator(wanted):
    """(the Bochs to use or None for QEMU, what to say of the choice)."""
    problem = qemu.why_not_kvm()
    if wanted == "qemu" or (wanted == "auto" and not problem):
        if problem:
            return None, f"QEMU without KVM, as asked: it has no VT-x ({problem}), which Nidus will say"
        return None, "QEMU with KVM" + (": the host CPU has VT-x and nesting is on" if wanted == "auto" else ", as asked")
    found, origin = bochs.find()
    reason = "as asked" if wanted == "bochs" else f"not QEMU with KVM: {problem}"
    return found, f"Bochs {'.'.join(map(str, found.version))} ({origin}); {reason}"


def build(firmware):
    """Builds Nidus and the guests; returns the file to boot."""
    efi = firmware == "uefi-app"
    packages.ensure("build", *(["efi"] if efi else []))
    with locked("build"):
        command(["make", "-s", f"-j{os.cpu_count()}", "kernel", "guests", *(["efi"] if efi else [])], "build", cwd=TOP)
    return os.path.join(BUILD, "nidus.efi" if efi else "nidus.elf")


def own_disk(options, interactive, work):
    """Makes what the machine boots from: Nidus, the configuration and its files."""
    if options.conf:
        conf_files.stage(options.conf, warn=False)  # its errors come before the long work
    nidus = options.image or build(options.firmware)
    if not os.path.isfile(nidus):
        raise LabError(f"{nidus}: no such file", EXIT_USAGE)
    staged = conf_files.stage(options.conf or demo.make(interactive), gdb=options.gdb)
    return image.make(options.firmware, nidus, staged, work, options.cmdline, options.grub)


def medium_disk(options, work):
    """A copy of the medium: firmware may write to it."""
    if options.conf or options.image or options.cmdline or options.grub:
        raise LabError("--medium has its own Nidus and configuration: leave out FILE.conf, --image, --cmdline and --grub", EXIT_USAGE)
    if os.path.isdir(options.medium):
        return os.path.abspath(options.medium)
    if not os.path.isfile(options.medium):
        raise LabError(f"{options.medium}: no such file: make one by 'make usb', 'make iso' or 'make pxe'", EXIT_USAGE)
    copy = os.path.join(work, "medium" + (".iso" if options.medium.endswith(".iso") else ".img"))
    command(["cp", "--sparse=always", options.medium, copy], "copy the medium")
    return copy


def boot(options, work):
    """Does all of it; returns the exit status."""
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and not options.serial
    disk = medium_disk(options, work) if options.medium else own_disk(options, interactive, work)
    found, choice = choose_emulator(options.emulator)
    say(f"emulator: {choice}")
    console = SocketConsole() if interactive else FifoConsole(work)
    options.com2 = Bridge(options.gdb) if options.gdb else None
    if found:
        if options.firmware != "bios":
            packages.ensure("ovmf")
        how = bochs.command_line(found, options, disk, console, work)
    else:
        how = qemu.command_line(options, disk, console, work)
    output = Output(options.serial)
    machine = Machine(*how, os.path.join(work, "emulator.txt"), console, output)
    try:
        if interactive:
            say("the keys go to the serial port; Ctrl-A x stops the machine")
            with Keyboard() as keyboard:
                why = machine.loop(options.timeout, keyboard)
        else:
            why = machine.loop(options.timeout, None)
        return machine.status(why, options.timeout)
    finally:
        machine.stop()


def interrupted(*_):
    raise KeyboardInterrupt


def main(argv):
    options = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, interrupted)
    work = tempfile.mkdtemp(prefix="nidus-run-")
    try:
        for path in filter(None, (options.serial, options.log)):
            if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
                raise LabError(f"{path}: its directory does not exist", EXIT_USAGE)
        options.log = options.log and os.path.abspath(options.log)
        return boot(options, work)
    except LabError as error:
        say(f"error: {error}")
        return error.status
    except KeyboardInterrupt:
        say("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_INTERRUPTED
    finally:
        shutil.rmtree(work, ignore_errors=True)

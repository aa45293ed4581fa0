# SPDX-License-Identifier: MIT
"""Machines that differ: numbers of APICs, threads, what firmware leaves behind, serial ports. Nidus itself runs in VMs of Nidus
for what the emulator's own machine cannot be."""

import struct
import subprocess
import time

import pytest

from nidus_lab import image, packages
from nidus_lab.conf_files import Staged
from sections import vm

INNER = "[vm one]\nkernel = hello.elf\nmemory = 4M\nvcpus = 2\nnested = on\n"


@pytest.mark.parametrize("ids, hidden, mode", [("300,7,32767", "", ", x2APIC"), ("9,250,0", "hide = X2APIC\n", "")], ids=["x2APIC", "xAPIC"])
@pytest.mark.parametrize("cpus", [1, 2])
def test_apic_ids_that_are_large_or_have_gaps(boot, images, cpus, ids, hidden, mode):
    """With ids above 254 x2APIC is on when Nidus starts, as firmware would leave it."""
    result = boot(f"[vm machine]\nkernel = nidus.elf\nmodule = in/nidus.conf\nmodule = hello.elf\nmemory = 64M\nvcpus = 3\napicid = {ids}\n"
                  f"nested = on\n{hidden}", files={"nidus.elf": images.elf, "in/nidus.conf": INNER.encode()}, cpus=cpus)
    assert result.status == 0
    assert f"| nidus: CPUs: 3{mode}" in result.lines
    assert "hello from 64-bit mode" in result.lines
    assert "| nidus: end: status 0 (every VM ended by its own power-off)" in result.lines


def test_x2apic_left_on_by_firmware(boot):
    result = boot(vm("one", "smp", vcpus=4, cmdline="cpus=4 rounds=100"), cpus=4, grub="wrmsr 0x1b 0xfee00d00")
    assert result.status == 0
    result.find("CPUs: 4, x2APIC$")
    assert "smp: 4 CPUs, ok" in result.lines


def test_threads_are_numbered_after_cores(boot):
    result = boot("[nidus]\nloglevel = debug\n" + vm("one", "smp", vcpus=4, pin="3,2,1,0", cmdline="cpus=4 rounds=100"), cpus="1:2:2")
    assert result.status == 0
    result.find("CPUs: 4 on 2 cores, x2APIC$")
    for line in ("cpu 0: APIC id 0$", "cpu 1: APIC id 2$", "cpu 2: APIC id 1, on the core of cpu 0$", "cpu 3: APIC id 3, on the core of cpu 1$"):
        result.find(line)
    assert "smp: 4 CPUs, ok" in result.lines


def test_feature_control_that_differs_between_cpus(boot):
    """UEFI leaves it unlocked here; then it is locked on the boot CPU only."""
    result = boot(vm("one", "smp", vcpus=2, pin="1,0", cmdline="cpus=2 rounds=100"), firmware="uefi", cpus=2, grub="wrmsr 0x3a 5")
    assert result.status == 0
    assert "smp: 2 CPUs, ok" in result.lines


def test_vtx_locked_off_by_firmware(boot):
    result = boot(vm("one"), firmware="uefi", grub="wrmsr 0x3a 1")
    assert result.status == 3
    result.find(r"error: needs VT-x, which the firmware has locked off: IA32_FEATURE_CONTROL\[2\]; enable VT-x")


def test_console_by_port_and_speed(boot):
    """All of the log again, from the start, where the speed is another one."""
    result = boot("[nidus]\nconsole = port:0x3f8,57600\n" + vm("one"))
    assert result.status == 0
    assert len([line for line in result.nidus() if line.startswith("Nidus, loaded by")]) == 2
    assert "hello from 64-bit mode" in result.lines


def test_console_of_the_command_line_comes_first(boot):
    result = boot("[nidus]\nconsole = com2\n" + vm("one"), cmdline="quiet console=com1")
    assert result.status == 0
    assert len([line for line in result.nidus() if line.startswith("Nidus, loaded by")]) == 1
    result = boot(vm("one"), cmdline="console=com3,9600x console=com4")
    result.find("error: command line: unknown console 'com3,9600x'; use com1 to com4, ")
    result = boot("[nidus]\nconsole = mmio:0x200000\n" + vm("one"))
    result.find("warning: console: the machine has memory there at address 0x200000; staying where the log began$")
    result = boot(vm("one"), cmdline="console=com4")
    result.find("warning: command line: console: no UART answers at port 0x2e8; staying where the log began$")


@pytest.fixture
def qemu(images, tmp_path):
    """qemu(command line of Nidus, options): QEMU without KVM, and without a serial port but for those of the options."""
    packages.ensure("qemu")
    started = []

    def start(cmdline, *options):
        disk = image.make("bios", str(images.elf), Staged(b"", {}), str(tmp_path), cmdline)
        process = subprocess.Popen(["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "256", "-display", "none", "-vga", "std",
                                    "-nodefaults", "-no-reboot", "-cdrom", disk, *map(str, options)],
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_without_a_serial_port_messages_are_on_the_screen(qemu, tmp_path):
    screen = tmp_path / "screen"
    process = qemu("self-test", "-monitor", "stdio")
    for _ in range(60):
        time.sleep(1)
        process.stdin.write(f"pmemsave 0xb8000 4000 \"{screen}\"\n")
        process.stdin.flush()
        shown = screen.read_bytes()[::2].decode("ascii", "replace") if screen.exists() else ""
        if "nidus: end: status 3 (self-test: FAILED)" in shown:
            break
    assert "nidus: error: this CPU has no VT-x" in shown
    assert "nidus: console: no serial port; screen 80x25x16" in shown
    assert "nidus: end: status 3 (self-test: FAILED)" in shown


def test_the_serial_port_that_firmware_names(qemu, tmp_path):
    """ACPI's SPCR: a port that no PC has, at a speed, with an interrupt."""
    table, console = tmp_path / "spcr", tmp_path / "console"
    gas = struct.pack("<BBBBQ", 1, 8, 0, 1, 0x220)
    table.write_bytes((b"\0\0\0\0" + gas + struct.pack("<BBIB", 3, 5, 5, 6)).ljust(44, b"\0"))
    process = qemu("self-test power-off", "-acpitable", f"sig=SPCR,data={table}", "-chardev", f"file,id=far,path={console}",
                   "-device", "isa-serial,iobase=0x220,irq=5,chardev=far")
    process.wait(60)
    lines = console.read_text().replace("\r", "").split("\n")
    assert lines[0] == "nidus: Nidus, loaded by " + lines[0].split(" by ")[1]
    assert any(line.startswith("nidus: console: serial port at port 0x220, 57600 baud, interrupt 5;") for line in lines)
    assert "nidus: end: status 3 (self-test: FAILED)" in lines


def test_a_card_by_its_port(qemu, tmp_path):
    console = tmp_path / "console"
    process = qemu("console=port:0x3e0,9600", "-chardev", f"file,id=far,path={console}", "-device", "isa-serial,iobase=0x3e0,irq=5,chardev=far")
    process.wait(60)
    assert "nidus: error: this CPU has no VT-x" in console.read_text()
    assert "nidus: end: status 3 (Nidus failed)" in console.read_text()

# SPDX-License-Identifier: MIT
"""scripts/run itself: its options, its exit statuses and what it puts into boot images, with a stand-in for Nidus."""

import os
import subprocess
import time

import pytest
from pexpect import fdpexpect

from conftest import RUN, TOP

POWER_OFF, ECHO, HALT = "\n=o\n", "\n=e\n", "\n=h\n"


@pytest.fixture
def standin(tmp_path):
    """A small multiboot2 kernel: see standin.S."""
    made, elf = tmp_path / "standin.o", tmp_path / "standin.elf"
    subprocess.run(["gcc", "-m32", "-c", TOP / "tests/lab/standin.S", "-o", made], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext=0x200000", "-z", "noexecstack", "-z", "max-page-size=4096",
                    made, "-o", elf], check=True)
    return elf


@pytest.fixture
def say(boot, standin):
    """say(text, files, ...): a boot whose console is that text."""
    return lambda text, files=None, **options: boot(text, files, image=standin, **{"timeout": 20, **options})


def test_help(run):
    result = run("--help")
    assert result.status == 0
    for option in ("--firmware", "--cpu", "--cpus", "--memory", "--timeout", "--serial", "--emulator"):
        assert f"{option} " in result.text


@pytest.mark.parametrize("arguments, named", [
    (["--cpus", "0"], "--cpus"), (["--memory", "much"], "--memory"), (["--firmware", "coreboot"], "--firmware"),
    (["--frobnicate"], "--frobnicate"), (["--timeout", "-1"], "--timeout"), (["missing.conf"], "missing.conf"),
    (["--serial", "/nonexistent/console"], "/nonexistent/console"), (["one.conf", "two.conf"], "two.conf"),
])
def test_bad_usage_is_2_and_names_it(run, arguments, named):
    result = run(*arguments)
    assert result.status == 2
    assert named in result.messages.splitlines()[-1]


def test_unknown_cpu_is_2_and_lists_the_known(say):
    result = say(POWER_OFF, cpu="corei99")
    assert result.status == 2
    assert "corei99" in result.messages and "corei7_skylake_x" in result.messages


@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_status_is_what_nidus_says(say, status):
    assert say(f"\nnidus: end: status {status} (reason)\n{POWER_OFF}").status == status


def test_stops_a_machine_that_stays_on(say):
    before = time.monotonic()
    assert say(f"\nnidus: end: status 1\n{HALT}", timeout=60).status == 1
    assert time.monotonic() - before < 30


def test_panic_is_3_and_its_dump_is_shown(say):
    result = say(f"\nnidus: panic: words\nnidus: the dump\n{HALT}")
    assert result.status == 3
    assert "nidus: the dump" in result.lines


def test_panic_wins_over_an_end(say):
    assert say(f"\nnidus: panic: words\nnidus: end: status 0\n{POWER_OFF}").status == 3


@pytest.mark.parametrize("line", ["one| nidus: end: status 0", "x\rnidus: end: status 0", " nidus: end: status 0",
                                  "nidus: end: status 7"])
def test_only_a_whole_line_ends_it(say, line):
    assert say(f"\n{line}\n{HALT}", timeout=3).status == 124


def test_power_off_without_a_word_is_3(say):
    result = say(POWER_OFF)
    assert result.status == 3
    assert "ended by itself" in result.messages


def test_time_limit_is_124_and_is_kept(say):
    before = time.monotonic()
    assert say(HALT, timeout=2).status == 124
    assert time.monotonic() - before < 10


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_modules_carry_the_configuration_and_its_files(say, tmp_path, firmware):
    outside = tmp_path / "odd name=1"
    outside.mkdir()
    (outside / "k").write_bytes(b"2")
    conf = (f"[vm a]\nkernel = one.elf\nmodule = dir/two.elf  some arguments\n"
            f"initrd = {tmp_path}/./three.img\nmodule = sub/../four\nmodule = one.elf again\n"
            f"# kernel = comment.elf\nkernel = missing\nnidus: end: status 0\n{POWER_OFF}")
    files = {"one.elf": b"1", "dir/two.elf": b"22", "three.img": b"3", "sub/x": b"", "four": b"4"}
    result = say(conf, files, firmware=firmware, timeout=60)
    assert result.status == 0
    modules = [line.split(": ")[1] for line in result.lines if line.startswith("module: ")]
    assert modules == ["nidus.conf", "one.elf", "dir/two.elf", "files/2", "files/3"]
    start = result.lines.index("[vm a]")
    assert result.lines[start:start + 8] == [
        "[vm a]", "kernel = one.elf", "module = dir/two.elf  some arguments", "initrd = files/2", "module = files/3",
        "module = one.elf again", "# kernel = comment.elf", "kernel = missing"]
    assert "test.conf:8: missing: no such file" in result.messages
    assert "comment.elf" not in result.messages


def test_serial_writes_the_console_to_a_file(run, standin, tmp_path):
    conf, serial = tmp_path / "a.conf", tmp_path / "console.txt"
    conf.write_text(f"\nnidus: end: status 0\n{POWER_OFF}")
    result = run(conf, "--image", standin, "--emulator", "bochs", "--serial", serial, "--timeout", 20)
    assert (result.status, result.text) == (0, "")
    assert b"nidus: end: status 0" in serial.read_bytes()


@pytest.mark.parametrize("emulator", ["bochs", "qemu"])
def test_terminal_goes_both_ways_and_ctrl_a_x_quits(standin, tmp_path, emulator):
    conf = tmp_path / "a.conf"
    conf.write_text(f"ready{ECHO}")
    keys, terminal = os.openpty()
    process = subprocess.Popen([RUN, conf, "--image", standin, "--emulator", emulator, "--timeout", "60"],
                               stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    child = fdpexpect.fdspawn(keys, timeout=60)
    child.expect("Ctrl-A x")
    child.expect("ready")
    child.send("typed\x03\x01\x01")
    child.expect("typed\x03\x01")
    child.send("\x01x")
    child.expect("stopped by the keyboard")
    assert process.wait(20) == 130


def test_qemu_with_uefi_and_a_time_limit(say):
    assert say(f"\nnidus: end: status 0\n{HALT}", emulator="qemu", firmware="uefi", timeout=60).status == 0
    assert say(HALT, emulator="qemu", timeout=4).status == 124


def test_auto_says_which_emulator_and_why(run, standin, tmp_path):
    conf = tmp_path / "a.conf"
    conf.write_text(f"\nnidus: end: status 0\n{HALT}")
    result = run(conf, "--image", standin, "--timeout", 30)
    assert result.status == 0
    assert any(word in result.messages for word in ("emulator: Bochs", "emulator: QEMU with KVM"))
    assert "no vmx flag" in result.messages or "nest" in result.messages or "/dev/kvm" in result.messages


def test_four_cpus_much_memory_another_model(say):
    text = f"\nnidus: end: status 0\n{POWER_OFF}"
    assert say(text, cpus=4, memory=3072, cpu="corei7_haswell_4770,-vmx").status == 0

# SPDX-License-Identifier: MIT
"""Exit statuses, what restarts, and mistakes in the configuration: each with its line, and the other VMs go on."""

import pytest

from sections import vm

GOOD = vm("good", cmdline="count=3")


def good_went_on(result):
    return "hello: count 3" in result.text and "good: powered off: wrote 'Shutdown' to port 0x8900" in result.nidus()


def test_0_when_all_power_off(boot):
    result = boot(vm("one") + vm("two"))
    assert result.status == 0
    assert result.nidus()[-1] == "end: status 0 (every VM ended by its own power-off)"


@pytest.mark.parametrize("bad, why", [
    (vm("bad", cmdline="exit=5"), "wrote 5 to port 0xf4"),
    (vm("bad", "hostile", cmdline="do=triple"), "triple fault"),
])
def test_1_when_one_crashes(boot, bad, why):
    result = boot(bad + GOOD)
    assert result.status == 1
    result.find(f"error: bad: crashed: {why}$")
    assert good_went_on(result)
    assert result.nidus()[-1] == "end: status 1 (a VM crashed)"


def test_0_written_to_the_exit_port_is_an_end(boot):
    assert boot(vm("one", cmdline="exit=0") + GOOD).status == 0


def test_124_when_it_does_not_end(boot):
    result = boot(vm("one", cmdline="halt"), timeout=4)
    assert result.status == 124
    assert "hello: halt" in result.lines


def test_a_reset_ends_it_without_restart(boot):
    result = boot(vm("one", cmdline="reboot"))
    assert result.status == 0
    assert result.lines.count("hello: reboot") == 1
    result.find(r"one: reset: ")


def test_restart_starts_it_again_and_again(boot):
    again = {"a": ("reset", "reboot"), "b": ("crash", "reboot"), "c": ("crash", "exit=1")}
    result = boot("".join(vm(name, restart=restart, cmdline=cmdline, memory="16M")
                          for name, (restart, cmdline) in again.items()), timeout=7)
    assert result.status == 124
    for name in again:
        assert result.vm(name).count("hello from 64-bit mode") >= 3


@pytest.mark.parametrize("restart, cmdline, status", [("reset", "exit=1", 1), ("never", "exit=1", 1), ("crash", "ready", 0)])
def test_no_restart(boot, restart, cmdline, status):
    """A crash is not what 'reset' is for, and after a power-off it stays off."""
    result = boot(vm("one", restart=restart, cmdline=cmdline))
    assert result.status == status
    assert result.lines.count("hello from 64-bit mode") == 1


# What is wrong, on which line, with what words; each beside a VM that has nothing wrong.
MISTAKES = {
    "unknown key": ("[vm bad]\nkernel = hello.elf\ncolour = blue\n", 3, "colour"),
    "unknown section": ("[disk]\n", 1, "disk"),
    "no kernel": ("[vm bad]\nmemory = 16M\n", 1, "kernel"),
    "bad size": ("[vm bad]\nkernel = hello.elf\nmemory = much\n", 3, "much"),
    "too small": ("[vm bad]\nkernel = hello.elf\nmemory = 4K\n", 3, "4K"),
    "twice": ("[vm bad]\nkernel = hello.elf\nmemory = 16M\nmemory = 16M\n", 4, "memory"),
    "two VMs of one name": ("[vm good]\nkernel = hello.elf\n", None, "good"),
    "no such CPU": ("[vm bad]\nkernel = hello.elf\nvcpus = 2\npin = 0,7\n", 1, r"bad: pin: there is no CPU 7; this machine runs CPUs 0 to 0"),
    "pins of other vCPUs": ("[vm bad]\nkernel = hello.elf\npin = 0,0\n", 3, "pin"),
    "no such kernel": ("[vm bad]\nkernel = missing.elf\n", 2, r"bad: the boot loader did not bring the file 'missing.elf'"),
    "no such module": ("[vm bad]\nkernel = hello.elf\nmodule = missing.bin\n", 3, "'missing.bin'"),
    "no kernel file": ("[vm bad]\nkernel = text\n", 2, "bad: 'text': neither a multiboot kernel nor a Linux bzImage"),
    "too much memory": ("[vm bad]\nkernel = hello.elf\nmemory = 8G\n", 1, r"bad: 8192 MiB of memory are not free; \d+ MiB are"),
    "unknown feature": ("[vm bad]\nkernel = hello.elf\nhide = WARP_DRIVE\n", 3, "WARP_DRIVE"),
    "bad value": ("[vm bad]\nkernel = hello.elf\nrestart = often\n", 3, "often"),
    "not a line": ("[vm bad]\nkernel = hello.elf\nrun fast\n", 3, "run fast"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_2_names_the_line_and_the_others_run(boot, mistake):
    bad, line, words = MISTAKES[mistake]
    result = boot(bad + GOOD, files={"text": b"This is no kernel.\n" * 100})
    assert result.status == 2
    errors = [text for text in result.nidus() if text.startswith("error: nidus.conf:")]
    assert len(errors) == 1
    result.find(rf"error: nidus\.conf:{line or '[0-9]+'}: .*{words}")
    assert mistake == "two VMs of one name" or good_went_on(result)


def test_mistakes_are_all_told_at_once(boot):
    result = boot("[vm a]\nkernel = hello.elf\ncolour = blue\n[vm b]\nmemory = 1\n" + GOOD)
    assert result.status == 2
    assert len([text for text in result.nidus() if text.startswith("error: nidus.conf:")]) >= 3
    assert good_went_on(result)


@pytest.mark.parametrize("text", ["\n", "# nothing\n", "[nidus]\nloglevel = info\n"])
def test_no_vm_is_a_mistake(boot, text):
    result = boot(text)
    assert result.status == 2
    result.find(r"error: nidus\.conf: no VM in it; add a section \[vm NAME\]")


def test_2_comes_before_1(boot):
    result = boot(vm("crashes", cmdline="exit=1") + "[vm bad]\nkernel = missing\n")
    assert result.status == 2
    result.find("error: crashes: crashed: ")


@pytest.mark.parametrize("kind, words", [("panic", "asked for on the command line"), ("exception", "exception 14 #PF")])
def test_3_with_a_backtrace_of_names(boot, kind, words):
    result = boot(vm("one"), cmdline=f"crash={kind}", timeout=30)
    assert result.status == 3
    result.find(f"panic: .*{words}")
    result.find(r"error: +[0-9a-f]{16} main_on_stack\+0x[0-9a-f]+")
    assert not [line for line in result.lines if line.startswith("hello")]


def test_a_refused_vm_entry_ends_that_vm_alone(boot):
    """Each VM is refused once here: its fields are shown by name, and the reason in words."""
    result = boot(vm("one", cmdline="count=1") + vm("two"), cmdline="crash=entry")
    assert result.status == 1
    for name in ("one", "two"):
        result.find(rf"error: {name}\.0: rax [0-9a-f]{{16}} ")
        result.find(rf"error: {name}\.0: .*guest RFLAGS")
        result.find(rf"error: {name}\.0: likely reason: .*RFLAGS")
        result.find(rf"error: {name}: crashed: refused VM entry$")
    assert "hello" not in "".join(result.vm("one") + result.vm("two"))

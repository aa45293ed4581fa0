# SPDX-License-Identifier: MIT
"""Debian's own kernel, unmodified, in VMs: what it finds, what it complains of, load with checks, ends of all kinds."""

import pathlib
import re
import subprocess
import time

import pytest

import emulator
from nidus_lab import debian, packages
from sections import DEBUG

HERE = pathlib.Path(__file__).resolve().parent / "linux"
SHORT = ((1, 1, "bios"), (2, 1, "uefi"), (2, 2, "uefi-app"), (4, 2, "bios"))
PLACES = [pytest.param(*place, marks=[] if place in SHORT else pytest.mark.long(0.7))
          for place in ((vcpus, cpus, firmware) for firmware in ("bios", "uefi", "uefi-app")
                        for cpus in (1, 2) for vcpus in (1, 2, 4))]
# What the kernel may complain of.
ACCEPTED = (
    r"RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable",  # the emulated CPU has no IBRS
    r"acpi PNP0A03:00: fail to add MMCONFIG information",  # PCI by ports 0xcf8 and 0xcfc only
    r"hrtimer: interrupt took \d+ ns",  # one waits for the other's lines on a serial port of 115,200 baud
)
CHECKS = ("registers", "sleeps", "periodic", "signals", "pipes", "mappings", "clock", "processes", "traps")
FEW = CHECKS[:-2]  # without those that live on exceptions
ROUNDS = 2000  # of pingpong
AFTER_READING = 100  # IPIs between a look at /proc/interrupts and the power-off; about 35 is usual
REBOOT_FOR = 50  # seconds from the start of the test; one boot takes 30


@pytest.fixture(scope="session")
def linux(tmp_path_factory):
    """The files of a VM of linux_vm()."""
    packages.ensure("build")
    work = tmp_path_factory.mktemp("linux")
    alone = [HERE / "pingpong.c"]
    programs = {"stress": {*HERE.glob("*.c"), *HERE.glob("*.S")} - set(alone), "pingpong": alone}
    for name, sources in programs.items():
        subprocess.run(["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", work / name, *sources], check=True)
    debian.initramfs(work / "initramfs.cpio", work, (HERE / "init").read_text(), [str(work / name) for name in programs])
    return {"vmlinuz": debian.kernel(), "initramfs.cpio": work / "initramfs.cpio"}


def linux_vm(name, do, words="quiet panic=-1", memory="256M", **options):
    """A [vm] section; do: the steps of linux/init; words: more of the kernel's command line."""
    lines = [f"[vm {name}]", "kernel = vmlinuz", "initrd = initramfs.cpio", f"cmdline = console=ttyS0 do={do} {words}",
             f"memory = {memory}", *(f"{option} = {value}" for option, value in options.items())]
    return "\n".join(lines) + "\n"


@pytest.fixture
def boot_linux(boot, linux):
    def start(configuration, cpus=1, **options):
        result = boot(configuration, files=linux, cpus=cpus, **{"memory": 1024, "timeout": 400, **options})
        if cpus > 1:
            emulator.excuse_stale_rip(result)
        return result

    return start


def told(lines, what):
    """The rest of the lines that begin with that word and a colon."""
    return [line[len(what) + 2:] for line in lines if line.startswith(f"{what}: ")]


def check_facts(lines, vcpus, ids=range(64)):
    facts = told(lines, "fact")
    every = "0" if vcpus == 1 else f"0-{vcpus - 1}"
    assert f"online {every}" in facts and f"possible {every}" in facts
    assert "clocksource tsc" in facts
    assert "clockevent lapic-deadline" in facts
    # One package, whose cores are counted by their APIC ids.
    cpuinfo = [fact[len("cpuinfo "):] for fact in facts if fact.startswith("cpuinfo ")]
    assert cpuinfo == [line for cpu in range(vcpus) for line in (
        f"processor {cpu}", "physical id 0", f"siblings {vcpus}", f"core id {ids[cpu]}", f"cpu cores {vcpus}",
        f"apicid {ids[cpu]}")]


def check_complaints(lines):
    assert "complaints: these are all" in lines
    assert not [text for text in told(lines, "complaint") if not any(re.match(known, text) for known in ACCEPTED)]


def interrupts(lines, vcpus):
    """The last step 'interrupts': each line's name, its count on every CPU."""
    text = told(lines, "interrupts")
    text = text[max(i for i, line in enumerate(text) if "CPU0" in line) + 1:]
    return {name.strip(): [int(n) for n in rest.split()[:vcpus] if n.isdigit()]
            for name, rest in (line.split(":", 1) for line in text)}


def check_interrupts(lines, vcpus):
    counts = interrupts(lines, vcpus)
    assert len(counts["LOC"]) == vcpus and min(counts["LOC"]) > 10
    assert sum(counts["4"]) > 0  # ttyS0
    for name in ("NMI", "SPU", "PMI", "TRM", "RTR"):
        assert sum(counts[name]) == 0, name
    assert counts["ERR"] == counts["MIS"] == [0]
    if vcpus > 1:
        assert min(counts["CAL"]) > 0


def check_stress(lines, vcpus, checks):
    assert told(lines, "stress")[-1] == "ok"
    for check in checks:
        for cpu in range(vcpus):
            rounds = [re.match(rf"{check} on CPU {cpu}: (\d+) rounds$", text) for text in told(lines, "stress")]
            assert any(found and int(found[1]) > 1 for found in rounds), f"{check} on CPU {cpu}"


def find_machine(boot_linux, vcpus, boot_options, **options):
    words = "panic=-1" if vcpus == 1 else "quiet panic=-1"
    result = boot_linux(linux_vm("debian", "facts,complaints,interrupts,poweroff", words, vcpus=vcpus, **options), **boot_options)
    assert result.status == 0
    result.find(r"debian: powered off: ACPI soft-off$")
    check_facts(result.lines, vcpus)
    check_complaints(result.lines)
    check_interrupts(result.lines, vcpus)
    return result


@pytest.mark.parametrize("vcpus, cpus, firmware", PLACES)
def test_linux_finds_its_machine(boot_linux, vcpus, cpus, firmware):
    find_machine(boot_linux, vcpus, {"firmware": firmware, "cpus": cpus})


@pytest.mark.long(0.7)
@pytest.mark.parametrize("vcpus", [1, 2, 4])
@pytest.mark.parametrize("apic", ["apicv", "posted"])
def test_linux_finds_its_machine_with(boot_linux, apic, vcpus):
    find_machine(boot_linux, vcpus, {}, apic=apic).find(rf"debian: vmlinuz, .*, APIC: {apic}$")


def check_ipis(result, vcpus, least):
    """Two for each round trip, at least. Some are sent after the table was read, most of them for the power-off."""
    counts = interrupts(result.lines, vcpus)
    came = sum(counts["RES"] + counts["CAL"])
    found = [re.match(r"debian: (?:by KVM's interface: )?(\d+) IPIs", line) for line in result.nidus()]
    sent = sum(int(match[1]) for match in found if match)
    assert least <= came <= sent <= came + AFTER_READING, f"{sent} were sent, {came} came"


def check_means(result, apic, hidden, least):
    """What the CPU does is no exit. Linux that sees no KVM is in xAPIC mode."""
    exits = {reason: int(count) for reason, count in (
        part.rsplit(" ", 1) for part in result.find(r"debian: \d+ exits: (.*)")[1].split(", "))}
    emulated = apic == "emulated"
    assert (exits.get("APIC write", 0) >= least) == (hidden and not emulated)  # ICR
    assert (exits["EPT violation"] >= 2 * least) == (hidden and emulated)  # ICR and EOI
    assert hidden or exits["WRMSR"] >= least
    assert (exits.get("interrupt window", 0) > least / 100) == emulated


@pytest.mark.parametrize("apic, hide", [
    pytest.param(apic, hide, marks=[] if (apic, hide) == ("posted", "KVM") else pytest.mark.long(1))
    for apic in ("emulated", "apicv", "posted") for hide in ("nothing", "KVM")])
def test_ipis_are_counted_alike(boot_linux, apic, hide):
    """Pairs of processes wake each other: what Nidus counts as it is sent, Linux counts as it comes; by the means of that level."""
    options = {"apic": apic, **({} if hide == "nothing" else {"hide": hide})}
    result = boot_linux(DEBUG + linux_vm("debian", "pingpong,complaints,interrupts,poweroff", f"quiet panic=-1 rounds={ROUNDS}", vcpus=4,
                                         **options))
    assert result.status == 0
    result.find(rf"debian: vmlinuz, .*, APIC: {apic}$")
    assert told(result.lines, "pingpong")[-1] == "ok"
    check_complaints(result.lines)
    check_interrupts(result.lines, 4)
    check_ipis(result, 4, 2 * ROUNDS * 2)
    check_means(result, apic, hide == "KVM", 2 * ROUNDS * 2)


@pytest.mark.long(0.7)
def test_apic_ids_with_gaps(boot_linux):
    result = boot_linux(linux_vm("debian", "facts,complaints,interrupts,poweroff", vcpus=2, apicid="3,7"))
    assert result.status == 0
    check_facts(result.lines, 2, ids=[3, 7])
    check_complaints(result.lines)
    check_interrupts(result.lines, 2)


def stress_vm(name, seconds, vcpus, checks, steps="stress,poweroff", **options):
    words = f"quiet panic=-1 seconds={seconds}" + (" exceptions=few" if checks == FEW else "")
    return linux_vm(name, steps, words, vcpus=vcpus, **options)


def stress_and_look(boot_linux, seconds, vcpus, checks=CHECKS, pins=None, **options):
    vm = stress_vm("debian", seconds, vcpus, checks, "stress,complaints,interrupts,poweroff", **({"pin": pins} if pins else {}))
    result = boot_linux(vm, **options)
    assert result.status == 0
    check_stress(result.lines, vcpus, checks)
    check_complaints(result.lines)
    check_interrupts(result.lines, vcpus)
    return result


def test_stress(boot_linux):
    result = stress_and_look(boot_linux, 6, 2)
    assert "stress: XSAVE components 0xe7" in result.lines  # AVX-512 too


@pytest.mark.long(3)
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_stress_for_a_minute(boot_linux, firmware):
    stress_and_look(boot_linux, 60, 4, firmware=firmware, timeout=900)


# With all checks on 2 CPUs the state of emulator.STALE_RIP has come sooner or later in every run. So there is one with few exceptions: on
# CPUs 1 and 2 of three, for on CPU 0 an interrupt may be slept over.
@pytest.mark.long(5)
@pytest.mark.parametrize("cpus, pins, checks", [(3, "1,2,1,2", FEW), (2, None, CHECKS)], ids=["few", "all"])
def test_stress_for_a_minute_on_two_cpus(boot_linux, cpus, pins, checks):
    stress_and_look(boot_linux, 60, 4, checks, pins, cpus=cpus, timeout=900)


@pytest.mark.long(1)
@pytest.mark.parametrize("cpus, checks", [(1, CHECKS), (2, FEW)], ids=["1 CPU", "2 CPUs"])
@pytest.mark.parametrize("model, components", [("corei5_arrandale_m520", 0), ("corei7_haswell_4770", 7),
                                               ("corei7_icelake_u", 0xe7)])
def test_stress_on_models(boot_linux, model, components, cpus, checks):
    result = stress_and_look(boot_linux, 10, 2, checks, cpus=cpus, cpu=model)
    assert f"stress: XSAVE components {components:#x}" in result.lines


@pytest.mark.long(2)
@pytest.mark.parametrize("cpus, checks", [(1, CHECKS), (2, FEW)], ids=["1 CPU", "2 CPUs"])
def test_two_vms_under_stress(boot_linux, cpus, checks):
    """Three vCPUs and two."""
    result = boot_linux(stress_vm("one", 15, 3, checks) + stress_vm("two", 15, 2, checks), cpus=cpus, timeout=900)
    assert result.status == 0
    check_stress(result.vm("one"), 3, checks)
    check_stress(result.vm("two"), 2, checks)


def test_cpu_goes_and_comes_back(boot_linux):
    """INIT and SIPI of a CPU that has run before; twice."""
    result = boot_linux(linux_vm("debian", "hotplug,stress,complaints,poweroff", "quiet panic=-1 seconds=2", vcpus=2))
    assert result.status == 0
    assert told(result.lines, "hotplug") == ["online 0", "online 0-1"] * 2
    check_stress(result.lines, 2, CHECKS)
    check_complaints(result.lines)


# How a VM ends: its last step, what its restart is, words for its kernel, what Nidus says of it, how often it boots.
ENDS = {
    "poweroff": ("poweroff", "never", "", r"victim: powered off: ACPI soft-off$", 1),
    "reset": ("reset", "never", "", r"victim: reset: ", 1),
    "crash": ("crash", "never", "panic=-1", r"victim: reset: ", 1),
    "crash-later": ("crash", "never", "panic=1", r"victim: reset: ", 1),
    "reset-again": ("reset", "reset", "", r"victim: reset: ", 2),
    "crash-again": ("crash", "crash", "panic=1", r"victim: reset: ", 2),
}


# What runs long on 2 CPUs is under --long, because of emulator.STALE_RIP.
@pytest.mark.parametrize("cpus, end", [
    (1, "poweroff"), (1, "crash"), (1, "reset"),
    *(pytest.param(cpus, end, marks=pytest.mark.long(1)) for cpus, end in (
        (2, "poweroff"), (2, "reset"), (2, "crash"), (2, "reset-again"), (1, "crash-later"), (2, "crash-later"),
        (2, "crash-again")))])
def test_a_vm_ends_and_the_other_goes_on(boot_linux, cpus, end):
    last, restart, words, said, boots = ENDS[end]
    count = 10 if boots == 1 else 45
    pins = ({}, {}) if cpus == 1 else ({"pin": 0}, {"pin": 1})
    until = int(time.time()) + REBOOT_FOR if boots > 1 else 1 << 40
    result = boot_linux(linux_vm("calm", "count,complaints,poweroff", f"quiet seconds={count}", **pins[0]) +
                        linux_vm("victim", f"until,{last}", f"quiet until={until} {words}", restart=restart, **pins[1]),
                        cpus=cpus)
    assert result.status == 0
    result.find(said)
    hellos = [i for i, line in enumerate(result.lines) if line.startswith("victim| Hello from Linux")]
    if boots == 1:
        assert len(hellos) == 1
    else:
        assert len(hellos) >= boots
        result.find(r"victim: powered off: ACPI soft-off$")
    assert told(result.vm("calm"), "count") == [str(n) for n in range(1, count + 1)]
    check_complaints(result.vm("calm"))
    result.find(r"calm: powered off: ACPI soft-off$")
    # It counted on after the first end of the other.
    ended = next(i for i, line in enumerate(result.lines) if re.match(f"nidus: {said}", line))
    assert f"calm| count: {count}" in result.lines[ended:]

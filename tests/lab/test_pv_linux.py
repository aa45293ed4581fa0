# SPDX-License-Identifier: MIT
"""Debian's own kernel, unmodified, uses KVM's paravirtual interface; or does not, where it is hidden."""

import pathlib
import re
import subprocess

import pytest

import emulator
from nidus_lab import debian, packages
from sections import DEBUG

HERE = pathlib.Path(__file__).resolve().parent / "pv_linux"
SECONDS = 2
APIC = pytest.mark.parametrize("apic", ["emulated", *(pytest.param(apic, marks=pytest.mark.long(0.7)) for apic in ("apicv", "posted"))])
SAYS = ("kvm-clock: Using msrs 4b564d01 and 4b564d00", "kvm-guest: KVM setup pv remote TLB flush", "kvm-guest: setup PV sched yield",
        "kvm-guest: setup PV IPIs", "kvm-guest: PV spinlocks enabled")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    packages.ensure("build")
    work = tmp_path_factory.mktemp("pv_linux")
    subprocess.run(["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", work / "shoot", HERE / "shoot.c"], check=True)
    debian.initramfs(work / "pv.cpio", work, (HERE / "init").read_text(), [str(work / "shoot")])
    return {"vmlinuz": debian.kernel(), "pv.cpio": work / "pv.cpio"}


class Run:
    """What a VM of four vCPUs came to."""

    def __init__(self, result):
        self.result, self.lines = result, result.lines
        assert result.status == 0
        assert self.told("shoot")[-1] == "ok"  # time went on on all CPUs alike, and no page was seen that was gone

    def told(self, what):
        return [line[len(what) + 2:] for line in self.lines if line.startswith(f"{what}: ")]

    def rounds(self, what):
        return int(next(re.match(rf"(\d+) {what}$", line) for line in self.told("shoot") if line.endswith(f" {what}"))[1])

    def interrupts(self, name):
        line = next(line for line in self.told("interrupts") if line.startswith(f"{name} "))
        return sum(int(n) for n in line.split()[1:5])

    def by_interface(self):
        """IPIs, TLB flushes, EOIs, as Nidus has counted them; None: it says nothing."""
        found = [re.match(r"debian: by KVM's interface: (\d+) IPIs, (\d+) TLB flushes, (\d+) EOIs$", line) for line in self.result.nidus()]
        return next((tuple(int(n) for n in match.groups()) for match in found if match), None)


@pytest.fixture
def boot_pv(boot, files):
    def start(words="", cpus=1, **options):
        lines = ["[vm debian]", "kernel = vmlinuz", "initrd = pv.cpio", "memory = 256M", "vcpus = 4",
                 f"cmdline = console=ttyS0 quiet panic=-1 seconds={SECONDS} {words}", *(f"{name} = {value}" for name, value in options.items())]
        result = boot(DEBUG + "\n".join(lines) + "\n", files=files, memory=1024, cpus=cpus, timeout=300)
        if cpus > 1:
            emulator.excuse_stale_rip(result)
        return Run(result)

    return start


def check_says(run):
    for text in SAYS:
        assert text in run.told("dmesg")


@APIC
def test_linux_uses_it(boot_pv, apic):
    run = boot_pv(hide="INVARIANT_TSC", apic=apic)
    assert run.told("fact") == ["clocksource kvm-clock"]
    check_says(run)
    ipis, flushes, eois = run.by_interface()
    # Each barrier is an IPI to two CPUs in one call. With one CPU for all vCPUs, those that read are never on it while pages change.
    assert ipis >= 2 * run.rounds("barriers") > 100
    assert flushes > 50
    assert run.interrupts("TLB") < run.rounds("pages") / 10
    assert run.rounds("wake-ups") > 1000
    assert eois > run.rounds("wake-ups") if apic == "emulated" else eois == 0  # the CPU does them
    assert all(int(line.split()[8]) > 0 for line in run.told("stat"))  # steal time
    years = run.told("date")
    assert len(years) == 1 and int(years[0]) >= 2024


@APIC
def test_invariant_tsc_is_preferred(boot_pv, apic):
    """With CPUs that come and go: what a CPU has registered goes with it."""
    run = boot_pv("hotplug=1", apic=apic)
    assert run.told("fact") == ["clocksource tsc"]
    check_says(run)
    assert len([line for line in run.told("shoot") if line == "ok"]) == 2
    ipis, flushes, eois = run.by_interface()
    assert ipis and flushes and (eois > 0) == (apic == "emulated")


@APIC
def test_hidden(boot_pv, apic):
    run = boot_pv(hide="KVM", apic=apic)
    assert run.told("fact") == ["clocksource tsc"]
    assert not [line for line in run.told("dmesg") if "kvm" in line.lower()]
    assert run.by_interface() is None
    assert run.interrupts("TLB") > run.rounds("pages")


@pytest.mark.long(0.7)
@pytest.mark.parametrize("hide", ["KVM_CLOCK", "KVM_STEAL_TIME", "KVM_PV_EOI", "KVM_PV_UNHALT", "KVM_PV_TLB_FLUSH", "KVM_PV_SEND_IPI"])
def test_a_part_is_hidden(boot_pv, hide):
    run = boot_pv(hide=hide)
    ipis, flushes, eois = run.by_interface()
    assert (ipis == 0) == (hide == "KVM_PV_SEND_IPI")
    assert (flushes == 0) == (hide in ("KVM_STEAL_TIME", "KVM_PV_TLB_FLUSH"))
    assert (eois == 0) == (hide == "KVM_PV_EOI")


@pytest.mark.long(1)
def test_linux_uses_it_on_two_cpus(boot_pv):
    run = boot_pv(hide="INVARIANT_TSC", cpus=2)
    check_says(run)
    assert all(run.by_interface())

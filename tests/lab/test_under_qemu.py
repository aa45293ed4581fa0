# SPDX-License-Identifier: MIT
"""Nidus in a machine of QEMU's with KVM, -cpu host: Debian's Linux and QEMU have the emulated CPU, Nidus is their guest.

So Nidus's guests are L2 there, and theirs L3. One boot of Linux takes several steps, each a start of QEMU: see docs/testing.md.
"""

import re

import pytest

from nidus_lab import debian, kvm, under_qemu
from nidus_lab.under_qemu import Step
from sections import vm

# Bochs clears a bit of the address of KVM's posted-interrupt descriptor, so that its first VM entry with APICv fails.
KVM = "enable_apicv=0"
# The emulated TSC counts instructions; so many a second that a tick of a guest's timer has room for some exits by way of KVM.
IPS = 250000000
Q35 = "-M q35,accel=kvm -nodefaults -vga none -m 512 -cpu "
GONE = "nidus: end: status 3 (Nidus failed)"
# KVM and not a CPU: a WRMSR of a guest's guest to IA32_SYSENTER_ESP is made canonical instead of refused.
SMOKE = "skip=msr-bad"
# Without VMCS shadowing an exit costs so much that interrupts of each millisecond leave no time for anything else here.
SLOW = SMOKE + ",interrupt-,time-,xapic-timer,x2apic-timer"
# Their timers tick more often than ticks can be taken here.
PV = "skip=many-"
# KVM forgets an INT1 that it injects, if its delivery meets an EPT violation that is KVM's own affair. And what Bochs says of events then
# is of the one before, if it was delivering a virtual interrupt: KVM brings that again.
L1 = "skip=inject-each,vectoring-ept,apicv-,ipiv-"
# Without MTF an interrupt for L1 comes before the instruction in a shadow of L2, not after it; every CPU has unconditional I/O exiting.
LESS = ",event-interrupt-shadow,event-interrupt-if-off,event-nmi-shadow,exit-io-bitmaps,exit-io-unconditional"


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    return under_qemu.base(str(tmp_path_factory.mktemp("under-qemu")))


@pytest.fixture
def steps(boot, images, shared, tmp_path):
    """steps(Step, ...) takes them in one boot of Linux: name -> lines. A step's conf is the text of a configuration."""

    def take(*wanted, cpus=1, timeout=400):
        for step in wanted:
            path = tmp_path / f"{abs(hash(step.conf))}.conf"
            path.write_text(re.sub(r"=\s*([\w-]+)\.elf\b", lambda found: f"= {images.guest(found[1])}", step.conf))
            step.conf = str(path)
        cpio = under_qemu.make(str(tmp_path), shared, str(images.elf), wanted)
        result = boot("[vm unused]\ninitrd = all.cpio\n", {"all.cpio": cpio}, image=debian.kernel(), cpus=cpus, memory=2048,
                      timeout=timeout, ips=IPS,
                      cmdline=f"console=ttyS0 quiet oops=panic panic=-1 mitigations=off tsc_early_khz={IPS // 1000}")
        assert result.status == 0
        assert "BUG" not in result.text.replace("[Firmware Bug]", "") and "Call Trace" not in result.text
        parts = re.split(r"^step: (.*)\n", result.text, flags=re.MULTILINE)
        return {name: [re.sub(r"^\d+\.\d+: ", "", line) for line in text.split("\n")] for name, text in zip(parts[1::2], parts[2::2])}

    return take


def check_ended(lines, status=0):
    assert any(line.startswith(f"nidus: end: status {status} ") for line in lines)
    assert "QEMU ended with 0" in lines  # Nidus has switched the machine off


def check_tests(lines, name, least):
    check_ended(lines)
    assert [line for line in lines if line.startswith("FAIL")] == []
    found = [re.match(rf"{name}: (\d+) passed, 0 failed$", line) for line in lines]
    assert any(match and int(match[1]) >= least for match in found)


def errors(lines):
    return [line.removeprefix("nidus: error: ") for line in lines if line.startswith("nidus: error: ")]


def named(lines, *texts):
    """It is named what is missing, and nothing else is said."""
    assert errors(lines) == list(texts)
    check_ended(lines, 3)


def conf(kernel, cmdline="", **options):
    """apic: as on the bare emulated CPU, which delivers virtual interrupts wrongly (docs/testing.md)."""
    return vm("one", kernel, **{"memory": "64M", "apic": "emulated", "cmdline": cmdline, **options})


def test_guests_and_theirs(steps):
    said = steps(
        Step("as documented", vm("one"), "-M pc,accel=kvm -cpu host -m 1G -nic none", KVM),
        Step("smoke", conf("smoke", SMOKE), Q35 + "host -smp 2", KVM),
        Step("l1", conf("l1", "tests only=entry-,exit-,msr-,ept-", nested="on"), Q35 + "host", KVM),
        Step("no guests", conf("hello"), Q35 + "host", f"{KVM} unrestricted_guest=0"),
        Step("no VT-x", conf("hello"), Q35 + "host", f"{KVM} nested=0"))
    assert "hello from 64-bit mode" in said["as documented"]
    check_ended(said["as documented"])
    assert "nidus: CPUs: 2, x2APIC" in said["smoke"]
    check_tests(said["smoke"], "smoke", 140)
    check_tests(said["l1"], "l1", 44)
    named(said["no guests"], "needs unrestricted guest: IA32_VMX_PROCBASED_CTLS2[39]")
    assert errors(said["no VT-x"])[0].startswith("this CPU has no VT-x (CPUID.01H:ECX.VMX[5]), or it is hidden")
    check_ended(said["no VT-x"], 3)


@pytest.mark.long(3)
def test_other_guests(steps):
    said = steps(Step("pv", conf("pv", PV), Q35 + "host", KVM),
                 Step("bench", conf("bench"), Q35 + "host", KVM), Step("l1", conf("l1", f"tests {L1}", nested="on"), Q35 + "host", KVM, 60),
                 timeout=900)
    for name in "pv", "l1":
        check_tests(said[name], name, 30)
    check_ended(said["bench"])
    assert "bench: end" in said["bench"]


@pytest.mark.long(4)
def test_two_cpus(steps):
    """Each on an emulated CPU of its own: one that executes with RFLAGS.IF = 0 is not left for an interrupt of Linux's."""
    said = steps(Step("smp", conf("smp", "cpus=2 rounds=200", vcpus=2), Q35 + "host -smp 2", KVM, 60),
                 Step("pv", conf("pv", PV, vcpus=2), Q35 + "host -smp 2", KVM, 60), cpus=3, timeout=900)
    check_ended(said["smp"])
    assert "nidus: CPUs: 2, x2APIC" in said["smp"] and "smp: 2 CPUs, ok" in said["smp"]
    check_tests(said["pv"], "pv", 30)


@pytest.mark.long(4)
def test_linux_with_kvm(steps, tmp_path):
    """Debian's Linux in a VM of Nidus, and a guest of that Linux's KVM."""
    files = kvm.make(str(tmp_path))
    linux = (f"[vm linux]\nkernel = {files['vmlinuz']}\ninitrd = {files['kvm.cpio']}\nmemory = 256M\nnested = on\napic = emulated\n"
             "cmdline = console=ttyS0 quiet panic=-1 mitigations=off vcpus=1\n")
    lines = steps(Step("linux", linux, Q35 + "host", KVM, 120), timeout=1200)["linux"]
    check_ended(lines)
    assert "Hello from L2" in lines and "L2: all vCPUs: ok" in lines
    assert any(line.startswith("L1: l2 ended with 0, ") for line in lines)


# What KVM can do without, by parameters of kvm_intel; Nidus does too.
PARAMETERS = ("vpid=0", "preemption_timer=0", "enable_shadow_vmcs=0", "flexpriority=0", "eptad=0", "pml=0", "vnmi=0",
              "vpid=0 preemption_timer=0 enable_shadow_vmcs=0 flexpriority=0 eptad=0 vnmi=0")


@pytest.mark.long(3)
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_without_by_kvm(steps, parameters):
    smoke = conf("smoke", SLOW if "enable_shadow_vmcs=0" in parameters else SMOKE)
    said = steps(Step("smoke", smoke, Q35 + "host", f"{KVM} {parameters}"),
                 Step("l1", conf("l1", f"tests {L1}", nested="on"), Q35 + "host", f"{KVM} {parameters}", 60), timeout=900)
    for name in parameters.split():
        assert f"kvm_intel.{name.replace('=0', '=N')}" in said["smoke"]
    check_tests(said["smoke"], "smoke", 110)
    check_tests(said["l1"], "l1", 120)


# What QEMU can leave out of -cpu host, by its names, and Nidus does without.
SPARED = ("activity-hlt", "activity-wait-sipi", "apicv-register", "apicv-vid", "apicv-x2apic", "apicv-xapic", "desc-exit",
          "entry-load-pat", "exit-load-pat", "exit-save-pat", "entry-noload-debugctl", "exit-nosave-debugctl", "ept-1gb", "ept-2mb",
          "ept-execonly", "eptad", "eptp-switching", "flexpriority", "ins-outs", "invept-single-context",
          "invept-single-context-noglobals", "invlpg-exit", "invpcid-exit", "invvpid", "invvpid-all-context", "invvpid-single-addr",
          "io-exit", "movdr-exit", "mtf", "pause-exit", "pml", "preemption-timer", "exit-save-preemption-timer", "rdtsc-exit",
          "rdtscp-exit", "shadow-vmcs", "vmfunc", "vmwrite-vmexit-fields", "vpid", "wbinvd-exit", "xsaves")
GROUPS = 4


@pytest.mark.long(4)
@pytest.mark.parametrize("group", range(GROUPS))
def test_without_by_qemu(steps, group):
    said = steps(*(Step(name, conf("smoke", SLOW), f"{Q35}host,-vmx-{name}", KVM) for name in SPARED[group::GROUPS]), timeout=1200)
    for lines in said.values():
        check_tests(lines, "smoke", 110)


@pytest.mark.long(3)
def test_without_most_of_it(steps):
    """And what an L1 is offered then."""
    less = "host," + ",".join(f"-vmx-{name}" for name in SPARED)
    said = steps(Step("smoke", conf("smoke", SLOW), Q35 + less, KVM),
                 Step("l1", conf("l1", f"tests {L1}{LESS}", nested="on"), Q35 + less, KVM, 60), timeout=900)
    check_tests(said["smoke"], "smoke", 110)
    check_tests(said["l1"], "l1", 95)


# What cannot be left out: the one line that says so.
PIN, PROC, PROC2, EXIT, ENTRY, EPT = (f"IA32_VMX_{name}" for name in (
    "TRUE_PINBASED_CTLS", "TRUE_PROCBASED_CTLS", "PROCBASED_CTLS2", "TRUE_EXIT_CTLS", "TRUE_ENTRY_CTLS", "EPT_VPID_CAP"))
NEEDED = {
    "intr-exit": f"needs external-interrupt exiting: {PIN}[32]", "nmi-exit": f"needs NMI exiting: {PIN}[35]",
    "vnmi": f"needs virtual NMIs: {PIN}[37]", "vnmi-pending": f"needs NMI-window exiting: {PROC}[54]",
    "vintr-pending": f"needs interrupt-window exiting: {PROC}[34]", "hlt-exit": f"needs HLT exiting: {PROC}[39]",
    "mwait-exit": f"needs MWAIT exiting: {PROC}[42]", "rdpmc-exit": f"needs RDPMC exiting: {PROC}[43]",
    "cr8-load-exit": f"needs CR8-load exiting: {PROC}[51]", "cr8-store-exit": f"needs CR8-store exiting: {PROC}[52]",
    "io-bitmap": f"needs use I/O bitmaps: {PROC}[57]", "msr-bitmap": f"needs use MSR bitmaps: {PROC}[60]",
    "monitor-exit": f"needs MONITOR exiting: {PROC}[61]", "secondary-ctls": f"needs activate secondary controls: {PROC}[63]",
    "cr3-load-noexit": f"cannot leave CR3-load exiting off: {PROC}[15]",
    "cr3-store-noexit": f"cannot leave CR3-store exiting off: {PROC}[16]",
    "tsc-offset": f"needs use TSC offsetting: {PROC}[35]",
    "ept": f"needs enable EPT: {PROC2}[33]", "unrestricted-guest": f"needs unrestricted guest: {PROC2}[39]",
    "page-walk-4": f"needs EPT page-walk length of 4: {EPT}[6]", "invept": f"needs INVEPT: {EPT}[20]",
    "invept-all-context": f"needs all-context INVEPT: {EPT}[26]",
    "exit-ack-intr": f"needs acknowledge interrupt on exit: {EXIT}[47]", "exit-save-efer": f"needs save IA32_EFER on exit: {EXIT}[52]",
    "exit-load-efer": f"needs load IA32_EFER on exit: {EXIT}[53]", "entry-load-efer": f"needs load IA32_EFER on entry: {ENTRY}[47]",
    "entry-ia32e-mode": f"needs IA-32e mode guest: {ENTRY}[41]",
}


@pytest.mark.long(3)
def test_what_is_needed_is_named(steps):
    said = steps(*(Step(name, vm("one"), f"{Q35}host,-vmx-{name}", KVM) for name in NEEDED), Step("ept=0", vm("one"), Q35 + "host", f"{KVM} ept=0"),
                 timeout=900)
    for name, line in NEEDED.items():
        named(said[name], line)
    named(said["ept=0"], NEEDED["ept"])

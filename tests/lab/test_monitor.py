# SPDX-License-Identifier: MIT
"""The monitor: every command, at VMs that run, that are wedged, that have crashed, and that run a guest of their own."""

import re

import pytest

from sections import vm

PROMPT = r"(?:\A|\n)[\w-]+\.\d+> "
KEEP = "[nidus]\ncrash = keep\n"
HEX = "[0-9a-f]{16}"


class Monitor:
    """The monitor of a machine whose guest has said something."""

    def __init__(self, process, child, said):
        self.process, self.child = process, child
        child.expect(said)
        child.send("\x1dm")
        child.expect("The monitor: guests go on.*closes it")
        child.expect(PROMPT)

    def ask(self, line, keys=None):
        """The lines that come of a command; what guests say meanwhile may be among them."""
        self.child.send((keys or line) + "\r")
        self.child.expect(rf"> {re.escape(line)}\r+\n")
        self.child.expect(PROMPT)
        text = "\n" + self.child.before.decode().replace("\r", "") + "\n"
        print(f"> {line}{text}")
        return text

    def finds(self, line, *patterns):
        text = self.ask(line)
        for pattern in patterns:
            assert re.search(pattern, text), f"'{line}' did not say: {pattern}"
        return text

    def end(self, status):
        """Every VM has ended: the machine has waited for this."""
        self.child.send("quit\r")
        self.child.expect("console: the monitor is closed")
        self.child.expect(f"nidus: end: status {status}")
        assert self.process.wait(20) == status

    def stop(self):
        self.child.send("\x1d")
        self.child.expect("console: the monitor is closed")
        self.child.send("\x01x")
        self.child.expect("stopped by the keyboard")
        assert self.process.wait(20) == 130


@pytest.fixture
def monitor(at_terminal):
    return lambda configuration, said, **options: Monitor(*at_terminal(configuration, **options), said)


def check_state(m):
    """Commands that look at a vCPU in 64-bit mode, whatever it does."""
    m.finds("regs", r"\nL1, 64-bit mode, CPL 0\n", rf"\nrax {HEX}  rcx {HEX}", rf"\nrip +{HEX}", r"\ncr4 .* PAE",
            r"\ncs   0008 base 0+ limit f+ present code64 dpl0", r"\nefer .* LME LMA", r"\ndr7 +0+400\n", r"\ngdtr +base")
    rip = int(m.finds("regs rip", rf"\nrip {HEX}")[5:21], 16)
    assert m.ask("mem rip 16").startswith(f"\n{rip:016x}  ")
    m.finds("mem gpa 0x100000 32 d", rf"\n{0x100000:016x}  [0-9a-f]{{8}} ", rf"\n{0x100010:016x} ")
    m.finds("walk rip", "4-level paging, CR3", r"\nPML4E at", r"2 MiB page 0x0\n", rf"\n0x{rip:x} is 0x{rip:x}: writable")
    m.finds(f"ept 01 {rip:#x}", "EPT, tables at", r"\nPML4E at .*rwx", ", WB -> ", rf"\n0x{rip:x} is 0x")
    m.finds("vmcs 01", "VMCS guest-state area:", "GUEST_RIP", "PRIMARY_CONTROLS .*HLT exiting", "EXIT_REASON", "HOST_RIP")
    m.finds("msr 0xc0000080", r"c0000080 0+500 IA32_EFER")
    m.finds("apic", "boot processor, emulated", r"LVT LINT0 .*ExtINT", "IRR:", "posted:")
    m.finds("ioapic", "in use, of 24")
    m.finds("pic", r"8259 0: .*IMR", "8259 1: ")
    m.finds("pi", "The vCPU's descriptor.*\n.*notification vector")
    m.finds("pv", "hypercall page: 0", "no queue")


def check_stops(m, level):
    """Of a vCPU that loops: it steps, stops at a breakpoint, and goes on when there is none."""
    m.finds("step", rf"\n{level} 0x[0-9a-f]+:( [0-9a-f][0-9a-f]){{16}}\n")
    assert len(re.findall(rf"\n{level} 0x", m.ask(f"step 3 {level.lower()}"))) == 3
    rip = re.search(rf"\nrip 0+({HEX}|[1-9a-f][0-9a-f]*)\n", m.ask("regs rip"))[1]
    number = re.search(rf"\n(\d+): at 0x{rip}, one, {level}\n", m.ask(f"break at rip {level.lower()}"))[1]
    m.ask("resume")
    m.finds("vms", rf"\.0: stopped, breakpoint at 0x{rip}; {level} at 0x{rip}")
    m.ask(f"unbreak {number}")
    assert f"0x{rip}" not in m.ask("break")
    m.ask("resume")
    m.finds("vms", rf"\.0: .* CPU \d; {level} at 0x")


def test_wedged(monitor):
    """One CPU, whose only vCPU has interrupts off and loops. Its end is not the machine's while the monitor is open."""
    m = monitor(vm("one", cmdline="spin", memory="16M"), r"\nhello: spin\r")
    m.finds("vms", r"\n1  one: hello.elf, 16 MiB", r"\.0: .* CPU 0; L1 at 0x")
    check_state(m)
    m.finds("msr", "IA32_PAT", "IA32_TSC")
    m.ask("write gpa 0x1000 0x41 0x42 0x43")
    m.finds("mem gpa 0x1000 16", r"41 42 43 00 .*\|ABC\.")
    m.finds("write gpa 0x1000 0x12345 w", "does not fit into 2 bytes")
    m.finds("mem gpa 0x9fff0 32", r"\n00000000000a0000  there is no RAM")
    m.finds("mem 0x8000000000", "its paging maps nothing there")
    m.finds("walk 0x800000000000", "not canonical")
    m.finds("vmcs 12", "there is no L2")
    check_stops(m, "L1")
    m.finds("log 2", r"\n\| nidus: ")
    m.ask("kill one")
    m.child.expect("powered off: killed at the monitor")
    m.child.expect("No VM runs any more; the machine stays on")
    m.finds("regs", "one does not run")
    m.end(0)


def test_running(monitor):
    """Commands about VMs, and the line itself, while guests print."""
    m = monitor(vm("one", cmdline="count=100000 work=1000000", memory="16M") +
                vm("two", cmdline="idle=2000000", memory="16M", vcpus=2), r"\none\| hello: count \d")
    names = re.findall(r"\n([a-z]+) ", m.ask("help").split("\n'help")[0])
    assert {"vms", "regs", "log", "quit"} <= set(names)
    for name in names:
        m.finds(f"help {name}", rf"\n{name} ", r"\n  [A-Z]")
    m.finds("vms", r"\n1  one", r"\n2  two", r"\.1: waits for a start-up IPI")
    m.ask("pause")
    m.finds("vms one", r"\.0: paused; L1 at")
    before = m.ask("regs rip rcx")
    assert "count" not in before and m.ask("regs rip rcx") == before
    m.ask("resume one")
    m.child.expect(r"one\| hello: count \d")
    m.finds("nosuch", "there is no command 'nosuch'")
    m.finds("re", "'re' is not clear")
    m.finds("regs three.0", "there is no VM 'three'")
    m.finds("regs two.2", "two has no vCPU '2'; it has 2")
    m.finds("mem what", "'what' is neither a number nor a register")
    m.ask("vms one")
    m.ask("vms one", keys="\x1b[A\x01\x05")  # history, Home, End
    m.ask("select two", keys="sel\ttw\t")
    m.ask("regs rip", keys="junk\x15regs\x20riX\x7fp\x1b[D\x1b[C")
    m.ask("nmi .0")
    m.child.expect("two.*unexpected vector 2")
    m.ask("select one")
    m.ask("reset one")
    m.child.expect(r"one\| hello from")
    m.child.send("mem gpa 0 0x9fff0\r")
    m.child.expect("0000000000000100 ")
    m.child.send("\x03")
    m.child.expect(r"one\.0> ")
    m.stop()


def test_crashed(monitor):
    m = monitor(KEEP + vm("one", "hostile", cmdline="do=triple", memory="16M"), "one: kept as it is")
    m.finds("vms", r"one: hostile.elf \(crashed\)", r"\.0: stopped, crashed: triple fault; L1 at")
    check_state(m)
    m.finds("vmcs 01", r"\nEXIT_REASON 00000002: triple fault")
    m.ask("restart one")
    m.child.expect(r"one\| hostile: triple begins")
    m.child.expect(r"one\.0 has stopped: crashed: triple fault")
    m.ask("kill one")
    m.end(1)  # a crash, whatever ended the VM


def test_refused_entry(monitor):
    m = monitor(KEEP + vm("one", memory="16M"), "one: kept as it is", cmdline="crash=entry")
    m.finds("vms", r"stopped, crashed: refused VM entry; L1 at")
    m.finds("regs rflags", "\nrflags 0{16}\n")
    m.finds("vmcs 01", r"\nEXIT_REASON 80000021: .*at VM entry", r"\nVM entry's checks:[^#]*GUEST_RFLAGS 0x0")
    m.finds("mem rip 16", rf"\n{HEX}  [0-9a-f]{{2}} ")
    m.ask("kill one")
    m.end(1)  # a crash, whatever ended the VM


@pytest.mark.parametrize("level", ["l2", "l1"])
def test_nested(monitor, level):
    """An L2 that runs for ever, or has exited for ever; a page of it is another one of L1's."""
    runs = level == "l2"
    m = monitor(vm("one", "l1", cmdline=f"stay={level}", memory="32M", nested="on"), rf"l1: {level.upper()} stays")
    m.finds("vms", rf"\.0: .*; {level.upper()} at 0x")
    m.finds("regs", rf"\n{level.upper()}, 64-bit mode")
    m.finds("regs l1", r"\nL1, 64-bit mode", rf"\nrip +{HEX}", *(["L1 waits for its L2"] if runs else []))
    m.finds("regs l2", r"\nL2, 64-bit mode", rf"\nrip +{HEX}",
            "r15 0000000012121212" if runs else "L2 does not run")
    m.finds("mem l1 gpa 0x800000 16", r"\|this is L1's")
    m.finds("mem l1 gva 0x801000 16", r"\|and this is L2's\|")
    m.finds("mem l2 gpa 0x800000 16", r"\|and this is L2's\|")
    m.finds("mem l2 0x800000 16", r"\|and this is L2's\|")
    m.ask("write l2 0x800000 0x41")
    m.finds("mem l1 gpa 0x801000 16", r"\|And this is L2's\|")
    m.finds("walk l2 0x800010", r"\n0x800010 is 0x800010: .*; in L1 0x801010")
    m.finds("ept 12 0x800000", r"4 KiB page 0x801000\n0x800000 is 0x801000: rwx")
    m.finds("ept 12 0x40000000000", "not present: EPT violation")
    m.finds("ept 01 0x801000", r"\n0x801000 is 0x[0-9a-f]+: rwx")
    m.finds("ept 02 0x800000", "not present: EPT violation")  # L2 has not touched it
    if runs:
        m.finds("ept 02 rip", r", WB -> 4 KiB page")
        check_stops(m, "L2")
    m.finds("vmcs 12", r"\nall checks of VM entry pass", r"\nSECONDARY_CONTROLS 00000002: enable EPT", r"GUEST_CR3 ", r"HOST_RIP")
    m.finds("vmcs 02", r"EPT_POINTER ", "unrestricted guest")
    m.finds("vmcs 01", "VMCS host-state area:")
    m.finds("apic l2", "L1 gives its L2 no virtual APIC")
    m.stop()

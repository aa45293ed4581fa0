# SPDX-License-Identifier: MIT
"""Statistics and trace: the monitor's commands at guests that run, and scripts/trace at what they export."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from sections import vm
from test_monitor import monitor  # noqa: F401  pylint: disable=unused-import

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/trace"


# --- scripts/trace ---


def approx(us):
    return pytest.approx(us, abs=0.001)


def convert(path, text):
    log = path / "console.log"
    log.write_text(text)
    result = subprocess.run([sys.executable, SCRIPT, log, path / "out.json"], capture_output=True, text=True, check=False)
    return result, json.loads((path / "out.json").read_text()) if result.returncode == 0 else None


def rows(viewer, phase, pid):
    return [row for row in viewer["traceEvents"] if row["ph"] == phase and row["pid"] == pid]


def check_tracks(viewer):
    """Slices of one track follow each other; a viewer shows no others."""
    ends = {}
    for row in sorted((row for row in viewer["traceEvents"] if row["ph"] == "X"), key=lambda row: row["ts"]):
        track = row["pid"], row["tid"]
        assert row["ts"] >= ends.get(track, 0), row
        ends[track] = row["ts"] + row["dur"]


# An exit that is done at once (CPUID), an HLT, the interrupt that ends it, the entry, an IPI, a failed check.
EXPORT = """guest text@trace begin 1 1000000000 2
@trace vm 0 one
nidus: something else
@trace 1 2710 320a000010 1000 7\x20
@trace 1 3e8 640c000050 2000 0\x20
@trace 0 1388 12 2002 800000ec\x20
@trace 0 0 11 2002 0\x20
@trace 0 3e8 c820000010 2004 fd00000830\x20
@trace 0 c8 20000015 2004 1000000fd\x20
@trace 0 64 8000014 3000 0 L1 entry fails at 0x3000: HOST_CR0: bad
@trace end
"""


def test_convert(tmp_path):
    result, viewer = convert(tmp_path, "@trace begin 1 5 1\n" + EXPORT)
    assert result.returncode == 0 and not result.stderr
    assert f"{tmp_path}/out.json: 7 events" in result.stdout
    check_tracks(viewer)
    slices = [(row["name"], row["ts"], row["dur"]) for row in rows(viewer, "X", 1)]
    assert slices == [("CPUID", 0.0, approx(0.05)), ("L1", approx(0.05), approx(0.95)), ("HLT", 1.0, approx(0.1)),
                      ("halted", approx(1.1), approx(4.9)), ("L1", 6.0, approx(1.0)), ("WRMSR", 7.0, approx(0.2))]
    assert [(row["name"], row["ts"]) for row in rows(viewer, "i", 1)] == [
        ("external interrupt 236", 6.0), ("IPI", approx(7.2)), ("L1 entry fails at 0x3000: HOST_CR0: bad", approx(7.3))]
    assert {row["name"] for row in rows(viewer, "X", 1000)} == {"one.0 CPUID", "one.0 L1", "one.0 HLT", "one.0 WRMSR"}
    names = {row["args"]["name"] for row in viewer["traceEvents"] if row["ph"] == "M"}
    assert names == {"VM one", "vCPU 0", "CPUs", "CPU 0", "CPU 1"}


def test_what_is_wrong_with_an_export_is_said(tmp_path):
    assert "no line '@trace begin'" in convert(tmp_path, "hello\n")[0].stderr
    assert "no events" in convert(tmp_path, "@trace begin 1 5 1\n@trace end\n")[0].stderr
    assert "format 2" in convert(tmp_path, "@trace begin 2 5 1\n@trace end\n")[0].stderr
    result, viewer = convert(tmp_path, EXPORT.replace("@trace end\n", "@trace 0 zz\n@trace 1 1 f 0 0 \n@trace x"))
    assert result.returncode == 0 and len(viewer["traceEvents"]) > 10
    assert "3 lines are damaged" in result.stderr and "cut short" in result.stderr
    missing = subprocess.run([sys.executable, SCRIPT, tmp_path / "none"], capture_output=True, text=True, check=False)
    assert missing.returncode == 1 and "cannot read" in missing.stderr


# --- in the lab ---


def in_order(text, *patterns):
    """Each is found behind the one before."""
    at = 0
    for pattern in patterns:
        found = re.compile(pattern).search(text, at)
        assert found, f"not behind what is before: {pattern}"
        at = found.end()


def test_trace_of_a_guest(monitor, tmp_path):  # noqa: F811
    """A guest that halts until its timer, and one with two vCPUs that sends IPIs, started while the trace is on."""
    m = monitor(vm("one", cmdline="idle=1000000", memory="16M") + vm("two", "smp", cmdline="rounds=20", memory="16M", vcpus=2),
                r"\nnidus: two: powered off", cpus=2)
    m.finds("trace", "the trace is off")
    m.finds("stats one", r"one\.0: exits since it started; 'stats on'", r"\n +\d+  HLT\n")
    m.ask("trace on one")
    m.ask("stats on")
    m.finds("vms", "one")
    in_order(m.ask("trace show 60"), r"one\.0 L1 exit: HLT at 0x\w+, \d+ ticks, slow\n", r"one\.0 L1 gets external interrupt 32\n",
             r"one\.0 L1 entry at ", r"one\.0 L1 exit: I/O instruction out 0x20 at ", r"one\.0 L1 out 0x20 <- 0x20\n")
    m.finds("stats hist one.0", r"\n  L1 +\d+ +\d+ +\d+ .* % +HLT\n", r"\n +\d+ ticks and more: \d+\n")
    m.ask("trace on ipi nested exit two 256k")
    m.ask("restart two")
    m.child.expect("nidus: two: powered off")
    text = m.finds("trace export", r"\n@trace begin 1 \d+ 2\n@trace vm 0 one\n@trace vm 1 two\n", r"\n@trace end\n")
    result, viewer = convert(tmp_path, text)
    assert result.returncode == 0 and not result.stderr, result.stderr
    check_tracks(viewer)
    assert "IPI" in {row["name"] for row in rows(viewer, "i", 2)}
    assert {row["tid"] for row in rows(viewer, "X", 2)} == {0, 1} and not rows(viewer, "X", 1)
    m.finds("trace clear", "")
    m.child.send("top\r")
    m.child.expect(r"exits per second: +L1 +L2 +L2 to L1")
    m.child.expect(r"\none\.0 +\d+ +0 +0 +\d+\.\d %")
    m.child.expect("ticks each .* HLT")
    m.child.expect("any key ends this")
    m.child.send("q")
    m.ask("trace off")
    m.finds("trace", "the trace is off")
    m.finds("break exit hlt one", "0: HLT, one")
    m.finds("vms", r"stopped, exit: HLT")
    m.ask("unbreak")
    m.ask("stats off")
    m.ask("resume one")
    m.stop()


def test_trace_of_a_hypervisor(monitor):  # noqa: F811
    """L1's entries, L2's exits and the checks that fail."""
    m = monitor(vm("one", "l1", nested="on", cmdline="only=entry-", memory="32M") + vm("two", cmdline="idle=1000000", memory="16M"),
                r"\nnidus: one: powered off")
    m.ask("trace on check nested vmlaunch vmcall one")
    m.ask("stats on")
    m.finds("break check one", r"0: a VM entry of L1's fails, one")
    m.ask("restart one")
    m.child.expect(r"one\.0 has stopped: a VM entry of its own failed a check: \w+")
    in_order(m.ask("trace show"), r"L1 exit: VMLAUNCH at 0x\w+, \d+ ticks, slow\n", r"L1 entry fails at 0x\w+: \w+")
    m.ask("unbreak")
    m.finds("break exit vmresume l1 one", "0: VMRESUME, L1, one")
    m.ask("resume one")
    m.child.expect(r"one\.0 has stopped: exit: VMRESUME")
    m.finds("stats one", r"\n  L1 .* VMLAUNCH\n")
    m.ask("unbreak 0")
    m.ask("resume one")
    m.child.expect("nidus: one: powered off")
    in_order(m.ask("trace show 1000"), r"L1 exit: VMLAUNCH at ", r"L1 enters L2, VMCS 0x\w+, at 0x", r"L2 exit: VMCALL at 0x\w+, \d+ ticks, to L1\n",
             r"L2 exits to L1, VMCS 0x\w+: VMCALL; at 0x")
    m.ask("trace off")
    m.stop()

# SPDX-License-Identifier: MIT
"""guest/l1, a small hypervisor, under Nidus and on the bare emulated CPU: its tests, VM entry's verdicts, figures."""

import re

import pytest

from sections import vm

# The one of the figures, one without VMCS shadowing, the oldest, a newer one; how many tests must pass there.
MODELS = {"corei7_skylake_x": 147, "corei7_ivy_bridge_3770k": 126, "corei5_arrandale_m520": 124, "tigerlake": 147}
BARE_MODELS = ("core2_penryn_t9600", "corei5_arrandale_m520", "corei7_haswell_4770", "corei7_icelake_u", "tigerlake")
# A test that skips itself says why; only these reasons are good ones.
UNDER_NIDUS = ("a hypercall to the hypervisor below, as on KVM", "there is one CPU", "no physical device")
BARE = ("there is one CPU", "no physical device", "a full log ends accesses that set no flag too",
        "Nidus is not below, or does not serve L2", "no IPI virtualization")
NO_EPT = ("no EPT", "no unrestricted guest", "the CPU has not got EPTP switching",
          "the CPU has not got accessed and dirty flags for EPT")
OLD_CPU = ("no XSAVE", "no CR3-target values", "no descriptor-table exiting", "no execute-only pages",
           "no accessed and dirty flags", "no INVVPID", "no injection of zero length", "no activity state HLT",
           "no activity state HLT, or no preemption timer", "the CPU has not got the controls",
           "the CPU has not got EPTP switching", "no IPI virtualization")
ROUNDS = 1024
# Two faults of the guest's state, one of them of the link pointer: which is met first is left open.
EITHER_FIRST = {("40", "44"), ("44", "40")}
FIGURES = {"l2_vmcall": 894, "l2_vmcall_16_more": 990, "l2_cpuid": 894,  # KVM: 16,807, 17,142, 16,796
           "l2_ipi_posted": 260, "l2_ipi_to_itself": 450}  # L1's own to itself: 1,296


def under_nidus(boot, words="", apic=None, **options):
    result = boot(vm("l1", "l1", cmdline=words or "tests", nested="on", **({"apic": apic} if apic else {})), **options)
    assert result.status == 0
    return result


def bare(boot, images, words="", **options):
    """GRUB loads it instead of Nidus."""
    return boot(vm("unused", "l1"), image=images.guest("l1"), cmdline=f"bare {words}", **options)


def check_tests(lines, least, skips):
    """None has failed, at least that many have passed, the others have one of those reasons not to run."""
    assert [line for line in lines if line.startswith("FAIL")] == []
    passed = [line for line in lines if line.startswith("ok ")]
    skipped = [match for match in map(re.compile(r"skip (\S+): (.*)$").match, lines) if match]
    assert [match[0] for match in skipped if match[2] not in skips and not match[2].startswith("Bochs 3.0")] == []
    assert len(passed) >= least
    assert f"l1: {len(passed)} passed, 0 failed" in lines


@pytest.mark.parametrize("model", MODELS)
def test_l1(boot, model):
    check_tests(under_nidus(boot, cpu=model).lines, MODELS[model], UNDER_NIDUS + OLD_CPU)


@pytest.mark.parametrize("apic", ["apicv", "posted"])
def test_l1_with_apicv(boot, apic):
    """Its own APIC is the CPU's."""
    result = under_nidus(boot, apic=apic)
    check_tests(result.lines, MODELS["corei7_skylake_x"], UNDER_NIDUS + OLD_CPU)
    result.find(rf"l1: .*, APIC: {apic}$")


def test_l1_without_ept(boot):
    check_tests(under_nidus(boot, "ept=off").lines, 102, UNDER_NIDUS + NO_EPT)


@pytest.mark.long(0.1)
@pytest.mark.parametrize("names,least", [
    ("EPT", 102),
    ("SECONDARY_CONTROLS", 89),
    ("TPR_SHADOW, VIRTUAL_NMIS, MONITOR_TRAP_FLAG, PREEMPTION_TIMER, LOAD_EFER, LOAD_PAT, HLT_ACTIVITY, VPID", 97),
])
def test_l1_with_less(boot, names, least):
    """What is hidden is not there, and nothing else changes."""
    result = boot(vm("l1", "l1", cmdline="tests", nested="on", hide=names))
    assert result.status == 0
    check_tests(result.lines, least, UNDER_NIDUS + NO_EPT + OLD_CPU)


def test_l1_beside_another(boot):
    """They share a CPU by time."""
    result = boot("".join(vm(name, "l1", memory="32M", nested="on", cmdline=f"skip=event-preemption {words}")
                          for name, words in (("one", ""), ("two", "ept=off"))))
    assert result.status == 0
    check_tests(result.vm("one"), 132, UNDER_NIDUS)
    check_tests(result.vm("two"), 101, UNDER_NIDUS + NO_EPT)


def test_l1_without_vmx(boot):
    result = boot(vm("one", "l1", nested="off"))
    assert result.status == 1
    assert "l1: no VMX: CPUID shows no VMX" in result.lines


def test_l1_on_the_bare_cpu(boot, images):
    check_tests(bare(boot, images).lines, 123, BARE)


def test_l1_without_ept_on_the_bare_cpu(boot, images):
    check_tests(bare(boot, images, "ept=off").lines, 94, BARE + NO_EPT)


@pytest.mark.long(0.1)
@pytest.mark.parametrize("model", BARE_MODELS)
def test_l1_on_bare_models(boot, images, model):
    check_tests(bare(boot, images, cpu=model).lines, 76, BARE + NO_EPT + OLD_CPU)


def test_features_with_a_second_cpu(boot):
    lines = boot(vm("l1", "l1", cmdline="only=sipi", nested="on", vcpus=2), cpus=2).lines
    check_tests(lines, 1, ())
    assert "ok sipi" in lines


def verdicts(result):
    assert "verdicts: end" in result.lines
    found = [match for match in map(re.compile(r"verdicts: (\d+): (.*)$").match, result.lines) if match]
    return {int(match[1]) + i: verdict for match in found for i, verdict in enumerate(match[2].split())}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long(0.3)) for seed in range(2, 12))])
def test_verdicts_are_those_of_the_cpu(boot, images, seed):
    """Whether random VMCSs enter, fail early or late, with which error: the CPU itself and Nidus say the same."""
    words = f"verdicts={ROUNDS} seed={seed}"
    ours, theirs = verdicts(under_nidus(boot, words)), verdicts(bare(boot, images, words))
    assert len(ours) == len(theirs) == ROUNDS
    assert {"00", "07", "08", "40"} <= set(ours.values())
    differ = {i: (ours[i], theirs[i]) for i in ours if ours[i] != theirs[i]}
    assert {i: pair for i, pair in differ.items() if pair not in EITHER_FIRST} == {}


def figures(result):
    return {match[1]: int(match[2]) for match in map(re.compile(r"bench: (\w+) = (\d+)$").match, result.lines) if match}


@pytest.mark.parametrize("apic", [None, "posted"])
def test_what_a_reflected_exit_costs(boot, images, apic):
    """In instructions; an L1 that reads what is shadowed exits once for each of L2's exits: by VMRESUME."""
    ours, theirs = figures(under_nidus(boot, "bench", apic)), figures(bare(boot, images, "bench"))
    for name, limit in FIGURES.items():
        assert ours[name] <= limit, f"{name}: {ours[name]}"
    # Sixteen more VMREADs cost what they cost without Nidus: none of them exits.
    assert ours["l2_vmcall_16_more"] - ours["l2_vmcall"] == theirs["l2_vmcall_16_more"] - theirs["l2_vmcall"]

# SPDX-License-Identifier: MIT
"""guest/l1, a small hypervisor, under Nidus and on the bare emulated CPU: instructions, VM entry's verdicts, figures."""

import re

import pytest

from sections import vm

# Of 4 to 12 models: the one of the figures, one without VMCS shadowing, the oldest.
MODELS = ("corei7_skylake_x", "corei7_ivy_bridge_3770k", "corei5_arrandale_m520")
ROUNDS = 1024
FIGURES = {"l2_vmcall": 894, "l2_vmcall_16_more": 990, "l2_cpuid": 894}  # KVM: 16,807, 17,142, 16,796


def under_nidus(boot, words="", **options):
    result = boot(vm("l1", "l1", cmdline=words or "tests", nested="on"), **options)
    assert result.status == 0
    return result


def bare(boot, images, words="", **options):
    """GRUB loads it instead of Nidus."""
    return boot(vm("unused", "l1"), image=images.guest("l1"), cmdline=f"bare {words}", **options)


def check_tests(lines):
    assert not [line for line in lines if line.startswith("FAIL")]
    assert any(re.match(r"l1: \d+ passed, 0 failed$", line) for line in lines)


@pytest.mark.parametrize("model", MODELS)
def test_instructions(boot, model):
    check_tests(under_nidus(boot, cpu=model).lines)


def test_features_with_a_second_cpu(boot):
    lines = boot(vm("l1", "l1", cmdline="only=sipi", nested="on", vcpus=2), cpus=2).lines
    check_tests(lines)
    assert "ok sipi" in lines


def test_instructions_on_the_bare_cpu(boot, images):
    check_tests(bare(boot, images).lines)


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
    assert {i: (ours[i], theirs[i]) for i in ours if ours[i] != theirs[i]} == {}


def figures(result):
    return {match[1]: int(match[2]) for match in map(re.compile(r"bench: (\w+) = (\d+)$").match, result.lines) if match}


def test_what_a_reflected_exit_costs(boot, images):
    """In instructions; an L1 that reads what is shadowed exits once for each of L2's exits: by VMRESUME."""
    ours, theirs = figures(under_nidus(boot, "bench")), figures(bare(boot, images, "bench"))
    for name, limit in FIGURES.items():
        assert ours[name] <= limit, f"{name}: {ours[name]}"
    # Sixteen more VMREADs cost what they cost without Nidus: none of them exits.
    assert ours["l2_vmcall_16_more"] - ours["l2_vmcall"] == theirs["l2_vmcall_16_more"] - theirs["l2_vmcall"]

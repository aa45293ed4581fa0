# SPDX-License-Identifier: MIT
"""Models of protocols in tests/models, checked by spin for all orders of their steps."""
import pathlib
import subprocess

import pytest

MODELS = pathlib.Path(__file__).resolve().parents[1] / "models"


def errors(path, model, mistake=None, gcc=(), pan=()):
    """How many spin finds in it: 0 or 1."""
    subprocess.run(["spin", *([f"-D{mistake}"] if mistake else []), "-a", MODELS / model], cwd=path, check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["gcc", "-O2", "-w", *gcc, "-o", "pan", "pan.c"], cwd=path, check=True)
    text = subprocess.run(["./pan", *pan], cwd=path, check=True, capture_output=True, text=True).stdout
    assert "max search depth too small" not in text
    return int(text.split("errors: ")[1].split()[0])


def waits_for_ever(path, mistake=None):
    """wakeup.pml, whose property is one of temporal logic, for fair schedules."""
    return errors(path, "wakeup.pml", mistake, ["-DNOREDUCE"], ["-a", "-f", "-m200000"])


def stays_in_descriptor(path, mistake=None):
    """posted.pml, where it is an assertion for the end: that all wait is no error there."""
    return errors(path, "posted.pml", mistake, ["-DSAFETY"], ["-E", "-m1000000"])


def test_no_wakeup_is_lost(tmp_path):
    assert waits_for_ever(tmp_path) == 0


@pytest.mark.parametrize("mistake", ["FORGET_KICK", "LATE_BLOCKED", "LATE_IRR", "LATE_POLLING", "ENTER_KICKED"])
def test_a_mistake_would_be_found(tmp_path, mistake):
    assert waits_for_ever(tmp_path, mistake) == 1


def test_what_is_posted_is_taken(tmp_path):
    assert stays_in_descriptor(tmp_path) == 0


@pytest.mark.parametrize("mistake", ["LOOK_FIRST", "NO_ON", "KEEP_NV", "KEEP_SN", "FORGET_PIR", "EARLY_PIR", "KEEP_NDST", "LATE_ON",
                                     "NO_LOOK", "STALE_NDST", "LATE_PIR", "WAKE_PIR"])
def test_a_mistake_with_descriptors_would_be_found(tmp_path, mistake):
    assert stays_in_descriptor(tmp_path, mistake) == 1

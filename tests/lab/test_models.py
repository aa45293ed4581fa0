# SPDX-License-Identifier: MIT
"""Models of protocols in tests/models, checked by spin for all orders of their steps."""
import pathlib
import subprocess

import pytest

MODELS = pathlib.Path(__file__).resolve().parents[1] / "models"


def errors(path, model, *flags):
    """How many spin finds in it: 0 or 1."""
    subprocess.run(["spin", *flags, "-a", MODELS / model], cwd=path, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["gcc", "-O2", "-w", "-DNOREDUCE", "-o", "pan", "pan.c"], cwd=path, check=True)
    text = subprocess.run(["./pan", "-a", "-f", "-m200000"], cwd=path, check=True, capture_output=True, text=True).stdout
    assert "max search depth too small" not in text
    return int(text.split("errors: ")[1].split()[0])


def test_no_wakeup_is_lost(tmp_path):
    assert errors(tmp_path, "wakeup.pml") == 0


@pytest.mark.parametrize("mistake", ["FORGET_KICK", "LATE_IRR", "LATE_POLLING"])
def test_a_mistake_would_be_found(tmp_path, mistake):
    assert errors(tmp_path, "wakeup.pml", f"-D{mistake}") == 1

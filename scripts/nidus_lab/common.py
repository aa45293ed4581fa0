# SPDX-License-Identifier: MIT
"""What every part of the lab uses: places, messages, locks, commands."""

import contextlib
import fcntl
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, "build")
CACHE = os.environ.get("NIDUS_CACHE") or os.path.join(TOP, ".cache")

EXIT_OK, EXIT_VM_CRASHED, EXIT_USAGE, EXIT_FAILED, EXIT_TIMEOUT = 0, 1, 2, 3, 124
EXIT_INTERRUPTED = 130
PROGRAM = "run"  # whose messages these are


class LabError(Exception):
    """One line that says what is wrong and the remedy; status is the exit status it leads to."""

    def __init__(self, message, status=EXIT_FAILED):
        super().__init__(message)
        self.status = status


def say(text):
    """A message of the scripts' own: on standard error, so that standard output is the console alone."""
    print(f"{PROGRAM}: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(name):
    """Only one process at a time holds the lock of that name."""
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, f"{name}.lock"), "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def command(argv, why, **options):
    """Runs argv to its end and returns what it printed; LabError with the last lines if it failed."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", check=False, **options)
    except OSError as error:
        raise LabError(f"cannot {why}: {argv[0]}: {error.strerror}") from error
    if done.returncode:
        tail = "\n".join("    " + line for line in done.stdout.splitlines()[-20:])
        raise LabError(f"cannot {why}: '{' '.join(argv)}' ended with {done.returncode}:\n{tail}")
    return done.stdout


def os_release():
    """/etc/os-release as a dictionary."""
    with open("/etc/os-release", encoding="utf-8") as file:
        pairs = (line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        return {key: value.strip('"') for key, value in pairs}

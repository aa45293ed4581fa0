# SPDX-License-Identifier: MIT
"""Lab tests boot Nidus by scripts/run and look at its console and exit status: see docs/running.md."""

import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys
import types

import pytest
from pexpect import fdpexpect

TOP = pathlib.Path(__file__).resolve().parents[2]
RUN = str(TOP / "scripts/run")
sys.path.insert(0, str(TOP / "scripts"))  # nidus_lab
ESCAPES = re.compile(r"\x1b\[[0-9;=?]*[A-Za-z]")  # what UEFI firmware and GRUB draw with
DEFAULT_TIMEOUT = 120  # seconds; a small guest takes one


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also run the tests marked long")


def pytest_configure(config):
    config.addinivalue_line("markers", "long(minutes): too long for every change: only with --long")


def pytest_collection_modifyitems(config, items):
    waiting = [item for item in items if item.get_closest_marker("long")]
    minutes = sum(item.get_closest_marker("long").args[0] for item in waiting)
    config.long_note = f"{len(waiting)} long tests, about {minutes:g} minutes on one CPU" if waiting else None
    if not config.getoption("--long"):
        for item in waiting:
            item.add_marker(pytest.mark.skip(reason="takes long: see --long"))


def pytest_report_collectionfinish(config):
    return f"--long: {config.long_note}" if config.getoption("--long") and config.long_note else None


class Result:
    """What a boot came to. lines has no carriage returns and no escape sequences."""

    def __init__(self, status, console, messages):
        self.status, self.messages = status, messages
        self.text = ESCAPES.sub("", console.replace("\r", ""))
        self.lines = self.text.split("\n")

    def vm(self, name):
        """The lines that the VM of that name wrote, where there are several VMs."""
        return [line[len(name) + 2:] for line in self.lines if line.startswith(f"{name}| ")]

    def nidus(self):
        """Nidus's own lines, without their prefix."""
        return [line[len("nidus: "):] for line in self.lines if line.startswith("nidus: ")]

    def find(self, pattern):
        """The match of the first of Nidus's own lines that begins like the pattern; there must be one."""
        found = next(filter(None, (re.match(pattern, line) for line in self.nidus())), None)
        assert found, f"Nidus did not say: {pattern}"
        return found


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Builds everything once, whichever worker comes first; .elf, .efi and .guest(name) are the paths."""
    with open(tmp_path_factory.getbasetemp().parent / "build.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["make", "-s", "-j2", "kernel", "guests", "efi"], cwd=TOP, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"make failed:\n{done.stdout}"
    return types.SimpleNamespace(elf=TOP / "build/nidus.elf", efi=TOP / "build/nidus.efi",
                                 guest=lambda name: TOP / f"build/guest/{name}.elf")


@pytest.fixture
def run(tmp_path):
    """run(*arguments): scripts/run as a user starts it, without a terminal."""

    def start(*arguments, **options):
        log = tmp_path / "emulator.log"
        done = subprocess.run([RUN, "--log", str(log), *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, check=False, **options)
        result = Result(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
        print(f"$ scripts/run {' '.join(map(str, arguments))}\n{result.messages}\n{result.text}\nstatus {result.status}")
        if log.exists():
            print("emulator's log, its end:\n" + log.read_text("utf-8", "replace")[-2000:])
        return result

    return start


@pytest.fixture
def boot(run, images, tmp_path):
    """boot(configuration, files={name: path or bytes}, ...) boots Nidus; guests of build/guest are there as NAME.elf.

    The configuration is its text, or the path of a file. The rest are scripts/run's options. What the console showed
    is printed, so that a test that fails shows it.
    """

    def start(configuration, files=None, firmware="bios", cpu=None, cpus=1, memory=512, timeout=DEFAULT_TIMEOUT,
              emulator="bochs", image=None, cmdline=None, grub=None, ips=None):
        if "\n" not in str(configuration):
            conf = configuration
        else:
            conf = tmp_path / "test.conf"
            conf.write_text(configuration)
            for name in re.findall(r"=\s*([\w-]+)\.elf\b", configuration):
                guest = images.guest(name)
                if guest.exists() and f"{name}.elf" not in (files or {}):
                    shutil.copyfile(guest, tmp_path / f"{name}.elf")
        for name, content in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                shutil.copyfile(content, path)
        image = image or (images.efi if firmware == "uefi-app" else images.elf)
        options = ["--image", image, "--firmware", firmware, "--cpus", cpus, "--memory", memory,
                   "--timeout", timeout, "--emulator", emulator]
        for option, value in (("--cpu", cpu), ("--cmdline", cmdline), ("--grub", grub), ("--ips", ips)):
            options += [option, value] if value else []
        return run(conf, *options)

    return start


@pytest.fixture
def at_terminal(images, tmp_path):
    """at_terminal(configuration, cpus): the process of scripts/run, and what pexpect has of its terminal."""

    def start(configuration, cpus=1, cmdline=None):
        conf = tmp_path / "test.conf"
        conf.write_text(configuration)
        for name in set(re.findall(r"=\s*([\w-]+)\.elf\b", configuration)):
            shutil.copyfile(images.guest(name), tmp_path / f"{name}.elf")
        keys, terminal = os.openpty()
        process = subprocess.Popen([RUN, conf, "--image", images.elf, "--emulator", "bochs", "--cpus", str(cpus),
                                    "--timeout", "120", *(["--cmdline", cmdline] if cmdline else [])],
                                   stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        started.append(process)
        return process, fdpexpect.fdspawn(keys, timeout=60)

    started = []
    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


def pytest_terminal_summary(terminalreporter, config):
    skipped = getattr(config, "long_note", None)
    if skipped and not config.getoption("--long"):
        terminalreporter.write_line(f"left out: {skipped} (scripts/test --long)")


os.environ.pop("MAKEFLAGS", None)  # a make that started the tests must not steer the builds here

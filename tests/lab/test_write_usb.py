# SPDX-License-Identifier: MIT
"""scripts/write-usb, with disks that are files, in a /sys of the test's own."""

import io
import os
import struct
import subprocess
import zlib

import pytest

from conftest import TOP
from nidus_lab import disks, gpt, write_usb

MIB = 1 << 20
IMAGE = os.urandom(5 * MIB + 777)
FACTS = {"sdb1": {"LABEL": "HOLIDAYS", "TYPE": "vfat"}, "sdb2": {"PART_ENTRY_NAME": "backup"}}


class Machine(disks.Places):
    """sda is a fixed disk with the root, sdb a stick with two partitions, sr0 a CD drive, sdc a card reader without a card."""

    def __init__(self, top):
        self.top = top
        self.sys, self.dev = str(top / "sys"), str(top / "dev")
        self.mounts, self.swaps = str(top / "mountinfo"), str(top / "swaps")
        (top / "dev").mkdir()
        self.disk("sda", "8:0", 100 * MIB, removable=0, model="SSD", partitions={"sda1": "8:1"})
        self.disk("sdb", "8:16", 8 * MIB, model="Flash  Drive ", partitions={"sdb1": "8:17", "sdb2": "8:18"})
        self.disk("sdc", "8:32", 0, model="Reader")
        self.disk("sr0", "11:0", 650 * MIB, model="DVD", kind="5")
        self.use("25 1 8:1 / / rw - ext4 /dev/root rw")
        (top / "swaps").write_text("Filename Type Size Used Priority\n")

    def disk(self, name, number, size, removable=1, model="", kind="0", partitions=None):
        directory = self.top / "sys/block" / name
        (directory / "device").mkdir(parents=True)
        self.facts(directory, dev=number, size=size // 512, removable=removable, ro=0)
        self.facts(directory / "device", vendor="Maker", model=model, type=kind)
        for at, (part, part_number) in enumerate((partitions or {}).items(), 1):
            (directory / part / "holders").mkdir(parents=True)
            self.facts(directory / part, dev=part_number, size=size // 1024, partition=at)
            (self.top / "sys/class/block").mkdir(parents=True, exist_ok=True)
            os.symlink(directory / part, self.top / "sys/class/block" / part)
            (self.top / "dev" / part).write_bytes(b"")
        (self.top / "dev" / name).write_bytes(bytes(size if name == "sdb" else 0))

    @staticmethod
    def facts(directory, **values):
        for name, value in values.items():
            (directory / name).write_text(f"{value}\n")

    def use(self, line):
        with open(self.mounts, "a", encoding="ascii") as file:
            file.write(line + "\n")

    def number(self, path):
        for directory in (self.top / "sys/block").glob(os.path.basename(path)):
            return (directory / "dev").read_text().strip()
        return None

    def contents(self, path):
        return FACTS.get(os.path.basename(path), {})


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "stick.img"
    path.write_bytes(IMAGE)
    return path


@pytest.fixture
def write(machine, image, monkeypatch, capsys):
    """write(device, answer): (exit status, output, messages)."""

    def start(device="sdb", answer="", *more):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer + "\n"))
        arguments = [os.path.join(machine.dev, device), str(image), *more] if device else []
        status = write_usb.main(arguments, machine)
        shown = capsys.readouterr()
        print(shown.out, shown.err)
        return status, shown.out, shown.err

    return start


def content(machine):
    return (machine.top / "dev/sdb").read_bytes()


def test_writes_and_leaves_the_rest(write, machine):
    status, out, _ = write(answer="sdb")
    assert status == 0
    assert content(machine) == IMAGE + bytes(8 * MIB - len(IMAGE))
    assert "reading back: 5 of 5 MiB" in out and "can be pulled out" in out


def test_the_partition_table_becomes_the_disk_s(write, machine, image):
    """Both tables are where the other says, with the sums that firmware checks, and the partitions are the image's."""
    small, total = 4 * MIB // gpt.SECTOR, 8 * MIB // gpt.SECTOR
    with open(image, "w+b") as file:
        file.truncate(4 * MIB)
        gpt.write(file, small, [gpt.Partition(gpt.BASIC_DATA, 2048, small - 100, "A")], b"code", "seed")
    before = image.read_bytes()
    assert write(answer="sdb")[0] == 0
    after = content(machine)
    tables = []
    for at, other in ((1, total - 1), (total - 1, 1)):
        header = after[at * gpt.SECTOR:][:92]
        crc, _, own, there, first, last, _, entries_at, count, size, sum_of_entries = struct.unpack("<16xIIQQQQ16sQIII", header)
        assert (own, there, first, last) == (at, other, 34, total - 34)
        assert zlib.crc32(header[:16] + bytes(4) + header[20:]) == crc
        tables.append(after[entries_at * gpt.SECTOR:][:count * size])
        assert zlib.crc32(tables[-1]) == sum_of_entries
    assert tables[0] == tables[1] == before[2 * gpt.SECTOR:34 * gpt.SECTOR]
    assert struct.unpack_from("<II", after, 446 + 8) == (1, total - 1)


def test_shows_what_will_be_lost(write):
    _, out, _ = write()
    lines = out.splitlines()
    assert lines[0].endswith("/dev/sdb: Maker Flash Drive, 8.0 MiB")
    assert lines[1:4] == ["All that it has will be lost:", "  sdb1, 4.0 MiB, vfat, label 'HOLIDAYS'",
                          "  sdb2, 4.0 MiB, of unknown content, label 'backup'"]


@pytest.mark.parametrize("answer", ["", "y", "yes", "sda", "sdb1", "SDB"])
def test_only_the_name_goes_on(write, machine, answer):
    status, _, messages = write(answer=answer)
    assert status == 130 and "is as it was" in messages
    assert not any(content(machine))


@pytest.mark.parametrize("device, said", [
    ("sda", "it is a fixed disk"), ("sr0", "it is a CD drive"), ("sdc", "there is no medium in it"),
    ("sdb1", "is a partition: name its disk,"), ("nothing", "is not a disk"), (".", "is not a disk"),
])
def test_refused(write, device, said):
    status, out, messages = write(device, device)
    assert status == 2 and said in messages and not out


@pytest.mark.parametrize("line, said", [
    ("30 1 8:17 / /media/stick rw - vfat /dev/sdb1 rw", "sdb1: it is mounted on /media/stick"),
    ("30 1 8:16 / /mnt rw - vfat /dev/sdb rw", "sdb: it is mounted on /mnt"),
    ("30 1 0:44 /sub /data rw shared:5 - btrfs {dev}/sdb2 rw", "sdb2: it is mounted on /data"),
])
def test_mounted_is_refused(write, machine, line, said):
    machine.use(line.format(dev=machine.dev))
    status, _, messages = write(answer="sdb")
    assert status == 2 and said in messages
    assert not any(content(machine))


def test_other_use_is_refused(write, machine):
    (machine.top / "sys/block/sdb/sdb2/holders/dm-0").write_text("")
    assert "sdb2: dm-0 is made of it" in write(answer="sdb")[2]
    (machine.top / "swaps").write_text(f"Filename Type\n{machine.dev}/sdb1 partition 100 0 -2\n")
    assert "sdb1: it is swap space" in write(answer="sdb")[2]


def test_write_protected_too_small_and_missing(write, machine, image):
    machine.facts(machine.top / "sys/block/sdb", ro=1)
    assert "write-protected" in write(answer="sdb")[2]
    machine.facts(machine.top / "sys/block/sdb", ro=0, size=4 * MIB // 512)
    assert "has 5.0 MiB, " in (messages := write(answer="sdb")[2]) and "it does not fit" in messages
    image.unlink()
    assert "make one by 'make usb'" in write(answer="sdb")[2]


def test_a_stick_that_forgets_is_told(write, monkeypatch):
    """Some say that they are larger than they are."""
    pread = os.pread
    monkeypatch.setattr("os.pread", lambda fd, n, at: pread(fd, n, at) if at < 4 * MIB else b"\xff" * n)
    status, out, messages = write(answer="sdb")
    assert status == 3 and "can be pulled out" not in out
    where = 4 * MIB + next(i for i, byte in enumerate(IMAGE[4 * MIB:]) if byte != 0xff)
    assert f"byte {where} is not what was written" in messages


def test_a_stick_that_is_pulled_out(write, monkeypatch):
    def broken(*_):
        raise OSError(5, "Input/output error")
    monkeypatch.setattr("os.fdatasync", broken)
    status, _, messages = write(answer="sdb")
    assert status == 3 and "sdb: Input/output error: the stick is broken, or was pulled out" in messages


def test_without_a_device_it_lists_sticks(write):
    status, out, messages = write(None)
    assert status == 2 and "name the stick" in messages
    assert [line.split("/")[-1] for line in out.splitlines()] == ["sdb: Maker Flash Drive, 8.0 MiB"]


def test_help():
    done = subprocess.run([TOP / "scripts/write-usb", "--help"], capture_output=True, text=True, check=True)
    assert "Refuses disks that are mounted or not removable" in " ".join(done.stdout.split())

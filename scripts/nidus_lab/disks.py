# SPDX-License-Identifier: MIT
"""What Linux knows of disks: which there are, what is on them, and why one must not be written to."""

import glob
import os
import re
import subprocess

SECTOR = 512  # the unit of sizes in sysfs, whatever the disk's sectors are
CD = "5"      # SCSI's type of a CD drive


class Places:
    """Where the facts are. Tests have others."""
    sys, dev, mounts, swaps = "/sys", "/dev", "/proc/self/mountinfo", "/proc/swaps"

    def number(self, path):
        """MAJOR:MINOR of a device node; None if it is none."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if status.st_rdev else None

    def contents(self, path):
        """What is in a partition, or on a disk without any: a dictionary with blkid's names, as far as it can be read."""
        try:
            out = subprocess.run(["/sbin/blkid", "-p", "-o", "export", path], capture_output=True, text=True, errors="replace",
                                 check=False).stdout
        except OSError:
            return {}
        return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def read(*path):
    try:
        with open(os.path.join(*path), encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def size_text(size):
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size >> 10} KiB"


class Block:
    """A disk or a partition."""

    def __init__(self, places, directory):
        self.places, self.directory = places, directory
        self.name = os.path.basename(directory)
        self.path = os.path.join(places.dev, self.name)
        self.number = read(directory, "dev")
        self.size = int(read(directory, "size") or 0) * SECTOR

    def users(self):
        """What uses it, as text; empty: nothing."""
        found = [f"it is mounted on {mount.where}" for mount in mounts(self.places) if mount.number == self.number or mount.source == self.path]
        for line in read(self.places.swaps).splitlines()[1:]:
            if line.split()[0] == self.path:
                found.append("it is swap space")
        holders = sorted(os.path.basename(path) for path in glob.glob(f"{self.directory}/holders/*"))
        return found + [f"{holder} is made of it" for holder in holders]

    def what(self):
        facts = self.places.contents(self.path)
        label = facts.get("LABEL") or facts.get("PART_ENTRY_NAME")
        words = [self.name, size_text(self.size), facts.get("TYPE", "of unknown content")]
        return ", ".join(words + ([f"label '{label}'"] if label else []))


class Disk(Block):
    def __init__(self, places, directory):
        super().__init__(places, directory)
        self.model = re.sub(r"\s+", " ", " ".join(filter(None, (read(directory, "device", name) for name in ("vendor", "model", "name")))))

    def partitions(self):
        found = [Block(self.places, os.path.dirname(path)) for path in glob.glob(f"{self.directory}/*/partition")]
        return sorted(found, key=lambda block: int(read(block.directory, "partition") or 0))

    def removable(self):
        return read(self.directory, "removable") == "1" and read(self.directory, "device", "type") != CD

    def __str__(self):
        return f"{self.path}: {self.model or 'unknown model'}, {size_text(self.size)}"

    def refusal(self):
        """Why it must not be written to, with the remedy; None if it may."""
        if read(self.directory, "device", "type") == CD:
            return "it is a CD drive: burn build/nidus.iso (make iso) with a program for that"
        if not self.removable():
            return "it is a fixed disk, not a removable one: name a stick"
        for block in (self, *self.partitions()):
            for user in block.users():
                return f"{block.path}: {user}: unmount or stop that first"
        if not self.size:
            return "there is no medium in it: insert one"
        if read(self.directory, "ro") == "1":
            return "it is write-protected: look for a switch on it"
        return None


class Mount:
    def __init__(self, number, where, source):
        self.number, self.where, self.source = number, where, source


def mounts(places):
    """Format: proc(5), mountinfo."""
    for line in read(places.mounts).splitlines():
        before, _, after = line.partition(" - ")
        yield Mount(before.split()[2], before.split()[4], after.split()[1])


def disks(places):
    """All disks that a medium can be in."""
    return [Disk(places, path) for path in sorted(glob.glob(f"{places.sys}/block/*")) if os.path.exists(f"{path}/device")]

# SPDX-License-Identifier: MIT
"""scripts/write-usb: an image to a stick, which loses what it has."""

import argparse
import errno
import fcntl
import os
import stat
import sys
import time

from nidus_lab import common, disks, gpt
from nidus_lab.common import BUILD, EXIT_INTERRUPTED, EXIT_USAGE, LabError, say

CHUNK = 4 << 20
BLKRRPART, BLKFLSBUF = 0x125f, 0x1261  # linux/fs.h
DEFAULT = os.path.join(BUILD, "nidus-usb.img")


def parser():
    p = argparse.ArgumentParser(
        prog="scripts/write-usb", allow_abbrev=False,
        description="Writes a medium to a stick: shows what will be lost, asks, writes, and reads it back. Refuses disks that are "
                    "mounted or not removable. Without DEVICE it lists the removable disks.")
    p.add_argument("device", metavar="DEVICE", nargs="?", help="the whole disk, such as /dev/sdb")
    p.add_argument("image", metavar="IMAGE", nargs="?", default=DEFAULT, help="the medium (default: build/nidus-usb.img)")
    return p


def find(device, places):
    """The disk of that name; LabError if it is none."""
    path = os.path.realpath(device)
    number = places.number(path)
    found = next((disk for disk in disks.disks(places) if number and disk.number == number), None)
    if found:
        return found
    name = os.path.basename(path)
    if os.path.exists(f"{places.sys}/class/block/{name}/partition"):
        whole = os.path.basename(os.path.dirname(os.path.realpath(f"{places.sys}/class/block/{name}")))
        raise LabError(f"{device} is a partition: name its disk, {places.dev}/{whole}", EXIT_USAGE)
    raise LabError(f"{device} is not a disk: scripts/write-usb without arguments lists them", EXIT_USAGE)


def check(disk, image):
    """Everything that speaks against it; returns the image's size."""
    refusal = disk.refusal()
    if refusal:
        raise LabError(f"{disk.path} is refused: {refusal}", EXIT_USAGE)
    if not os.path.isfile(image):
        raise LabError(f"{image}: no such file: make one by 'make usb'", EXIT_USAGE)
    size = os.path.getsize(image)
    if not size or size > disk.size:
        raise LabError(f"{image} has {disks.size_text(size)}, {disk.path} {disks.size_text(disk.size)}: it does not fit", EXIT_USAGE)
    return size


def show(disk, image, size):
    print(f"{disk}\nAll that it has will be lost:")
    for block in disk.partitions() or [disk]:
        print(f"  {block.what()}")
    print(f"To be written: {image}, {disks.size_text(size)}")


def confirmed(disk):
    print(f"Type {disk.name} to go on, anything else to leave it as it is: ", end="", flush=True)
    return sys.stdin.readline().strip() == disk.name


class Progress:
    """A line that is written over, at a terminal; otherwise one at the end."""

    def __init__(self, what, total):
        self.what, self.total, self.started, self.shown = what, total, time.monotonic(), 0.0

    def at(self, done):
        now, last = time.monotonic(), done == self.total
        if last or (sys.stdout.isatty() and now - self.shown > 0.2):
            self.shown = now
            rate = done / max(now - self.started, 0.001) / 1e6
            start = "\r" if sys.stdout.isatty() else ""
            print(f"{start}{self.what}: {done >> 20} of {self.total >> 20} MiB, {rate:.1f} MB/s  ", end="\n" if last else "", flush=True)


def open_alone(path):
    """Opens the disk so that nothing can mount it meanwhile."""
    try:
        return os.open(path, os.O_RDWR | os.O_EXCL)
    except OSError as error:
        remedy = {errno.EACCES: "run this as root, or with sudo", errno.EPERM: "run this as root, or with sudo",
                  errno.EBUSY: "something uses it: unmount it first"}.get(error.errno, "is it still there?")
        raise LabError(f"{path}: {error.strerror}: {remedy}") from error


def chunks(image, size, what):
    """The image in pieces, with progress: (offset, bytes)."""
    progress, at = Progress(what, size), 0
    with open(image, "rb") as file:
        while data := file.read(CHUNK):
            yield at, data
            at += len(data)
            progress.at(at)


def write_all(fd, image, size):
    for at, data in chunks(image, size, "writing"):
        view = memoryview(data)
        while view:
            view = view[os.pwrite(fd, view, at + len(data) - len(view)):]
        os.fdatasync(fd)  # so that the progress is the stick's
    os.fsync(fd)


def forget_cache(fd):
    """What is read next comes from the stick."""
    if stat.S_ISBLK(os.fstat(fd).st_mode):
        fcntl.ioctl(fd, BLKFLSBUF)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def verify(fd, image, size):
    for at, data in chunks(image, size, "reading back"):
        back = os.pread(fd, len(data), at)
        while 0 < len(back) < len(data):
            more = os.pread(fd, len(data) - len(back), at + len(back))
            if not more:
                break
            back += more
        if back != data:
            print()
            wrong = next((i for i, (a, b) in enumerate(zip(back, data)) if a != b), len(back))
            raise LabError(f"byte {at + wrong} is not what was written: the stick is broken, or smaller than it says; use another one")


def use_whole_disk(fd, disk, image):
    """The second partition table belongs to the end of the disk, where there may be one of earlier."""
    with open(image, "rb") as file:
        start = file.read(gpt.FIRST_USABLE * gpt.SECTOR)
    for sector, data in gpt.moved(start, disk.size // gpt.SECTOR):
        os.pwrite(fd, data, sector * gpt.SECTOR)
    os.fsync(fd)


def write(disk, image, size):
    fd = open_alone(disk.path)
    try:
        write_all(fd, image, size)
        forget_cache(fd)
        verify(fd, image, size)
        use_whole_disk(fd, disk, image)
    except OSError as error:
        print()
        raise LabError(f"{disk.path}: {error.strerror}: the stick is broken, or was pulled out; try again or use another one") from error
    finally:
        try:
            fcntl.ioctl(fd, BLKRRPART)  # its new partitions show
        except OSError:
            pass  # then they do when it is plugged in again
        os.close(fd)


def candidates(places):
    found = [disk for disk in disks.disks(places) if disk.removable() and disk.size]
    print("\n".join(str(disk) for disk in found) if found else "There is no removable disk: plug a stick in.")


def run(argv, places):
    options = parser().parse_args(argv)
    if not options.device:
        candidates(places)
        raise LabError("name the stick: scripts/write-usb DEVICE [IMAGE]", EXIT_USAGE)
    disk = find(options.device, places)
    size = check(disk, options.image)
    show(disk, options.image, size)
    if not confirmed(disk):
        raise LabError(f"{disk.path} is as it was", EXIT_INTERRUPTED)
    write(disk, options.image, size)
    print(f"{disk.path} has it, and can be pulled out.")


def main(argv, places=None):
    common.PROGRAM = "write-usb"
    try:
        run(argv, places or disks.Places())
    except LabError as error:
        say(str(error))
        return error.status
    except KeyboardInterrupt:
        print()
        say("interrupted: a stick that was being written to has no whole medium")
        return EXIT_INTERRUPTED
    return 0

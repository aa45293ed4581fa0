# SPDX-License-Identifier: MIT
"""A disk with a GUID partition table, and before it the code by which a BIOS starts GRUB. Source: UEFI Specification 2.10, chapter 5."""

import struct
import uuid
import zlib

SECTOR = 512
ENTRIES, ENTRY_SIZE = 128, 128
ENTRY_SECTORS = ENTRIES * ENTRY_SIZE // SECTOR
FIRST_USABLE = 2 + ENTRY_SECTORS
MAGIC = b"EFI PART"
DISK_GUID_AT = 56  # in a header
AFTER = ENTRY_SECTORS + 1  # sectors at the disk's end: entries and header again

BASIC_DATA = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")
BIOS_BOOT = uuid.UUID("21686148-6449-6e6f-744e-656564454649")
NAMESPACE = uuid.UUID("7e1c3b52-5f0d-4c0e-9d6a-4e696475730a")  # of the GUIDs that are made here


class Partition:
    """first and last: sectors, both in it."""

    def __init__(self, kind, first, last, name):
        self.kind, self.first, self.last, self.name = kind, first, last, name

    def entry(self, seed):
        own = uuid.uuid5(NAMESPACE, f"{seed} {self.name}")
        return (self.kind.bytes_le + own.bytes_le + struct.pack("<QQQ", self.first, self.last, 0)
                + self.name.encode("utf-16-le").ljust(72, b"\0"))


def header(at, other, total, entries_at, entries, disk):
    """The header of one of the two tables: it stands at sector at, the other one's at other; disk: its GUID, in bytes."""
    def pack(crc):
        return struct.pack("<8sIIIIQQQQ16sQIII", MAGIC, 0x10000, 92, crc, 0, at, other, FIRST_USABLE, total - 1 - AFTER,
                           disk, entries_at, ENTRIES, ENTRY_SIZE, zlib.crc32(entries))

    return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")


def protective(total, code):
    """Sector 0. Its second entry is no partition: there are BIOSes that start from a disk only if something on it is active."""
    whole = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xee, b"\xff\xff\xff", 1, min(total - 1, 0xffffffff))
    active = struct.pack("<B3sB3sII", 0x80, b"\0\0\0", 0, b"\0\0\0", 0, 1)
    return code[:440].ljust(446, b"\0") + whole + active + bytes(32) + b"\x55\xaa"


def tables(total, code, entries, disk):
    """What a disk of total sectors has for it: (sector, bytes)."""
    last = total - 1
    return ((0, protective(total, code)), (1, header(1, last, total, 2, entries, disk)), (2, entries),
            (last - ENTRY_SECTORS, entries), (last, header(last, 1, total, last - ENTRY_SECTORS, entries, disk)))


def write(file, total, partitions, code, seed):
    """Writes both tables to a disk of total sectors; seed is the text that GUIDs are made from, so that they are the same each time."""
    entries = b"".join(p.entry(seed) for p in partitions).ljust(ENTRIES * ENTRY_SIZE, b"\0")
    for sector, data in tables(total, code, entries, uuid.uuid5(NAMESPACE, seed).bytes_le):
        file.seek(sector * SECTOR)
        file.write(data)


def moved(start, total):
    """The tables of an image on a larger disk, whose end is the place of the second one. start: the image's first FIRST_USABLE sectors.

    Empty where the image has no such table, or one that was not made here.
    """
    found = start[SECTOR:2 * SECTOR]
    entries = start[2 * SECTOR:FIRST_USABLE * SECTOR]
    if not found.startswith(MAGIC) or struct.unpack_from("<II", found, 80) != (ENTRIES, ENTRY_SIZE) or len(entries) < ENTRIES * ENTRY_SIZE:
        return ()
    return tables(total, start[:SECTOR], entries, found[DISK_GUID_AT:DISK_GUID_AT + 16])

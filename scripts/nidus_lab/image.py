# SPDX-License-Identifier: MIT
"""Boot images: a CD with GRUB for BIOS or UEFI, and a disk with an EFI system partition for the UEFI application."""

import os
import shutil
import struct

from nidus_lab import packages
from nidus_lab.common import command
from nidus_lab.conf_files import CONF_NAME

SECTOR = 512
CYLINDER = 16 * 63  # sectors; Bochs wants disks of whole cylinders
PARTITION_AT = 2048  # sectors: the usual 1 MiB
GRUB_BIOS = ("biosdisk", "iso9660")
GRUB_UEFI = ("iso9660", "efi_gop", "efi_uga", "part_msdos")
LINUX_MAGIC_AT, LINUX_MAGIC = 0x202, b"HdrS"


def loader(image):
    """GRUB's command and module for the image: Linux, which may be booted instead of Nidus, or multiboot2."""
    with open(image, "rb") as file:
        file.seek(LINUX_MAGIC_AT)
        return "linux" if file.read(len(LINUX_MAGIC)) == LINUX_MAGIC else "multiboot2"


def grub_script(root, how, names, cmdline, commands=""):
    """What GRUB's core does at once, without a menu: it has no more modules than this needs."""
    if how == "linux":
        files = "".join(f"initrd /{name}\n" for name in names if name != CONF_NAME)
    else:
        files = "".join(f"module2 /{name} {name}\n" for name in names)
    return f"set root={root}\n{commands}\n{how} /boot/nidus.elf {cmdline}\n{files}boot\n"


def grub_directory(target):
    return "/usr/lib/grub/" + ("i386-pc" if target.startswith("i386") else target)


def grub_core(target, modules, script, out, work):
    early = os.path.join(work, "early.cfg")
    with open(early, "w", encoding="utf-8") as file:
        file.write(script)
    command(["grub-mkimage", "-O", target, "-d", grub_directory(target), "-p", "/boot", "-c", early, "-o", out, *modules],
            "make GRUB's core image")


def fat(image, start, sectors, files, options=()):
    """Makes a FAT file system of sectors at sector start of the image; files: name in it -> path here; options: mformat's."""
    at = f"{image}@@{start * SECTOR}"
    command(["mformat", "-i", at, "-T", str(sectors), "-h", "16", "-s", "63", "-H", str(start), *options, "::"], "make a FAT volume")
    made = set()
    for name, path in files.items():
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder.lower() not in made:
                command(["mmd", "-i", at, f"::{folder}"], f"make {folder} on a FAT volume")
                made.add(folder.lower())
        command(["mcopy", "-i", at, path, f"::{name}"], f"copy {name} to a FAT volume")


def volume_sectors(files):
    """Sectors of a FAT volume with room for the files."""
    clusters = sum(os.path.getsize(path) // 4096 + 2 for path in files.values())
    return (clusters * 4096 + clusters // 128 + (2 << 20)) // SECTOR


def whole_cylinders(sectors):
    return -(-sectors // CYLINDER) * CYLINDER


def truncate(path, sectors):
    with open(path, "wb") as file:
        file.truncate(sectors * SECTOR)


def write_conf(staged, work):
    path = os.path.join(work, CONF_NAME)
    with open(path, "wb") as file:
        file.write(staged.text)
    return path


def graft_quoted(path):
    return path.replace("\\", "\\\\").replace("=", "\\=")


def grub_iso(firmware, nidus, staged, work, cmdline, commands):
    """A CD that boots the multiboot2 image nidus with the configuration and its files as modules.

    Or Linux, for comparison, with the file that the configuration names (one) as its initrd.
    """
    packages.ensure("bios-image" if firmware == "bios" else "uefi-image")
    tree, names, how = os.path.join(work, "iso"), [CONF_NAME, *staged.files], loader(nidus)
    modules = {"wrmsr"} & set(commands.split())
    os.makedirs(os.path.join(tree, "boot"))
    shutil.copyfile(nidus, os.path.join(tree, "boot/nidus.elf"))
    if firmware == "bios":
        grub_core("i386-pc-eltorito", (*GRUB_BIOS, how, *modules), grub_script("cd", how, names, cmdline, commands),
                  f"{tree}/boot/bios.img", work)
        boot = ["-b", "boot/bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]
    else:
        core, image = os.path.join(work, "bootx64.efi"), f"{tree}/boot/efi.img"
        grub_core("x86_64-efi", (*GRUB_UEFI, how, *modules), grub_script("cd0", how, names, cmdline, commands), core, work)
        files = {"EFI/BOOT/BOOTX64.EFI": core}
        truncate(image, volume_sectors(files))
        fat(image, 0, volume_sectors(files), files)
        boot = ["-e", "boot/efi.img", "-no-emul-boot"]
    out = os.path.join(work, "boot.iso")
    # Graft points take the files from where they are, whatever they are called there.
    grafts = [f"/{name}={graft_quoted(path)}" for name, path in {CONF_NAME: write_conf(staged, work), **staged.files}.items()]
    command(["xorriso", "-as", "mkisofs", "-quiet", "-R", *boot, "-o", out, "-graft-points", f"/={graft_quoted(tree)}", *grafts],
            "make the boot CD")
    return out


def uefi_disk(app, files, work):
    """A disk whose EFI system partition has the UEFI application and the files: name there -> path here."""
    packages.ensure("uefi-app-image")
    files = {"EFI/BOOT/BOOTX64.EFI": app, **files}
    sectors = volume_sectors(files)
    out = os.path.join(work, "boot.img")
    truncate(out, whole_cylinders(PARTITION_AT + sectors))
    with open(out, "r+b") as file:
        file.seek(446)
        # One partition of type EFh, without CHS addresses.
        file.write(struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xef, b"\xff\xff\xff", PARTITION_AT, sectors))
        file.seek(510)
        file.write(b"\x55\xaa")
    fat(out, PARTITION_AT, sectors, files)
    return out


def make(firmware, nidus, staged, work, cmdline, commands=""):
    if firmware == "uefi-app":
        return uefi_disk(nidus, {CONF_NAME: write_conf(staged, work), **staged.files}, work)
    return grub_iso(firmware, nidus, staged, work, cmdline, commands)

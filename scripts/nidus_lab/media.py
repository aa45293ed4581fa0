# SPDX-License-Identifier: MIT
"""make iso, make usb, make pxe: what real machines boot from by BIOS and by UEFI, with a configuration and its files on it.

The sources of what is on them are in boot/media/. In the lab, boots of one configuration by one way have smaller images: image.py.
"""

import argparse
import hashlib
import os
import re
import shutil
import struct
import tempfile

from nidus_lab import common, conf_files, gpt, image, packages
from nidus_lab.common import EXIT_USAGE, TOP, LabError, command, say
from nidus_lab.conf_files import CONF_NAME

SOURCES = os.path.join(TOP, "boot/media")
FOLDER = "nidus"  # for the configuration and its files: all that people change
DEEPEST = 3       # folders that grub.cfg looks into, that one included
GUESTS = ("hello", "smp")
MENU = ("normal", "configfile", "test", "echo", "multiboot2", "ls", "cat", "reboot")
DISK = ("regexp", "search_fs_file", "iso9660", "fat", "part_gpt", "part_msdos")
NET = ("tftp", "http")
BIOS = (*MENU, "serial", "terminal")
UEFI = (*MENU, "efi_gop", "efi_uga")
DISK_BIOS, DISK_UEFI = (*BIOS, *DISK, "biosdisk"), (*UEFI, *DISK, "chain")
NET_BIOS, NET_UEFI = (*BIOS, *NET, "pxe"), (*UEFI, *NET, "efinet")
# What DHCP names for a way of scripts/run's --firmware.
IPXE_SCRIPT = "boot.ipxe"
BOOT_FILES = {"bios": "nidus.0", "uefi": "nidus-grub.efi", "uefi-app": "nidus.efi"}
MiB = 1 << 20
CORE_AT = 64  # sector of GRUB's core image on a disk, behind the table
USB_LEAST, USB_SPARE = 256, 128  # MiB of the stick's volume; of them at least so much is free
FAT32_CLUSTER = 4  # sectors
FAT32_LEAST = 130 * MiB  # with fewer clusters it would be FAT16 to whoever counts them


class Content:
    """What a medium has. nidus: where Nidus was built; staged: the configuration and its files."""

    def __init__(self, build, conf, work):
        self.build, self.work = build, work
        self.staged = conf_files.stage(conf or default_conf(build, work))
        deep = next((name for name in self.staged.files if name.count("/") >= DEEPEST), None)
        if deep:
            raise LabError(f"{deep}: more than {DEEPEST - 1} folders deep, where GRUB's menu does not look: move it", EXIT_USAGE)

    def folder(self):
        """name on the medium -> path here, of what the configuration says."""
        files = {CONF_NAME: image.write_conf(self.staged, self.work), **self.staged.files}
        return {f"{FOLDER}/{name}": path for name, path in files.items()}

    def files(self, *also):
        """All files, and those of Nidus's own that are named too."""
        own = {f"boot/{name}": os.path.join(self.build, name) for name in ("nidus.elf", *also)}
        return {"README.txt": f"{SOURCES}/README.txt", "boot/grub/grub.cfg": f"{SOURCES}/grub.cfg", **own, **self.folder()}


def default_conf(build, work):
    """The configuration for whoever names none: test kernels."""
    shutil.copyfile(f"{SOURCES}/{CONF_NAME}", f"{work}/default.conf")
    for name in GUESTS:
        shutil.copyfile(f"{build}/guest/{name}.elf", f"{work}/{name}.elf")
    return f"{work}/default.conf"


def identity(files):
    """A short text that is another one for other contents."""
    total = hashlib.sha256()
    for name, path in sorted(files.items()):
        with open(path, "rb") as file:
            total.update(f"{name}\0{os.path.getsize(path)}\0".encode())
            total.update(file.read())
    return total.hexdigest()[:16]


def mark(files, work):
    """Adds a file by which GRUB finds this medium among others; returns the script that does so."""
    name = f"boot/grub/{identity(files)}.id"
    path = os.path.join(work, "mark")
    with open(path, "w", encoding="ascii") as file:
        file.write("GRUB finds this volume by the name of this file.\n")
    files[name] = path
    return f"search.file /{name} root\nset prefix=($root)/boot/grub\n"


def core(target, modules, script, work):
    out = os.path.join(work, f"{target}.core")
    image.grub_core(target, modules, script, out, work)
    return out


def efi_volume(loader, work):
    """A FAT volume with nothing but the loader, for firmware that cannot read CDs."""
    files, out = {"EFI/BOOT/BOOTX64.EFI": loader}, os.path.join(work, "efi.img")
    image.truncate(out, image.volume_sectors(files))
    image.fat(out, 0, image.volume_sectors(files), files)
    return out


def iso(content, out):
    """A CD whose first sectors also make it a disk: for BIOS by GRUB's MBR, for UEFI by a partition that is the CD's EFI image."""
    work, files = content.work, content.files()
    script = mark(files, work)
    files["boot/bios.img"] = core("i386-pc-eltorito", DISK_BIOS, script, work)
    files["boot/efi.img"] = efi_volume(core("x86_64-efi", DISK_UEFI, script, work), work)
    command(["xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "NIDUS",
             "-b", "boot/bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
             "--grub2-boot-info", "--grub2-mbr", f"{image.grub_directory('i386-pc')}/boot_hybrid.img", "--mbr-force-bootable",
             "--protective-msdos-label", "--efi-boot", "boot/efi.img", "-efi-boot-part", "--efi-boot-image",
             "-o", out, "-graft-points", *(f"/{name}={image.graft_quoted(path)}" for name, path in files.items())],
            "make the CD")


def boot_sector(core_at):
    """GRUB's boot sector for a hard disk whose core image begins at that sector."""
    with open(f"{image.grub_directory('i386-pc')}/boot.img", "rb") as file:
        code = bytearray(file.read(gpt.SECTOR))
    struct.pack_into("<Q", code, 0x5c, core_at)
    code[0x66:0x68] = b"\x90\x90"  # a BIOS that says that it booted from a floppy disk is corrected
    return bytes(code)


def place_core(file, path, at):
    """Writes the core image there: the list at the end of its first sector says where the rest is."""
    with open(path, "rb") as source:
        data = bytearray(source.read())
    struct.pack_into("<Q", data, 0x1f4, at + 1)
    file.seek(at * gpt.SECTOR)
    file.write(data)
    return len(data)


def usb(content, out, size=None):
    """A stick. Its volume is no EFI system partition by type, as Windows, macOS and Linux hide those: firmware takes any FAT volume
    of a stick."""
    work, files = content.work, content.files("nidus.efi")
    needed = image.volume_sectors(files) * gpt.SECTOR
    volume = size * MiB if size else max(USB_LEAST * MiB, needed + USB_SPARE * MiB)
    if volume < max(needed, FAT32_LEAST):
        raise LabError(f"SIZE={size} is too small: at least {-(-max(needed, FAT32_LEAST) // MiB)}", EXIT_USAGE)
    identifier = identity(files)
    script = mark(files, work)
    files["EFI/BOOT/BOOTX64.EFI"] = core("x86_64-efi", DISK_UEFI, script, work)
    bios = core("i386-pc", DISK_BIOS, script, work)
    first = image.PARTITION_AT
    total = image.whole_cylinders(first + volume // gpt.SECTOR + gpt.AFTER)
    last = total - 1 - gpt.AFTER
    image.truncate(out, total)
    with open(out, "r+b") as file:
        if CORE_AT * gpt.SECTOR + place_core(file, bios, CORE_AT) > first * gpt.SECTOR:
            raise LabError("GRUB's core image does not fit before the volume")
        # The volume is the first entry: older Windows shows only that of a stick.
        gpt.write(file, total, [gpt.Partition(gpt.BASIC_DATA, first, last, "NIDUS"),
                                gpt.Partition(gpt.BIOS_BOOT, CORE_AT, first - 1, "GRUB")], boot_sector(CORE_AT), identifier)
    image.fat(out, first, last - first + 1, files, ["-F", "-c", str(FAT32_CLUSTER), "-v", "NIDUS", "-N", identifier[:8]])


def ipxe_script(folder):
    """For iPXE, which gives files that it has fetched to the UEFI application as a volume; by whatever it got this script."""
    files = "".join("initrd --name " + name[len(FOLDER) + 1:].replace("/", "\\") + f" {name}\n" for name in folder)
    return (f"#!ipxe\niseq ${{platform}} efi || chain {BOOT_FILES['bios']}\nkernel {BOOT_FILES['uefi-app']} stay\n{files}boot\n")


def place(option, protocol, text):
    """GRUB's name of a directory of a server; text: SERVER or SERVER/PATH."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._/-]*)?", text):
        raise LabError(f"{option}={text} is not SERVER or SERVER/PATH", EXIT_USAGE)
    server, _, path = text.partition("/")
    return f"({protocol},{server})/{path}".rstrip("/")


def pxe(content, out, http=None, tftp=None):
    """A directory to serve. All names are relative to where the boot file is, so that it can be put anywhere."""
    work, folder = content.work, content.folder()
    script = f"set prefix={place('TFTP', 'tftp', tftp) if tftp else '$cmdpath'}\n"
    base = place("HTTP", "http", http) if http else "$prefix"
    files = {"nidus.elf": os.path.join(content.build, "nidus.elf"), BOOT_FILES["uefi-app"]: os.path.join(content.build, "nidus.efi"),
             BOOT_FILES["bios"]: core("i386-pc-pxe", NET_BIOS, script, work),
             BOOT_FILES["uefi"]: core("x86_64-efi", NET_UEFI, script, work), **folder}
    for name, path in files.items():
        os.makedirs(os.path.dirname(os.path.join(out, name)), exist_ok=True)
        shutil.copyfile(path, os.path.join(out, name))
    with open(f"{SOURCES}/pxe.cfg", encoding="utf-8") as source, open(os.path.join(out, "grub.cfg"), "w", encoding="utf-8") as menu:
        modules = "\n".join(f"    module2 $base/{name} {name[len(FOLDER) + 1:]}" for name in folder)
        menu.write(source.read().replace("@BASE@", base).replace("@FILES@", modules))
    with open(os.path.join(out, IPXE_SCRIPT), "w", encoding="utf-8") as script:
        script.write(ipxe_script(folder))


MAKERS = {"iso": (iso, "nidus.iso"), "usb": (usb, "nidus-usb.img"), "pxe": (pxe, "pxe")}
OPTIONS = {"iso": (), "usb": ("size",), "pxe": ("http", "tftp")}


def parser():
    p = argparse.ArgumentParser(prog="nidus_lab media", description="Makes a medium: what make iso, make usb and make pxe do.")
    p.add_argument("kind", choices=MAKERS)
    p.add_argument("conf", metavar="FILE.conf", nargs="?", help="the configuration (default: boot/media/nidus.conf)")
    p.add_argument("--build", default=common.BUILD, help="where Nidus was built, and the medium is put (default: build)")
    p.add_argument("--size", type=int, metavar="MiB", help=f"usb: size of the volume (default: {USB_LEAST}, or as much as it needs)")
    p.add_argument("--http", metavar="SERVER[/PATH]", help="pxe: GRUB fetches all but itself and its menu by HTTP from there")
    p.add_argument("--tftp", metavar="SERVER[/PATH]", help="pxe: GRUB fetches its menu from there (default: from where it came)")
    return p


def make(kind, build, conf=None, out=None, **options):
    """Makes a medium and returns its path."""
    packages.ensure("bios-image", "uefi-image")
    maker, name = MAKERS[kind]
    out = out or os.path.join(build, name)
    with tempfile.TemporaryDirectory(prefix="nidus-media-") as work:
        made = os.path.join(work, name)
        maker(Content(build, conf, work), made, **options)
        if os.path.isdir(out):
            shutil.rmtree(out)
        shutil.move(made, out)
    return out


def main(argv):
    common.PROGRAM = "make"
    options = parser().parse_args(argv)
    try:
        out = make(options.kind, options.build, options.conf, **{name: getattr(options, name) for name in OPTIONS[options.kind]})
    except LabError as error:
        say(f"error: {error}")
        return error.status
    print(f"  MEDIUM  {os.path.relpath(out)}")
    return 0

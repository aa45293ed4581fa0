# SPDX-License-Identifier: MIT
"""Bochs 3.0 or later: where it comes from, and a headless machine in it."""

import functools
import os
import re
import shutil
import subprocess

from nidus_lab import archive, image, media, packages
from nidus_lab.common import CACHE, EXIT_USAGE, LabError, locked, os_release, say

MINIMUM = (3, 0)
SUITE = "trixie"  # the first Debian release that has Bochs 3.0
PACKAGES = ("bochs", "bochs-term", "bochsbios", "seabios")
PRIVATE = "bochs-3.0-root"  # in the cache
DEFAULT_CPU = "corei7_skylake_x"
BIOS = "bochs/BIOS-bochs-latest"
# Not Bochs's own VGA BIOS: its VBE function 4F0AH makes GRUB crash before a kernel that asks for a framebuffer.
VGA_BIOS = "seabios/vgabios-isavga.bin"
OVMF = "/usr/share/ovmf/OVMF.fd"
NETWORK_ROM = "/usr/lib/ipxe/qemu/pxe-e1000.rom"
IPXE_UEFI = "/usr/lib/ipxe/ipxe.efi"  # from a disk: as a ROM it is larger than Bochs takes, and OVMF has no driver for a card of Bochs's
# Above this much, Bochs wants to be told how much of it to hold in the host's memory.
LARGEST_PLAIN_MEGS = 2048


class Bochs:
    """One installed or unpacked Bochs: the words that start it, its environment, where its BIOS is."""

    def __init__(self, argv, environment, share):
        self.argv, self.share = argv, share
        self.environment = {**os.environ, **environment}

    @functools.cached_property
    def version(self):
        """(major, minor), or (0, 0) if it does not run."""
        try:
            out = subprocess.run([*self.argv, "--help"], env=self.environment, stdin=subprocess.DEVNULL,
                                 capture_output=True, text=True, errors="replace", check=False)
        except OSError:
            return (0, 0)
        found = re.search(r"Bochs x86 Emulator (\d+)\.(\d+)", out.stdout + out.stderr)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    def cpu_models(self):
        out = subprocess.run([*self.argv, "--help", "cpu"], env=self.environment, stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, errors="replace", check=False)
        return re.findall(r"^[a-z]\w+$", out.stdout + out.stderr, re.MULTILINE)


def installed():
    """The machine's own Bochs, or None."""
    path = shutil.which("bochs-bin") or shutil.which("bochs")
    return Bochs([path], {}, "/usr/share") if path else None


def unpacked(root):
    """A Bochs in a tree of another Debian release: run by that tree's own dynamic loader, with its libraries."""
    libraries = os.path.join(root, "usr/lib/x86_64-linux-gnu")
    share = os.path.join(root, "usr/share")
    # debootstrap's ld.so may be an absolute link, which only means something inside of the tree.
    loader = os.path.join(libraries, "ld-linux-x86-64.so.2")
    environment = {"LTDL_LIBRARY_PATH": os.path.join(libraries, "bochs/plugins"), "BXSHARE": os.path.join(share, "bochs")}
    return Bochs([loader, "--library-path", libraries, os.path.join(root, "usr/bin/bochs-bin")], environment, share)


def good(bochs):
    return bochs is not None and bochs.version >= MINIMUM and all(
        os.path.isfile(f"{bochs.share}/{rom}") for rom in (BIOS, VGA_BIOS))


def fetch_private(root):
    """Bochs from the archive of a later release, into root, without being root unless it needs debootstrap."""
    with locked("bochs"):
        found = unpacked(root)
        if good(found):
            return found
        say(f"fetching Bochs {MINIMUM[0]}.{MINIMUM[1]} from Debian's archive ({SUITE}) into {root}: nothing is installed")
        try:
            apt = archive.PrivateApt(SUITE)
            apt.update()
            archive.unpack(apt.fetch(*PACKAGES, closure=True), root)
            apt.clean()
            if not good(unpacked(root)):
                raise LabError("the Bochs that apt-get fetched does not run")
        except LabError as error:
            say(f"{error}; trying debootstrap")
            archive.debootstrap(SUITE, PACKAGES, root)
    found = unpacked(root)
    if not good(found):
        raise LabError(f"the Bochs in {root} does not run: remove that directory and try again")
    return found


def find():
    """(Bochs, where it is from): the installed one if it is new enough, else Debian's, else a private one."""
    own = installed()
    if good(own):
        return own, "installed"
    private = os.path.join(CACHE, PRIVATE)
    if not os.path.isdir(private):
        candidate = packages.candidate_version("bochs")
        if candidate and tuple(int(n) for n in re.findall(r"\d+", candidate)[:2]) >= MINIMUM:
            packages.ensure("bochs")
            own = installed()
            if good(own):
                return own, "installed"
    return fetch_private(private), f"private copy in {private}, as {os_release()['PRETTY_NAME']} has none or an older one"


def cpu_line(model, count, ips):
    """MODEL[,+FEATURE][,-FEATURE]... as a cpu line."""
    name, *features = model.split(",")
    line = f"cpu: model={name}, count={count}, ips={ips}, reset_on_triple_fault=0"
    for sign, option in (("+", "add_features"), ("-", "exclude_features")):
        names = " ".join(f[1:] for f in features if f.startswith(sign))
        if names:
            line += f', {option}="{names}"'
    return line


def disk_lines(disk):
    if disk.endswith(".iso"):
        lines = f"ata0-master: type=cdrom, path={disk}, status=inserted", "boot: cdrom"
    else:
        lines = f"ata0-master: type=disk, path={disk}, mode=flat", "boot: disk"
    return "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14", *lines


def network_lines(firmware, directory, work):
    """A network card at a DHCP and TFTP server that serves the directory."""
    packages.ensure("network-roms")
    conf = os.path.join(work, "slirp.conf")
    with open(conf, "w", encoding="utf-8") as file:
        file.write(f"# slirp config\nbootfile = {media.IPXE_SCRIPT if firmware == 'uefi-app' else media.BOOT_FILES[firmware]}\n")
    card = f"e1000: enabled=1, mac=52:54:00:12:34:56, ethmod=slirp, ethdev={directory}, script={conf}"
    slot = "pci: enabled=1, chipset=i440fx, slot1=e1000"
    if firmware == "bios":
        return slot, f"{card}, bootrom={NETWORK_ROM}", "boot: network"
    return slot, card, *disk_lines(image.uefi_disk(IPXE_UEFI, {}, work))


def machine(bochs, setup, boot, serial, log):
    """The text of a bochsrc. boot: the lines for what it boots from; serial is the rest of the com1 line; setup has firmware, cpu, cpus, memory
    and com2, a Bridge or None."""
    if setup.firmware == "bios":
        rom = f"romimage: file={bochs.share}/{BIOS}, options=fastboot"
    else:
        rom = f"romimage: file={OVMF}"
    if setup.memory > LARGEST_PLAIN_MEGS:
        memory = f"memory: guest={setup.memory}, host={LARGEST_PLAIN_MEGS}"
    else:
        memory = f"megs: {setup.memory}"
    return "\n".join((
        memory, cpu_line(setup.cpu or DEFAULT_CPU, setup.cpus, setup.ips), rom,
        f"vgaromimage: file={bochs.share}/{VGA_BIOS}",
        'display_library: rfb, options="timeout=0"',
        *boot,
        f"com1: enabled=1, {serial}", f"com2: enabled=1, {setup.com2.for_bochs() if setup.com2 else 'mode=null'}",
        "sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy", "speaker: enabled=1, mode=none",
        f"log: {log}", "panic: action=fatal, rfb=report", "error: action=report", "info: action=ignore", "debug: action=ignore",
        "clock: sync=none, time0=utc", ""))


def check_cpu(bochs, setup):
    """Bochs would stop without a word that the user sees."""
    if setup.cpu:
        name, *features = setup.cpu.split(",")
        models = bochs.cpu_models()
        if name not in models:
            raise LabError(f"--cpu {name}: Bochs has no such CPU; it has: {' '.join(models)}", EXIT_USAGE)
        for feature in features:
            if not re.fullmatch(r"[+-][a-z0-9_]+", feature):
                raise LabError(f"--cpu: '{feature}' is not +FEATURE or -FEATURE", EXIT_USAGE)


def command_line(bochs, setup, source, console, work):
    """(argv, environment, log file). console has for_bochs(), the rest of the com1 line."""
    check_cpu(bochs, setup)
    boot = network_lines(setup.firmware, source, work) if os.path.isdir(source) else disk_lines(source)
    rc, log = os.path.join(work, "bochsrc"), setup.log or os.path.join(work, "bochs.log")
    with open(rc, "w", encoding="utf-8") as file:
        file.write(machine(bochs, setup, boot, console.for_bochs(), log))
    return [*bochs.argv, "-q", "-f", rc], bochs.environment, log

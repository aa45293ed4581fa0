# SPDX-License-Identifier: MIT
"""Virtio devices under Debian's own kernel, with its own drivers: a root file system on a disk, two VMs on a network."""

import glob
import hashlib
import os
import random
import shutil
import subprocess

import pytest

from nidus_lab import debian, packages

DRIVERS = ("virtio", "virtio_ring", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk", "failover",
           "net_failover", "virtio_net", "virtio-rng", "virtio_console")
START = f"""\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
for driver in {' '.join(DRIVERS)}; do $b insmod /bin/$driver.ko || echo "no $driver"; done
"""
TO_THE_DISK = START + """\
$b mkdir /root
$b mount -t ext4 /dev/vda /root
for each in dev proc sys; do $b mount --move /$each /root/$each; done
exec $b switch_root /root /sbin/init
"""
ON_THE_DISK = """\
#!/bin/busybox sh
b=/bin/busybox
echo "root: $($b grep ' / ' /proc/mounts | $b grep -o ext4)"
echo "read: $($b md5sum < /data)"
$b dd if=/data of=/copy bs=4096 count=500 2>/dev/null
echo "written over" > /word
$b sync
echo 3 > /proc/sys/vm/drop_caches
echo "copy: $($b head -c 2048000 /data | $b cmp - /copy && echo same)"
echo "word: $($b cat /word)"
echo "id: $($b cat /sys/block/vda/serial)"
echo "random: $($b cat /sys/class/misc/hw_random/rng_current) $($b head -c 64 /dev/hwrng | $b wc -c)"
echo "by the virtio console" > /dev/hvc0
echo "interrupts: $($b grep -c 'PCI-MSI.*virtio' /proc/interrupts)"
$b mount -o remount,ro /
$b poweroff -f
"""
ON_THE_NETWORK = START + """\
own=$1
other=$((3 - own))
$b ip addr add 10.0.0.$own/24 dev eth0
$b ip link set eth0 up
echo "address: $($b cat /sys/class/net/eth0/address)"
# Each waits until the other is up.
while ! $b ping -c 1 -W 1 10.0.0.$other >/dev/null; do :; done
$b ping -c 5 -s 1400 10.0.0.$other
if [ $own = 1 ]; then
    $b head -c 300000 /dev/urandom > /file
    echo "sum: $($b md5sum < /file)"
    while ! $b nc -w 5 10.0.0.2 99 < /file; do :; done
else
    echo "sum: $($b nc -l -p 99 | $b md5sum)"
fi
$b poweroff -f
"""


def initramfs(path, init):
    tree = debian.fetch()
    drivers = [glob.glob(f"{tree}/lib/modules/*/**/{name}.ko", recursive=True)[0] for name in DRIVERS]
    debian.initramfs(str(path), str(path.parent), init, drivers)


def root_disk(directory):
    """Makes disk.img; returns the sum of its file data."""
    packages.ensure("lab-tests")
    tree = directory / "tree"
    for name in ("bin", "sbin", "dev", "proc", "sys"):
        (tree / name).mkdir(parents=True)
    shutil.copy(debian.one(debian.fetch(), "bin/busybox", "usr/bin/busybox"), tree / "bin")
    (tree / "sbin/init").write_text(ON_THE_DISK)
    os.chmod(tree / "sbin/init", 0o755)
    data = random.Random(1).randbytes(3000001)
    (tree / "data").write_bytes(data)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-d", tree, directory / "disk.img", "16M"], check=True)
    return hashlib.md5(data).hexdigest()


def vm(name, *lines):
    return f"[vm {name}]\nkernel = vmlinuz\ninitrd = initramfs.cpio\n" + "".join(line + "\n" for line in lines)


@pytest.mark.long(0.7)
def test_root_file_system(boot, tmp_path):
    total = root_disk(tmp_path)
    initramfs(tmp_path / "initramfs.cpio", TO_THE_DISK)
    shutil.copyfile(debian.kernel(), tmp_path / "vmlinuz")
    result = boot(vm("one", "cmdline = console=ttyS0 quiet", "memory = 256M", "disk = disk.img", "rng = on",
                     "vconsole = on"), memory=1024)
    assert result.status == 0
    for line in ("root: ext4", f"read: {total}  -", "copy: same", "word: written over", "id: disk.img",
                 "random: virtio_rng.0 64", "by the virtio console", "interrupts: 7"):
        assert line in result.lines
    assert result.text.count("by the virtio console") == 1


@pytest.mark.long(1.5)
@pytest.mark.parametrize("cpus", [1, 2])
def test_two_vms_on_a_network(boot, tmp_path, cpus):
    initramfs(tmp_path / "initramfs.cpio", ON_THE_NETWORK)
    shutil.copyfile(debian.kernel(), tmp_path / "vmlinuz")
    result = boot("".join(vm(f"n{n}", f"cmdline = console=ttyS0 quiet {n}", "memory = 192M", "net = lan") for n in (1, 2)),
                  memory=1024, cpus=cpus, timeout=300)
    assert result.status == 0
    sums = [line for name in ("n1", "n2") for line in result.vm(name) if line.startswith("sum: ")]
    assert len(sums) == 2 and sums[0] == sums[1]
    for n in (1, 2):
        assert f"address: 52:4e:44:00:0{n - 1}:00" in result.vm(f"n{n}")
        assert "5 packets transmitted, 5 packets received, 0% packet loss" in result.vm(f"n{n}")


def test_disk_is_missing(boot):
    result = boot("[vm one]\nkernel = hello.elf\ndisk = nothing.img\n")
    assert result.status == 2
    result.find(r"error: nidus.conf:3: one: the boot loader did not bring the file 'nothing.img'")

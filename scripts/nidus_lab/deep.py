# SPDX-License-Identifier: MIT
"""A deeper L1: Debian's Linux with KVM and QEMU, in it as L2 another Debian's Linux with KVM, and in that guest/kvm's guest as L3."""

import os

from nidus_lab import debian, kvm, qemu_guest


def init(name):
    with open(os.path.join(kvm.SOURCES, name), encoding="ascii") as file:
        return file.read()


def make(work):
    """Makes the files of such an L1 in the directory work: their names -> paths."""
    l2, l1 = os.path.join(work, "l2.cpio"), os.path.join(work, "deep.cpio")
    debian.initramfs(l2, work, init("init_l2"), kvm.programs(work))
    debian.initramfs(l1, work, init("init_qemu"), kvm.modules(work),
                     {**qemu_guest.files(), "l2/vmlinuz": debian.kernel(), "l2/l2.cpio": l2})
    return {"vmlinuz": debian.kernel(), "deep.cpio": l1}

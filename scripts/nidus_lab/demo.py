# SPDX-License-Identifier: MIT
"""The demo: a Debian Linux with KVM, as they are, in a VM of Nidus, and in it a VM of KVM's: a greeting of each, and a shell at a terminal."""

import os
import shutil

from nidus_lab import debian, kvm
from nidus_lab.common import BUILD, locked

CONF = """\
# The demo: a Debian Linux, unmodified, in one VM, with a VM of its own.
[nidus]
console = com1
loglevel = info

[vm debian]
kernel = vmlinuz
initrd = initramfs.cpio
cmdline = console=ttyS0 quiet{words}
memory = 256M
vcpus = 2
nested = on
"""
# The kernel gives words of its command line that it does not know to /init as arguments.
INIT = """\
#!/bin/busybox sh
b=/bin/busybox
mode=$1
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
field() { $b sed -n "s/^$1[^:]*: *//p" "$2" | $b head -n 1; }
set -- $(field flags /proc/cpuinfo)
flags=$#
case " $* " in *" hypervisor "*) under="a hypervisor says it is there" ;; *) under="no hypervisor in CPUID" ;; esac
echo
echo "Hello from Debian's Linux $($b uname -r), in a VM of Nidus."
echo "  CPU:      $(field 'model name' /proc/cpuinfo), $($b grep -c ^processor /proc/cpuinfo) online, $flags flags, $under"
echo "  memory:   $(field MemTotal /proc/meminfo)"
echo "  up for:   $($b cut -d ' ' -f 1 /proc/uptime) s"
if [ -e /bin/kvm-intel.ko ]; then
    echo "It loads its KVM, and starts a VM through /dev/kvm:"
    for module in irqbypass kvm kvm-intel; do $b insmod /bin/$module.ko; done
    /bin/l2 /bin/l2.bin 2 || echo "The VM of KVM's failed: $?"
fi
if [ "$mode" = interactive ]; then
    $b --install -s /bin
    echo "This is its shell: 'exit' or 'poweroff -f' ends the VM; 'l2 /bin/l2.bin 1' runs the VM of KVM's again."
    PATH=/bin HOME=/ PS1='debian:\\w# ' $b setsid $b cttyhack $b sh
fi
echo "Powering off."
$b poweroff -f
"""


def make(interactive=False):
    """Makes the demo's files in build/demo and returns its configuration: with a shell, or one that just powers off."""
    out = os.path.join(BUILD, "demo")
    os.makedirs(out, exist_ok=True)
    conf = os.path.join(out, "interactive.conf" if interactive else "nidus.conf")
    with locked("demo-files"):
        shutil.copyfile(debian.kernel(), os.path.join(out, "vmlinuz"))
        debian.initramfs(os.path.join(out, "initramfs.cpio"), out, INIT, kvm.programs(out))
        with open(conf, "w", encoding="ascii") as file:
            file.write(CONF.format(words=" interactive" if interactive else ""))
    return conf

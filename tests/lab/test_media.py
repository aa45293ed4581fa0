# SPDX-License-Identifier: MIT
"""What make usb, make iso and make pxe make: each boots by BIOS and by UEFI, in the lab up to guests that end, in QEMU up to 'no VT-x'."""

import functools
import http.server
import os
import re
import subprocess
import threading

import pytest

from conftest import TOP
from nidus_lab import media
from nidus_lab.common import LabError
from nidus_lab.media import FOLDER
from sections import vm

NO_VTX = r"error: this CPU has no VT-x \(CPUID\.01H:ECX\.VMX\[5\]\)"
VOLUME = 1 << 20  # where a stick's volume begins
CONF = vm("one", module="deep/er/table.bin") + vm("two", cmdline="count=3")
TABLE = bytes(range(5))


@pytest.fixture
def make(images, tmp_path):
    """make(kind, conf=None, ...): a medium with that configuration, or with its own."""

    def start(kind, text=None, out=None, **options):
        conf = None
        if text:
            conf = tmp_path / "mine.conf"
            conf.write_text(text)
            (tmp_path / "hello.elf").write_bytes(images.guest("hello").read_bytes())
            (tmp_path / "deep/er").mkdir(parents=True, exist_ok=True)
            (tmp_path / "deep/er/table.bin").write_bytes(TABLE)
        return media.make(kind, str(TOP / "build"), conf and str(conf), str(tmp_path / (out or media.MAKERS[kind][1])), **options)

    return start


@pytest.fixture
def boot_medium(run):
    return lambda medium, firmware, emulator="bochs", timeout=120: run(
        "--medium", medium, "--firmware", firmware, "--emulator", emulator, "--memory", 512, "--timeout", timeout)


def check_conf(result):
    """CONF's VMs have run, with their files."""
    assert result.status == 0
    assert "hello from 64-bit mode" in result.vm("one") and "hello: count 3" in result.vm("two")
    assert any("'deep/er/table.bin'" in line and line.endswith(" size 5: 00 01 02 03 04") for line in result.vm("one"))


def stick(image, *argv):
    """mtools on a stick's volume."""
    return subprocess.run([argv[0], "-i", f"{image}@@{VOLUME}", *argv[1:]], check=True, capture_output=True).stdout


def edit(image, path, name, change):
    """Changes a text file of a stick, as its owner would."""
    text = stick(image, "mtype", f"::{name}").decode()
    path.write_text(change(text))
    stick(image, "mcopy", "-o", path, f"::{name}")


def choose(image, path, entry):
    """Makes that entry of the menu the one that is started."""
    edit(image, path, "boot/grub/grub.cfg", lambda text: text.replace("set default=0", f"set default={entry}"))


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
@pytest.mark.parametrize("kind, name", [("usb", "stick.img"), ("iso", "cd.iso"), ("iso", "cd-on-a-stick.img")])
def test_media_in_the_lab(make, boot_medium, kind, name, firmware):
    result = boot_medium(make(kind, CONF, name), firmware)
    check_conf(result)
    result.find("this machine does not switch itself off")
    result.find(r"Nidus, loaded by GRUB \S+, UEFI$" if firmware == "uefi" else r"Nidus, loaded by GRUB \S+$")


def test_a_stick_as_its_owner_leaves_it(make, boot_medium, images, tmp_path):
    """The default's configuration is replaced, files are copied beside it; some systems leave files of their own."""
    image, text = make("usb"), tmp_path / "text"
    stick(image, "mcopy", images.guest("hello"), f"::{FOLDER}/MINE.ELF")
    for name in ("a name with blanks", "._nidus.conf", ".DS_Store"):
        stick(image, "mcopy", images.guest("hello"), f"::{FOLDER}/{name}")
    edit(image, text, f"{FOLDER}/nidus.conf", lambda _: "[vm mine]\r\nkernel = mine.elf\r\nmemory = 16M\r\n")
    result = boot_medium(image, "bios")
    assert result.status == 0
    assert "hello: command line 'mine.elf'" in result.lines
    assert "configured by" not in result.text


def test_another_configuration_is_an_entry_of_the_menu(make, boot_medium, tmp_path):
    image, text = make("usb"), tmp_path / "text"
    text.write_text("[vm other]\nkernel = hello.elf\nmemory = 16M\n")
    stick(image, "mcopy", text, f"::{FOLDER}/other.conf")
    choose(image, text, 1)
    result = boot_medium(image, "bios")
    assert result.status == 0
    result.find("other: hello.elf")


def test_the_self_test_of_a_stick(make, boot_medium, tmp_path):
    image = make("usb")
    choose(image, tmp_path / "text", 1)
    result = boot_medium(image, "bios")
    assert result.nidus()[-1] == "end: status 0 (self-test: passed)"


def test_the_uefi_application_of_a_stick(make, boot_medium, tmp_path):
    image = make("usb", CONF)
    choose(image, tmp_path / "text", 1)
    result = boot_medium(image, "uefi")
    check_conf(result)
    result.find("Nidus, loaded by UEFI application, UEFI$")
    result.find("this machine does not switch itself off")


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_a_usb_stick_in_qemu(make, boot_medium, firmware):
    result = boot_medium(make("usb"), firmware, "qemu")
    assert result.status == 3
    result.find(NO_VTX)


@pytest.mark.parametrize("firmware", ["bios", pytest.param("uefi", marks=pytest.mark.long(1.2)),
                                      pytest.param("uefi-app", marks=pytest.mark.long(1.2))])
def test_the_network_in_the_lab(make, boot_medium, firmware):
    """By iPXE: as the card's ROM on BIOS, from a disk on UEFI."""
    check_conf(boot_medium(make("pxe", CONF), firmware, timeout=300))


@pytest.mark.parametrize("firmware", ["bios", "uefi", "uefi-app"])
def test_the_network_in_qemu(make, boot_medium, firmware):
    """By iPXE on BIOS, by the firmware's own PXE on UEFI. That the files came is seen by one that is not there."""
    directory = make("pxe", CONF)
    os.remove(f"{directory}/{FOLDER}/deep/er/table.bin")
    result = boot_medium(directory, firmware, "qemu")
    assert result.status == 3
    result.find(NO_VTX)
    missing = ("nidus: error: nidus.conf:3: there is no file deep/er/table.bin on this TFTP server: copy it there"
               if firmware == "uefi-app" else "error: File not found.")
    assert [line for line in result.lines if "error: " in line and "no VT-x" not in line] == [missing]


@pytest.fixture
def serve():
    """serve(directory): a server of HTTP; returns its port, and the paths that were asked for."""
    servers = []

    def start(directory):
        asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                asked.append(self.path)

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=directory)))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1].server_port, asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def qemu(*argv):
    """QEMU's console, until Nidus's end or two minutes."""
    with subprocess.Popen(["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "512", "-display", "none", "-nodefaults",
                           "-no-reboot", "-serial", "stdio", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        timer = threading.Timer(120, process.kill)
        timer.start()
        text = b""
        for line in process.stdout:
            text += line
            if line.startswith(b"nidus: end: status"):
                break
        timer.cancel()
        process.kill()
    print(text.decode("utf-8", "replace"))
    return text.decode("utf-8", "replace")


def test_the_uefi_application_over_http(make, serve):
    """iPXE, in the card's ROM, takes its script and all that it names from there."""
    port, asked = serve(make("pxe", CONF))
    text = qemu("-bios", "/usr/share/ovmf/OVMF.fd", "-netdev", f"user,id=net,bootfile=http://10.0.2.2:{port}/{media.IPXE_SCRIPT}",
                "-device", "e1000,netdev=net,bootindex=0")
    assert re.search(f"^nidus: {NO_VTX}", text, re.MULTILINE)
    assert asked == ["/boot.ipxe", "/nidus.efi", "/nidus/nidus.conf", "/nidus/hello.elf", "/nidus/deep/er/table.bin"]
    assert "nidus.conf:" not in text


def test_grub_over_http(make, serve, tmp_path):
    """GRUB and its menu by TFTP, the rest by HTTP."""
    port, asked = serve(tmp_path)
    directory = make("pxe", CONF, http=f"10.0.2.2:{port}/pxe/")
    text = qemu("-netdev", f"user,id=net,tftp={directory},bootfile=nidus.0", "-device", "e1000,netdev=net,bootindex=0")
    assert re.search(f"^nidus: {NO_VTX}", text, re.MULTILINE)
    assert list(dict.fromkeys(asked)) == ["/pxe/nidus.elf", "/pxe/nidus/nidus.conf", "/pxe/nidus/hello.elf",
                                          "/pxe/nidus/deep/er/table.bin"]


@pytest.mark.parametrize("arguments, named", [
    ({"kind": "usb", "size": 20}, "SIZE=20 is too small: at least 130"),
    ({"kind": "pxe", "http": "http://server/"}, "HTTP=http://server/"),
    ({"kind": "pxe", "tftp": "10.0.2.2 /"}, "TFTP=10.0.2.2 /"),
    ({"kind": "iso", "text": "[vm a]\nkernel = a/b/c/d\n", "files": ["a/b/c/d"]}, "a/b/c/d: more than 2 folders deep"),
])
def test_what_cannot_be_made_is_said(make, tmp_path, arguments, named):
    for name in arguments.pop("files", ()):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(LabError, match=re.escape(named)) as caught:
        make(**arguments)
    assert caught.value.status == 2


def test_make_names_the_mistake(images, tmp_path):
    done = subprocess.run(["make", "-s", "usb", f"CONF={tmp_path}/missing.conf"], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode and f"make: error: {tmp_path}/missing.conf: No such file" in done.stderr


@pytest.mark.parametrize("arguments, named", [(["--medium", "missing.img"], "make one by 'make usb'"),
                                              (["a.conf", "--medium", "missing.img"], "leave out FILE.conf")])
def test_bad_usage_of_a_medium_is_2(run, arguments, named):
    result = run(*arguments)
    assert result.status == 2 and named in result.messages

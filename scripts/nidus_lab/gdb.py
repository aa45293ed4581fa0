# SPDX-License-Identifier: MIT
"""The machine's second serial port, for GDB: what goes between the emulator's socket and GDB's."""

import selectors
import socket
import threading

from nidus_lab.common import EXIT_USAGE, LabError


class Bridge:
    """The emulator connects to one port here, GDB to the other; it may come and go."""

    def __init__(self, port):
        self.inner = socket.create_server(("127.0.0.1", 0))
        try:
            self.outer = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            raise LabError(f"--gdb {port}: {error.strerror}", EXIT_USAGE) from error
        self.port = self.outer.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def for_bochs(self):
        return f"mode=socket-client, dev=127.0.0.1:{self.inner.getsockname()[1]}"

    def for_qemu(self):
        return ["-chardev", f"socket,id=com2,host=127.0.0.1,port={self.inner.getsockname()[1]}", "-serial", "chardev:com2"]

    def run(self):
        machine = self.inner.accept()[0]
        while True:
            link = self.outer.accept()[0]
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with link:
                try:
                    if not pump(machine, link):
                        return
                except OSError:
                    pass


def pump(machine, link):
    """Until GDB leaves. False: the machine has."""
    with selectors.DefaultSelector() as selector:
        selector.register(machine, selectors.EVENT_READ, link)
        selector.register(link, selectors.EVENT_READ, machine)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(4096)
                if not data:
                    return key.fileobj is link
                key.data.sendall(data)

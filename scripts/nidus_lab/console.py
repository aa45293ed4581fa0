# SPDX-License-Identifier: MIT
"""The emulated COM1: how the emulator is told where it goes, what is read from it, and what the lines mean."""

import os
import re
import socket
import sys
import termios
import time

END_LINE = re.compile(rb"nidus: end: status ([0-3])\b(?: \(([^)]*)\))?")
PANIC_LINE = re.compile(rb"nidus: panic\b")
QUIT_PREFIX, QUIT_KEY = 0x01, ord("x")  # Ctrl-A x


class Watch:
    """Finds Nidus's own words in the stream. Guests cannot say them: a line starts after a line feed only."""

    def __init__(self):
        self.status = self.meaning = None
        self.panicked = False
        self.partial = b""

    def feed(self, data):
        *lines, self.partial = (self.partial + data).split(b"\n")
        for line in lines:
            end = END_LINE.match(line)
            if end and self.status is None:
                self.status = int(end[1])
                self.meaning = (end[2] or b"").decode("ascii", "replace")
            self.panicked = self.panicked or bool(PANIC_LINE.match(line))
        self.partial = self.partial[-4096:] if len(self.partial) > 65536 else self.partial

    def over(self):
        return self.status is not None or self.panicked


class FifoConsole:
    """One way, through a FIFO: for a machine without a person at it."""

    def __init__(self, work):
        self.path = os.path.join(work, "com1")
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def for_bochs(self):
        return f"mode=file, dev={self.path}"

    def for_qemu(self):
        return ["-chardev", f"file,id=com1,path={self.path}", "-serial", "chardev:com1"]

    def ready(self):
        return True

    def read(self):
        """Bytes, or b"" at the end; None if there are none now."""
        try:
            return os.read(self.fd, 65536)
        except BlockingIOError:
            return None

    def fileno(self):
        return self.fd

    def close(self):
        os.close(self.fd)


class SocketConsole:
    """Both ways: the emulator connects to a socket here, so that no port has to be guessed."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.link = None

    def for_bochs(self):
        return f"mode=socket-client, dev=127.0.0.1:{self.port}"

    def for_qemu(self):
        return ["-chardev", f"socket,id=com1,host=127.0.0.1,port={self.port}", "-serial", "chardev:com1"]

    def ready(self):
        return self.link is not None

    def read(self):
        if self.link is None:
            self.link = self.listener.accept()[0]
            return None
        try:
            return self.link.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    def write(self, data):
        try:
            self.link.sendall(data)
        except OSError:
            pass  # the emulator has just ended: the reader will see it

    def fileno(self):
        return (self.link or self.listener).fileno()

    def close(self):
        self.listener.close()
        if self.link:
            self.link.close()


class Keyboard:
    """The terminal's keys, one by one and as they are, while in use; Ctrl-A x quits, Ctrl-A Ctrl-A is Ctrl-A."""

    def __enter__(self):
        self.fd = sys.stdin.fileno()
        self.before = termios.tcgetattr(self.fd)
        raw = termios.tcgetattr(self.fd)
        raw[0] &= ~(termios.IXON | termios.ICRNL | termios.INLCR | termios.IGNCR | termios.ISTRIP | termios.BRKINT)
        raw[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
        termios.tcsetattr(self.fd, termios.TCSADRAIN, raw)
        self.prefixed = False
        return self

    def __exit__(self, *_):
        termios.tcsetattr(self.fd, termios.TCSADRAIN, self.before)

    def read(self):
        """(bytes for the machine, whether to quit)."""
        typed, out = os.read(self.fd, 1024), bytearray()
        for key in typed:
            if self.prefixed:
                self.prefixed = False
                if key == QUIT_KEY:
                    return bytes(out), True
                if key != QUIT_PREFIX:
                    out.append(QUIT_PREFIX)
                out.append(key)
            elif key == QUIT_PREFIX:
                self.prefixed = True
            else:
                out.append(key)
        return bytes(out), not typed


class Output:
    """Where the console is shown."""

    def __init__(self, path):
        self.file = open(path, "wb") if path else sys.stdout.buffer
        self.last = time.monotonic()
        self.at_line_start = True

    def write(self, data):
        self.last = time.monotonic()
        self.at_line_start = data.endswith(b"\n")
        self.file.write(data)
        self.file.flush()

    def end(self):
        """Ends the last line, should the machine not have."""
        if not self.at_line_start:
            self.write(b"\n")

    def silence(self):
        """Seconds since the last output."""
        return time.monotonic() - self.last

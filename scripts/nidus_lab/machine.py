# SPDX-License-Identifier: MIT
"""One emulated machine: started, bridged to the console, and stopped when it is over."""

import ctypes
import selectors
import signal
import subprocess
import time

from nidus_lab.common import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TIMEOUT, say
from nidus_lab.console import Keyboard, Watch

END_GRACE = 2.0    # seconds for the power-off after Nidus's last line
PANIC_QUIET = 1.0  # a dump that follows a panic is over after this much silence
PANIC_MOST = 10.0
PR_SET_PDEATHSIG = 1


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """words: a file for what the emulator prints; log: its own log."""

    def __init__(self, argv, environment, log, words, console, output):
        self.log, self.words, self.console, self.output = log, words, console, output
        self.watch = Watch()
        self.over_since = None
        with open(words, "wb") as printed:
            self.process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=printed,
                                            stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        self.started = time.monotonic()

    def take(self):
        """Takes what the console has now: the bytes, b"" at its end, None if there are none yet."""
        data = self.console.read()
        if data:
            self.watch.feed(data)
            self.output.write(data)
        return data

    def drain(self):
        """Takes what an emulator that has ended left behind."""
        while self.console.ready() and self.take():
            pass

    def finished(self):
        """Whether the emulator may be stopped: Nidus has said its last."""
        if not self.watch.over():
            return False
        now = time.monotonic()
        self.over_since = self.over_since or now
        since = now - self.over_since
        if self.watch.panicked:
            return since > PANIC_MOST or (since > PANIC_QUIET and self.output.silence() > PANIC_QUIET)
        return since > END_GRACE

    def loop(self, timeout, keyboard):
        """Until it is over. Returns why: 'ended', 'timeout' or 'quit'."""
        with selectors.DefaultSelector() as selector:
            watched = self.console.fileno()
            selector.register(watched, selectors.EVENT_READ, "console")
            if keyboard:
                selector.register(keyboard.fd, selectors.EVENT_READ, "keyboard")
            while True:
                for key, _ in selector.select(0.1):
                    if key.data == "keyboard":
                        typed, quitting = keyboard.read()
                        if quitting:
                            return "quit"
                        if typed and self.console.ready():
                            self.console.write(typed)
                    elif self.take() == b"":
                        return "ended"
                    elif self.console.fileno() != watched:
                        selector.unregister(watched)
                        watched = self.console.fileno()
                        selector.register(watched, selectors.EVENT_READ, "console")
                if self.finished():
                    return "ended"
                if self.process.poll() is not None:
                    self.drain()
                    return "ended"
                if timeout and time.monotonic() - self.started > timeout:
                    return "timeout"

    def stop(self):
        if self.process.poll() is None:
            try:
                self.process.wait(END_GRACE if self.watch.status is not None else 0.1)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def lines_of(self, path):
        try:
            with open(path, "rb") as file:
                return file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return []

    def explain(self):
        """The emulator's last words, and what it said of failed VM entries."""
        lines = self.lines_of(self.log) or self.lines_of(self.words)
        for line in [line for line in lines if "VMFAIL" in line][-10:] + lines[-8:]:
            say(f"  emulator: {line.strip()}")

    def status(self, why, timeout):
        """The exit status, the first that applies, with a line that says so."""
        # The machine may be off before the last line feed has left the UART.
        self.watch.feed(b"\n")
        self.output.end()
        seconds = f"{time.monotonic() - self.started:.1f} s"
        if self.watch.panicked or self.watch.status == EXIT_FAILED:
            say(f"Nidus itself failed ({seconds})")
            self.explain()
            return EXIT_FAILED
        if why == "timeout" and self.watch.status is None:
            say(f"time limit of {timeout:g} s reached: stopped")
            return EXIT_TIMEOUT
        if why == "quit":
            say(f"stopped by the keyboard ({seconds})")
            return EXIT_INTERRUPTED
        if self.watch.status is None:
            say(f"the emulator ended by itself ({seconds}), without a last line of Nidus's")
            self.explain()
            return EXIT_FAILED
        say(f"{self.watch.meaning or self.watch.status} ({seconds})")
        return self.watch.status

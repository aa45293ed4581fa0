# SPDX-License-Identifier: MIT
"""The files that a configuration names, and the copy of it that goes into the boot image.

Only FILE in kernel, module, initrd and disk matters here. All else is passed on as it is: Nidus parses it, strictly.
"""

import os
import re

from nidus_lab.common import EXIT_USAGE, LabError, say

NAMES_FILE = re.compile(rb"^(\s*(?:kernel|module|initrd|disk)\s*=\s*)(?![;#])(\S+)")
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*)*")
CONF_NAME = "nidus.conf"
RESERVED = (CONF_NAME, "efi", "boot")  # what the image itself has at its top
LONGEST_NAME = 100


class Staged:
    """text: the configuration as the image has it. files: name in the image -> path here, in order of mention."""

    def __init__(self, text, files):
        self.text, self.files = text, files


def plain(name, taken):
    """Whether the image can have the file under the name that the configuration gives it."""
    return (PLAIN.fullmatch(name) and len(name) <= LONGEST_NAME and name.split("/")[0].lower() not in RESERVED
            and name.lower() not in taken)


def with_gdb(text):
    """The configuration with GDB on com2, unless it says itself where."""
    if re.search(rb"^\s*gdb\s*=", text, re.MULTILINE):
        return text
    section = re.search(rb"^\s*\[\s*nidus\s*\][^\n]*", text, re.MULTILINE)
    if section:
        return text[:section.end()] + b"\ngdb = com2" + text[section.end():]
    return text + b"\n[nidus]\ngdb = com2\n"


def stage(conf, warn=True, gdb=False):
    """Reads the configuration file conf and finds what it names; a file that is not there gets a warning. gdb: with_gdb()."""
    try:
        with open(conf, "rb") as file:
            text = file.read()
    except OSError as error:
        raise LabError(f"{conf}: {error.strerror}: name a configuration file that is there", EXIT_USAGE) from error
    text = with_gdb(text) if gdb else text
    base = os.path.dirname(os.path.abspath(conf))
    names, taken, files, lines = {}, set(), {}, []
    for number, line in enumerate(text.split(b"\n"), 1):
        found = NAMES_FILE.match(line)
        if found:
            given = found[2].decode("utf-8", "surrogateescape")
            path = os.path.join(base, given)
            if given not in names:
                # Names that differ only in case would be one file on a FAT volume.
                name = given if plain(given, taken) else f"files/{len(names)}"
                names[given] = name
                taken.add(name.lower())
                if os.path.isfile(path) and os.access(path, os.R_OK):
                    files[name] = path
            if warn and names[given] not in files:
                say(f"warning: {conf}:{number}: {given}: no such file, or not readable; Nidus will say so too")
            line = found[1] + names[given].encode("utf-8", "surrogateescape") + line[found.end():]
        lines.append(line)
    return Staged(b"\n".join(lines), files)

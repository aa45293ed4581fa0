#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Packs the texts that lib/packed.h describes. They stand in the compiler's output as strings that begin with MARK.

usage: pack.py FILE.s... > pairs.S
For each FILE.s, FILE.packed.s is the same with its texts packed; it is only written where that changes it.
"""
import pathlib
import re
import sys

import pairs

MARK = b"<packed>"  # as the Makefile defines PACK
SIZE = 320  # as in lib/packed.h
OBJECT = re.compile(rb'^(\S+:)[^\n]*\n((?:\s+\.(?:string|asciz|ascii)\s+"[^\n]*"\n)+)', re.M)
PIECE = re.compile(rb'\.(string|asciz|ascii)\s+"(.*)"')
ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)")
ESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def unescape(match):
    what = match[1]
    return bytes([int(what, 8)]) if what.isdigit() else ESCAPED.get(what, what)


def text_of(match):
    """What the object holds, without MARK and the last NUL; None if it has no MARK."""
    found = PIECE.findall(match[2])
    if not found[0][1].startswith(MARK):
        return None
    data = b"".join(ESCAPE.sub(unescape, text) + b"\0" * (kind != b"ascii") for kind, text in found)
    return data[len(MARK):-1]


def replace(source, short):
    """The source with its texts packed, short says how. Several texts in one object keep their order, others are the
    linker's to merge."""
    def object_of(match):
        text = text_of(match)
        if text is None:
            return match[0]
        section = (b'.packed.list.' + match[1][:-1] + b',"a"' if b"\0" in text else b'.packed.str,"aMS",@progbits,1')
        return (b"\t.pushsection " + section + b"\n" + match[1] + b"\n\t.byte " +
                b",".join(b"%d" % code for code in short[text] + b"\0") + b"\n\t.popsection\n")

    return OBJECT.sub(object_of, source)


def main(files):
    sources = {file: file.read_bytes() for file in map(pathlib.Path, files)}
    texts = {text for source in sources.values() for m in OBJECT.finditer(source) if (text := text_of(m)) is not None}
    for text in (t for several in texts for t in several.split(b"\0")):
        if len(text) >= SIZE or not text.isascii():
            raise SystemExit(f"pack.py: more than {SIZE - 1} characters, or not ASCII: {text.decode()}")
    ordered = sorted(texts)
    end = b"\xff"  # no text has it, and no pair will
    codes, table = pairs.shorten(end.join(ordered), end + b"\0")
    short = dict(zip(ordered, codes.split(end)))
    for file, source in sources.items():
        result = replace(source, short)
        if MARK in result:
            raise SystemExit(f"pack.py: {file}: {MARK.decode()} stands where no text begins")
        target = file.with_suffix(".packed.s")
        if not target.exists() or target.read_bytes() != result:
            target.write_bytes(result)
    print('.section .rodata.packed_pairs,"a"', *pairs.directive("packed_pairs", "byte", sum(table, ())),
          '.section .note.GNU-stack,"",@progbits', sep="\n")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(sys.argv[1:])

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes the symbol table that lib/symbols.h describes.

usage: nm -n IMAGE | symbols.py > symbols.S
"""
import sys

import pairs

END = "_text_end"
# As in lib/symbols.h.
NAME_SIZE = 64


def functions(lines):
    """(address, name) of each function, ascending, and (end of the text, '') last. One name for an address: a
    global one if there is one."""
    best = {}
    end = None
    for line in lines:
        fields = line.split()
        if len(fields) != 3:
            continue
        address, kind, name = int(fields[0], 16), fields[1], fields[2]
        if name == END:
            end = address
        elif kind in "TtWw" and not name.startswith(".L"):
            rank = (kind.islower(), name.startswith("_"), len(name), name)
            best[address] = min(best.get(address, rank), rank)
    if not best:
        raise SystemExit("symbols.py: no function in the input, which should be the output of nm -n")
    if end is None:
        raise SystemExit(f"symbols.py: no symbol {END} in the input")
    return [(a, best[a][3]) for a in sorted(best) if a < end] + [(end, "")]


def sizes(table):
    """How far it is from each function to the next: seven bits a byte, lowest first."""
    out = []
    for (start, _), (end, _) in zip(table, table[1:]):
        size = end - start
        while size > 0x7F:
            out.append(size & 0x7F | 0x80)
            size >>= 7
        out.append(size)
    return bytes(out)


def assembly(table):
    """The table as text for the assembler."""
    names = [name.encode() + b"\0" for _, name in table[:-1]]
    longest = max(names, key=len)
    if len(longest) > NAME_SIZE:
        raise SystemExit(f"symbols.py: {longest[:-1].decode()} has more than {NAME_SIZE - 1} characters")
    text, table_of_pairs = pairs.shorten(b"".join(names))
    out = ['.section .symbols,"a"', ".balign 8"]
    for name, kind, values in [("symbol_base", "quad", [table[0][0]]), ("symbol_count", "long", [len(names)]),
                               ("symbol_pairs", "byte", sum(table_of_pairs, ())), ("symbol_sizes", "byte", sizes(table)),
                               ("symbol_names", "byte", text)]:
        out += pairs.directive(name, kind, values)
    return "\n".join(out) + '\n.section .note.GNU-stack,"",@progbits\n'


if __name__ == "__main__":
    if len(sys.argv) != 1:
        raise SystemExit(__doc__)
    sys.stdout.write(assembly(functions(sys.stdin)))

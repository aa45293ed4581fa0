#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes the symbol table that lib/symbols.h describes.

usage: nm -n IMAGE | symbols.py > symbols.S
"""
import sys

END = "_text_end"


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


def assembly(table):
    """The table as text for the assembler."""
    base = table[0][0]
    out = ['.section .symbols,"a"', ".balign 8"]

    def label(name):
        out.extend([f".globl {name}", f"{name}:"])

    label("symbol_base")
    out.append(f".quad {base:#x}")
    label("symbol_count")
    out.append(f".long {len(table)}")
    label("symbol_offsets")
    out.extend(f".long {address - base:#x}" for address, _ in table)
    label("symbol_names")
    out.extend(f'.asciz "{name}"' for _, name in table)
    return "\n".join(out) + '\n.section .note.GNU-stack,"",@progbits\n'


if __name__ == "__main__":
    if len(sys.argv) != 1:
        raise SystemExit(__doc__)
    sys.stdout.write(assembly(functions(sys.stdin)))

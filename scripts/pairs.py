# SPDX-License-Identifier: MIT
"""Text made shorter by codes for pairs, as lib/packed.h describes it."""
import collections

# As in lib/packed.h.
DEPTH = 16


def shorten(text, apart=b""):
    """(text with codes for its most frequent pairs, the 256 pairs). Bytes that the text does not have are codes.
    The characters in apart are not part of any pair."""
    pairs = [(c, c) for c in range(256)]
    depth = [0] * 256
    for c in apart:
        depth[c] = DEPTH
    for code in sorted(set(range(256)) - set(text) - set(apart)):
        found = collections.Counter(p for p in zip(text, text[1:]) if max(depth[p[0]], depth[p[1]]) < DEPTH)
        if not found:
            break
        pairs[code] = max(found, key=lambda p: (found[p], p))
        depth[code] = 1 + max(depth[c] for c in pairs[code])
        text = text.replace(bytes(pairs[code]), bytes([code]))
    return text, pairs


def directive(name, kind, values):
    """The lines of assembly of a table."""
    return [f".globl {name}", f"{name}:", f".{kind} " + ",".join(map(hex, values))]

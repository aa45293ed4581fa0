# SPDX-License-Identifier: MIT
"""scripts/symbols.py: from the output of nm to the table, with the real assembler."""
import pathlib
import struct
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "symbols.py"

NM = """
ffffffff80000000 T _image_start
ffffffff80000000 T start
ffffffff80000010 t local
ffffffff80000010 T global_with_a_longer_name
ffffffff80000018 t .Lhidden
ffffffff80000020 t clone.part.0
                 U undefined
ffffffff80001000 R _text_end
ffffffff80002000 T after_the_text
ffffffff80003000 D data
"""


def run(text):
    return subprocess.run([sys.executable, SCRIPT], input=text, capture_output=True, text=True)


def table_of(path, nm):
    """(base, [how far it is to the next one], [name]) as lib/symbols.h describes them."""
    result = run(nm)
    assert result.returncode == 0, result.stderr
    (path / "s.S").write_text(result.stdout)
    subprocess.run(["gcc", "-c", "s.S", "-o", "s.o"], cwd=path, check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".symbols", "s.o", "s.bin"], cwd=path, check=True)
    base, count, pairs, rest = struct.unpack("<QI512s", (table := (path / "s.bin").read_bytes())[:524]) + (table[524:],)
    sizes = []
    for _ in range(count):
        length = next(i for i, byte in enumerate(rest) if byte < 0x80) + 1
        sizes.append(sum((byte & 0x7F) << 7 * i for i, byte in enumerate(rest[:length])))
        rest = rest[length:]

    def text(code, depth=0):
        assert depth <= 16
        first, second = pairs[2 * code:2 * code + 2]
        return chr(code) if first == code else text(first, depth + 1) + text(second, depth + 1)

    names = "".join(map(text, rest)).split("\0")
    assert len(names) == count + 1 and not names[-1]
    return base, sizes, names[:-1], len(rest)


def test_table(tmp_path):
    base, sizes, names, _ = table_of(tmp_path, NM)
    assert base == 0xFFFFFFFF80000000
    assert sizes == [0x10, 0x10, 0xFE0]
    assert names == ["start", "global_with_a_longer_name", "clone.part.0"]


@pytest.mark.parametrize("name", ["thing_{}", "{:b}", "a" * 50 + "{}"])
def test_names_that_are_much_alike(tmp_path, name):
    expected = [name.format(n) for n in range(1000)]
    lines = [f"{0x1000 + 200 * n:016x} t {text}" for n, text in enumerate(expected)]
    base, sizes, names, length = table_of(tmp_path, "\n".join(lines + [f"{0x1000 + 200000:016x} R _text_end"]))
    assert base == 0x1000
    assert sizes == [200] * 1000
    assert names == expected
    assert length < sum(map(len, expected))


@pytest.mark.parametrize("text, complaint", [("", "no function"), ("0000000000000010 T f\n", "_text_end"),
                                             (f"0 T {'f' * 64}\n1 R _text_end\n", "more than 63 characters")])
def test_bad_input(text, complaint):
    result = run(text)
    assert result.returncode == 1
    assert complaint in result.stderr

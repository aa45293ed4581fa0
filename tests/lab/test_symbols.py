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


def test_table(tmp_path):
    result = run(NM)
    assert result.returncode == 0, result.stderr
    (tmp_path / "s.S").write_text(result.stdout)
    subprocess.run(["gcc", "-c", "s.S", "-o", "s.o"], cwd=tmp_path, check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".symbols", "s.o", "s.bin"], cwd=tmp_path, check=True)
    table = (tmp_path / "s.bin").read_bytes()
    base, count = struct.unpack_from("<QI", table)
    offsets = struct.unpack_from(f"<{count}I", table, 12)
    names = table[12 + 4 * count:].split(b"\0")
    assert base == 0xFFFFFFFF80000000
    assert offsets == (0, 0x10, 0x20, 0x1000)
    assert names == [b"start", b"global_with_a_longer_name", b"clone.part.0", b"", b""]


@pytest.mark.parametrize("text, complaint", [("", "no function"), ("0000000000000010 T f\n", "_text_end")])
def test_bad_input(text, complaint):
    result = run(text)
    assert result.returncode == 1
    assert complaint in result.stderr

# SPDX-License-Identifier: MIT
"""scripts/pack.py: from the compiler's output to packed texts, with real compilers and the real assembler."""
import pathlib
import re
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "pack.py"
MARK = "<packed>"

SOURCE = r"""
const char *plain = "not packed", *empty = PACK "", *one = PACK "the \"first\"\tof the texts, 100%%\n\\ \001" "1";
static const char list[] = PACK "the nth\0" "" "\0" "the last";
const char *listed(void) { return list; }
const char *again(int n) { return n ? PACK "the last" : PACK "%s of the texts"; }
const char *longest = PACK LONG;
const unsigned char bytes[] = {'t', 'h', 'e', 0, 1, 2};
"""
LONG = "many words " * 29


@pytest.fixture
def pack(tmp_path):
    def run(source, compiler="gcc"):
        (tmp_path / "s.c").write_text(source)
        subprocess.run([compiler, "-ffreestanding", "-fdata-sections", "-Os", "-S", "s.c", f'-DPACK="{MARK}"',
                        f'-DLONG="{LONG}"'], cwd=tmp_path, check=True)
        return subprocess.run([sys.executable, SCRIPT, "s.s"], cwd=tmp_path, capture_output=True, text=True)
    return run


def unpack(codes, pairs):
    def text(code):
        first, second = pairs[2 * code:2 * code + 2]
        return bytes([code]) if first == code else text(first) + text(second)
    return b"".join(map(text, codes))


def section(path, name):
    subprocess.run(["objcopy", "-O", "binary", "-j", name, "s.o", "s.bin"], cwd=path, check=True)
    return (path / "s.bin").read_bytes()


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_texts(pack, tmp_path, compiler):
    result = pack(SOURCE, compiler)
    assert result.returncode == 0, result.stderr
    pairs = bytes(int(n, 16) for n in re.search(r"\.byte (.*)", result.stdout)[1].split(","))
    assert len(pairs) == 512
    subprocess.run([compiler, "-c", "s.packed.s", "-o", "s.o"], cwd=tmp_path, check=True)
    assert unpack(section(tmp_path, ".packed.list.list"), pairs) == b"the nth\0\0the last\0"
    merged = section(tmp_path, ".packed.str")
    assert sorted(unpack(merged, pairs)[:-1].split(b"\0")) == sorted([
        b"", b'the "first"\tof the texts, 100%%\n\\ \x011', b"the last", b"%s of the texts", LONG.encode()])
    assert len(merged) < 150
    source = (tmp_path / "s.packed.s").read_text()
    assert MARK not in source and "not packed" in source


def test_only_changes_are_written(pack, tmp_path):
    pack(SOURCE)
    before = (tmp_path / "s.packed.s").stat().st_mtime_ns
    pack(SOURCE)
    assert (tmp_path / "s.packed.s").stat().st_mtime_ns == before
    pack(SOURCE.replace("first", "second"))
    assert (tmp_path / "s.packed.s").stat().st_mtime_ns > before


@pytest.mark.parametrize("source, complaint", [('const char *s = PACK LONG "x";', "more than 319 characters"),
                                               ('const char *s = PACK "\u00e4";', "not ASCII"),
                                               ('const char *s = "- " PACK "text";', "where no text begins")])
def test_bad_input(pack, source, complaint):
    result = pack(source)
    assert result.returncode == 1
    assert complaint in result.stderr

# SPDX-License-Identifier: MIT
"""Texts of configurations."""

DEBUG = "[nidus]\nloglevel = debug\n"


def vm(name, kernel="hello", **options):
    """A [vm] section whose kernel is a guest of build/guest; options as in docs/configuration.md."""
    lines = [f"[vm {name}]", f"kernel = {kernel}.elf", *(f"{option} = {value}" for option, value in options.items())]
    return "\n".join(lines) + "\n"

# SPDX-License-Identifier: MIT
# Form and static analysis. 'make check' is everything that needs no emulator.

# All C of the project; a file that must keep a form of its own says so inside ('clang-format off').
format_files = $(shell find . \( -name build -o -name '.?*' \) -prune -o -name '*.[ch]' -print | sort)

# The kernel's logic; a part of it can be named: make lint LINT_FILES="vmm/config.c vmm/bus.c"
LINT_FILES ?= $(wildcard lib/*.c arch/x86/*.c drivers/*.c vmm/*.c vmm/dev/*.c vmm/nested/*.c vmm/pv/*.c vmm/monitor/*.c boot/*.c)
lint_cflags := -std=gnu11 -ffreestanding -mgeneral-regs-only -mno-red-zone -I.

.PHONY: format check-format lint check
format: ## bring all C files into the project's form
	@$$(scripts/llvm-tool clang-format) -i $(format_files)

check-format: ## check that 'make format' would change nothing
	@$$(scripts/llvm-tool clang-format) --dry-run -Werror $(format_files)

lint: ## static analysis of the kernel with clang-tidy
	@scripts/lint $(LINT_FILES) -- $(lint_cflags)

check: check-format lint check-unit ## format, lint and unit tests

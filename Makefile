# SPDX-License-Identifier: MIT
# Nidus. 'make help' lists the targets. CC=clang builds with clang.
BUILD ?= build
CC := gcc
LD := ld
OBJCOPY := objcopy
PYTHON ?= /usr/bin/python3

all: kernel efi guests ## build everything
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

gcc_only = $(if $(findstring clang,$(CC)),,$1)
# For size, beyond what gcc takes that to mean; clang's -Oz calls functions of libgcc.
optimize := $(if $(findstring clang,$(CC)),-Os,-Oz -fno-jump-tables -fno-ipa-cp -fno-ipa-sra -fno-caller-saves)
cflags = -std=gnu11 $(optimize) -g -Wall -Wextra -Werror -I. -MMD -MP \
	-ffreestanding -fno-stack-protector -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
	-fomit-frame-pointer -fno-asynchronous-unwind-tables -fno-strict-aliasing -fcf-protection=none -ffunction-sections -fdata-sections \
	$(call gcc_only,-malign-data=abi)
# No file offset has to be the address modulo the size of a page: nobody maps the file.
ldflags := --gc-sections -nostdlib -static -z max-page-size=64 -z noexecstack --no-warn-rwx-segments -T linker.ld

kernel_sources := $(wildcard lib/*.[cS] arch/x86/*.[cS] drivers/*.[cS] vmm/*.[cS] vmm/dev/*.[cS] vmm/nested/*.[cS] vmm/pv/*.[cS] vmm/monitor/*.[cS] vmm/gdb/*.[cS] boot/*.[cS])
kernel_objects := $(addprefix $(BUILD)/kernel/,$(addsuffix .o,$(kernel_sources)))
kernel_assembly := $(patsubst %.o,%.s,$(filter %.c.o,$(kernel_objects)))
kernel_objects += $(BUILD)/kernel/pairs.o

# Built for speed: what exits go through, and the devices that are used all the time. The rest is built for size.
# Only what stands in .text.hot is aligned.
hot_sources := $(wildcard lib/string.c vmm/exit.c vmm/exit_cr.c vmm/exit_memory.c vmm/exit_io.c vmm/event.c vmm/events.c vmm/mmio_fast.c \
	vmm/run.c vmm/msr.c vmm/msr_handlers.c vmm/dev/lapic.c vmm/dev/lapic_regs.c vmm/dev/lapic_ipi.c vmm/dev/irq.c \
	vmm/dev/pit.c vmm/dev/uart.c vmm/memory.c vmm/entry_check.c arch/x86/trap.c)
hot_sources += vmm/observe.c vmm/stats.c vmm/trace.c
hot_sources += vmm/pv/hypercall.c vmm/pv/queue.c vmm/pv/ops_memory.c
hot_sources += $(addprefix vmm/nested/,ipi.c bitmaps.c entry.c exit12.c instructions.c nested.c route.c sync.c vmcs02.c)
$(hot_sources:%=$(BUILD)/kernel/%.s): optimize := -O2 -falign-functions=1 $(call gcc_only,-fno-align-loops -fno-align-jumps)

# Between compiler and assembler the texts are packed: see lib/packed.h. Only what changes by that is assembled again.
$(BUILD)/kernel/%.c.s: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(cflags) -DPACK='"<packed>"' -S $< -o $@

$(BUILD)/kernel/pairs.S: $(kernel_assembly) scripts/pack.py scripts/pairs.py
	@echo "  PACK    $@"
	@$(PYTHON) scripts/pack.py $(kernel_assembly) > $@

$(kernel_assembly:.s=.packed.s): $(BUILD)/kernel/pairs.S ;

$(kernel_assembly:.s=.o): %.o: %.packed.s
	@$(CC) -c -Wa,--no-warn $< -o $@

$(BUILD)/kernel/pairs.o: $(BUILD)/kernel/pairs.S
	@$(CC) -c $< -o $@

$(BUILD)/kernel/%.S.o: %.S Makefile
	@mkdir -p $(@D)
	@echo "  AS      $<"
	@$(CC) $(cflags) -c $< -o $@

# The image is linked twice: the second time with the table of its own symbols, which stands behind all that it names.
$(BUILD)/nidus.bare.elf: $(kernel_objects) linker.ld
	@echo "  LD      $@"
	@$(LD) $(ldflags) $(kernel_objects) -o $@

$(BUILD)/kernel/symbols.S: $(BUILD)/nidus.bare.elf scripts/symbols.py scripts/pairs.py
	@nm -n $< | $(PYTHON) scripts/symbols.py > $@

$(BUILD)/nidus.debug.elf: $(BUILD)/nidus.bare.elf $(BUILD)/kernel/symbols.S
	@echo "  LD      $@"
	@$(CC) $(cflags) -c $(BUILD)/kernel/symbols.S -o $(BUILD)/kernel/symbols.o
	@$(LD) $(ldflags) $(kernel_objects) $(BUILD)/kernel/symbols.o -o $@

$(BUILD)/nidus.plain.elf: $(BUILD)/nidus.debug.elf
	@echo "  STRIP   $@"
	@$(OBJCOPY) --strip-all $< $@

kernel: $(BUILD)/nidus.elf ## build build/nidus.elf, for multiboot2 loaders

include $(wildcard boot/packed/packed.mk boot/efi/efi.mk boot/media/media.mk guest/guest.mk tests/unit/unit.mk scripts/check.mk)
-include $(kernel_objects:.o=.d)

clean: ## remove what was built
	rm -rf $(BUILD)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: all kernel clean help

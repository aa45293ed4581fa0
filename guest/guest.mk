# SPDX-License-Identifier: MIT
# Test kernels: guest/NAME/*.c and *.S, with guest/common/ and a part of lib/, become $(BUILD)/guest/NAME.elf.

BUILD ?= build
GUEST_CC ?= $(CC)
GUEST_OBJCOPY ?= objcopy
GUEST_NAMES := $(patsubst guest/%/main.c,%,$(wildcard guest/*/main.c))
GUEST_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -I. -MMD -MP -ffreestanding -fno-pic -fno-pie -mno-red-zone \
	-mno-sse -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
	-ffunction-sections -fdata-sections -fno-strict-aliasing -fno-delete-null-pointer-checks
GUEST_LDFLAGS := -static -nostdlib \
	-Wl,--gc-sections,-z,max-page-size=4096,-z,noexecstack,--build-id=none,-T,guest/common/guest.lds

GUEST_COMMON := $(wildcard guest/common/*.c guest/common/*.S) lib/format.c lib/string.c lib/str_copy.c
guest_objects = $(patsubst %,$(BUILD)/guest/obj/%.o,$(GUEST_COMMON) $(wildcard guest/$(1)/*.c guest/$(1)/*.S))

.PHONY: guests
guests: $(GUEST_NAMES:%=$(BUILD)/guest/%.elf) ## build the test kernels

$(BUILD)/guest/obj/%.c.o: %.c guest/guest.mk
	@mkdir -p $(@D)
	@echo "  CC      $< (guest)"
	@$(GUEST_CC) $(GUEST_CFLAGS) -c $< -o $@

$(BUILD)/guest/obj/%.S.o: %.S guest/guest.mk
	@mkdir -p $(@D)
	@echo "  AS      $< (guest)"
	@$(GUEST_CC) $(GUEST_CFLAGS) -c $< -o $@

# Loaders of multiboot 1 want a 32-bit ELF file; what is in it stays the same. NAME.debug has the symbols.
define guest_rule
$(BUILD)/guest/$(1).debug: $(call guest_objects,$(1)) guest/common/guest.lds
	@echo "  LD      $$@"
	@$(GUEST_CC) $(GUEST_LDFLAGS) $(call guest_objects,$(1)) -o $$@
$(BUILD)/guest/$(1).elf: $(BUILD)/guest/$(1).debug
	@echo "  OBJCOPY $$@"
	@$(GUEST_OBJCOPY) -S -I elf64-x86-64 -O elf32-i386 $$< $$@
-include $(patsubst %.o,%.d,$(call guest_objects,$(1)))
endef
$(foreach name,$(GUEST_NAMES),$(eval $(call guest_rule,$(name))))

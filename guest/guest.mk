# SPDX-License-Identifier: MIT
# Test kernels: guest/NAME/*.c and *.S, with guest/common/ and a part of lib/, become $(BUILD)/guest/NAME.elf.

BUILD ?= build
GUEST_CC ?= $(CC)
GUEST_OBJCOPY ?= objcopy
GUEST_NAMES := $(patsubst guest/%/main.c,%,$(wildcard guest/*/main.c))
GUEST_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-pie -mno-red-zone -mno-sse \
    -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
    -ffunction-sections -fdata-sections -fno-strict-aliasing -fno-delete-null-pointer-checks -I. -MMD -MP
GUEST_LDFLAGS := -static -nostdlib -no-pie -Wl,--gc-sections,-z,max-page-size=4096,-z,noexecstack,--build-id=none \
    -Wl,-T,guest/common/guest.lds

GUEST_COMMON := $(wildcard guest/common/*.c guest/common/*.S) lib/format.c lib/string.c lib/str_copy.c
guest_objects = $(patsubst %,$(BUILD)/guest/obj/%.o,$(GUEST_COMMON) $(wildcard guest/$(1)/*.c guest/$(1)/*.S))

.PHONY: guests
guests: $(GUEST_NAMES:%=$(BUILD)/guest/%.elf)

$(BUILD)/guest/obj/%.c.o: %.c guest/guest.mk
	@mkdir -p $(@D)
	$(GUEST_CC) $(GUEST_CFLAGS) -c $< -o $@

$(BUILD)/guest/obj/%.S.o: %.S guest/guest.mk
	@mkdir -p $(@D)
	$(GUEST_CC) $(GUEST_CFLAGS) -c $< -o $@

# The loaders of multiboot 1 want a 32-bit ELF file; what is in it does not change. NAME.debug has the symbols.
define guest_rule
$(BUILD)/guest/$(1).debug: $(call guest_objects,$(1)) guest/common/guest.lds
	$(GUEST_CC) $(GUEST_LDFLAGS) $(call guest_objects,$(1)) -o $$@
$(BUILD)/guest/$(1).elf: $(BUILD)/guest/$(1).debug
	$(GUEST_OBJCOPY) -S -I elf64-x86-64 -O elf32-i386 $$< $$@
-include $(patsubst %.o,%.d,$(call guest_objects,$(1)))
endef
$(foreach name,$(GUEST_NAMES),$(eval $(call guest_rule,$(name))))

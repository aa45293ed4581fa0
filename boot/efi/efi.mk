# SPDX-License-Identifier: MIT
# The UEFI application, with the kernel in it. GNU-EFI gives headers, start-up code and the linker script.
efi_crt := $(firstword $(wildcard /usr/lib/crt0-efi-x86_64.o /usr/lib/x86_64-linux-gnu/crt0-efi-x86_64.o \
	/usr/lib/gnuefi/crt0-efi-x86_64.o /usr/lib/x86_64-linux-gnu/gnuefi/crt0-efi-x86_64.o))
efi_libdir := $(dir $(efi_crt))
efi_lds := $(firstword $(wildcard $(efi_libdir)elf_x86_64_efi.lds /usr/lib/elf_x86_64_efi.lds))

efi_cflags := -std=gnu11 -O2 -Wall -Wextra -Werror -I. -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 \
	-MMD -MP -DGNU_EFI_USE_MS_ABI -fpic -fshort-wchar -ffreestanding -fno-stack-protector -mno-red-zone \
	-mgeneral-regs-only -fno-strict-aliasing -fcf-protection=none -fno-asynchronous-unwind-tables
efi_sources := $(wildcard boot/efi/*.[cS]) boot/boot_info.c vmm/config.c vmm/config_options.c vmm/config_serial.c vmm/config_given.c lib/format.c lib/string.c lib/str_copy.c lib/text.c
efi_objects := $(addprefix $(BUILD)/efi/,$(addsuffix .o,$(efi_sources)))

$(BUILD)/efi/%.c.o: %.c Makefile boot/efi/efi.mk
	@mkdir -p $(@D)
	@echo "  CC(EFI) $<"
	@$(CC) $(efi_cflags) -c $< -o $@

$(BUILD)/efi/%.S.o: %.S Makefile boot/efi/efi.mk
	@mkdir -p $(@D)
	@echo "  AS(EFI) $<"
	@$(CC) $(efi_cflags) -DKERNEL_ELF='"$(BUILD)/nidus.plain.elf"' -c $< -o $@

$(BUILD)/efi/boot/efi/kernel_image.S.o: $(BUILD)/nidus.plain.elf

$(BUILD)/efi/nidus.so: $(efi_objects)
	@test -n "$(efi_crt)" || { echo "GNU-EFI is missing: install the package gnu-efi" >&2; exit 1; }
	@echo "  LD(EFI) $@"
	@$(LD) -nostdlib -znocombreloc -shared -Bsymbolic --no-undefined -z noexecstack --no-warn-rwx-segments \
		-L$(efi_libdir) -T $(efi_lds) $(efi_crt) $(efi_objects) -lgnuefi -o $@

$(BUILD)/nidus.efi: $(BUILD)/efi/nidus.so
	@echo "  OBJCOPY $@"
	@$(OBJCOPY) -j .text -j .sdata -j .data -j .rodata -j .dynamic -j .dynsym -j .rel -j .rela -j '.rel.*' -j '.rela.*' \
		-j .reloc --target=efi-app-x86_64 --subsystem=10 $< $@

efi: $(BUILD)/nidus.efi ## build build/nidus.efi, the UEFI application

-include $(efi_objects:.o=.d)
.PHONY: efi

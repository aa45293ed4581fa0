# SPDX-License-Identifier: MIT
# The image as multiboot2 loaders get it, packed. nidus.debug.elf has its symbols.
$(BUILD)/nidus.lz4: $(BUILD)/nidus.debug.elf
	@echo "  LZ4     $@"
	@command -v lz4 >/dev/null || { echo "lz4 is missing: install the package lz4" >&2; exit 1; }
	@$(OBJCOPY) -O binary $< $(BUILD)/nidus.bin
	@lz4 -q -f -12 -BD --no-frame-crc $(BUILD)/nidus.bin $@

$(BUILD)/packed.o: boot/packed/packed.S $(BUILD)/nidus.lz4 Makefile
	@$(CC) $(cflags) -DPACKED_IMAGE='"$(BUILD)/nidus.lz4"' -c $< -o $@

$(BUILD)/nidus.elf: $(BUILD)/packed.o $(BUILD)/nidus.debug.elf boot/packed/packed.ld
	@echo "  LD      $@"
	@$(LD) -nostdlib -static -z max-page-size=64 -z noexecstack --no-warn-rwx-segments -s -T boot/packed/packed.ld \
		--just-symbols=$(BUILD)/nidus.debug.elf $< -o $@

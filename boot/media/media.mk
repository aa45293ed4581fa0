# SPDX-License-Identifier: MIT
# Media that boot real machines. CONF=FILE puts another configuration, and the files that it names, there.
.PHONY: iso usb
iso: kernel guests ## build build/nidus.iso, a CD that also boots when written to a stick (CONF=FILE)
usb: kernel efi guests ## build build/nidus-usb.img, a stick for BIOS and UEFI (CONF=FILE, SIZE=MiB)
iso usb:
	@$(PYTHON) scripts/nidus_lab media $@ $(if $(SIZE),--size $(SIZE)) --build $(BUILD) $(CONF)

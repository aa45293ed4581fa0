# SPDX-License-Identifier: MIT
# Media that boot real machines. CONF=FILE puts another configuration, and the files that it names, there.
.PHONY: iso usb pxe
iso: kernel guests ## build build/nidus.iso, a CD that also boots when written to a stick (CONF=FILE)
usb: kernel efi guests ## build build/nidus-usb.img, a stick for BIOS and UEFI (CONF=FILE, SIZE=MiB)
pxe: kernel efi guests ## build build/pxe, a directory to serve for boots over the network (CONF=FILE, HTTP=, TFTP=SERVER/PATH)
iso usb pxe:
	@$(PYTHON) scripts/nidus_lab media $@ $(CONF) $(if $(SIZE),--size $(SIZE)) $(if $(HTTP),--http $(HTTP)) $(if $(TFTP),--tftp $(TFTP)) --build $(BUILD)

/* SPDX-License-Identifier: MIT */
/* What the parts of the UEFI application share. Source: UEFI Specification 2.10. */
#ifndef BOOT_EFI_APP_H
#define BOOT_EFI_APP_H

#include <efi.h>

#include "boot/boot_info.h"
#include "lib/types.h"

struct app {
    EFI_HANDLE handle;
    EFI_SYSTEM_TABLE *system;
    EFI_BOOT_SERVICES *services;
    EFI_LOADED_IMAGE *self;
    struct boot_info *info;
    u64 highest; /* end of the highest memory that must still be mapped when Nidus starts */
};

/* Text on the firmware's console; a line of its own, starting with "nidus: ". */
void say(struct app *app, const char *fmt, ...) __printf(2, 3);

/* Says "nidus: error: ..."; returns false, so that it can be returned. */
bool fail(struct app *app, const char *fmt, ...) __printf(2, 3);

/* Gives a person some seconds to read. */
void wait_for_key(struct app *app);

/* Memory that stays after boot services end, below 4 GiB if there is any; null if there is none. align: a
 * multiple of 4 KiB. */
void *alloc(struct app *app, u64 size, u64 align);
void release(struct app *app, void *memory, u64 size);

/* nidus.conf and all files that it names become boot modules. What is missing is said and left out. */
bool load_files(struct app *app);

/* Command line, ACPI RSDP, framebuffer. */
void read_firmware(struct app *app);

/* The memory map becomes info's ranges, and boot services end. False: they did not. */
bool leave_firmware(struct app *app);

#endif

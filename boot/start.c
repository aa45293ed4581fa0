/* SPDX-License-Identifier: MIT */
/* From a loader's entry in head.S to nidus_main: both ways end in the same struct boot_info. */
#include "boot/console.h"
#include "boot/main.h"
#include "boot/multiboot2.h"
#include "arch/x86/cpu.h"
#include "arch/x86/layout.h"
#include "arch/x86/pool.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "lib/log.h"
#include "lib/string.h"

#define MULTIBOOT2_MAX_SIZE MiB(1)

extern u8 _image_start[], _image_end[];
void __noreturn boot_from_multiboot2(u32 magic, paddr_t info, paddr_t image);
void __noreturn boot_from_efi(const struct boot_info *from);

static struct boot_info boot_info;

static void start_log(void)
{
    entry_tsc = rdtsc();
    cpu_init_boot();
    console_begin();
}

static void warn(const char *text)
{
    log_warn("%s", text);
}

static void __noreturn start(void)
{
    char err[160];

    if (boot_info_validate(&boot_info, warn, err, sizeof(err)))
        panic("boot information: %s", err);
    nidus_main(&boot_info);
}

void __noreturn boot_from_multiboot2(u32 magic, paddr_t info, paddr_t image)
{
    char err[160];

    start_log();
    /* The loader puts it below 4 GiB, where early tables map everything. */
    if (multiboot2_parse(&boot_info, magic, pool_va(info), MULTIBOOT2_MAX_SIZE, err, sizeof(err)))
        panic("multiboot2: %s", err);
    boot_info.image_base = image;
    boot_info.image_size = (u64)(_image_end - _image_start);
    start();
}

void __noreturn boot_from_efi(const struct boot_info *from)
{
    start_log();
    memcpy(&boot_info, from, sizeof(boot_info));
    start();
}

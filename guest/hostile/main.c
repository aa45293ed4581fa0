/* SPDX-License-Identifier: MIT */
/* One kernel that does the worst it can, as the option do= says. */
#include "guest/hostile/hostile.h"
#include "guest/common/acpi.h"
#include "guest/common/legacy.h"
#include "lib/format.h"

static const struct hostile kinds[] = {
    {"triple", hostile_triple}, {"idt", hostile_idt},       {"stack", hostile_stack},
    {"cr3", hostile_cr3},       {"edge", hostile_edge},     {"nowhere", hostile_nowhere},
    {"wild", hostile_wild},     {"mmio", hostile_mmio},     {"msrs", hostile_msrs},
    {"ports", hostile_ports},   {"vmx", hostile_vmx},       {"vmcall", hostile_vmcall},
    {"insns", hostile_insns},   {"cr", hostile_cr},         {"tss", hostile_tss},
    {"int1", hostile_int1},     {"pfloop", hostile_pfloop}, {"irqstorm", hostile_irqstorm},
    {"hog", hostile_hog},       {"halt", hostile_halt},
};

static u64 random_state;

u64 random64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

void __noreturn hostile_failed(const char *fmt, ...)
{
    char text[200];
    va_list args;

    va_start(args, fmt);
    format_va(text, sizeof(text), fmt, args);
    va_end(args);
    printf("hostile: FAIL: %s\n", text);
    guest_fail(1);
}

bool port_ends_machine(u32 port, u32 size)
{
    static const struct {
        u16 first, last;
    } deadly[] = {
        {0x64, 0x64},   /* keyboard controller: reset pulse */
        {0x92, 0x92},   /* fast reset */
        {0xf4, 0xf7},   /* isa-debug-exit */
        {0xcf9, 0xcf9}, /* reset control */
        {0x404, 0x405}, /* usual places of ACPI's PM1 control */
        {0x604, 0x605}, {0xb004, 0xb005}, {0x8900, 0x8900},
    };
    struct acpi_s5 s5;

    for (u32 i = 0; i < ARRAY_SIZE(deadly); i++) {
        if (port <= deadly[i].last && port + size > deadly[i].first)
            return true;
    }
    return acpi_find_s5(&s5) && port <= s5.pm1a_cnt + 1u && port + size > s5.pm1a_cnt;
}

void guest_main(void)
{
    struct acpi_s5 s5;

    acpi_find_s5(&s5); /* before anything is overwritten */
    random_state = option_number("seed", 0x6e69647573) | 1;
    pic_init();
    for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!option_is("do", kinds[i].name))
            continue;
        printf("hostile: %s begins\n", kinds[i].name);
        kinds[i].run();
        console_init();
        printf("hostile: %s survived\n", kinds[i].name);
        return;
    }
    printf("hostile: do= must be one of:");
    for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
        printf(" %s", kinds[i].name);
    printf("\n");
    guest_fail(1);
}

/* SPDX-License-Identifier: MIT */
/* All MSRs, all ports, random control registers. */
#include "guest/hostile/hostile.h"

#define CR_ROUNDS 20000

struct msr_access {
    u32 msr;
    u64 value;
};

static u64 done, refused;

static void read_msr(void *arg)
{
    struct msr_access *a = arg;

    a->value = rdmsr(a->msr);
}

static void write_msr(void *arg)
{
    const struct msr_access *a = arg;

    wrmsr(a->msr, a->value);
}

static bool attempt(void (*fn)(void *), void *arg)
{
    bool ok = try_call(fn, arg) == X_NONE;

    done++;
    refused += !ok;
    return ok;
}

static void attack_msr(u32 msr)
{
    struct msr_access old = {msr, 0}, a;
    bool readable = attempt(read_msr, &old);
    u64 values[] = {0, ~0ull, old.value ^ 1, random64(), old.value};

    for (u32 i = 0; i < ARRAY_SIZE(values); i++) {
        a = (struct msr_access){msr, values[i]};
        attempt(write_msr, &a);
    }
    if (readable)
        attempt(write_msr, &old);
}

void hostile_msrs(void)
{
    static const struct {
        u32 first, last;
    } ranges[] = {{0, 0x1fff},
                  {0x40000000, 0x400003ff},
                  {0x4b564d00, 0x4b564dff},
                  {0xc0000000, 0xc0001fff},
                  {0xc0010000, 0xc00102ff},
                  {0xfffffff0, 0xffffffff}};
    u64 count = option_number("random", 10000);

    for (u32 i = 0; i < ARRAY_SIZE(ranges); i++) {
        for (u64 msr = ranges[i].first; msr <= ranges[i].last; msr++)
            attack_msr((u32)msr);
    }
    for (u64 i = 0; i < count; i++)
        attack_msr((u32)random64());
    printf("hostile: %llu accesses, %llu refused\n", (ull)done, (ull)refused);
}

static void attack_port(u16 port, u32 size)
{
    static const u32 values[] = {0xffffffff, 0xa5a5a5a5};
    bool write = !port_ends_machine(port, size) && !(port <= COM1 && port + size > COM1);

    for (u32 i = 0; i < ARRAY_SIZE(values); i++) {
        u32 v = values[i];

        switch (size) {
        case 1:
            inb(port);
            if (write)
                outb(port, (u8)v);
            break;
        case 2:
            inw(port);
            if (write)
                outw(port, (u16)v);
            break;
        default:
            inl(port);
            if (write)
                outl(port, v);
            break;
        }
        done++;
    }
}

/* from=, to=: ports; those that end the machine, and the console's data, are only read. */
void hostile_ports(void)
{
    u32 from = (u32)option_number("from", 0), to = (u32)option_number("to", 0xffff);

    for (u32 port = from; port <= to; port++) {
        for (u32 size = 1; size <= 4; size <<= 1)
            attack_port((u16)port, size);
    }
    for (u32 port = from; port <= to; port++) {
        u8 buffer[4];
        u8 *p = buffer;
        u64 n = sizeof(buffer);

        asm volatile("rep insb" : "+D"(p), "+c"(n) : "d"(port) : "memory");
    }
    console_init();
    printf("hostile: %llu port accesses\n", (ull)done);
}

#define DEFINE_WRITE(name)                 \
    static void attack_##name(void *value) \
    {                                      \
        write_##name(*(u64 *)value);       \
    }
DEFINE_WRITE(cr0)
DEFINE_WRITE(cr2)
DEFINE_WRITE(cr3)
DEFINE_WRITE(cr4)
DEFINE_WRITE(cr8)
DEFINE_WRITE(dr0)
DEFINE_WRITE(dr6)
DEFINE_WRITE(dr7)

static void attack_efer(void *value)
{
    wrmsr(MSR_EFER, *(u64 *)value);
}

static void attack_xcr0(void *value)
{
    xsetbv((u32)random64() & 3 ? 0 : (u32)random64(), *(u64 *)value);
}

static void attack_lmsw(void *value)
{
    asm volatile("lmsw %w0" ::"r"(*(u64 *)value));
}

static u64 read_efer(void)
{
    return rdmsr(MSR_EFER);
}

static u64 read_xcr0(void)
{
    return read_cr4() & CR4_OSXSAVE ? xgetbv(0) : 1;
}

static const struct {
    void (*write)(void *value);
    u64 (*read)(void);
    u64 never; /* bits that would take the page tables from under us without any exception */
} registers[] = {
    {attack_cr0, read_cr0, 0},   {attack_cr2, read_cr2, 0},  {attack_cr3, read_cr3, BITS(51, 12)},
    {attack_cr4, read_cr4, 0},   {attack_cr8, read_cr8, 0},  {attack_dr0, read_dr0, 0},
    {attack_dr6, read_dr6, 0},   {attack_dr7, read_dr7, 0},  {attack_efer, read_efer, 0},
    {attack_xcr0, read_xcr0, 0}, {attack_lmsw, read_cr0, 0},
};

static bool ignore_debug(struct trap_frame *f)
{
    if (f->vector != X_DB)
        return false;
    write_dr7(0x400);
    f->rflags |= BIT(16); /* RF */
    return true;
}

/* Mostly a bit or two changed, so that many are accepted; what was there comes back after each. */
void hostile_cr(void)
{
    u64 cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4(), efer = rdmsr(MSR_EFER);

    trap_hook = ignore_debug;
    for (u32 i = 0; i < CR_ROUNDS; i++) {
        u32 which = (u32)(random64() >> 8) % ARRAY_SIZE(registers);
        u64 bits = BIT(random64() >> 58);
        u64 value;

        if (random64() & BIT(20))
            bits |= BIT(random64() >> 58);
        if (!(random64() >> 60))
            bits = random64();
        value = registers[which].read() ^ (bits & ~registers[which].never);
        attempt(registers[which].write, &value);
        if (random64() & BIT(30))
            continue;
        write_dr7(0x400);
        write_cr0(cr0);
        write_cr4(cr4 & ~CR4_PCIDE);
        write_cr3(cr3);
        wrmsr(MSR_EFER, efer);
    }
    write_dr7(0x400);
    trap_hook = NULL;
    write_cr0(cr0);
    write_cr4(cr4);
    write_cr3(cr3);
    printf("hostile: %llu writes, %llu refused\n", (ull)done, (ull)refused);
}

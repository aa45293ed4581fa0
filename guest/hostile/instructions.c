/* SPDX-License-Identifier: MIT */
/* VMX instructions, hypercalls, and random bytes executed in user mode. */
#include "guest/hostile/hostile.h"
#include "guest/common/legacy.h"
#include "guest/common/paging.h"
#include "guest/common/segments.h"
#include "lib/string.h"

#define VMCALL_COUNT 100000
#define INSN_COUNT   100000
#define INSN_STEPS   12

static u64 vmx_operand[2];

#define VMX_KINDS(X)                   \
    X(vmxon, "vmxon %0")               \
    X(vmxoff, "vmxoff")                \
    X(vmclear, "vmclear %0")           \
    X(vmptrld, "vmptrld %0")           \
    X(vmptrst, "vmptrst %0")           \
    X(vmread, "vmread %%rax, %%rcx")   \
    X(vmwrite, "vmwrite %%rax, %%rcx") \
    X(vmlaunch, "vmlaunch")            \
    X(vmresume, "vmresume")            \
    X(invept, "invept %0, %%rax")      \
    X(invvpid, "invvpid %0, %%rax")    \
    X(vmfunc, "vmfunc")                \
    X(getsec, ".byte 0x0f, 0x37")

#define DEFINE(name, code)                                                    \
    static void vmx_##name(void *unused)                                      \
    {                                                                         \
        (void)unused;                                                         \
        asm volatile(code : "+m"(vmx_operand)::"rax", "rcx", "memory", "cc"); \
    }
VMX_KINDS(DEFINE)

static const struct {
    const char *name;
    void (*fn)(void *);
} vmx_kinds[] = {
#define ROW(name, code) {#name, vmx_##name},
    VMX_KINDS(ROW)};

static void set_vmxe(void *unused)
{
    (void)unused;
    write_cr4(read_cr4() | CR4_VMXE);
}

/* Where CPUID does not show VMX, CR4.VMXE is reserved and all are invalid. */
void hostile_vmx(void)
{
    bool vmx = cpuid(1, 0).ecx & BIT(5);

    if (!vmx && try_call(set_vmxe, NULL) != X_GP)
        hostile_failed("CR4.VMXE could be set without VMX in CPUID");
    for (u32 i = 0; i < ARRAY_SIZE(vmx_kinds); i++) {
        int vector;

        printf("hostile: %s\n", vmx_kinds[i].name);
        vector = try_call(vmx_kinds[i].fn, NULL);
        if (vector != X_UD)
            hostile_failed("%s: vector %d", vmx_kinds[i].name, vector);
    }
}

static u64 call_registers[7];

static void vmcall(void *unused)
{
    u64 *r = call_registers;

    (void)unused;
    asm volatile("vmcall"
                 : "+a"(r[0]), "+b"(r[1]), "+c"(r[2]), "+d"(r[3]), "+S"(r[4]), "+D"(r[5])::"r8", "r9", "r10",
                   "r11", "memory");
}

void hostile_vmcall(void)
{
    u32 refused = 0;

    for (u32 i = 0; i < VMCALL_COUNT; i++) {
        for (u32 j = 0; j < ARRAY_SIZE(call_registers); j++)
            call_registers[j] = random64() >> (random64() & 63);
        refused += try_call(vmcall, NULL) != X_NONE;
    }
    printf("hostile: %u hypercalls, %u raised an exception\n", VMCALL_COUNT, refused);
}

static u8 user_area[2 * MiB(2)] __aligned(4096);
static u8 io_bitmap[sizeof(struct tss64) + 8192 + 1];

/* Windows 1 to 5: code, data, no RAM, a device, beyond everything. */
static void map_user_pages(void)
{
    u64 area = ALIGN_UP((u64)user_area, MiB(2));
    const u64 pages[] = {area, area, 0xfea00000, 0xfec00000, GiB(400)};

    for (u32 i = 0; i < ARRAY_SIZE(pages); i++)
        window_map(1 + i, pages[i], PTE_P | PTE_W | PTE_U);
}

/* The console, and what ends a program that loops. */
static bool port_is_ours(u32 port)
{
    return (port >= COM1 && port < COM1 + 8) || (port & 0xff7e) == 0x20 || (port & 0xfffc) == PIT_CHANNEL0;
}

/* A TSS whose I/O bitmap gives user mode all ports but those that end the machine or
 * are ours. */
static void open_ports(void)
{
    struct tss64 *tss = (struct tss64 *)io_bitmap;
    extern u64 gdt[];
    u64 *descriptor = &gdt[(SEL_TSS >> 3) + 2];
    u64 base = (u64)tss;

    memcpy(tss, trap_tss(0), sizeof(*tss));
    tss->rsp[0] = tss->ist[0] - 2048; /* interrupts from user mode */
    tss->iomap = sizeof(*tss);
    for (u32 port = 0; port < 0x10000; port++) {
        if (port_ends_machine(port, 1) || port_is_ours(port))
            io_bitmap[sizeof(*tss) + port / 8] |= (u8)BIT(port % 8);
    }
    io_bitmap[sizeof(io_bitmap) - 1] = 0xff;
    descriptor[0] =
        (sizeof(io_bitmap) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    descriptor[1] = base >> 32;
    asm volatile("ltr %w0" ::"r"(SEL_TSS + 16) : "memory");
}

static u32 steps, ends[32], timeouts;

/* Single steps go on for a while; everything else ends this program. */
static bool step(struct trap_frame *f)
{
    if (f->vector != X_DB || ++steps >= INSN_STEPS || !(f->cs & 3))
        return false;
    return true;
}

static void time_is_up(struct trap_frame *f)
{
    extern u8 try_recover[];
    extern u64 try_rsp;

    pic_eoi();
    timeouts++;
    *f = (struct trap_frame){.rip = (u64)try_recover,
                             .cs = SEL_CODE64,
                             .ss = SEL_DATA,
                             .rsp = try_rsp,
                             .rflags = 2,
                             .rax = X_NONE};
}

/* arg: 15 general registers. In user mode with the trap flag for every second program. */
static void run_program(void *arg)
{
    const u64 *r = arg;
    u64 frame[5] = {WINDOW(1), SEL_USER_CODE64 | 3, RFLAGS_IF | 2 | (r[0] & 1 ? RFLAGS_TF : 0),
                    WINDOW(2) + 0x8000, SEL_USER_DATA | 3};

    asm volatile(
        "movl %2, %%ds; movl %2, %%es\n\t"
        "movq %0, %%rsp; movq %1, %%rax\n\t"
        "movq 0(%%rax), %%rbx; movq 8(%%rax), %%rcx; movq 16(%%rax), %%rdx; movq 24(%%rax), %%rsi\n\t"
        "movq 32(%%rax), %%rdi; movq 40(%%rax), %%rbp; movq 48(%%rax), %%r8; movq 56(%%rax), %%r9\n\t"
        "movq 64(%%rax), %%r10; movq 72(%%rax), %%r11; movq 80(%%rax), %%r12; movq 88(%%rax), %%r13\n\t"
        "movq 96(%%rax), %%r14; movq 104(%%rax), %%r15; movq 112(%%rax), %%rax\n\t"
        "iretq" ::"r"(frame),
        "r"(r), "r"(SEL_USER_DATA | 3)
        : "rax", "memory");
    __builtin_unreachable();
}

static u64 random_register(void)
{
    switch (random64() >> 61) {
    case 0:
        return random64();
    case 1:
        return random64() >> (random64() & 63);
    default:
        return WINDOW(2 + (random64() >> 20) % 4) + ((random64() >> 10) & (MiB(2) - 1));
    }
}

/* Instructions that a hypervisor sees are rare among random bytes: half of the programs begin with one. */
static u32 interesting_prefix(u8 *code)
{
    static const u8 list[][4] = {
        {2, 0x0f, 0xa2},
        {3, 0x0f, 0x01, 0xc1},
        {3, 0x0f, 0x01, 0xd0},
        {2, 0x0f, 0x31},
        {3, 0x0f, 0x01, 0xf9},
        {2, 0x0f, 0x33},
        {1, 0xec},
        {1, 0xee},
        {1, 0xed},
        {2, 0x66, 0xef},
        {2, 0xf3, 0x6c},
        {2, 0xf3, 0x6e},
        {1, 0xf1},
        {3, 0x0f, 0x01, 0xd4},
        {2, 0x0f, 0xc7},
        {2, 0xf3, 0xa4},
    };
    u32 i = (u32)(random64() >> 40) % (2 * ARRAY_SIZE(list));

    if (i >= ARRAY_SIZE(list))
        return 0;
    memcpy(code, list[i] + 1, list[i][0]);
    return list[i][0];
}

static void print_program(u64 n, const u8 *code, const u64 *registers)
{
    printf("hostile: program %llu%s:", (ull)n, registers[0] & 1 ? ", stepped" : "");
    for (u32 i = 0; i < 15; i++)
        printf(" %02x", code[i]);
    printf("\n");
}

/* trace: prints each program before it runs. */
void hostile_insns(void)
{
    bool trace = option("trace");
    u64 count = option_number("count", INSN_COUNT);
    u8 *code = (u8 *)ALIGN_UP((u64)user_area, MiB(2));
    u64 registers[15];

    map_user_pages();
    open_ports();
    for (u32 v = 0; v < 32; v++)
        trap_set_ist((u8)v, 1);
    for (u32 v = 32; v < 256; v++) /* the programs may have made other devices interrupt */
        trap_set_handler((u8)v, time_is_up);
    pic_unmask(IRQ_TIMER);
    for (u64 n = 0; n < count; n++) {
        int vector;

        for (u32 i = 0; i < ARRAY_SIZE(registers); i++)
            registers[i] = random_register();
        memset(code, 0xcc, 32);
        for (u32 i = interesting_prefix(code); i < 15; i++)
            code[i] = (u8)(random64() >> 33);
        if (trace)
            print_program(n, code, registers);
        steps = 0;
        trap_hook = step;
        pit_one_shot(10000);
        vector = try_call(run_program, registers);
        trap_hook = NULL;
        if (vector < 32)
            ends[vector]++;
    }
    pic_mask_all();
    for (u32 v = 0; v < 32; v++) {
        if (ends[v])
            printf("hostile: %u programs ended by vector %u\n", ends[v], v);
    }
    printf("hostile: %u by the timer\n", timeouts);
}

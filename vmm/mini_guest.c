/* SPDX-License-Identifier: MIT */
#include "vmm/mini_guest.h"
#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/time.h"
#include "arch/x86/trap.h"
#include "lib/string.h"
#include "vmm/dev/lapic_state.h"
#include "vmm/vmcs_setup.h"

#define SIZE_PAGES ((sizeof(struct mini_guest) + PAGE_SIZE - 1) / PAGE_SIZE)
#define EPT_LEVELS 4
#define STACK      0xff0
#define VECTORS    256
#define TRIES      1000
#define TIME_US    100000

/* Its pages: its memory, the EPT from the root on, an MSR bitmap that lets all through, a table of
 * descriptors. */
enum { AT_MEMORY, AT_EPT, AT_BITMAP = AT_EPT + EPT_LEVELS, AT_POINTERS, NR_PAGES };

static const u8 code[] = {
    0x0f, 0x01, 0xc1,                   /* MINI_CALL: vmcall */
    0x0f, 0x30, 0x0f, 0x01, 0xc1,       /* MINI_WRMSR: wrmsr; vmcall */
    0xa1, 0x00, 0x10, 0x0f, 0x01, 0xc1, /* MINI_READ: mov ax, [0x1000]; vmcall */
    0xeb, 0xfe,                         /* MINI_LOOP: jmp to itself */
    0xfb, 0x90, 0xeb, 0xfd,             /* MINI_TAKE: sti; nop; jmp to the nop */
};

static void set_up_memory(struct mini_guest *g, u8 *pages)
{
    u64 *table[EPT_LEVELS];

    for (u32 i = 0; i < EPT_LEVELS; i++) {
        table[i] = (u64 *)(pages + (AT_EPT + i) * PAGE_SIZE);
        if (i)
            *table[i - 1] = pool_pa(table[i]) | EPT_RWX;
    }
    g->page = pages;
    g->pt = table[EPT_LEVELS - 1];
    *g->pt = mini_pte(pages);
    g->vm.eptp = pool_pa(table[0]) | EPTP_WB | EPTP_WALK_4;
    for (u32 i = 0; i < VECTORS; i++)
        ((u32 *)pages)[i] = MINI_CALL;
    memcpy(pages + MINI_CALL, code, sizeof(code));
}

static void set_up_vcpu(struct vcpu *v)
{
    static const struct start_state start = {.mode = START_REAL};
    struct lapic *l = v->apic_pages;

    v->lapic = l;
    l->regs = (u32 *)((u8 *)l + PAGE_SIZE);
    l->base = LAPIC_BASE | LAPIC_BASE_ENABLE | LAPIC_BASE_EXTD;
    l->takes_fixed = true;
    vcpu_load(v);
    vmcs_setup(v);
    vcpu_set_start(v, &start);
    vmwrite(GUEST_CS_SELECTOR, 0);
    vmwrite(GUEST_CS_BASE, 0);
    vmwrite(PREEMPTION_TIMER_VALUE, ~0u);
    vcpu_unload(v); /* what is of this CPU comes with the next load */
}

struct mini_guest *mini_create(const struct config_vm *any, enum config_apic apic)
{
    struct mini_guest *g = pool_alloc(&pool_owner, SIZE_PAGES);
    u8 *pages;

    if (!g)
        return NULL;
    g->vm.config = any;
    g->vm.owner.name = "a test's guest";
    g->vm.vpid_base = 1;
    g->vm.space = read_cr3();
    g->vm.apic = apic;
    pages = pool_alloc(&g->vm.owner, NR_PAGES);
    g->vcpu = pages ? vcpu_create(&g->vm, 0) : NULL;
    if (pages)
        set_up_memory(g, pages);
    if (!g->vcpu) {
        mini_destroy(g);
        return NULL;
    }
    g->vm.msr_bitmap = g->vm.msr_bitmap_x2 = pages + AT_BITMAP * PAGE_SIZE;
    if (vmx_available(&vmx_caps, VMX_WORD_PROC3) & PROC3_IPI_VIRTUALIZATION)
        g->vm.pid_pointers = (u64 *)(pages + AT_POINTERS * PAGE_SIZE);
    set_up_vcpu(g->vcpu);
    return g;
}

void mini_destroy(struct mini_guest *g)
{
    vm_use_space(NULL);
    if (g->vcpu)
        vcpu_destroy(g->vcpu);
    pool_free(&g->vm.owner, g->page, NR_PAGES);
    frames_forget_owner(&g->vm.owner);
    pool_free(&pool_owner, g, SIZE_PAGES);
}

void mini_load(struct mini_guest *g)
{
    vcpu_load(g->vcpu);
}

void mini_unload(struct mini_guest *g)
{
    vcpu_unload(g->vcpu);
    vm_use_space(NULL);
}

static u32 launch(struct mini_guest *g, enum mini_code from)
{
    vcpu_load(g->vcpu);
    vmwrite(GUEST_RIP, from);
    vmwrite(GUEST_RSP, STACK);
    vmwrite(GUEST_RFLAGS, RFLAGS_FIXED);
    vmwrite(GUEST_INTERRUPTIBILITY_STATE, 0);
    return vmx_launch(&g->regs) ? (u32)vmread(EXIT_REASON) : MINI_VMFAIL;
}

u32 mini_run(struct mini_guest *g, enum mini_code from)
{
    const struct vmx_regs start = g->regs;
    u64 end = rdtsc() + us_to_ticks(TIME_US);
    u32 reason = EXIT_REASON_EXTERNAL_INTERRUPT;

    apic_timer_set(end);
    for (u32 i = 0; reason == EXIT_REASON_EXTERNAL_INTERRUPT && i < TRIES && rdtsc() < end; i++) {
        vcpu_unload(g->vcpu); /* to be launched anew */
        g->regs = start;
        reason = launch(g, from);
        if (reason == EXIT_REASON_EXTERNAL_INTERRUPT)
            irq_dispatch(INTR_INFO_VECTOR(vmread(EXIT_INTERRUPTION_INFO)));
    }
    apic_timer_stop();
    return reason;
}

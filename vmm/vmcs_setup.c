/* SPDX-License-Identifier: MIT */
#include "vmm/vmcs_setup.h"
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "arch/x86/vmx_names.h"
#include "lib/string.h"
#include "vmm/vmm.h"

extern u8 vmx_exit_entry[];

static u8 *io_bitmaps;

int vmcs_setup_init(void)
{
    io_bitmaps = pool_alloc(&pool_owner, IO_BITMAP_PAGES);
    if (!io_bitmaps)
        return ERR_NOMEM;
    memset(io_bitmaps, 0xff, IO_BITMAP_PAGES * PAGE_SIZE); /* every port exits */
    return OK;
}

static u64 io_bitmap_a(struct vcpu *v)
{
    return pool_pa(v->vm->io_bitmaps ? v->vm->io_bitmaps : io_bitmaps);
}

static u64 io_bitmap_b(struct vcpu *v)
{
    return io_bitmap_a(v) + PAGE_SIZE;
}

void vmcs_all_ports_exit(void)
{
    vmwrite(IO_BITMAP_A, pool_pa(io_bitmaps));
    vmwrite(IO_BITMAP_B, pool_pa(io_bitmaps + PAGE_SIZE));
}

static u64 msr_bitmap_pa(struct vcpu *v)
{
    return pool_pa(v->vm->msr_bitmap);
}

static u64 eptp(struct vcpu *v)
{
    return v->vm->eptp;
}

static u64 vpid(struct vcpu *v)
{
    return vcpu_vpid(v, 0);
}

static u64 descriptor(struct vcpu *v)
{
    return pool_pa(v->pid);
}

static u64 virtual_apic(struct vcpu *v)
{
    return pool_pa(v->apic_pages) + PAGE_SIZE;
}

static u64 access_page(struct vcpu *v)
{
    return v->vm->access_page ? pool_pa(v->vm->access_page) : 0;
}

static u64 pid_pointers(struct vcpu *v)
{
    return v->vm->pid_pointers ? pool_pa(v->vm->pid_pointers) : 0;
}

static u64 tsc_offset(struct vcpu *v)
{
    return v->tsc_offset;
}

u64 vmcs_cr0_mask(struct vcpu *v)
{
    return vcpu_cr0_mask(v);
}

/* CR4.VMXE is always 1 in truth: the guest has its own in the read shadow. */
u64 vmcs_cr4_mask(struct vcpu *v)
{
    return ~v->cpuid->cr4_allowed | CR4_VMXE;
}

static u64 host_cr0(struct vcpu *v)
{
    (void)v;
    return read_cr0();
}

static u64 host_cr3(struct vcpu *v)
{
    return v->vm->space;
}

static u64 host_cr4(struct vcpu *v)
{
    (void)v;
    return read_cr4();
}

static u64 host_efer(struct vcpu *v)
{
    (void)v;
    return rdmsr(MSR_IA32_EFER);
}

static u64 host_pat(struct vcpu *v)
{
    (void)v;
    return rdmsr(MSR_IA32_PAT);
}

static u64 host_rip(struct vcpu *v)
{
    (void)v;
    return (u64)vmx_exit_entry;
}

/* Instructions that the VM's CPUID does not show are to give #UD. */
u64 vmcs_secondary_controls(struct vcpu *v)
{
    static const struct {
        u64 feature, control;
    } instructions[] = {
        {BIT(VF_RDTSCP), PROC2_ENABLE_RDTSCP},
        {BIT(VF_INVPCID), PROC2_ENABLE_INVPCID},
        {BIT(VF_XSAVES), PROC2_ENABLE_XSAVES},
        {BIT(VF_USER_WAIT), PROC2_USER_WAIT_AND_PAUSE},
    };
    u64 controls = vmx_features.word[VMX_WORD_PROC2];

    for (u32 i = 0; i < ARRAY_SIZE(instructions); i++)
        if (v->cpuid->vmx_hidden & instructions[i].feature)
            controls &= ~instructions[i].control;
    return controls | vmx_allowed0(&vmx_caps, VMX_WORD_PROC2);
}

/* One field: a constant, a negotiated control word, or a function of the vCPU. Fields not listed start as
 * zero. */
struct row {
    u16 index;
    u8 word; /* VMX_WORD_* + 1 */
    u64 value;
    u64 (*fn)(struct vcpu *v);
};

#define CONST(field, v)        \
    {                          \
        VI_##field, 0, v, NULL \
    }
#define WORD(field, w)                        \
    {                                         \
        VI_##field, VMX_WORD_##w + 1, 0, NULL \
    }
#define FN(field, f)        \
    {                       \
        VI_##field, 0, 0, f \
    }

static const struct row rows[] = {
    WORD(PIN_BASED_CONTROLS, PIN),
    WORD(PRIMARY_CONTROLS, PROC),
    FN(SECONDARY_CONTROLS, vmcs_secondary_controls),
    WORD(PRIMARY_EXIT_CONTROLS, EXIT),
    WORD(ENTRY_CONTROLS, ENTRY),
    /* #DB and #AC: a guest could keep the CPU in their delivery for ever. #MC belongs to Nidus. */
    CONST(EXCEPTION_BITMAP, VMCS_EXCEPTION_BITMAP),
    CONST(VMCS_LINK_POINTER, ~0ull),
    /* In ticks of the TSC: PAUSEs this close together are a loop, which exits after this long. */
    CONST(PLE_GAP, VMCS_PLE_GAP),
    CONST(PLE_WINDOW, VMCS_PLE_WINDOW),
    CONST(XSS_EXITING_BITMAP, ~0ull),
    FN(IO_BITMAP_A, io_bitmap_a),
    FN(IO_BITMAP_B, io_bitmap_b),
    FN(MSR_BITMAPS, msr_bitmap_pa),
    FN(EPT_POINTER, eptp),
    FN(VPID, vpid),
    FN(VIRTUAL_APIC_ADDRESS, virtual_apic),
    FN(APIC_ACCESS_ADDRESS, access_page),
    FN(POSTED_INT_DESC_ADDRESS, descriptor),
    CONST(POSTED_INT_VECTOR, VECTOR_POSTED),
    /* While the tertiary controls are activated, by apicv.c. */
    CONST(TERTIARY_CONTROLS, PROC3_IPI_VIRTUALIZATION),
    FN(PID_POINTER_TABLE, pid_pointers),
    CONST(LAST_PID_POINTER_INDEX, PID_POINTERS - 1),
    FN(TSC_OFFSET, tsc_offset),
    FN(CR0_GUEST_HOST_MASK, vmcs_cr0_mask),
    FN(CR4_GUEST_HOST_MASK, vmcs_cr4_mask),
    FN(HOST_CR0, host_cr0),
    FN(HOST_CR3, host_cr3),
    FN(HOST_CR4, host_cr4),
    FN(HOST_IA32_EFER, host_efer),
    FN(HOST_IA32_PAT, host_pat),
    FN(HOST_RIP, host_rip),
    CONST(HOST_CS_SELECTOR, SEL_CODE),
    CONST(HOST_SS_SELECTOR, SEL_DATA),
    CONST(HOST_DS_SELECTOR, SEL_DATA),
    CONST(HOST_ES_SELECTOR, SEL_DATA),
    CONST(HOST_TR_SELECTOR, SEL_TSS),
};

void vmcs_setup(struct vcpu *v)
{
    u64 value[VMCS_NR_FIELDS] = {0};

    for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];

        value[r->index] = r->fn ? r->fn(v) : r->word ? vmx_features.word[r->word - 1] : r->value;
    }
    for (u32 i = 0; i < VMCS_NR_FIELDS; i++) {
        u32 encoding = vmcs_field_encoding(i);

        if (VMCS_ENC_TYPE(encoding) != 1 && vmcs_field_exists(&vmx_caps, i))
            vmwrite(encoding, value[i]);
    }
}

void vmcs_set_cpu(void)
{
    struct cpu *c = this_cpu();
    struct {
        u16 limit;
        u64 base;
    } __packed idtr;

    asm volatile("sidt %0" : "=m"(idtr));
    vmwrite(HOST_TR_BASE, (u64)&c->tss);
    vmwrite(HOST_GDTR_BASE, (u64)c->gdt);
    vmwrite(HOST_IDTR_BASE, idtr.base);
    vmwrite(HOST_GS_BASE, (u64)c);
}

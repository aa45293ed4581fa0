/* SPDX-License-Identifier: MIT */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "lib/log.h"
#include "lib/string.h"
#include "vmm/dev/lapic.h"
#include "vmm/observe.h"
#include "vmm/vmcs_setup.h"
#include "vmm/vmm.h"

#define FPU_AREA_PAGES 2 /* standard-format XSAVE area: 2,696 bytes with AVX-512 and PKRU */
#define APIC_PAGES     2
#define FPU_FCW        0x37f
#define FPU_MXCSR      24 /* its offset */
#define MXCSR_INIT     0x1f80

#define AR_CODE16 0x9b
#define AR_DATA16 0x93
#define AR_CODE32 0xc09b
#define AR_CODE64 0xa09b
#define AR_DATA32 0xc093
#define AR_LDTR   0x82
#define AR_TSS    0x8b
#define AR_NONE   0x10000

_Static_assert(offsetof(struct vcpu, launched) == 128, "entry.S");
_Static_assert(offsetof(struct vcpu, host_rsp) == 136, "entry.S");
_Static_assert(offsetof(struct vcpu, on_exit) == 144, "entry.S");
_Static_assert(offsetof(struct vcpu, on_l2_exit) == 152, "entry.S");

struct vcpu *vcpu_create(struct vm *vm, u32 id)
{
    struct frame_owner *owner = &vm->owner;
    struct vcpu *v = pool_alloc(owner, (sizeof(*v) + PAGE_SIZE - 1) / PAGE_SIZE);

    if (!v)
        return NULL;
    v->vm = vm;
    v->id = id;
    v->cpuid = &vm->cpuid;
    v->on_exit = vmx_exit;
    v->enter = vmx_enter;
    v->on_l2_exit = nested_l2_exit;
    v->vmcs_cpu = CPU_NONE;
    v->tlb_cpu = CPU_NONE;
    v->deadline = ~0ull;
    v->pin = vm->config->nr_pins ? vm->config->pin[id] : CONFIG_PIN_ANY;
    pv_vcpu_init(v);
    list_init(&v->timers);
    list_init(&v->node);
    v->own_pio.domain = v->own_mmio.domain = &vm->buses;
    bus_view_init(&v->pio, &v->own_pio, &vm->pio, v, BUS_PIO_SHIFT);
    bus_view_init(&v->mmio, &v->own_mmio, &vm->mmio, v, BUS_MMIO_SHIFT);
    v->vmcs = pool_alloc(owner, 1);
    v->fpu = pool_alloc(owner, FPU_AREA_PAGES);
    v->apic_pages = pool_alloc(owner, APIC_PAGES);
    if (!v->vmcs || !v->fpu || !v->apic_pages) {
        vcpu_destroy(v);
        return NULL;
    }
    *(u32 *)v->vmcs = (u32)vmx_caps.basic & 0x7fffffff;
    v->posted = vm->apic == APIC_POSTED;
    v->xcr0 = 1;
    v->dr6 = DR6_INIT;
    *(u16 *)v->fpu = FPU_FCW;
    *(u32 *)((u8 *)v->fpu + FPU_MXCSR) = MXCSR_INIT;
    vcpu_msrs_reset(&v->msrs, v->cpuid);
    if (vm->cpuid.has_vmx && nested_create(v)) {
        vcpu_destroy(v);
        return NULL;
    }
    return v;
}

void vcpu_destroy(struct vcpu *v)
{
    struct frame_owner *owner = &v->vm->owner;

    observe_free(v);
    nested_destroy(v);
    pool_free(owner, v->vmcs, 1);
    pool_free(owner, v->fpu, FPU_AREA_PAGES);
    pool_free(owner, v->apic_pages, APIC_PAGES);
    pool_free(owner, v, (sizeof(*v) + PAGE_SIZE - 1) / PAGE_SIZE);
}

/* ES is the first segment of each group, and the fields of a group are 2 apart. */
static void set_segment(u32 seg, u16 selector, u64 base, u32 limit, u32 access_rights)
{
    vmwrite(GUEST_ES_SELECTOR + 2 * seg, selector);
    vmwrite(GUEST_ES_BASE + 2 * seg, base);
    vmwrite(GUEST_ES_LIMIT + 2 * seg, limit);
    vmwrite(GUEST_ES_ACCESS_RIGHTS + 2 * seg, access_rights);
}

static void set_cr0(u64 guest)
{
    vmwrite(CR0_READ_SHADOW, guest);
    vmwrite(GUEST_CR0, (guest & ~(u64)(CR0_CD | CR0_NW)) | CR0_NE);
}

static void load_debug_registers(const struct vcpu *v)
{
    write_dr0(v->dr[0]);
    write_dr1(v->dr[1]);
    write_dr2(v->dr[2]);
    write_dr3(v->dr[3]);
    write_dr6(v->dr6);
}

/* SDM, 'Processor State After Reset' (table 'IA-32 and Intel 64 Processor States Following Power-up, Reset,
 * or INIT'). The VMCS is current. */
void vcpu_reset(struct vcpu *v)
{
    memset(v->gpr, 0, sizeof(v->gpr));
    v->gpr[REG_RDX] = v->cpuid->basic[1].eax;
    v->cr2 = 0;
    write_cr2(0);
    memset(v->dr, 0, sizeof(v->dr));
    v->dr6 = DR6_INIT;
    load_debug_registers(v);
    for (u32 s = SEG_ES; s <= SEG_GS; s++)
        set_segment(s, 0, 0, 0xffff, AR_DATA16);
    set_segment(SEG_CS, 0xf000, 0xffff0000, 0xffff, AR_CODE16);
    set_segment(SEG_LDTR, 0, 0, 0xffff, AR_LDTR);
    set_segment(SEG_TR, 0, 0, 0xffff, AR_TSS);
    vmwrite(GUEST_GDTR_BASE, 0);
    vmwrite(GUEST_GDTR_LIMIT, 0xffff);
    vmwrite(GUEST_IDTR_BASE, 0);
    vmwrite(GUEST_IDTR_LIMIT, 0xffff);
    set_cr0(CR0_CD | CR0_NW | CR0_ET);
    vmwrite(GUEST_CR3, 0);
    vmwrite(GUEST_CR4, CR4_VMXE);
    vmwrite(CR4_READ_SHADOW, 0);
    vmwrite(GUEST_IA32_EFER, 0);
    vmwrite(ENTRY_CONTROLS, vmx_features.word[VMX_WORD_ENTRY] & ~ENTRYCTL_IA32E_MODE_GUEST);
    if (vmx_has(&vmx_features, VF_PAT))
        vmwrite(GUEST_IA32_PAT, 0x0007040600070406);
    vmwrite(GUEST_IA32_DEBUGCTL, 0);
    vmwrite(GUEST_DR7, DR7_INIT);
    vmwrite(GUEST_RSP, 0);
    vmwrite(GUEST_RIP, 0xfff0);
    vmwrite(GUEST_RFLAGS, RFLAGS_FIXED);
    vmwrite(GUEST_IA32_SYSENTER_CS, 0);
    vmwrite(GUEST_IA32_SYSENTER_ESP, 0);
    vmwrite(GUEST_IA32_SYSENTER_EIP, 0);
    vmwrite(GUEST_INTERRUPTIBILITY_STATE, 0);
    vmwrite(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
    vmwrite(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
    vmwrite(ENTRY_INTERRUPTION_INFO, 0);
}

static void start_prot32(const struct start_state *s)
{
    set_segment(SEG_CS, s->cs, 0, 0xffffffff, AR_CODE32);
    set_cr0(CR0_PE | CR0_ET | CR0_NE);
}

static void start_long64(const struct start_state *s)
{
    set_segment(SEG_CS, s->cs, 0, 0xffffffff, AR_CODE64);
    set_cr0(CR0_PE | CR0_PG | CR0_ET | CR0_NE);
    vmwrite(GUEST_CR3, s->cr3);
    vmwrite(GUEST_CR4, CR4_VMXE | CR4_PAE);
    vmwrite(CR4_READ_SHADOW, CR4_PAE);
    vmwrite(GUEST_IA32_EFER, EFER_LME | EFER_LMA);
    vmwrite(ENTRY_CONTROLS, vmx_features.word[VMX_WORD_ENTRY] | ENTRYCTL_IA32E_MODE_GUEST);
}

void vcpu_set_start(struct vcpu *v, const struct start_state *s)
{
    vcpu_reset(v);
    if (s->mode == START_REAL)
        return;
    for (u32 seg = SEG_ES; seg <= SEG_GS; seg++) {
        if (seg != SEG_CS)
            set_segment(seg, s->ds, 0, 0xffffffff, AR_DATA32);
    }
    if (s->mode == START_PROT32)
        start_prot32(s);
    else
        start_long64(s);
    vmwrite(GUEST_GDTR_BASE, s->gdt_base);
    vmwrite(GUEST_GDTR_LIMIT, s->gdt_limit);
    vmwrite(GUEST_RIP, s->rip);
    vmwrite(GUEST_RSP, s->rsp);
    v->gpr[REG_RDX] = 0;
    v->gpr[REG_RAX] = s->rax;
    v->gpr[REG_RBX] = s->rbx;
    v->gpr[REG_RSI] = s->rsi;
}

static bool have_xsave(void)
{
    return read_cr4() & CR4_OSXSAVE;
}

/*
 * All components that this VM can have are saved and restored, whatever its XCR0 enables now: a component
 * that is disabled keeps its state, and nothing leaks between VMs.
 */
static void enable_components(struct vcpu *v)
{
    xsetbv(0, v->cpuid->xcr0_allowed ? v->cpuid->xcr0_allowed : 1);
}

static void fpu_save(struct vcpu *v)
{
    if (have_xsave()) {
        v->xcr0 = xgetbv(0);
        enable_components(v);
        asm volatile("xsave64 (%0)" : : "r"(v->fpu), "a"(~0u), "d"(~0u) : "memory");
    } else {
        asm volatile("fxsave64 (%0)" : : "r"(v->fpu) : "memory");
    }
}

static void fpu_load(struct vcpu *v)
{
    if (have_xsave()) {
        enable_components(v);
        asm volatile("xrstor64 (%0)" : : "r"(v->fpu), "a"(~0u), "d"(~0u) : "memory");
        xsetbv(0, v->xcr0);
    } else {
        asm volatile("fxrstor64 (%0)" : : "r"(v->fpu) : "memory");
    }
}

static void load_registers(struct vcpu *v)
{
    fpu_load(v);
    load_debug_registers(v);
    write_cr2(v->cr2);
    vcpu_msrs_load(v);
}

static void save_registers(struct vcpu *v)
{
    fpu_save(v);
    v->dr[0] = read_dr0();
    v->dr[1] = read_dr1();
    v->dr[2] = read_dr2();
    v->dr[3] = read_dr3();
    v->dr6 = read_dr6();
    v->cr2 = read_cr2();
    vcpu_msrs_save(v);
}

static void forget_translations(struct vcpu *v)
{
    if (vmx_has(&vmx_features, VF_VPID)) {
        for (u32 i = 0; i < (v->nested ? VCPU_VPIDS : 1u); i++)
            invvpid_single(vcpu_vpid(v, i));
    }
    if (v->nested)
        shadow_ept_moved(v);
}

void vcpu_flush_tlb(struct vcpu *v)
{
    if (vmx_has(&vmx_features, VF_VPID))
        invvpid_single(vcpu_in_l2(v) ? nested_vpid02(v) : vcpu_vpid(v, 0));
}

void vcpu_flush_own_tlb(struct vcpu *v)
{
    if (vmx_has(&vmx_features, VF_VPID))
        invvpid_single(vcpu_vpid(v, 0));
}

/*
 * What was cached of guests, and what Nidus itself has of a VM's memory: with VPIDs a VM exit leaves that
 * alone (SDM, 'Operations that Invalidate Cached Mappings'), so that loading HOST_CR3 is not enough.
 */
void vmm_flush_if_wanted(void)
{
    struct vmm_cpu *c = this_vmm_cpu();
    u64 wanted = __atomic_load_n(&vmm_flush_wanted, __ATOMIC_ACQUIRE);

    if (likely(c->flush_seen == wanted))
        return;
    invept_all();
    if (vmx_has(&vmx_features, VF_VPID))
        invvpid_all();
    write_cr3(read_cr3());
    c->flush_seen = wanted;
}

void vcpu_step_back_in(struct vcpu *v)
{
    vcpu_step_in(v);
    vmm_flush_if_wanted();
    /* Its requests may have been looked at already, and nobody kicks who has stepped out. */
    if (__atomic_fetch_and(&v->requests, ~(u64)REQ_FLUSH, __ATOMIC_ACQ_REL) & REQ_FLUSH)
        vcpu_flush_own_tlb(v);
    __atomic_or_fetch(&v->requests, REQ_KICK, __ATOMIC_ACQ_REL);
}

void vcpu_load(struct vcpu *v)
{
    struct vmm_cpu *c = this_vmm_cpu();
    u32 cpu = this_cpu()->id;

    vmm_flush_if_wanted();
    vm_use_space(v->vm);
    if (c->loaded == v)
        return;
    if (c->loaded)
        vcpu_unload(c->loaded);
    if (v->vmcs_cpu == CPU_NONE) {
        vmclear(pool_pa(v->vmcs));
        v->launched = 0;
    }
    if (!vmptrld(pool_pa(v->vmcs)))
        log_error("VMPTRLD failed");
    if (v->vmcs_cpu != cpu) {
        v->vmcs_cpu = cpu;
        v->host_rsp = 0;
        vmcs_set_cpu();
    }
    /* What it flushed while it ran elsewhere is still cached here, from when it ran here before. */
    if (v->tlb_cpu != cpu)
        forget_translations(v);
    v->tlb_cpu = cpu;
    load_registers(v);
    c->loaded = v;
}

void vcpu_unload(struct vcpu *v)
{
    save_registers(v);
    vmclear(pool_pa(v->vmcs));
    if (v->nested)
        nested_unload(v);
    v->vmcs_cpu = CPU_NONE;
    this_vmm_cpu()->loaded = NULL;
}

u64 vcpu_vmread(struct vcpu *v, u32 field)
{
    (void)v;
    return vmread(field);
}

void vcpu_vmwrite(struct vcpu *v, u32 field, u64 value)
{
    (void)v;
    vmwrite(field, value);
}

/* SPDX-License-Identifier: MIT */
/*
 * IPIs that L2 sends without an exit to L1: SDM, 'IPI Virtualization', carried out in software on every CPU.
 * What L2 writes to its ICR makes an exit to Nidus: in x2APIC mode a WRMSR, else one after the CPU has
 * written to the virtual-APIC page.
 */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/dev/lapic_quick.h"
#include "vmm/nested/posted.h"
#include "vmm/vm.h"

#define V12(v, field) VMCS(&(v)->nested->vmcs12.image, field)

/* Of the virtual-APIC page */
#define VICR      0x300
#define VICR_HIGH 0x310

/* Of the ICR's low half, whose other bits make an IPI L1's: all but fixed, physical, edge-triggered and
 * without a shorthand. */
#define ICR_RESERVED (BITS(31, 20) | BITS(17, 16) | BIT(13))

/* An entry of the PID-pointer table: its low bits */
#define PID_FLAGS 0x3full
#define PID_VALID BIT(0)

/* Each time that another CPU was first, at least one of 64 bits has changed. More often than this L1 only
 * plays with it. */
#define TRIES 64

/* Of L1's MSR bitmap: the word that has the ICR's bit for WRMSR. */
#define BITMAP_WORD (2048 + MSR_IA32_X2APIC_ICR / 64 * 8)
#define BITMAP_BIT  (MSR_IA32_X2APIC_ICR % 64)

/* The format is that of the APIC that sends it. */
static u32 destination(const struct vcpu *v, u64 word)
{
    u32 to = PID_NDST(word);

    return lapic_is_x2(v->lapic) ? to : (u8)(to >> 8);
}

/* word is what the notification's was a moment ago. */
COLD static void notify(struct vcpu *v, gpa_t at, u64 word)
{
    for (u32 i = 0; i < TRIES && !(word & (PID_ON | PID_SN)); i++) {
        u64 was = word;

        if (!word_replace(v, at, &word, word | PID_ON))
            return;
        if (word == was) {
            user_end();
            lapic_send(v->lapic, PID_NV(word), destination(v, word));
            return;
        }
    }
}

/* An interrupt of L1's would now come before all else, and none is held back for an instruction. */
static bool nothing_waits(const struct vcpu *v)
{
    return !__atomic_load_n(&v->requests, __ATOMIC_RELAXED) && !v->events.due && !v->events.nmi_pending &&
           !(vmread(PRIMARY_CONTROLS) & PROC_MONITOR_TRAP_FLAG) && !(vmread(GUEST_RFLAGS) & RFLAGS_TF) &&
           !vmread(GUEST_PENDING_DEBUG_EXCEPTIONS);
}

/*
 * To L2 itself: what would be posted and notified, and acknowledged before L2's next instruction, comes to
 * the virtual APIC without either. false: it may go another way.
 */
static inline __attribute__((always_inline)) bool send_to_itself(struct vcpu *v, u32 vector)
{
    u64 word;

    if (!(V12(v, PIN_BASED_CONTROLS) & PIN_POSTED_INTERRUPTS) ||
        !word_load(v, V12(v, POSTED_INT_DESC_ADDRESS) + POSTED_NOTIFY, &word) || word & (PID_ON | PID_SN) ||
        PID_NV(word) != V12(v, POSTED_INT_VECTOR) ||
        !lapic_takes_at_once(v->lapic, PID_NV(word), destination(v, word)) || !nothing_waits(v))
        return false;
    nested_take_posted(v, (int)vector);
    return true;
}

/* Within words_begin() and words_end(). false: L1 is to do it. */
HOT static bool send(struct vcpu *v, u32 icr, u32 to)
{
    u64 pid, word;
    u32 vector = (u8)icr;

    if (!lapic_is_plain(icr) || to > V12(v, LAST_PID_POINTER_INDEX) ||
        !word_load(v, V12(v, PID_POINTER_TABLE) + 8ull * to, &pid) || pid >> v->cpuid->maxphyaddr ||
        (pid & PID_FLAGS) != PID_VALID)
        return false;
    pid -= PID_VALID;
    if (pid == V12(v, POSTED_INT_DESC_ADDRESS) && send_to_itself(v, vector))
        return true;
    if (word_or(v, pid + vector / 64 * 8, BIT(vector % 64)) && word_load(v, pid + POSTED_NOTIFY, &word) &&
        !(word & (PID_ON | PID_SN)))
        notify(v, pid + POSTED_NOTIFY, word);
    return true;
}

COLD bool nested_virtualizes_ipis(struct vcpu *v)
{
    return V12(v, PRIMARY_CONTROLS) & PROC_ACTIVATE_TERTIARY &&
           V12(v, TERTIARY_CONTROLS) & PROC3_IPI_VIRTUALIZATION;
}

COLD bool nested_ipi_written(struct vcpu *v)
{
    gpa_t apic = V12(v, VIRTUAL_APIC_ADDRESS);
    u64 icr, high, cr2;
    bool sent;

    if (!nested_virtualizes_ipis(v) || vmread(EXIT_QUALIFICATION) != VICR)
        return false;
    cr2 = words_begin();
    sent = word_load(v, apic + VICR, &icr) && word_load(v, apic + VICR_HIGH, &high) &&
           send(v, (u32)icr, (u32)high >> 24);
    words_end(cr2);
    return sent;
}

COLD static void exit_behind_write(struct vcpu *v)
{
    v->nested->due = (struct nested_exit_info){.reason = EXIT_REASON_APIC_WRITE, .qualification = VICR};
    v->nested->is_due = true;
    __atomic_fetch_or(&v->requests, REQ_KICK, __ATOMIC_RELAXED);
}

COLD bool nested_has_own_icr(struct vcpu *v)
{
    return nested_virtualizes_ipis(v) && V12(v, PRIMARY_CONTROLS) & PROC_ACTIVATE_SECONDARY &&
           V12(v, SECONDARY_CONTROLS) & PROC2_VIRTUALIZE_X2APIC;
}

/* As nested_msr_exits(). */
static inline bool l1_wants_icr(struct vcpu *v)
{
    u64 word;

    return !word_load(v, V12(v, MSR_BITMAPS) + BITMAP_WORD, &word) || word >> BITMAP_BIT & 1;
}

HOT bool nested_ipi_msr(struct vcpu *v, bool asked)
{
    u32 icr = (u32)v->gpr[REG_RAX], to = (u32)v->gpr[REG_RDX];
    bool sent = false;
    u64 cr2;

    if (unlikely(icr & ICR_RESERVED)) {
        if (asked)
            vcpu_inject_exception_error(v, VEC_GP, 0);
        return asked;
    }
    cr2 = words_begin();
    asked = asked || !l1_wants_icr(v);
    if (likely(asked)) {
        word_store(v, V12(v, VIRTUAL_APIC_ADDRESS) + VICR, (u64)to << 32 | icr);
        sent = send(v, icr, to);
    }
    words_end(cr2);
    if (unlikely(!asked))
        return false;
    vcpu_skip_instruction(v);
    if (unlikely(!sent))
        exit_behind_write(v);
    return true;
}

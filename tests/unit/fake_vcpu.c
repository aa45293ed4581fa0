/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/regs.h"
#include "arch/x86/vector.h"
#include "tests/unit/fake_vcpu.h"

#define TABLES 0x10000ull
#define DATA   (SEG_AR_DB | 0x93u)

struct vcpu fake;
u8 fake_ram[FAKE_RAM] __attribute__((aligned(4096)));
static gpa_t next_table;

void fake_start(void)
{
    memset(&fake, 0, sizeof(fake));
    memset(fake_ram, 0, sizeof(fake_ram));
    fake.cr0 = CR0_PE | CR0_PG | CR0_WP;
    fake.cr4 = CR4_PAE;
    fake.efer = EFER_LME | EFER_LMA | EFER_NXE;
    fake.cr3 = TABLES;
    fake.rflags = RFLAGS_FIXED;
    fake.vector = -1;
    for (u32 i = 0; i < NR_SEGS; i++)
        fake.seg[i] = (struct segment){0, ~0u, DATA};
    fake.seg[SEG_CS].access = SEG_AR_L | 0x9b;
    next_table = TABLES + PAGE_SIZE;
}

void fake_start32(void)
{
    fake_start();
    fake.cr0 = CR0_PE;
    fake.cr4 = fake.efer = 0;
    fake.seg[SEG_CS].access = SEG_AR_DB | 0x9b;
}

u64 *fake_pte(gva_t gva)
{
    gpa_t table = TABLES;

    for (u32 level = 4;; level--) {
        u64 *e = (u64 *)(fake_ram + table) + (gva >> (12 + 9 * (level - 1)) & 511);

        if (level == 1)
            return e;
        if (!*e) {
            *e = next_table | PTE_P | PTE_W | PTE_U;
            next_table += PAGE_SIZE;
            assert_true(next_table <= FAKE_RAM);
        }
        table = *e & PTE_ADDR;
    }
}

void fake_map(gva_t gva, gpa_t gpa)
{
    *fake_pte(gva) = gpa | PTE_P | PTE_W;
}

void fake_expect(u32 n, enum fake_kind kind, u64 address, u32 size, u64 value)
{
    assert_true(n < fake.nr_events);
    assert_int_equal(fake.events[n].kind, kind);
    assert_int_equal(fake.events[n].address, address);
    assert_int_equal(fake.events[n].size, size);
    assert_int_equal(fake.events[n].value, value);
}

static void note(enum fake_kind kind, u64 address, u32 size, u64 value)
{
    assert_true(fake.nr_events < FAKE_EVENTS);
    assert_true(size == 1 || size == 2 || size == 4 || size == 8);
    fake.events[fake.nr_events++] = (struct fake_event){kind, address, size, value};
}

u64 vcpu_get_reg(struct vcpu *v, u32 n)
{
    assert_true(n < 16);
    return v->gpr[n];
}

void vcpu_set_reg(struct vcpu *v, u32 n, u64 value)
{
    assert_true(n < 16);
    v->gpr[n] = value;
}

u64 vcpu_get_rflags(struct vcpu *v)
{
    return v->rflags;
}

void vcpu_set_rflags(struct vcpu *v, u64 value)
{
    v->rflags = value;
}

u64 vcpu_get_rip(struct vcpu *v)
{
    return v->rip;
}

void vcpu_segment(struct vcpu *v, u32 seg, struct segment *out)
{
    *out = v->seg[seg];
}

void vcpu_paging(struct vcpu *v, struct walk_ctx *w)
{
    *w = (struct walk_ctx){
        .cr0 = v->cr0,
        .cr3 = v->cr3,
        .cr4 = v->cr4,
        .efer = v->efer,
        .cpl = v->cpl,
        .maxphyaddr = 40,
        .page1g = true,
    };
}

bool vcpu_fault_linear(struct vcpu *v, gva_t *gva, bool *write)
{
    *gva = v->linear;
    *write = v->linear_write;
    return v->linear_known;
}

void vcpu_advance(struct vcpu *v, u64 rip)
{
    v->rip = rip;
    v->advanced = true;
}

void mmio_learn(struct vcpu *v, const struct insn *insn, u64 rip, gpa_t gpa, const struct word_match *matches,
                u32 n)
{
    assert_non_null(insn);
    assert_true(n <= MMIO_MAX_MATCHES);
    v->nr_calls++;
    v->learned_rip = rip;
    v->learned_gpa = gpa;
    v->nr_learned = n;
    memcpy(v->learned, matches, n * sizeof(matches[0]));
}

bool vcpu_has_breakpoints(struct vcpu *v)
{
    return v->watched;
}

u64 vcpu_breakpoints(struct vcpu *v, u64 address, u32 size, enum debug_access access)
{
    assert_true(access == DEBUG_WRITE || access == DEBUG_READ);
    return v->watched - address < size ? BIT(12) | BIT(0) : 0;
}

void vcpu_debug_trap(struct vcpu *v, u64 breakpoints)
{
    v->debug_trap = breakpoints;
}

void vcpu_inject_exception_error(struct vcpu *v, u8 vector, u32 error_code)
{
    assert_int_equal(v->vector, -1);
    v->vector = vector;
    v->error_code = error_code;
}

void vcpu_inject_exception(struct vcpu *v, u8 vector)
{
    vcpu_inject_exception_error(v, vector, 0);
}

void vcpu_inject_page_fault(struct vcpu *v, u32 error_code, gva_t address)
{
    vcpu_inject_exception_error(v, VEC_PF, error_code);
    v->cr2 = address;
}

struct vm *vcpu_vm(struct vcpu *v)
{
    return (struct vm *)v;
}

u32 vcpu_id(struct vcpu *v)
{
    (void)v;
    return 3;
}

int guest_read(struct vm *vm, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(vm, &fake);
    fake.nr_reads++;
    if (gpa >= FAKE_RAM || n > FAKE_RAM - gpa)
        return ERR_RANGE;
    memcpy(to, fake_ram + gpa, n);
    return OK;
}

int guest_write(struct vm *vm, gpa_t gpa, const void *from, u64 n)
{
    assert_ptr_equal(vm, &fake);
    if (gpa >= FAKE_RAM || n > FAKE_RAM - gpa)
        return ERR_RANGE;
    memcpy(fake_ram + gpa, from, n);
    return OK;
}

int vcpu_physical(struct vcpu *v, gpa_t *gpa, u32 access)
{
    (void)v, (void)gpa, (void)access;
    return OK;
}

int guest_update(struct vm *vm, gpa_t gpa, u32 size, u64 old, u64 new)
{
    u64 now = 0;

    if (guest_read(vm, gpa, &now, size))
        return ERR_RANGE;
    return now == old ? guest_write(vm, gpa, &new, size) : ERR_BUSY;
}

const char *vcpu_may_report(struct vcpu *v)
{
    return v->nr_reports++ < 16 ? "one" : NULL;
}

void vector_get(u32 n, u32 size, u64 value[4])
{
    if (size == 8) {
        assert_true(n < 8 && !fake.x87_error);
        value[0] = fake.mmx_reg[n];
        return;
    }
    assert_true(n < 16 && (size == 16 || size == 32));
    memcpy(value, fake.vector_reg[n], size);
}

void vector_set(u32 n, u32 size, bool vex, const u64 value[4])
{
    if (size == 8) {
        assert_true(n < 8 && !fake.x87_error);
        fake.mmx_reg[n] = value[0];
        return;
    }
    assert_true(n < 16 && (size == 16 || size == 32));
    if (vex)
        memset(fake.vector_reg[n], 0, sizeof(fake.vector_reg[n]));
    memcpy(fake.vector_reg[n], value, size);
}

bool vector_x87_error(void)
{
    return fake.x87_error;
}

u64 vector_xcr0(void)
{
    assert_true(fake.cr4 & CR4_OSXSAVE);
    return fake.xcr0;
}

u64 vcpu_mmio_read(struct vcpu *v, gpa_t gpa, u32 size)
{
    note(FAKE_MMIO_READ, gpa, size, v->device_value);
    return v->device_value;
}

void vcpu_mmio_write(struct vcpu *v, gpa_t gpa, u32 size, u64 value)
{
    (void)v;
    note(FAKE_MMIO_WRITE, gpa, size, value);
}

u32 vcpu_port_read(struct vcpu *v, u16 port, u32 size)
{
    note(FAKE_PORT_READ, port, size, v->device_value);
    return v->device_value++;
}

void vcpu_port_write(struct vcpu *v, u16 port, u32 size, u32 value)
{
    (void)v;
    note(FAKE_PORT_WRITE, port, size, value);
}

/* SPDX-License-Identifier: MIT */
/* SDM volume 2, 'MOV-Move to/from Debug Registers', and 'Exit Qualification for MOV DR'. */
#include "arch/x86/asm.h"
#include "arch/x86/vmx.h"
#include "vmm/debug_points.h"
#include "vmm/mmio_host.h"
#include "vmm/skip.h"

#define QUAL_NUMBER(q) ((u32)(q)&7)
#define QUAL_READ      BIT(4)
#define QUAL_GPR(q)    ((u32)((q) >> 8) & 15)
#define DR6_WRITABLE   0xe00f
#define DR6_BD         BIT(13)
#define DR7_WRITABLE   0xffff23ff
#define DR7_GD         BIT(13)

static u64 read_dr(u32 n)
{
    switch (n) {
    case 0:
        return read_dr0();
    case 1:
        return read_dr1();
    case 2:
        return read_dr2();
    case 3:
        return read_dr3();
    case 6:
        return read_dr6();
    default:
        return vmread(GUEST_DR7);
    }
}

static void write_dr(u32 n, u64 value)
{
    switch (n) {
    case 0:
        write_dr0(value);
        break;
    case 1:
        write_dr1(value);
        break;
    case 2:
        write_dr2(value);
        break;
    case 3:
        write_dr3(value);
        break;
    case 6:
        write_dr6((value & DR6_WRITABLE) | DR6_INIT);
        break;
    default:
        vmwrite(GUEST_DR7, (value & DR7_WRITABLE) | DR7_INIT);
        break;
    }
}

void debug_mov_dr(struct vcpu *v)
{
    u64 q = vmread(EXIT_QUALIFICATION), value;
    u32 n = QUAL_NUMBER(q);

    if (n == 4 || n == 5) {
        if (vmread(GUEST_CR4) & CR4_DE) {
            vcpu_inject_exception(v, VEC_UD);
            return;
        }
        n += 2;
    }
    if (vmread(GUEST_DR7) & DR7_GD) {
        events_raise_debug(&v->events, DR6_BD);
        return;
    }
    if (q & QUAL_READ) {
        vcpu_set_reg(v, QUAL_GPR(q), read_dr(n));
    } else {
        value = vcpu_get_reg(v, QUAL_GPR(q));
        if (!(vmread(GUEST_CS_ACCESS_RIGHTS) & SEG_AR_L))
            value = (u32)value;
        if (n >= 6 && value >> 32) {
            vcpu_inject_exception_error(v, VEC_GP, 0);
            return;
        }
        write_dr(n, value);
    }
    vcpu_skip_instruction(v);
}

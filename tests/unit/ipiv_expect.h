/* SPDX-License-Identifier: MIT */
/* Which interrupts have to arrive at which vCPU of ipiv_vm.h, by the SDM's 'Determining IPI Destination'. */
#ifndef TESTS_UNIT_IPIV_EXPECT_H
#define TESTS_UNIT_IPIV_EXPECT_H

static inline bool takes(const struct lapic *l)
{
    return lapic_enabled(l) && (LAPIC_REG(l, SVR) & SVR_ENABLED);
}

static inline bool is_addressed(const struct lapic *l, const struct lapic *from, u32 to)
{
    u32 id = lapic_is_x2(l) ? l->id : (u8)l->id;

    return takes(l) && (to == id || to == (lapic_is_x2(from) ? ~0u : 0xffu));
}

static inline void expect_none(void)
{
    for (u32 i = 0; i < vm.nr_vcpus; i++) {
        memset(others[i].expected, 0, sizeof(others[i].expected));
        memset(vcpus[i].pid->pir, 0, sizeof(vcpus[i].pid->pir));
        vcpus[i].pid->flags &= ~PID_ON;
        for (u32 reg = 0; reg < 8; reg++)
            *lapic_reg(vcpus[i].lapic, REG_IRR + reg) = 0;
    }
}

static inline void check_arrived(void)
{
    for (u32 i = 0; i < vm.nr_vcpus; i++) {
        const struct vcpu *v = &vcpus[i];

        for (u32 word = 0; word < PIR_WORDS; word++) {
            const u32 *irr = lapic_reg(v->lapic, REG_IRR + 2 * word);

            assert_int_equal(v->pid->pir[word] | irr[0] | (u64)irr[4] << 32, others[i].expected[word]);
        }
        if (has_posted(v) && v->sched != SCHED_QUEUED)
            assert_true(others[i].told);
    }
}

static inline u32 nr_addressed(struct vcpu *from, u8 vector, u32 to)
{
    u32 nr = 0;

    for (u32 i = 0; i < vm.nr_vcpus; i++)
        if (is_addressed(vcpus[i].lapic, from->lapic, to)) {
            others[i].expected[vector / 64] |= BIT(vector % 64);
            nr++;
        }
    return nr;
}

static inline bool cpu_sees_icr(const struct vcpu *v)
{
    const struct lapic *l = v->lapic;

    return takes(l) &&
           (lapic_is_x2(l) || (vm.access_page_used && (l->base & ~(PAGE_SIZE - 1)) == LAPIC_BASE));
}

#endif

/* SPDX-License-Identifier: MIT */
/* What the random IPIs are, and how they are entered into the accounts. */
#include "guest/apic/stress.h"

const char *const form_names[NR_FORMS] = {"physical", "logical", "self",      "self MSR", "logical set",
                                          "all",      "others",  "broadcast", "lowest"};

struct message {
    enum form form;
    u64 targets;
    u32 destination, low;
};

/* A form for one target, or for several; what is needed to send it, but for the vector. */
static struct message compose(u32 me, enum form form)
{
    u32 target = below(nr_cpus);
    u64 all = BITS(nr_cpus - 1, 0);
    struct message m = {
        .form = form, .targets = BIT(target), .destination = cpu_ids[target], .low = ICR_ASSERT};

    switch (form) {
    case LOGICAL:
    case SET:
    case LOWEST:
        m.targets = form == LOGICAL ? m.targets : (cpu_random() & all) | m.targets;
        m.destination = logical_destination(m.targets, &m.targets);
        m.low |= ICR_LOGICAL | (form == LOWEST ? ICR_LOWEST : 0);
        break;
    case SELF:
    case SELF_MSR:
        m.targets = BIT(me);
        m.low |= ICR_SELF;
        break;
    case ALL:
        m.targets = all;
        m.low |= ICR_ALL;
        break;
    case OTHERS:
        m.targets = all & ~BIT(me);
        m.low |= ICR_OTHERS;
        break;
    case BROADCAST:
        m.targets = all;
        m.destination = model == X2APIC ? ~0u : 0xff;
        break;
    default:
        break;
    }
    return m;
}

/* One of my vectors for that form: those for one target are others than those for several, which would
 * hardly ever be free at all of them; the last but one is for handlers. */
static u32 choose_vector(u32 me, enum form form)
{
    u32 first = FIRST_VECTOR + me * per_cpu, half = per_cpu / 2;

    if (form == LOWEST)
        return first + per_cpu - 1;
    return form < SET ? first + below(half) : first + half + below(per_cpu - 2 - half);
}

static bool is_free(const struct message *m, u32 vector)
{
    for (u32 i = 0; i < nr_cpus; i++) {
        if ((m->targets >> i & 1) && outstanding(&accounts[i][vector]))
            return false;
    }
    return true;
}

static u32 post(u32 row, u32 vector, enum form form, u64 now)
{
    struct account *a = &accounts[row][vector];

    a->to_sleeper = row != ROW_ANY && __atomic_load_n(&stressed[row].doing, __ATOMIC_ACQUIRE) == SLEEPS;
    account_send(a, form, now);
    return 1;
}

static u32 post_all(const struct message *m, u32 vector)
{
    u64 now = rdtsc();
    u32 n = 0;

    if (m->form == LOWEST)
        return post(ROW_ANY, vector, m->form, now);
    for (u32 i = 0; i < nr_cpus; i++) {
        if (m->targets >> i & 1)
            n += post(i, vector, m->form, now);
    }
    return n;
}

static bool try_vector(u32 me, enum form form, u32 vector)
{
    struct message m = compose(me, form);

    if (!m.targets)
        return false;
    if (form == LOWEST ? outstanding(&accounts[ROW_ANY][vector]) : !is_free(&m, vector))
        return false;
    __atomic_add_fetch(&stressed[me].done, post_all(&m, vector), __ATOMIC_RELAXED);
    __atomic_add_fetch(&stressed[me].forms[form], 1, __ATOMIC_RELAXED);
    if (form == SELF_MSR && model == X2APIC)
        reg_write(APIC_SELF_IPI, vector);
    else
        send(m.destination, m.low | vector);
    return true;
}

bool try_send(u32 me, enum form form)
{
    return try_vector(me, form, choose_vector(me, form));
}

void try_send_in_handler(u32 me)
{
    try_vector(me, (enum form)below(SET), FIRST_VECTOR + (me + 1) * per_cpu - 2);
}

void post_and_send(u32 cpu, u32 vector)
{
    post(cpu, vector, PHYSICAL, rdtsc());
    send(cpu_ids[cpu], ICR_ASSERT | vector);
}

void send_nmi(u32 me)
{
    u32 target = below(nr_cpus), nobody = 0;
    struct stressed *t = &stressed[target];

    if (!__atomic_compare_exchange_n(&t->nmi_from, &nobody, me + 1, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
        return;
    account_send(&t->nmi, PHYSICAL, rdtsc());
    stressed[me].nmis++;
    send(cpu_ids[target], ICR_ASSERT | ICR_NMI);
}

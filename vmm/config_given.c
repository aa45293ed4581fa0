/* SPDX-License-Identifier: MIT */
/* The physical devices that a VM is given. */
#include "lib/text.h"
#include "vmm/config_parser.h"

/* A, or A-B. */
static bool take_range(const char *value, struct config_range *r)
{
    const char *at = value;

    if (!text_take_address(&at, &r->first))
        return false;
    r->last = r->first;
    if (*at == '-') {
        at++;
        if (!text_take_address(&at, &r->last))
            return false;
    }
    return !*at && r->first <= r->last;
}

/* Whoever has a part of r already, this VM or another one; null: nobody. */
static const struct config_range *find_given(const struct config *c, enum config_given kind,
                                             const struct config_range *r)
{
    for (u32 i = 0; i < c->nr_vms; i++) {
        const struct config_vm *vm = &c->vms[i];

        for (u32 j = 0; j < vm->nr_given[kind]; j++) {
            const struct config_range *other = &vm->given[kind][j];

            if (r->first <= other->last && other->first <= r->last)
                return other;
        }
    }
    return NULL;
}

static const struct {
    u64 max, align;
    const char *what;
} given_kinds[] = {
    [GIVEN_IRQ] = {CONFIG_IRQ_MAX, 1, "an interrupt line; use 0 to 23"},
    [GIVEN_PORT] = {0xffff, 1, "a range of ports, as in 0x2f8-0x2ff"},
    [GIVEN_MMIO] = {BIT(48) - 1, PAGE_SIZE, "a range of whole pages, as in 0xfe000000-0xfe000fff"},
};

static void add_given(struct parser *p, enum config_given kind, const char *value)
{
    struct config_vm *vm = p->vm;
    struct config_range r = {.line = p->line};
    u64 align = given_kinds[kind].align;
    const struct config_range *other;

    if (!take_range(value, &r) || r.last > given_kinds[kind].max || !IS_ALIGNED(r.first, align) ||
        !IS_ALIGNED(r.last + 1, align) || (kind == GIVEN_IRQ && r.first != r.last)) {
        config_problem(p, p->line, "'%.60s' is not %s", value, given_kinds[kind].what);
        return;
    }
    other = find_given(p->config, kind, &r);
    if (other)
        config_problem(p, p->line, "'%.60s', or a part of it, is given away in line %u already; remove one",
                       value, other->line);
    else if (vm->nr_given[kind] == CONFIG_MAX_GIVEN)
        config_problem(p, p->line, "'%.60s' is one too many in [vm %s]; use at most %d", value, vm->name,
                       CONFIG_MAX_GIVEN);
    else
        vm->given[kind][vm->nr_given[kind]++] = r;
}

void config_set_irq(struct parser *p, char *value)
{
    add_given(p, GIVEN_IRQ, value);
}

void config_set_port(struct parser *p, char *value)
{
    add_given(p, GIVEN_PORT, value);
}

void config_set_mmio(struct parser *p, char *value)
{
    add_given(p, GIVEN_MMIO, value);
}

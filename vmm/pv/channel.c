/* SPDX-License-Identifier: MIT */
/*
 * Channels between VMs: whose configurations name the same one share a page, and interrupt each other. The
 * page is the channel's, and in the EPTs of its members only. A member is in the list of its channel until
 * its VM is taken apart, which is before its vCPUs are: with the channel's lock held all that is in the list
 * is there.
 */
#include "lib/string.h"
#include "vmm/dev/lapic.h"
#include "vmm/pv/ops.h"

#define CHANNELS (CONFIG_MAX_VMS * CONFIG_MAX_CHANNELS)

struct pv_channel {
    struct spinlock lock;
    char name[CONFIG_NAME_MAX]; /* stays after the last member has gone */
    struct pv_member *members;
    paddr_t page; /* while there are members */
};

static struct pv_channel channels[CHANNELS];
static struct spinlock names_lock;
static struct frame_owner owner = {.name = "channels"};

/* There are as many as the configuration can name. */
static struct pv_channel *find(const char *name)
{
    struct pv_channel *ch = channels;

    spin_lock(&names_lock);
    while (ch->name[0] && strcmp(ch->name, name) != 0)
        ch++;
    str_copy(ch->name, name, sizeof(ch->name));
    spin_unlock(&names_lock);
    return ch;
}

/* Neither RAM, now or later, nor a device. */
static bool is_free(struct vcpu *v, gpa_t gpa)
{
    struct bus_slot slot;

    return !vm_may_be_ram(v->vm, gpa) && !bus_find(&v->mmio, gpa, &slot) &&
           slot.span - (gpa - slot.first) >= PAGE_SIZE - 1;
}

static int map(struct vm *vm, gpa_t gpa, paddr_t page)
{
    int r;

    spin_lock(&vm->mem_lock);
    r = ept_map(&vm->ept, gpa, page, PAGE_SIZE, EPT_RW, EPT_WB);
    spin_unlock(&vm->mem_lock);
    return r;
}

/* With the channel's lock held. */
static int join(struct pv_channel *ch, struct pv_member *m, struct vcpu *v, gpa_t gpa)
{
    int r;

    if (!is_free(v, gpa))
        return ERR_BUSY;
    if (!ch->members) {
        ch->page = frames_alloc(&owner, PAGE_SIZE, PAGE_SIZE, 0);
        if (ch->page == FRAME_NONE)
            return ERR_NOMEM;
        vm_scrub(ch->page, PAGE_SIZE);
    }
    r = map(v->vm, gpa, ch->page);
    if (r == OK) {
        m->gpa = gpa;
        m->next = ch->members;
        ch->members = m;
    } else if (!ch->members) {
        frames_free(&owner, ch->page, PAGE_SIZE);
    }
    return r;
}

s64 pv_channel_open(struct pv_call *c)
{
    struct vm *vm = c->v->vm;
    u64 index = c->arg[0], gpa = c->arg[1], vector = c->arg[2];
    struct pv_channel *ch;
    struct pv_member *m;
    int r = OK;

    if (index >= vm->config->nr_channels)
        return -NIDUS_ENOENT;
    if (!IS_ALIGNED(gpa, PAGE_SIZE) || vector < 16 || vector > 255)
        return -NIDUS_EINVAL;
    m = &vm->pv.member[index];
    ch = find(vm->config->channels[index]);
    spin_lock(&ch->lock);
    if (!m->vcpu)
        r = join(ch, m, c->v, gpa);
    else if (m->gpa != gpa)
        r = ERR_EXIST;
    if (r == OK) {
        m->vcpu = c->v;
        m->vector = (u8)vector;
    }
    spin_unlock(&ch->lock);
    return pv_result(r);
}

s64 pv_channel_signal(struct pv_call *c)
{
    struct vm *vm = c->v->vm;
    u64 index = c->arg[0];
    struct pv_channel *ch;
    s64 told = 0;

    if (index >= vm->config->nr_channels)
        return -NIDUS_ENOENT;
    ch = find(vm->config->channels[index]);
    spin_lock(&ch->lock);
    if (!vm->pv.member[index].vcpu)
        told = -NIDUS_ENOENT;
    for (struct pv_member *m = ch->members; m && told >= 0; m = m->next) {
        if (m == &vm->pv.member[index])
            continue;
        lapic_post(m->vcpu->lapic, m->vector, false);
        told++;
    }
    spin_unlock(&ch->lock);
    return told;
}

static void leave(struct pv_channel *ch, struct pv_member *m)
{
    struct pv_member **at = &ch->members;

    spin_lock(&ch->lock);
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    if (!ch->members)
        frames_free(&owner, ch->page, PAGE_SIZE);
    spin_unlock(&ch->lock);
}

void pv_channels_leave(struct vm *vm)
{
    for (u32 i = 0; i < vm->config->nr_channels; i++) {
        if (vm->pv.member[i].vcpu)
            leave(find(vm->config->channels[i]), &vm->pv.member[i]);
    }
}

/* SPDX-License-Identifier: MIT */
/* Operations that read or write the guest's memory in its place. */
#include "vmm/pv/ops.h"

#define LIST_PIECE 16
#define TEXT_PIECE 128

/* How many of a list are written, up to one that cannot be without more. */
static u64 write_quickly(const struct nidus_write *list, u64 n)
{
    u64 i = 0;

    user_begin();
    while (i < n && guest_write_quickly(list[i].address, list[i].value))
        i++;
    user_end();
    return i;
}

/* One that was not: its memory may not have been touched yet. */
static s64 write_anew(struct vm *vm, const struct nidus_write *w)
{
    int r;

    if (w->address % sizeof(w->value))
        return -NIDUS_EINVAL;
    r = vm_populate(vm, w->address);
    return r == OK && !write_quickly(w, 1) ? -NIDUS_EFAULT : pv_result(r);
}

s64 pv_write_entry(struct pv_call *c)
{
    bool done;

    user_begin();
    done = guest_write_quickly(c->arg[0], c->arg[1]);
    user_end();
    return likely(done) ? 0 : write_anew(c->v->vm, &(struct nidus_write){c->arg[0], c->arg[1]});
}

/* The list is the guest's, which may change it at any time: each of its words is used as it was read. Memory
 * that has not been touched takes long to prepare. */
s64 pv_write_entries(struct pv_call *c)
{
    struct vm *vm = c->v->vm;
    struct nidus_write list[LIST_PIECE];
    bool anew = false;

    if (c->arg[1] > NIDUS_MAX_WRITES)
        return -NIDUS_ERANGE;
    while (c->arg[1] && !anew) {
        u64 n = MIN(c->arg[1], LIST_PIECE), done;
        s64 r = pv_result(guest_read(vm, c->arg[0], list, n * sizeof(list[0])));

        if (r)
            return r;
        done = write_quickly(list, n);
        anew = done < n;
        if (anew)
            r = write_anew(vm, &list[done++]);
        if (r)
            return r;
        c->arg[0] += done * sizeof(list[0]);
        c->arg[1] -= done;
    }
    return c->arg[1] ? PV_AGAIN : 0;
}

/* Lines that are slow take long. */
s64 pv_console(struct pv_call *c)
{
    struct vm *vm = c->v->vm;
    u64 n = MIN(c->arg[1], TEXT_PIECE);
    char piece[TEXT_PIECE];
    s64 r;

    if (c->arg[1] > NIDUS_MAX_TEXT)
        return -NIDUS_ERANGE;
    r = pv_result(guest_read(vm, c->arg[0], piece, n));
    if (r)
        return r;
    vm_lock(vm);
    vm_console_put(vm, piece, n);
    vm_unlock(vm);
    c->arg[0] += n;
    c->arg[1] -= n;
    return c->arg[1] ? PV_AGAIN : 0;
}

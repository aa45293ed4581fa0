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

/* Each word is written at once, as a CPU's own walk wants it. */
static s64 write_list(struct vm *vm, const struct nidus_write *list, u64 n)
{
    for (u64 done = write_quickly(list, n); done < n; done += write_quickly(list + done, n - done)) {
        s64 r = write_anew(vm, &list[done++]);

        if (r)
            return r;
    }
    return 0;
}

s64 pv_write_entry(struct pv_call *c)
{
    bool done;

    user_begin();
    done = guest_write_quickly(c->arg[0], c->arg[1]);
    user_end();
    return likely(done) ? 0 : write_anew(c->v->vm, &(struct nidus_write){c->arg[0], c->arg[1]});
}

/* The list is the guest's, which may change it at any time: each of its words is read once. */
s64 pv_write_entries(struct pv_call *c)
{
    struct vm *vm = c->v->vm;
    struct nidus_write list[LIST_PIECE];
    u64 n = c->arg[1];
    s64 r = 0;

    if (n > NIDUS_MAX_WRITES)
        return -NIDUS_ERANGE;
    for (u64 done = 0, piece; done < n && !r; done += piece) {
        piece = MIN(n - done, LIST_PIECE);
        r = pv_result(guest_read(vm, c->arg[0] + done * sizeof(list[0]), list, piece * sizeof(list[0])));
        if (!r)
            r = write_list(vm, list, piece);
    }
    return r;
}

s64 pv_console(struct pv_call *c)
{
    struct vm *vm = c->v->vm;
    u64 n = c->arg[1];
    char piece[TEXT_PIECE];

    if (n > NIDUS_MAX_TEXT)
        return -NIDUS_ERANGE;
    for (u64 done = 0, step; done < n; done += step) {
        s64 r;

        step = MIN(n - done, sizeof(piece));
        r = pv_result(guest_read(vm, c->arg[0] + done, piece, step));
        if (r)
            return r;
        vm_lock(vm);
        vm_console_put(vm, piece, step);
        vm_unlock(vm);
    }
    return 0;
}

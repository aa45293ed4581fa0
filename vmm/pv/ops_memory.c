/* SPDX-License-Identifier: MIT */
/* Operations that read or write the guest's memory in its place. */
#include "vmm/pv/ops.h"

#define LIST_PIECE 16
#define TEXT_PIECE 128

/* An aligned word is written at once, as a CPU's own walk wants it. */
static s64 write_entry(struct vm *vm, u64 address, u64 value)
{
    if (address % sizeof(value))
        return -NIDUS_EINVAL;
    return pv_result(guest_store(vm, address, value));
}

s64 pv_write_entry(struct pv_call *c)
{
    return write_entry(c->v->vm, c->arg[0], c->arg[1]);
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
    for (u64 i = 0; i < n && !r; i++) {
        if (i % LIST_PIECE == 0)
            r = pv_result(guest_read(vm, c->arg[0] + i * sizeof(list[0]), list,
                                     MIN(n - i, LIST_PIECE) * sizeof(list[0])));
        if (!r)
            r = write_entry(vm, list[i % LIST_PIECE].address, list[i % LIST_PIECE].value);
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

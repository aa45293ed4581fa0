/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_irq.h"
#include <string.h>

bool fake_irq_level[16];
u32 fake_irq_edges[16];
u32 fake_pic_changes;

void fake_irq_clear(void)
{
    memset(fake_irq_level, 0, sizeof(fake_irq_level));
    memset(fake_irq_edges, 0, sizeof(fake_irq_edges));
    fake_pic_changes = 0;
}

void vm_set_irq(struct vm *vm, u32 irq, bool level)
{
    (void)vm;
    fake_irq_edges[irq] += level && !fake_irq_level[irq];
    fake_irq_level[irq] = level;
}

void irq_pic_changed(struct vm *vm)
{
    (void)vm;
    fake_pic_changes++;
}

void irq_pic_acknowledged(struct vm *vm)
{
    irq_pic_changed(vm);
}

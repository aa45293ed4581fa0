/* SPDX-License-Identifier: MIT */
/* Hardware task switches, which every hypervisor on VT-x has to emulate or refuse (they always exit). */
#include "guest/hostile/hostile.h"
#include "guest/hostile/tasks.h"
#include "guest/common/mode32.h"

#define CR0_PLAIN ((u32)(CR0_PE | BIT(4) | BIT(5)))
#define ROUNDS    100

extern void code32_task_call(void), code32_task_gate(void), code32_task_bad(void);
extern u8 task_b[];

static struct tss32 tss_a, tss_b;
static u8 stack_b[1024] __aligned(16);

static void prepare(void)
{
    tss_b = (struct tss32){.eip = (u32)(u64)task_b,
                           .eflags = 2,
                           .esp = (u32)(u64)stack_b + sizeof(stack_b),
                           .cs = SEL_CODE32,
                           .ss = SEL_DATA,
                           .ds = SEL_DATA,
                           .es = SEL_DATA,
                           .trap_iomap = sizeof(tss_b) << 16};
    tss_a = (struct tss32){.trap_iomap = sizeof(tss_a) << 16};
    mode32_descriptor(SEL_TSS_A, &tss_a, sizeof(tss_a) - 1, 0x89);
    mode32_descriptor(SEL_TSS_B, &tss_b, sizeof(tss_b) - 1, 0x89);
}

static void switch_tasks(void (*fn)(void), const char *what)
{
    for (u32 i = 0; i < ROUNDS; i++) {
        struct mode32 m = {.cr0 = CR0_PLAIN, .fn = fn};

        prepare();
        mode32_run(&m);
        if (m.vector != X_NONE || m.result != TASK_ANSWER)
            hostile_failed("%s: vector %u error 0x%x, result 0x%x", what, m.vector, m.error, m.result);
    }
    printf("hostile: %u task switches by %s\n", 2 * ROUNDS, what);
}

/* kind=call, gate or bad; all by default. */
void hostile_tss(void)
{
    struct mode32 m = {.cr0 = CR0_PLAIN, .fn = code32_task_bad};
    bool all = !option("kind");

    if (all || option_is("kind", "bad")) {
        prepare();
        mode32_run(&m);
        if (m.vector != X_GP || m.error != SEL_TSS_A)
            hostile_failed("JMP to a busy TSS: vector %u error 0x%x", m.vector, m.error);
    }
    if (all || option_is("kind", "call"))
        switch_tasks(code32_task_call, "CALL");
    if (all || option_is("kind", "gate")) {
        mode32_task_gate(X_BP, SEL_TSS_B);
        switch_tasks(code32_task_gate, "a task gate");
        mode32_task_gate(X_BP, 0);
    }
    trap_init_cpu(0);
}

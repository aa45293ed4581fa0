/* SPDX-License-Identifier: MIT */
/* The task: characters in, packets out. */
#include "arch/x86/asm.h"
#include "arch/x86/time.h"
#include "lib/log.h"
#include "vmm/console_keys.h"
#include "vmm/gdb/stub.h"

#define INPUT        2048u /* a power of two */
#define SEND_US      500   /* until the line has room again */
#define BUSY_US      200000
#define BUSY_POLL_US 500
#define POLL_US      5000
#define SEND_TRIES   4000

static struct gdb gdb;

/* From the interrupt handler to the task. */
static char input[INPUT];
static u32 input_head, input_tail;

void gdb_input(const char *data, size_t n)
{
    u32 tail = input_tail;

    /* What finds no room is lost as on the line itself: GDB sends it again. */
    for (; n && tail - __atomic_load_n(&input_head, __ATOMIC_ACQUIRE) < INPUT; n--)
        input[tail++ % INPUT] = *data++;
    __atomic_store_n(&input_tail, tail, __ATOMIC_RELEASE);
    task_wake(&gdb.task);
}

bool gdb_take_line(void)
{
    if (!gdb.port || !gdb.port->take)
        return false;
    gdb.port->take();
    __atomic_store_n(&gdb.has_line, true, __ATOMIC_RELEASE);
    return true;
}

bool gdb_key(char key)
{
    if (!__atomic_load_n(&gdb.has_line, __ATOMIC_ACQUIRE))
        return false;
    gdb_input(&key, 1);
    return true;
}

static void leave_line(struct gdb *g)
{
    __atomic_store_n(&g->has_line, false, __ATOMIC_RELEASE);
    if (g->port->leave)
        g->port->leave();
}

static int next_input(void)
{
    u32 head = input_head;
    int c;

    if (head == __atomic_load_n(&input_tail, __ATOMIC_ACQUIRE))
        return -1;
    c = (u8)input[head % INPUT];
    __atomic_store_n(&input_head, head + 1, __ATOMIC_RELEASE);
    return c;
}

/* A line that does not move loses what is sent. */
static void send(struct gdb *g, const char *data, u32 n)
{
    for (u32 tries = 0; n && tries < SEND_TRIES; tries++) {
        u32 sent = g->port->send(data, n);

        data += sent;
        n -= sent;
        if (sent)
            tries = 0;
        if (n)
            task_wait_until(&g->task, rdtsc() + us_to_ticks(SEND_US));
    }
}

static void send_packet(struct gdb *g)
{
    if (g->w.n)
        send(g, g->w.data, g->w.n);
}

static void take_packet(struct gdb *g)
{
    bool was_running = g->running;

    send(g, "+", 1);
    /* GDB waits for a stop, and asks nothing: this one is new. */
    if (was_running)
        gdb_stop_all(g);
    gdb_packet(g);
    /* The stop is the reply. */
    if (!g->running)
        send_packet(g);
    if (g->has_left)
        leave_line(g);
    g->has_left = false;
}

static void interrupt(struct gdb *g)
{
    if (!g->running)
        return;
    gdb_stop_all(g);
    if (!gdb_vm_runs(g)) {
        gdb_look(g);
    } else {
        gdb_choose_running(g);
        gdb_begin(&g->w);
        gdb_report(g, GDB_INT, NULL);
        gdb_end(&g->w);
    }
    send_packet(g);
}

static void take(struct gdb *g, char c)
{
    /* A person, where GDB has gone without a word. */
    if (c == CONSOLE_PREFIX && g->port->leave && gdb_between_packets(&g->reader)) {
        gdb_detach(g, 0);
        leave_line(g);
        return;
    }
    switch (gdb_read(&g->reader, c)) {
    case GDB_PACKET:
        take_packet(g);
        break;
    case GDB_BAD:
        send(g, "-", 1);
        break;
    case GDB_NAK:
        send_packet(g);
        break;
    case GDB_INTERRUPT:
        interrupt(g);
        break;
    case GDB_ACK:
    case GDB_NOTHING:
        break;
    }
}

/*
 * A UART has room for some characters only, and an interrupt may come late: in the lab, only at the end of a
 * slice while a guest has its own off. So once something has come it is looked for often; what was lost
 * before comes again, as GDB is told.
 */
static void wait_for_input(struct gdb *g)
{
    u64 now = rdtsc();
    bool busy = now < g->busy_until;

    if (busy || !g->port->interrupts)
        task_wait_until(&g->task, now + us_to_ticks(busy ? BUSY_POLL_US : POLL_US));
    else
        task_wait(&g->task);
    g->port->poll();
}

static void __noreturn serve(struct task *t)
{
    struct gdb *g = container_of(t, struct gdb, task);

    control_listen(t);
    for (;;) {
        int c;

        while ((c = next_input()) >= 0) {
            take(g, (char)c);
            g->busy_until = rdtsc() + us_to_ticks(BUSY_US);
        }
        if (g->running) {
            gdb_look(g);
            if (!g->running)
                send_packet(g);
        }
        wait_for_input(g);
    }
}

int gdb_start(const struct gdb_port *port)
{
    gdb.port = port;
    return task_start(&gdb.task, "gdb", serve);
}

/* SPDX-License-Identifier: MIT */
/* links: vmm/gdb/stub.c vmm/gdb/resume.c vmm/gdb/processes.c vmm/gdb/target.c vmm/gdb/packet.c */
/* links: lib/format.c lib/str_copy.c lib/text.c */
/*
 * What comes over the line to GDB's stub: lines of the input are packets, with what happens to the VM between
 * them. What is sent must be packets that a reader takes.
 */
#include "tests/unit/gdb_target.h"

static struct gdb_reader reader;
static u32 naks;

static void check_sent(void)
{
    for (u32 i = 0; i < MIN(nr_sent, sizeof(sent) - 1); i++) {
        enum gdb_event e = gdb_read(&reader, sent[i]);

        must(e != GDB_BAD && e != GDB_INTERRUPT);
        naks += e == GDB_NAK;
    }
}

static void frame(const u8 *text, size_t n)
{
    static char packet[GDB_PACKET_MAX + 64];
    static const char digits[] = "0123456789abcdef";
    u8 sum = 0;

    n = MIN(n, sizeof(packet) - 4);
    packet[0] = '$';
    for (size_t i = 0; i < n; i++) {
        packet[1 + i] = (char)text[i];
        sum += text[i];
    }
    packet[1 + n] = '#';
    packet[2 + n] = digits[sum >> 4];
    packet[3 + n] = digits[sum & 15];
    talk(packet, n + 4);
}

/* A line of the input; the first character says what it is. */
static void line(const u8 *text, size_t n)
{
    struct vcpu *v = &vcpus[text[0] & 1][text[0] >> 1 & 1];

    switch (text[0]) {
    case 0x01: /* as it is */
        talk((const char *)text + 1, n - 1);
        break;
    case 0x02: /* Ctrl-C */
        talk("\003", 1);
        break;
    case 0x04 ... 0x07: /* it stops by itself */
        v->stop = (struct vcpu_stop){.kind = n > 1 ? text[1] % (STOP_CRASH + 1) : STOP_STEP};
        v->requests |= REQ_STOPPED;
        nr_sent = 0;
        let_run();
        break;
    case 0x08 ... 0x0b: /* L2 comes and goes */
        nested[text[0] & 1].in_l2 ^= true;
        nested[text[0] >> 1 & 1].current ^= NO_VMCS;
        break;
    case 0x0c ... 0x0d:
        ended[text[0] & 1] ^= true;
        break;
    case 0x0e ... 0x0f:
        vms[text[0] & 1].start_tsc++;
        break;
    default:
        frame(text, n);
        break;
    }
    check_sent();
    /* A VM that GDB waits for is not kept from running by the stub. */
    must(gdb.levels || !gdb.running);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    start_target();
    reader = (struct gdb_reader){0};
    while (size) {
        const u8 *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end - data) : size;

        if (n)
            line(data, n);
        n += end != NULL;
        data += n;
        size -= n;
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Packets of GDB's remote serial protocol: framed, summed up and escaped as the GDB manual says (appendix
 * 'GDB Remote Serial Protocol', 'Overview'). Pure logic. What is read may be anything: the line is not
 * trusted.
 */
#ifndef VMM_GDB_PACKET_H
#define VMM_GDB_PACKET_H

#include "lib/packed.h"
#include "lib/text.h"

#define GDB_PACKET_MAX 1200 /* characters between $ and #, in both directions */

enum gdb_event {
    GDB_NOTHING, /* more has to come */
    GDB_PACKET,  /* data has a whole one */
    GDB_BAD,     /* one that was mutilated or is too long: to be sent again */
    GDB_INTERRUPT,
    GDB_ACK,
    GDB_NAK, /* the other side wants the last packet again */
};

struct gdb_reader {
    u8 state; /* 0: between packets */
    bool escaped, too_long;
    u8 sum, given;
    u32 n;
    char data[GDB_PACKET_MAX + 1]; /* ends with NUL, and may have some before */
};

static inline bool gdb_between_packets(const struct gdb_reader *r)
{
    return !r->state;
}

/* The next character of the line. */
enum gdb_event gdb_read(struct gdb_reader *r, char c);

struct gdb_writer {
    bool cut; /* it did not fit */
    u32 n;
    char data[GDB_PACKET_MAX + 4];
};

void gdb_begin(struct gdb_writer *w);
void gdb_put(struct gdb_writer *w, char c);
/* For any data: with what the framing needs escaped. */
void gdb_put_escaped(struct gdb_writer *w, char c);
void gdb_put_hex(struct gdb_writer *w, const void *data, u32 n);
void gdb_print(struct gdb_writer *w, const char *fmt, ...) __printf(2, 3);
#define gdb_print(w, ...) gdb_print(w, PACK __VA_ARGS__)
/* A text in hexadecimal digits. */
void gdb_print_hex(struct gdb_writer *w, const char *fmt, va_list args);
void gdb_end(struct gdb_writer *w);
u32 gdb_room(const struct gdb_writer *w);

/* --- what a packet says, beside text_take_hex(): each moves *at behind what it has taken; false: it is not
 * there --- */

bool gdb_take(const char **at, const char *text);
/* Bytes of two digits each; exactly n of them. */
bool gdb_take_bytes(const char **at, void *to, u32 n);

/* A thread id: [pPROCESS.]THREAD, each a number, 0 (any) or -1 (all). */
#define GDB_ALL (~0u)
struct gdb_thread {
    u32 process, thread;
};
/* Where no process is named, out->process stays. */
bool gdb_take_thread(const char **at, struct gdb_thread *out);

#endif

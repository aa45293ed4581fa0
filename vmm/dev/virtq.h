/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues. Virtual I/O Device (VIRTIO) 1.2, 'Split Virtqueues'. Everything in guest memory is read
 * once and checked; what breaks a rule makes the queue broken, with a text that says which.
 */
#ifndef VMM_DEV_VIRTQ_H
#define VMM_DEV_VIRTQ_H

#include "lib/types.h"

#define VIRTQ_MAX_SIZE 128

struct vm;

struct virtq {
    struct vm *vm;
    gpa_t desc, avail, used;
    u16 size; /* a power of two up to VIRTQ_MAX_SIZE */
    bool enabled, indirect, event_idx;
    u16 next_avail, next_used;
    u16 told_used;      /* next_used when an interrupt was last considered */
    bool event_told;    /* the available event is at next_avail */
    const char *broken; /* null: sound */
};

struct virtq_buffer {
    gpa_t addr;
    u32 len;
};

/* A chain of buffers: those for the device to read first. */
struct virtq_chain {
    u16 head;
    u32 nr_read, nr_write; /* buffers */
    u64 to_read, to_write; /* bytes */
    struct virtq_buffer buf[VIRTQ_MAX_SIZE];
};

/* The driver has set the queue up. false: it is broken. */
bool virtq_enable(struct virtq *q);
/* Takes the next chain; false: there is none, or the queue is broken. */
bool virtq_pop(struct virtq *q, struct virtq_chain *c);
/* Puts back the chain that was taken last, so that it comes again. */
void virtq_unpop(struct virtq *q);
/* Gives a chain back, with written bytes at the beginning of what the device may write. */
void virtq_push(struct virtq *q, u16 head, u32 written);
/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool virtq_wants_interrupt(struct virtq *q);

/* Copies n bytes from what the device may read, or to what it may write, from offset on. Where the memory is
 * not RAM or the chain is too short: ERR_RANGE, and the queue is broken. */
int virtq_read(struct virtq *q, const struct virtq_chain *c, u64 offset, void *to, u64 n);
int virtq_write(struct virtq *q, const struct virtq_chain *c, u64 offset, const void *from, u64 n);

#endif

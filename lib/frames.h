/* SPDX-License-Identifier: MIT */
/*
 * Physical memory, in frames of 4 KiB: who holds how much. Pure book-keeping: it never touches the memory it
 * hands out. Two bits per frame (exists, free), a free count per 2 MiB to search fast. Safe on several CPUs.
 */
#ifndef LIB_FRAMES_H
#define LIB_FRAMES_H

#include "lib/types.h"

#define FRAME_NONE (~(paddr_t)0)

/* Somebody who holds memory. Zero-initialised but for its name; frames_first_owner() lists all that hold any.
 */
struct frame_owner {
    const char *name;
    u64 pages, peak;
    struct frame_owner *next;
    bool linked;
};

/* Bytes of book-keeping for memory up to max_pa (exclusive). */
u64 frames_metadata_size(paddr_t max_pa);
/* metadata: that many bytes, writable, aligned to 8. Everything starts as not existing. */
void frames_init(void *metadata, paddr_t max_pa);
/* Adds RAM (base and size multiples of 4 KiB). */
void frames_add(paddr_t base, u64 size);
/* Takes frames that are already in use (image, modules) out of what is free, and charges them to owner.
 * Frames that do not exist or are taken already are passed over. */
void frames_reserve(struct frame_owner *owner, paddr_t base, u64 size);
/* Contiguous memory: size bytes (multiple of 4 KiB) aligned to align (power of 2, >= 4 KiB), wholly below
 * limit (0: anywhere). Searches from low to high. FRAME_NONE if there is none. */
paddr_t frames_alloc(struct frame_owner *owner, u64 size, u64 align, paddr_t limit);
/* Freeing what is not allocated, or more than the owner holds, is a bug of the caller: ERR_INVAL, no change.
 */
int frames_free(struct frame_owner *owner, paddr_t base, u64 size);
/* Pages change hands within what is allocated: from one owner's account to another's. */
void frames_transfer(struct frame_owner *from, struct frame_owner *to, u64 pages);
u64 frames_total(void);                              /* bytes of RAM added */
u64 frames_available(void);                          /* bytes free */
struct frame_owner *frames_first_owner(void);        /* list of all owners that ever held memory */
void frames_forget_owner(struct frame_owner *owner); /* unlinks it; it must hold nothing */

#endif

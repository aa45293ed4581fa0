/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's events written out and read back: for snapshots, and wherever they outlive the version that wrote
 * them. Little-endian, without padding by compilers; the rows are in events_record.c.
 *
 * A version adds fields at the end only. Reading a shorter record, what it lacks is as after RESET. Of a
 * longer one, what is not known is passed over, unless its writer says, by the oldest version that may read
 * it, that this loses something.
 */
#ifndef VMM_EVENTS_RECORD_H
#define VMM_EVENTS_RECORD_H

#include "vmm/events.h"

#define EVENTS_RECORD_VERSION 1
#define EVENTS_RECORD_SIZE    56 /* bytes, of this version */
#define EVENTS_RECORD_MIN     24 /* with which the payload begins */

/* Writes EVENTS_RECORD_SIZE bytes. ERR_RANGE: there is room for fewer. */
int events_save(const struct events *ev, void *record, size_t room);
/*
 * size: of the bytes that are there, which may be more than the record. ERR_RANGE: they are fewer than the
 * record; ERR_UNSUPP: only for a later version; ERR_INVAL: no state that can be. *ev is then as it was.
 */
int events_restore(struct events *ev, const void *record, size_t size);

#endif

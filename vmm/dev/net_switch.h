/* SPDX-License-Identifier: MIT */
/*
 * Ethernet switches inside Nidus, known by name. A port has a bounded queue of frames for its VM. A switch
 * learns which port a source address is at; a frame for an address not known, or for a group, goes to all
 * other ports. What does not fit a queue is dropped and counted.
 *
 * Locks: a VM's device lock, then the switch's, then those of the scheduler. Device locks of two VMs are
 * never held at once: the receiver takes frames from its queue by itself, later, under its own.
 */
#ifndef VMM_DEV_NET_SWITCH_H
#define VMM_DEV_NET_SWITCH_H

#include "lib/types.h"

#define NET_MAC         6
#define NET_HEADER      14 /* destination, source, type */
#define NET_FRAME_MAX   1518
#define NET_QUEUE       64
#define NET_SWITCHES    64 /* 16 VMs with 4 cards each */
#define NET_SWITCH_NAME 32

struct vm;
struct net_switch;

struct net_frame {
    u16 size;
    u8 bytes[NET_FRAME_MAX];
};

/* Belongs to the device whose port it is; all of it is the switch's to change. */
struct net_port {
    struct net_switch *at;
    struct net_port *next;
    struct vm *vm;
    u32 in, out; /* frames put into and taken from the queue, counted without end */
    u64 sent, received, dropped;
    struct net_frame queue[NET_QUEUE];
};

/* port: all zeroes. The switch is made with its first port. ERR_NOMEM: too many switches. */
int net_join(struct net_port *port, struct vm *vm, const char *name);
void net_leave(struct net_port *port);
/* NET_HEADER to NET_FRAME_MAX bytes, else it is dropped. The VMs of ports that get it are asked to poll. */
void net_send(struct net_port *from, const u8 *frame, u32 size);
/* Takes the next frame; false: there is none. */
bool net_receive(struct net_port *port, struct net_frame *out);

#endif

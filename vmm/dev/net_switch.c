/* SPDX-License-Identifier: MIT */
#include "vmm/dev/net_switch.h"
#include "lib/spinlock.h"
#include "lib/string.h"
#include "vmm/dev/host.h"

#define LEARNED 64 /* a power of two; addresses whose hashes are equal take each other's place */

struct learned {
    u8 mac[NET_MAC];
    struct net_port *port; /* null: free */
};

struct net_switch {
    struct spinlock lock;
    char name[NET_SWITCH_NAME]; /* stays after the last port has gone */
    struct net_port *ports;
    struct learned learned[LEARNED];
};

static struct net_switch switches[NET_SWITCHES];
static struct spinlock names_lock;

static struct net_switch *find(const char *name)
{
    struct net_switch *found = NULL;

    spin_lock(&names_lock);
    for (u32 i = 0; i < NET_SWITCHES && !found; i++) {
        if (!switches[i].name[0])
            str_copy(switches[i].name, name, sizeof(switches[i].name));
        if (!strcmp(switches[i].name, name))
            found = &switches[i];
    }
    spin_unlock(&names_lock);
    return found;
}

int net_join(struct net_port *port, struct vm *vm, const char *name)
{
    struct net_switch *s = find(name);

    if (!s)
        return ERR_NOMEM;
    port->at = s;
    port->vm = vm;
    spin_lock(&s->lock);
    port->next = s->ports;
    s->ports = port;
    spin_unlock(&s->lock);
    return OK;
}

void net_leave(struct net_port *port)
{
    struct net_switch *s = port->at;

    spin_lock(&s->lock);
    for (struct net_port **at = &s->ports; *at; at = &(*at)->next) {
        if (*at == port) {
            *at = port->next;
            break;
        }
    }
    for (u32 i = 0; i < LEARNED; i++) {
        if (s->learned[i].port == port)
            s->learned[i].port = NULL;
    }
    spin_unlock(&s->lock);
}

static bool is_group(const u8 *mac)
{
    return mac[0] & 1;
}

static struct learned *place_of(struct net_switch *s, const u8 *mac)
{
    u32 hash = mac[5] ^ mac[4] * 7u ^ mac[3] * 31u ^ mac[2] * 3u;

    return &s->learned[hash & (LEARNED - 1)];
}

static void learn(struct net_port *from, const u8 *source)
{
    struct learned *l = place_of(from->at, source);

    if (is_group(source))
        return;
    memcpy(l->mac, source, NET_MAC);
    l->port = from;
}

/* The one port that has the address; null: not known. */
static struct net_port *look_up(struct net_switch *s, const u8 *mac)
{
    struct learned *l = place_of(s, mac);

    return l->port && !memcmp(l->mac, mac, NET_MAC) ? l->port : NULL;
}

static void put(struct net_port *to, const u8 *frame, u32 size)
{
    struct net_frame *f = &to->queue[to->in % NET_QUEUE];

    if (to->in - to->out == NET_QUEUE) {
        to->dropped++;
        return;
    }
    f->size = (u16)size;
    memcpy(f->bytes, frame, size);
    to->in++;
    vm_request_poll(to->vm);
}

void net_send(struct net_port *from, const u8 *frame, u32 size)
{
    struct net_switch *s = from->at;
    struct net_port *to;

    spin_lock(&s->lock);
    from->sent++;
    if (size < NET_HEADER || size > NET_FRAME_MAX) {
        from->dropped++;
    } else {
        learn(from, frame + NET_MAC);
        to = look_up(s, frame);
        for (struct net_port *p = s->ports; p; p = p->next) {
            if (p != from && (!to || p == to))
                put(p, frame, size);
        }
    }
    spin_unlock(&s->lock);
}

bool net_receive(struct net_port *port, struct net_frame *out)
{
    const struct net_frame *f = &port->queue[port->out % NET_QUEUE];
    bool got;

    spin_lock(&port->at->lock);
    got = port->in != port->out;
    if (got) {
        out->size = f->size;
        memcpy(out->bytes, f->bytes, f->size);
        port->out++;
        port->received++;
    }
    spin_unlock(&port->at->lock);
    return got;
}

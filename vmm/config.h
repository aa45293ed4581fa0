/* SPDX-License-Identifier: MIT */
/* The configuration file: what it says, checked, as plain data. Pure logic, also built for the host and the
 * UEFI app. */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include "lib/log.h"
#include "lib/serial_port.h"

#define CONFIG_MAX_VMS      16
#define CONFIG_MAX_VCPUS    64
#define CONFIG_MAX_MODULES  8
#define CONFIG_NAME_MAX     32
#define CONFIG_FILE_MAX     120
#define CONFIG_TEXT_MAX     1024
#define CONFIG_MAX_HIDE     32
#define CONFIG_MAX_DISKS    4
#define CONFIG_MAX_NETS     4
#define CONFIG_MAX_CHANNELS 4
#define CONFIG_MAX_GIVEN    8 /* of each kind */
#define CONFIG_IRQ_MAX      23
#define CONFIG_PIN_ANY      (-1)
#define CONFIG_HALT_POLL    200
#define CONFIG_APIC_ID_MAX  0x7fff /* what messages with extended destination ids reach */

enum config_restart {
    RESTART_NEVER,
    RESTART_ON_RESET,
    RESTART_ON_CRASH, /* on a crash and on a reset */
};

/* How much of a local APIC the CPU does, at most; ascending. */
enum config_apic {
    APIC_EMULATED,
    APIC_APICV,  /* registers, and delivery of interrupts */
    APIC_POSTED, /* and what others send to a vCPU that runs */
    APIC_BEST,   /* whatever is known to work */
};

/* As they are written in the configuration, and in the log. */
extern const char *const config_apic_names[];

struct config_module {
    char file[CONFIG_FILE_MAX];
    char args[256];
    u32 line;
};

struct config_disk {
    char file[CONFIG_FILE_MAX];
    u32 line;
};

/* What of the physical machine can be a VM's own: ports, memory that is no RAM, interrupt lines (last: they
 * come from then on). */
enum config_given { GIVEN_PORT, GIVEN_MMIO, GIVEN_IRQ, NR_GIVEN };

struct config_range {
    u64 first, last; /* of memory: whole pages */
    u32 line;
};

struct config_vm {
    char name[CONFIG_NAME_MAX];
    u32 line; /* of its [vm NAME], for messages */
    bool bad; /* an error was reported in its section: it must not be started */
    char kernel[CONFIG_FILE_MAX];
    u32 kernel_line;
    char initrd[CONFIG_FILE_MAX];
    u32 initrd_line;
    char cmdline[CONFIG_TEXT_MAX];
    u32 nr_modules;
    struct config_module modules[CONFIG_MAX_MODULES];
    u64 memory; /* bytes, a multiple of the page size */
    u32 vcpus;
    u32 nr_pins;                   /* 0: shared; else equal to vcpus */
    s16 pin[CONFIG_MAX_VCPUS];     /* physical CPU of each vCPU */
    u32 nr_apic_ids;               /* 0: by default; else equal to vcpus */
    u16 apic_id[CONFIG_MAX_VCPUS]; /* of each vCPU; by default its number */
    u32 apicid_line;
    bool nested;
    u32 nr_hide;
    char hide[CONFIG_MAX_HIDE][32];
    enum config_restart restart;
    enum config_apic apic; /* APIC_BEST by default */
    u32 nr_disks;
    struct config_disk disks[CONFIG_MAX_DISKS];
    u32 nr_nets;
    char nets[CONFIG_MAX_NETS][CONFIG_NAME_MAX]; /* the switch that each network card is at */
    u32 nr_channels;
    char channels[CONFIG_MAX_CHANNELS][CONFIG_NAME_MAX];
    bool rng, vconsole;
    u32 nr_given[NR_GIVEN];
    struct config_range given[NR_GIVEN][CONFIG_MAX_GIVEN]; /* none of them overlap, in all VMs */
};

struct config {
    struct serial_port console; /* SERIAL_UNSAID by default */
    struct serial_port gdb;     /* the port of GDB's stub; SERIAL_UNSAID by default: there is none */
    bool gdb_on_console;        /* it has the console's port for a while */
    enum log_level loglevel;    /* LOG_INFO by default */
    s32 poll;                   /* the CPU that serves paravirtual queues; CONFIG_PIN_ANY: none */
    u32 poll_line;
    u32 halt_poll;     /* us; CONFIG_HALT_POLL by default */
    bool keep_crashed; /* crash = keep */
    u32 nr_vms;
    struct config_vm vms[CONFIG_MAX_VMS];
};

/* A serial port as it is written in a configuration or on a command line, which is spoilt; false: it is not
 * one. */
bool config_serial_port(char *text, struct serial_port *port);
#define CONFIG_SERIAL_PORTS \
    "com1 to com4, port:ADDRESS, mmio:ADDRESS, mmio32:ADDRESS, each with ,SPEED or ,SPEED,irqN; or none"

/*
 * Parses text (size bytes, need not end with NUL) into *c. Each problem is reported once as
 * report(ctx, "FILE:LINE: what is wrong; remedy"), and its VM is marked bad; a problem outside of a VM's
 * section spoils nothing else. Returns the number of problems. hide_known(name), if not null, says whether a
 * feature name exists.
 */
u32 config_parse(struct config *c, const char *file_name, const char *text, size_t size,
                 bool (*hide_known)(const char *name), void (*report)(void *ctx, const char *message),
                 void *ctx);

#endif

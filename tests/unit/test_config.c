/* SPDX-License-Identifier: MIT */
/* links: vmm/config.c vmm/config_options.c vmm/config_serial.c vmm/config_given.c */
/* links: lib/text.c lib/format.c lib/str_copy.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/config.h"

static struct config config;
static char messages[64 * 1024];

static void report(void *ctx, const char *message)
{
    size_t used = strlen(messages);

    assert_ptr_equal(ctx, &config);
    assert_null(strchr(message, '\n'));
    assert_true((size_t)snprintf(messages + used, sizeof(messages) - used, "%s\n", message) <
                sizeof(messages) - used);
}

static bool is_feature(const char *name)
{
    return !strcmp(name, "EPT") || !strcmp(name, "VPID") || name[0] == 'F';
}

/* The text is put at the end of a heap block, so that reading beyond it is noticed. */
static u32 parse_bytes(const char *text, size_t size)
{
    char *copy = malloc(size + 1);
    u32 n;

    memcpy(copy + 1, text, size);
    messages[0] = 0;
    n = config_parse(&config, "a.conf", copy + 1, size, is_feature, report, &config);
    free(copy);
    return n;
}

static u32 parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

#define VM "[vm one]\nkernel = k\n"

static void defaults(void **state)
{
    const struct config_vm *vm = &config.vms[0];

    (void)state;
    assert_int_equal(parse(""), 0);
    assert_int_equal(config.nr_vms, 0);
    assert_int_equal(config.console.kind, SERIAL_UNSAID);
    assert_int_equal(config.gdb.kind, SERIAL_UNSAID);
    assert_false(config.gdb_on_console);
    assert_int_equal(config.loglevel, LOG_INFO);
    assert_int_equal(config.poll, CONFIG_PIN_ANY);
    assert_int_equal(config.halt_poll, CONFIG_HALT_POLL);

    assert_int_equal(parse(VM), 0);
    assert_int_equal(config.nr_vms, 1);
    assert_string_equal(vm->name, "one");
    assert_int_equal(vm->line, 1);
    assert_false(vm->bad);
    assert_string_equal(vm->kernel, "k");
    assert_int_equal(vm->kernel_line, 2);
    assert_string_equal(vm->initrd, "");
    assert_string_equal(vm->cmdline, "");
    assert_int_equal(vm->nr_modules, 0);
    assert_int_equal(vm->memory, MiB(128));
    assert_int_equal(vm->vcpus, 1);
    assert_int_equal(vm->nr_pins, 0);
    for (int i = 0; i < CONFIG_MAX_VCPUS; i++)
        assert_int_equal(vm->pin[i], CONFIG_PIN_ANY);
    assert_int_equal(vm->nr_apic_ids, 0);
    for (u32 i = 0; i < CONFIG_MAX_VCPUS; i++)
        assert_int_equal(vm->apic_id[i], i);
    assert_false(vm->nested);
    assert_int_equal(vm->nr_hide, 0);
    assert_int_equal(vm->restart, RESTART_NEVER);
    assert_int_equal(vm->apic, APIC_BEST);
    assert_int_equal(vm->nr_disks, 0);
    assert_int_equal(vm->nr_nets, 0);
    assert_int_equal(vm->nr_channels, 0);
    assert_false(vm->rng);
    assert_false(vm->vconsole);
}

static void serial_ports(void **state)
{
    static const struct {
        const char *text;
        struct serial_port port;
    } good[] = {
        {"com1", {0x3f8, 115200, SERIAL_PORT, 0, false, 4}},
        {"com4", {0x2e8, 115200, SERIAL_PORT, 0, false, 3}},
        {"com2,9600", {0x2f8, 9600, SERIAL_PORT, 0, false, 3}},
        {"com3,0,irq5", {0x3e8, 0, SERIAL_PORT, 0, false, 5}},
        {"port:0x2f8,57600", {0x2f8, 57600, SERIAL_PORT, 0, false, SERIAL_NO_IRQ}},
        {"port:65528", {0xfff8, 115200, SERIAL_PORT, 0, false, SERIAL_NO_IRQ}},
        {"mmio:0xfe030001,38400,irq23", {0xfe030001, 38400, SERIAL_MMIO, 0, false, 23}},
        {"mmio32:0xffffffffffe0", {0xffffffffffe0, 115200, SERIAL_MMIO, 2, true, SERIAL_NO_IRQ}},
        {"none", {0, 115200, SERIAL_NONE, 0, false, SERIAL_NO_IRQ}},
    };
    static const char *const bad[] = {
        "",
        "com0",
        "com5",
        "com11",
        "com",
        "com1,",
        "com1,7",
        "com1,230400",
        "com1,9600,",
        "com1,0,irq",
        "com1,0,5",
        "com1,0,irq24",
        "none,9600",
        "port:",
        "port:0",
        "port:65529",
        "port:0x3f8x",
        "port0x3f8",
        "com1,9600n8",
        "mmio:0",
        "mmio32:0x1002",
        "mmio:0x10000000000000",
        "mmio:0xffffffffffff9x",
        "COM1",
    };
    char text[64];
    struct serial_port p;

    (void)state;
    for (u32 i = 0; i < ARRAY_SIZE(good); i++) {
        strcpy(text, good[i].text);
        assert_true(config_serial_port(text, &p));
        assert_int_equal(p.base, good[i].port.base);
        assert_int_equal(p.baud, good[i].port.baud);
        assert_int_equal(p.kind, good[i].port.kind);
        assert_int_equal(p.shift, good[i].port.shift);
        assert_int_equal(p.wide, good[i].port.wide);
        assert_int_equal(p.irq, good[i].port.irq);
    }
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        strcpy(text, bad[i]);
        if (config_serial_port(text, &p))
            fail_msg("%s is taken", bad[i]);
    }
}

static const char everything_text[] = "; all of it\n"
                                      "  # and again\n"
                                      "[nidus]\n"
                                      "console = com2 ; comment\n"
                                      "loglevel=debug # comment\n"
                                      "poll = 3\n"
                                      "[vm one] ; comment\n"
                                      "kernel = dir/vmlinuz-6.1;x#y\n"
                                      "initrd\t=\tinitrd.img\t; comment\n"
                                      "cmdline = console=ttyS0  a;b #c \"d=e ; f\"\n"
                                      "memory = 1G\n"
                                      "vcpus = 3\n"
                                      "pin = 2 ,0, 1023\n"
                                      "apicid = 32767 , 0,254\n"
                                      "nested = on\n"
                                      "hide = EPT , VPID\n"
                                      "restart = reset\n"
                                      "apic = apicv\n"
                                      "disk = root.img # comment\n"
                                      "disk = more.img\n"
                                      "net = lan\n"
                                      "net = wan-2\n"
                                      "channel = ring\n"
                                      "channel = bell_2\n"
                                      "rng = on\n"
                                      "vconsole = on\n"
                                      "[ vm  two-2_B ]\n"
                                      "module = a.bin\n"
                                      "module = b.bin   x=1  y;2 # z ;comment\n"
                                      "module = a.bin again\n"
                                      "kernel = k\n"
                                      "cmdline =\n"
                                      "restart = crash\n"
                                      "memory = 1048576";

static void check_everything(void)
{
    const struct config_vm *vm = &config.vms[0];

    assert_string_equal(messages, "");
    assert_int_equal(config.nr_vms, 2);
    assert_int_equal(config.console.kind, SERIAL_PORT);
    assert_int_equal(config.console.base, 0x2f8);
    assert_int_equal(config.loglevel, LOG_DEBUG);
    assert_int_equal(config.poll, 3);
    assert_int_equal(config.poll_line, 6);
    assert_string_equal(vm->kernel, "dir/vmlinuz-6.1;x#y");
    assert_string_equal(vm->initrd, "initrd.img");
    assert_int_equal(vm->initrd_line, 9);
    assert_string_equal(vm->cmdline, "console=ttyS0  a;b #c \"d=e");
    assert_int_equal(vm->memory, GiB(1));
    assert_int_equal(vm->vcpus, 3);
    assert_int_equal(vm->nr_pins, 3);
    assert_int_equal(vm->pin[0], 2);
    assert_int_equal(vm->pin[1], 0);
    assert_int_equal(vm->pin[2], 1023);
    assert_int_equal(vm->pin[3], CONFIG_PIN_ANY);
    assert_int_equal(vm->nr_apic_ids, 3);
    assert_int_equal(vm->apic_id[0], 32767);
    assert_int_equal(vm->apic_id[1], 0);
    assert_int_equal(vm->apic_id[2], 254);
    assert_int_equal(vm->apicid_line, 14);
    assert_true(vm->nested);
    assert_int_equal(vm->nr_hide, 2);
    assert_string_equal(vm->hide[0], "EPT");
    assert_string_equal(vm->hide[1], "VPID");
    assert_int_equal(vm->restart, RESTART_ON_RESET);
    assert_int_equal(vm->apic, APIC_APICV);
    assert_int_equal(vm->nr_disks, 2);
    assert_string_equal(vm->disks[0].file, "root.img");
    assert_string_equal(vm->disks[1].file, "more.img");
    assert_int_equal(vm->disks[1].line, 20);
    assert_int_equal(vm->nr_nets, 2);
    assert_string_equal(vm->nets[0], "lan");
    assert_string_equal(vm->nets[1], "wan-2");
    assert_int_equal(vm->nr_channels, 2);
    assert_string_equal(vm->channels[0], "ring");
    assert_string_equal(vm->channels[1], "bell_2");
    assert_true(vm->rng);
    assert_true(vm->vconsole);
    vm++;
    assert_string_equal(vm->name, "two-2_B");
    assert_int_equal(vm->nr_modules, 3);
    assert_string_equal(vm->modules[0].file, "a.bin");
    assert_string_equal(vm->modules[0].args, "");
    assert_int_equal(vm->modules[0].line, 28);
    assert_string_equal(vm->modules[1].file, "b.bin");
    assert_string_equal(vm->modules[1].args, "x=1  y;2 # z");
    assert_string_equal(vm->modules[2].args, "again");
    assert_string_equal(vm->cmdline, "");
    assert_int_equal(vm->restart, RESTART_ON_CRASH);
    assert_int_equal(vm->memory, MiB(1));
}

static void everything(void **state)
{
    (void)state;
    assert_int_equal(parse(everything_text), 0);
    check_everything();
}

/* The same with CR LF and the mark that Windows' editors put first. */
static void windows_text(void **state)
{
    char text[2 * sizeof(everything_text) + 3] = "\xef\xbb\xbf";
    size_t n = 3;

    (void)state;
    for (const char *at = everything_text; *at; at++) {
        if (*at == '\n')
            text[n++] = '\r';
        text[n++] = *at;
    }
    text[n++] = '\r';
    assert_int_equal(parse_bytes(text, n), 0);
    check_everything();
}

static void memory_sizes(void **state)
{
    static const struct {
        const char *text;
        u64 size;
    } cases[] = {
        {"1M", MiB(1)},
        {"1024K", MiB(1)},
        {"512M", MiB(512)},
        {"4g", 0},
        {"65536G", GiB(65536)},
        {"1048576", MiB(1)},
        {"2G", GiB(2)},
        {"1028k", 0},
        {"0512M", MiB(512)},
        {"1028K", KiB(1028)},
        {"1 M", 0},
        {"1MB", 0},
        {"65537G", 0},
        {"18446744073709551615G", 0},
        {"17179869185G", 0},
        {"18014398509483008K", 0},
        {"70368744177664", GiB(65536)},
        {"70368744181760", 0},
        {"1023K", 0},
        {"0", 0},
        {"1048577", 0},
        {"1025K", 0},
        {"-1M", 0},
        {"M", 0},
        {"0x100000", 0},
        {"1.5G", 0},
        {"99999999999999999999", 0},
    };
    char text[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        snprintf(text, sizeof(text), VM "memory = %s\n", cases[i].text);
        assert_int_equal(parse(text), cases[i].size == 0);
        assert_int_equal(config.vms[0].bad, cases[i].size == 0);
        assert_int_equal(config.vms[0].memory, cases[i].size ? cases[i].size : MiB(128));
    }
}

#define A10  "aaaaaaaaaa"
#define A50  A10 A10 A10 A10 A10
#define A250 A50 A50 A50 A50 A50
#define V10(x)                                                                                     \
    "[vm " x "0]\nkernel=k\n[vm " x "1]\nkernel=k\n[vm " x "2]\nkernel=k\n[vm " x "3]\nkernel=k\n" \
    "[vm " x "4]\nkernel=k\n[vm " x "5]\nkernel=k\n[vm " x "6]\nkernel=k\n[vm " x "7]\nkernel=k\n"

#define NO_APIC_ID(text)                                                                                  \
    "a.conf:3: '" text "' is not an APIC id; write numbers from 0 to 32767 other than 255, as in apicid " \
    "= 0,2\n"

/* Each input gives exactly these messages. */
static const struct {
    const char *text, *messages;
} wrong[] = {
    {"kernel = k\n", "a.conf:1: 'kernel = k' is outside of a section; put it below [nidus] or [vm NAME]\n"},
    {"[vm one]\n\n", "a.conf:1: [vm one] has no kernel; add 'kernel = FILE'\n"},
    {"[vm one]\nkernel =\n", "a.conf:2: 'kernel' has no value; write one or remove the line\n"},
    {"[vm one]\nkernel = ; file\n", "a.conf:2: 'kernel' has no value; write one or remove the line\n"},
    {VM "kernel = l\n", "a.conf:3: 'kernel' is in line 2 already; remove one of them\n"},
    {"[vm one]\nkernel = my file\n", "a.conf:2: white space in the file name 'my file'; rename the file\n"},
    {"[vm one]\nkernel = " A50 A50 A10 A10 "\n",
     "a.conf:2: the file name '" A10 A10 A10 "...' is too long; use at most 119 characters\n"},
    {VM "initrd = " A50 A50 A10 A10 "\n",
     "a.conf:3: the file name '" A10 A10 A10 "...' is too long; use at most 119 characters\n"},
    {VM "module = " A50 A50 A10 A10 " x\n",
     "a.conf:3: the file name '" A10 A10 A10 "...' is too long; use at most 119 characters\n"},
    {VM "module = f " A250 "123456\n",
     "a.conf:3: the arguments of module 'f' are too long; use at most 255 characters\n"},
    {VM "module=1\nmodule=2\nmodule=3\nmodule=4\nmodule=5\nmodule=6\nmodule=7\nmodule=8\nmodule=9\n",
     "a.conf:11: too many modules in [vm one]; use at most 8\n"},
    {VM "module =\n", "a.conf:3: 'module' has no value; write one or remove the line\n"},
    {VM "cmdline = " A250 A250 A250 A250 A10 A10 "1234\n",
     "a.conf:3: the command line has 1024 characters; use at most 1023\n"},
    {VM "memory = lots\n", "a.conf:3: 'lots' is not a size; write a number and K, M or G, as in 512M\n"},
    {VM "memory = 512MB\n", "a.conf:3: '512MB' is not a size; write a number and K, M or G, as in 512M\n"},
    {VM "memory = 1000K\n", "a.conf:3: memory '1000K' is out of range; use 1M to 65536G\n"},
    {VM "memory = 65537G\n", "a.conf:3: memory '65537G' is out of range; use 1M to 65536G\n"},
    {VM "memory = 1026K\n", "a.conf:3: memory '1026K' is not a multiple of 4K; round it to whole pages\n"},
    {VM "vcpus = 0\n", "a.conf:3: '0' is not a number of vCPUs; use 1 to 64\n"},
    {VM "vcpus = 65\n", "a.conf:3: '65' is not a number of vCPUs; use 1 to 64\n"},
    {VM "vcpus = two\npin = 1,2\n", "a.conf:3: 'two' is not a number of vCPUs; use 1 to 64\n"},
    {VM "pin = 0,1\nvcpus = 3\n", "a.conf:3: pin names 2 CPUs but [vm one] has 3 vCPUs; give one for each\n"},
    {VM "pin = 0,1\n", "a.conf:3: pin names 2 CPUs but [vm one] has 1 vCPUs; give one for each\n"},
    {VM "pin = 0,x\n",
     "a.conf:3: 'x' is not a physical CPU; write numbers from 0 to 1023, as in pin = 0,1\n"},
    {VM "pin = 0,\n", "a.conf:3: '' is not a physical CPU; write numbers from 0 to 1023, as in pin = 0,1\n"},
    {VM "pin = 1024\n",
     "a.conf:3: '1024' is not a physical CPU; write numbers from 0 to 1023, as in pin = 0,1\n"},
    {VM "pin = 0 1\n",
     "a.conf:3: '0 1' is not a physical CPU; write numbers from 0 to 1023, as in pin = 0,1\n"},
    {VM "pin = 0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,"
        "7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4\n",
     "a.conf:3: too many CPUs in the list; give one for each vCPU\n"},
    {VM "apicid = 1,2\n", "a.conf:3: apicid names 2 ids but [vm one] has 1 vCPUs; give one for each\n"},
    {VM "apicid = 1\nvcpus = 2\npin = 1\n",
     "a.conf:5: pin names 1 CPUs but [vm one] has 2 vCPUs; give one for each\n"
     "a.conf:3: apicid names 1 ids but [vm one] has 2 vCPUs; give one for each\n"},
    {VM "apicid = 7,8,7\nvcpus = 3\n", "a.conf:3: two vCPUs have APIC id 7; give each its own\n"},
    {VM "apicid = 255\n", NO_APIC_ID("255")},
    {VM "apicid = 32768\n", NO_APIC_ID("32768")},
    {VM "apicid = 4294967295\n", NO_APIC_ID("4294967295")},
    {VM "apicid = 4294967297\n", NO_APIC_ID("4294967297")},
    {VM "apicid = -1\n", NO_APIC_ID("-1")},
    {VM "apicid = 0x10\n", NO_APIC_ID("0x10")},
    {VM "apicid = 1,,2\n", NO_APIC_ID("")},
    {VM "apicid = 1 2\n", NO_APIC_ID("1 2")},
    {VM
     "apicid = 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,"
     "35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63,64\n",
     "a.conf:3: too many APIC ids in the list; give one for each vCPU\n"},
    {VM "nested = yes\n", "a.conf:3: nested is 'yes'; use on or off\n"},
    {VM "hide = MPX\n", "a.conf:3: unknown feature 'MPX'; use a name listed in docs/configuration.md\n"},
    {VM "hide = EPT,,VPID\n",
     "a.conf:3: empty feature name; write the names with one comma between two, as in hide = X,Y\n"},
    {VM "hide = EPT,VPID,EPT\n", "a.conf:3: feature 'EPT' is hidden twice; remove one\n"},
    {VM "hide = F" A10 A10 A10 "a\n",
     "a.conf:3: the feature name 'F" A10 A10 A10 "a...' is too long; use at most 31 characters\n"},
    {VM
     "hide = F0,F1,F2,F3,F4,F5,F6,F7,F8,F9,F10,F11,F12,F13,F14,F15,F16,F17,F18,F19,F20,F21,F22,F23,F24,F25,"
     "F26,F27,F28,F29,F30,F31,F32\n",
     "a.conf:3: too many features to hide; use at most 32\n"},
    {VM "rng = yes\n", "a.conf:3: rng is 'yes'; use on or off\n"},
    {VM "vconsole = 1\n", "a.conf:3: vconsole is '1'; use on or off\n"},
    {VM "disk = a b\n", "a.conf:3: white space in the file name 'a b'; rename the file\n"},
    {VM "disk = a\ndisk = b\ndisk = c\ndisk = d\ndisk = e\n",
     "a.conf:7: too many disks in [vm one]; use at most 4\n"},
    {VM "net = a.b\n", "a.conf:3: 'a.b' is not a switch's name; use 1 to 31 letters, digits, '-' and '_'\n"},
    {VM "net = a\nnet = a\nnet = b\nnet = c\nnet = d\n",
     "a.conf:7: too many network cards in [vm one]; use at most 4\n"},
    {VM "channel = a\nchannel = a\n", "a.conf:4: channel 'a' is named twice; remove one\n"},
    {VM "channel = a b\n",
     "a.conf:3: 'a b' is not a channel's name; use 1 to 31 letters, digits, '-' and '_'\n"},
    {VM "channel = a\nchannel = e\nchannel = b\nchannel = c\nchannel = d\n",
     "a.conf:7: too many channels in [vm one]; use at most 4\n"},
    {VM "irq = 24\n", "a.conf:3: '24' is not an interrupt line; use 0 to 23\n"},
    {VM "irq = x\n", "a.conf:3: 'x' is not an interrupt line; use 0 to 23\n"},
    {VM "irq = 3-4\n", "a.conf:3: '3-4' is not an interrupt line; use 0 to 23\n"},
    {VM "irq = -1\n", "a.conf:3: '-1' is not an interrupt line; use 0 to 23\n"},
    {VM "irq = 0x\n", "a.conf:3: '0x' is not an interrupt line; use 0 to 23\n"},
    {VM "irq = 18446744073709551619\n",
     "a.conf:3: '18446744073709551619' is not an interrupt line; use 0 to 23\n"},
    {VM "port = 0x10000\n", "a.conf:3: '0x10000' is not a range of ports, as in 0x2f8-0x2ff\n"},
    {VM "port = 0x2f8 - 0x2ff\n", "a.conf:3: '0x2f8 - 0x2ff' is not a range of ports, as in 0x2f8-0x2ff\n"},
    {VM "port = 0x2ff-0x2f8\n", "a.conf:3: '0x2ff-0x2f8' is not a range of ports, as in 0x2f8-0x2ff\n"},
    {VM "port = 2f8\n", "a.conf:3: '2f8' is not a range of ports, as in 0x2f8-0x2ff\n"},
    {VM "port = 0x2f8-\n", "a.conf:3: '0x2f8-' is not a range of ports, as in 0x2f8-0x2ff\n"},
    {VM "port = 0x2f8-0x2ffg\n", "a.conf:3: '0x2f8-0x2ffg' is not a range of ports, as in 0x2f8-0x2ff\n"},
    {VM "port = 0x100000000000002f8\n",
     "a.conf:3: '0x100000000000002f8' is not a range of ports, as in 0x2f8-0x2ff\n"},
    {VM "mmio = 0xa0001-0xa0fff\n",
     "a.conf:3: '0xa0001-0xa0fff' is not a range of whole pages, as in 0xfe000000-0xfe000fff\n"},
    {VM "mmio = 0xa0000-0xa0ffe\n",
     "a.conf:3: '0xa0000-0xa0ffe' is not a range of whole pages, as in 0xfe000000-0xfe000fff\n"},
    {VM "mmio = 0xa0000\n",
     "a.conf:3: '0xa0000' is not a range of whole pages, as in 0xfe000000-0xfe000fff\n"},
    {VM "mmio = 0xa0000-0x1000000000fff\n",
     "a.conf:3: '0xa0000-0x1000000000fff' is not a range of whole pages, as in 0xfe000000-0xfe000fff\n"},
    {VM "mmio = 0-0xffffffffffffffff\n",
     "a.conf:3: '0-0xffffffffffffffff' is not a range of whole pages, as in 0xfe000000-0xfe000fff\n"},
    {VM "port = 0x2f8-0x2ff\nport = 767\n",
     "a.conf:4: '767', or a part of it, is given away in line 3 already; remove one\n"},
    {VM "irq = 3\n[vm two]\nkernel = k\nirq = 4\nirq = 0x3\n",
     "a.conf:7: '0x3', or a part of it, is given away in line 3 already; remove one\n"},
    {VM "mmio = 0xa0000-0xbffff\n[vm two]\nkernel = k\nmmio = 0x9f000-0xa0fff\nport = 0xa0000\n",
     "a.conf:6: '0x9f000-0xa0fff', or a part of it, is given away in line 3 already; remove one\n"
     "a.conf:7: '0xa0000' is not a range of ports, as in 0x2f8-0x2ff\n"},
    {VM "port=1\nport=2\nport=3\nport=4\nport=5\nport=6\nport=7\nport=8\nport=9\n",
     "a.conf:11: '9' is one too many in [vm one]; use at most 8\n"},
    {VM "apic = fast\n", "a.conf:3: unknown apic 'fast'; use emulated, apicv or posted\n"},
    {VM "restart = always\n", "a.conf:3: unknown restart 'always'; use never, reset or crash\n"},
    {VM "Memory = 1G\n",
     "a.conf:3: unknown option 'Memory'; known here: kernel, module, initrd, cmdline, memory, vcpus, pin, apicid, "
     "nested, hide, apic, restart, disk, net, channel, rng, vconsole, irq, port, mmio\n"},
    {VM "= 1G\n",
     "a.conf:3: unknown option ''; known here: kernel, module, initrd, cmdline, memory, vcpus, pin, apicid, "
     "nested, hide, apic, restart, disk, net, channel, rng, vconsole, irq, port, mmio\n"},
    {VM "nested\n", "a.conf:3: no '=' in 'nested'; write OPTION = VALUE\n"},
    {"[nidus]\nkernel = k\n",
     "a.conf:2: unknown option 'kernel'; known here: console, loglevel, poll, haltpoll, crash, gdb\n"},
    {"[nidus]\ngdb = com5\n", "a.conf:2: unknown gdb 'com5'; use " CONFIG_SERIAL_PORTS "\n"},
    {"[nidus]\nconsole = com5\n", "a.conf:2: unknown console 'com5'; use " CONFIG_SERIAL_PORTS "\n"},
    {"[nidus]\nhaltpoll = 10001\n", "a.conf:2: haltpoll is '10001'; write microseconds, 0 to 10000\n"},
    {"[nidus]\ncrash = stay\n", "a.conf:2: unknown crash 'stay'; use end or keep\n"},
    {"[nidus]\nhaltpoll = 5us\n", "a.conf:2: haltpoll is '5us'; write microseconds, 0 to 10000\n"},
    {"[nidus]\npoll = x\n", "a.conf:2: poll is 'x'; write a physical CPU's number, 0 to 1023\n"},
    {"[nidus]\npoll = 1024\n", "a.conf:2: poll is '1024'; write a physical CPU's number, 0 to 1023\n"},
    {"[nidus]\nloglevel = 3\n", "a.conf:2: unknown loglevel '3'; use error, warn, info or debug\n"},
    {"[nidus]\n[nidus]\nconsole = x\n", "a.conf:2: there is a [nidus] in line 1 already; join the two\n"},
    {"[nidus]\nloglevel = warn\nloglevel = warn\n",
     "a.conf:3: 'loglevel' is in line 2 already; remove one of them\n"},
    {"[nidus x]\n", "a.conf:1: unknown section 'nidus x'; use [nidus] or [vm NAME]\n"},
    {"[VM one]\nany = thing\n", "a.conf:1: unknown section 'VM one'; use [nidus] or [vm NAME]\n"},
    {"[]\n", "a.conf:1: unknown section ''; use [nidus] or [vm NAME]\n"},
    {"[", "a.conf:1: no ']' at the end of '['; write [nidus] or [vm NAME]\n"},
    {"[nidus\nloglevel = x\n", "a.conf:1: no ']' at the end of '[nidus'; write [nidus] or [vm NAME]\n"},
    {"[nidus] x\n", "a.conf:1: no ']' at the end of '[nidus] x'; write [nidus] or [vm NAME]\n"},
    {"[vm]\n", "a.conf:1: '' is not a VM's name; use 1 to 31 letters, digits, '-' and '_'\n"},
    {"[vm a b]\nkernel\n", "a.conf:1: 'a b' is not a VM's name; use 1 to 31 letters, digits, '-' and '_'\n"},
    {"[vm " A10 A10 A10 "ab]\n",
     "a.conf:1: '" A10 A10 A10 "ab' is not a VM's name; use 1 to 31 letters, digits, '-' and '_'\n"},
    {VM "[vm one]\nnothing\n",
     "a.conf:3: there is a [vm one] in line 1 already; give this one another name\n"},
    {V10("a") V10("b") "[vm more]\nkernel = x\n",
     "a.conf:33: [vm more] is one VM too many; use at most 16\n"},
    {VM "memory\v= 1G\n", "a.conf:3: control character 0x0b in column 7; save the file as plain text\n"},
    {VM "[vm tw\033o]\nkernel = k\n",
     "a.conf:3: control character 0x1b in column 7; save the file as plain text\n"},
    {"[vm one]\nkernel = \x7f\npin = 1,2\nvcpus = \r4\n",
     "a.conf:2: control character 0x7f in column 10; save the file as plain text\n"
     "a.conf:4: control character 0x0d in column 9; save the file as plain text\n"},
    {"[nidus]\n;" A250 A250 A250 A250 A250 A10 A10 A10 "\n",
     "a.conf:2: the line has 1281 characters; use at most 1280\n"},
    {"x\n[nidus]\nx\n[vm one]\nmemory = 1\n[vm two]\n",
     "a.conf:1: 'x' is outside of a section; put it below [nidus] or [vm NAME]\n"
     "a.conf:3: no '=' in 'x'; write OPTION = VALUE\n"
     "a.conf:5: memory '1' is out of range; use 1M to 65536G\n"
     "a.conf:4: [vm one] has no kernel; add 'kernel = FILE'\n"
     "a.conf:6: [vm two] has no kernel; add 'kernel = FILE'\n"},
};

static void each_message(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        u32 n = parse(wrong[i].text), lines = 0;

        assert_string_equal(messages, wrong[i].messages);
        for (const char *at = messages; *at; at++)
            lines += *at == '\n';
        assert_int_equal(n, lines);
    }
}

static void nul_bytes(void **state)
{
    static const char text[] = "[vm one]\nkernel = a\0b\n[vm two]\nkernel = k\n";

    (void)state;
    assert_int_equal(parse_bytes(text, sizeof(text) - 1), 1);
    assert_string_equal(messages,
                        "a.conf:2: control character 0x00 in column 11; save the file as plain text\n");
    assert_true(config.vms[0].bad);
    assert_false(config.vms[1].bad);
}

/* An error spoils its own VM and no other. */
static void the_others_start(void **state)
{
    (void)state;
    assert_int_equal(
        parse("[vm a]\nkernel=k\nmemory=x\n[nidus]\nloglevel=x\n[vm b]\nkernel=k\n[what]\nx\n[vm a]\nx\n"
              "[vm c]\n[vm d]\nkernel=k\n"),
        5);
    assert_int_equal(config.nr_vms, 4);
    assert_true(config.vms[0].bad);
    assert_false(config.vms[1].bad);
    assert_true(config.vms[2].bad);
    assert_false(config.vms[3].bad);
    assert_int_equal(config.loglevel, LOG_INFO);
}

/* The largest of everything is accepted. */
static void limits(void **state)
{
    const struct config_vm *vm = &config.vms[15];
    char text[8192];
    int n;

    (void)state;
    n = snprintf(text, sizeof(text),
                 V10("a") "[vm b0]\nkernel=k\n[vm b1]\nkernel=k\n[vm b2]\nkernel=k\n[vm b3]\nkernel=k\n"
                          "[vm b4]\nkernel=k\n[vm b5]\nkernel=k\n[vm b6]\nkernel=k\n[vm " A10 A10 A10
                          "x]\nkernel = %s123456789\ncmdline = %s%s123456789a123456789b123\nvcpus = 64\n"
                          "module = f %s12345\nhide = F0",
                 A50 A50 A10, A250 A250, A250 A250, A250);
    for (int i = 1; i < CONFIG_MAX_HIDE; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, ",F%d", i);
    n += snprintf(text + n, sizeof(text) - (size_t)n, "\npin = 0");
    for (int i = 1; i < CONFIG_MAX_VCPUS; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, ",%d", i);
    for (int i = 1; i < CONFIG_MAX_MODULES; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "\nmodule = m%d", i);
    assert_int_equal(parse(text), 0);
    assert_string_equal(messages, "");
    assert_int_equal(config.nr_vms, CONFIG_MAX_VMS);
    assert_int_equal(strlen(vm->name), CONFIG_NAME_MAX - 1);
    assert_int_equal(strlen(vm->kernel), CONFIG_FILE_MAX - 1);
    assert_int_equal(strlen(vm->cmdline), CONFIG_TEXT_MAX - 1);
    assert_int_equal(vm->nr_modules, CONFIG_MAX_MODULES);
    assert_int_equal(strlen(vm->modules[0].args), sizeof(vm->modules[0].args) - 1);
    assert_int_equal(vm->nr_hide, CONFIG_MAX_HIDE);
    assert_int_equal(vm->nr_pins, CONFIG_MAX_VCPUS);
    assert_int_equal(vm->pin[63], 63);
}

static void check_range(const struct config_range *r, u64 first, u64 last, u32 line)
{
    assert_int_equal(r->first, first);
    assert_int_equal(r->last, last);
    assert_int_equal(r->line, line);
}

static void where_gdb_is(void **state)
{
    (void)state;
    assert_int_equal(parse("[nidus]\ngdb = com4,9600\n"), 0);
    assert_int_equal(config.gdb.base, 0x2e8);
    assert_int_equal(config.gdb.baud, 9600);
    assert_false(config.gdb_on_console);
    assert_int_equal(parse("[nidus]\ngdb = console\n"), 0);
    assert_int_equal(config.gdb.kind, SERIAL_UNSAID);
    assert_true(config.gdb_on_console);
}

static void physical_devices(void **state)
{
    const struct config_vm *vm = &config.vms[0];

    (void)state;
    assert_int_equal(parse(VM "irq = 3\nirq = 0X17 ; not a number\n"), 1);
    assert_int_equal(
        parse(VM "irq = 3\nirq=0x17\nport = 0x2f8-0x2FF\nport = 120-127 ; a comment\nport = 65535\n"
                 "mmio = 0xfe000000-0xfe000fff\nmmio = 0-4095\nmmio = 0xfffffffff000-0xffffffffffff\n"),
        0);
    assert_int_equal(vm->nr_given[GIVEN_IRQ], 2);
    check_range(&vm->given[GIVEN_IRQ][0], 3, 3, 3);
    check_range(&vm->given[GIVEN_IRQ][1], 23, 23, 4);
    assert_int_equal(vm->nr_given[GIVEN_PORT], 3);
    check_range(&vm->given[GIVEN_PORT][0], 0x2f8, 0x2ff, 5);
    check_range(&vm->given[GIVEN_PORT][1], 120, 127, 6);
    check_range(&vm->given[GIVEN_PORT][2], 65535, 65535, 7);
    assert_int_equal(vm->nr_given[GIVEN_MMIO], 3);
    check_range(&vm->given[GIVEN_MMIO][0], 0xfe000000, 0xfe000fff, 8);
    check_range(&vm->given[GIVEN_MMIO][1], 0, 4095, 9);
    check_range(&vm->given[GIVEN_MMIO][2], 0xfffffffff000, 0xffffffffffff, 10);
}

/* Without a list of features any name passes; a file's long name is cut in messages. */
static void no_feature_list(void **state)
{
    static const char text[] = "x\n" VM "hide = ANYTHING\n";

    (void)state;
    messages[0] = 0;
    assert_int_equal(config_parse(&config, A250, text, strlen(text), NULL, report, &config), 1);
    assert_string_equal(messages,
                        A50 A50 ":1: 'x' is outside of a section; put it below [nidus] or [vm NAME]\n");
    assert_string_equal(config.vms[0].hide[0], "ANYTHING");
}

/* Every way to cut a good file short is survived, and so is every byte changed. */
static void damaged(void **state)
{
    char text[sizeof(everything_text)];

    (void)state;
    for (size_t n = 0; n < sizeof(everything_text); n++) {
        parse_bytes(everything_text, n);
        memcpy(text, everything_text, sizeof(text));
        for (int bit = 0; bit < 8; bit++) {
            text[n] = (char)(everything_text[n] ^ (1 << bit));
            parse_bytes(text, sizeof(text) - 1);
            assert_in_range(config.nr_vms, 0, 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),         cmocka_unit_test(everything),
        cmocka_unit_test(windows_text),     cmocka_unit_test(memory_sizes),
        cmocka_unit_test(each_message),     cmocka_unit_test(nul_bytes),
        cmocka_unit_test(the_others_start), cmocka_unit_test(limits),
        cmocka_unit_test(no_feature_list),  cmocka_unit_test(damaged),
        cmocka_unit_test(where_gdb_is),     cmocka_unit_test(physical_devices),
        cmocka_unit_test(serial_ports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

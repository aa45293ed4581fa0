/* SPDX-License-Identifier: MIT */
/* links: vmm/gdb/stub.c vmm/gdb/resume.c vmm/gdb/processes.c vmm/gdb/target.c vmm/gdb/packet.c */
/* links: lib/format.c lib/str_copy.c lib/text.c */
/* GDB's stub from the line to the calls that reach into VMs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/gdb_target.h"

static int start(void **state)
{
    (void)state;
    start_target();
    return 0;
}

static void sum_up(char *packet, size_t size, const char *text, size_t n)
{
    u8 sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (u8)text[i];
    must(n + 5 <= size);
    packet[0] = '$';
    memcpy(packet + 1, text, n);
    snprintf(packet + 1 + n, 4, "#%02x", sum);
}

/* What the stub answers, without its frame; null: only an acknowledgement. */
static const char *ask_bytes(const char *text, size_t n)
{
    static char packet[GDB_PACKET_MAX + 8];
    char *end;

    sum_up(packet, sizeof(packet), text, n);
    talk(packet, n + 4);
    assert_int_equal(sent[0], '+');
    if (nr_sent == 1)
        return NULL;
    assert_int_equal(sent[1], '$');
    end = strchr(sent, '#');
    assert_non_null(end);
    assert_int_equal(end + 3 - sent, nr_sent);
    sum_up(packet, sizeof(packet), sent + 2, (size_t)(end - sent - 2));
    assert_string_equal(packet, sent + 1);
    *end = 0;
    return sent + 2;
}

static const char *ask(const char *text)
{
    return ask_bytes(text, strlen(text));
}

#define EXPECT(question, answer) assert_string_equal(ask(question), answer)

static void expect_start(const char *answer, const char *start)
{
    assert_non_null(answer);
    assert_memory_equal(answer, start, strlen(start));
}

static void begin(void)
{
    expect_start(ask("qSupported:multiprocess+;swbreak+"), "PacketSize=4b0;");
    EXPECT("!", "OK");
}

static bool held(u32 vm, u32 vcpu)
{
    return vcpus[vm][vcpu].requests & REQ_STOPPED;
}

static void happens(u32 vm, u32 vcpu, struct vcpu_stop why)
{
    vcpus[vm][vcpu].stop = why;
    vcpus[vm][vcpu].requests |= REQ_STOPPED;
    nr_sent = 0;
    let_run();
}

/* --- the line --- */

static void mutilated_packets_are_asked_for_again(void **state)
{
    (void)state;
    talk("$?#00", 5);
    assert_string_equal(sent, "-");
    talk("junk+++", 7);
    assert_string_equal(sent, "");
    EXPECT("vMustReplyEmpty", "");
    talk("-", 1);
    assert_string_equal(sent, "$#00");
    talk("\003", 1);
    assert_string_equal(sent, "");
}

static void a_line_that_does_not_move_is_no_end(void **state)
{
    (void)state;
    line_stuck = true;
    talk("$?#3f", 5);
    assert_int_equal(nr_sent, 0);
    line_stuck = false;
    EXPECT("vMustReplyEmpty", "");
}

static void more_than_the_task_takes_is_lost(void **state)
{
    static char much[3 * INPUT];

    (void)state;
    memset(much, '-', sizeof(much));
    gdb_input(much, sizeof(much));
    let_run();
    EXPECT("vMustReplyEmpty", "");
}

/* --- sessions --- */

static void extended_sessions_attach(void **state)
{
    (void)state;
    begin();
    EXPECT("?", "W00");
    EXPECT("qfThreadInfo", "l");
    EXPECT("qC", "");
    EXPECT("Hg0", "OK");
    assert_string_equal(ask("vAttach;1f"), "E05"); /* VM 3 */
    assert_string_equal(ask("vAttach;c"), "E05");  /* 12: no L2 there */
    assert_string_equal(ask("vAttach;0"), "E05");
    assert_string_equal(ask("vAttach;"), "E02");
    assert_string_equal(ask("vAttach;ffffffffffff"), "E02");
    expect_start(ask("vAttach;b"), "T05thread:pb.1;10:");
    assert_true(held(0, 0) && held(0, 1));
    assert_false(held(1, 0));
    assert_string_equal(ask("vAttach;15"), "E06"); /* another VM */
    EXPECT("qAttached:b", "1");
    EXPECT("qfThreadInfo", "mpb.1,pb.2");
    EXPECT("qsThreadInfo", "l");
    EXPECT("qC", "QCpb.1");
    EXPECT("qCRC:0,1", "");
    expect_start(ask("?"), "T05thread:pb.1;");
    EXPECT("D;16", "OK"); /* it is not attached */
    assert_true(held(0, 0));
    assert_int_equal(left, 0);
    EXPECT("D;b", "OK");
    assert_int_equal(left, 1);
    assert_false(held(0, 0) || held(0, 1));
    EXPECT("?", "W00");
}

static void others_have_the_first_vm(void **state)
{
    (void)state;
    ended[0] = true;
    ask("qSupported:swbreak+");
    expect_start(ask("?"), "T05thread:1;10:0000000000000000;07:");
    assert_true(held(1, 0));
    EXPECT("qfThreadInfo", "m1,2");
    EXPECT("Hg2", "OK");
    EXPECT("qC", "QC2");
    EXPECT("Hg3", "E05");
    EXPECT("D", "OK");
    assert_false(held(1, 0));
}

static void both_levels(void **state)
{
    (void)state;
    begin();
    expect_start(ask("vAttach;16"), "T05thread:p16.2;"); /* the one that has an L2 */
    expect_start(ask("vAttach;15"), "T05thread:p15.1;");
    EXPECT("qfThreadInfo", "mp15.1,p15.2,p16.2");
    EXPECT("Tp16.1", "E05");
    EXPECT("Tp16.2", "OK");
    EXPECT("Tp15.1", "OK");
    EXPECT("Tb.1", "E05");
    EXPECT("qThreadExtraInfo,p16.2", "622e31204c32");                   /* b.1 L2 */
    EXPECT("qThreadExtraInfo,p15.2", "622e31204c312c204c322072756e73"); /* b.1 L1, L2 runs */
    EXPECT("Hgp16.0", "OK");
    EXPECT("qC", "QCp16.2");
    EXPECT("D;16", "OK");
    assert_true(held(1, 0));
    EXPECT("qC", "QCp15.2");
    EXPECT("Hgp16.0", "E05");
    EXPECT("D;15", "OK");
    assert_false(held(1, 0));
}

static void a_new_gdb_begins_anew(void **state)
{
    (void)state;
    begin();
    ask("vAttach;15");
    EXPECT("Z0,1000,1", "OK");
    assert_null(ask("vCont;c"));
    assert_false(held(1, 0));
    expect_start(ask("qSupported:multiprocess+"), "PacketSize");
    assert_true(held(1, 0));
    assert_int_equal(points, 0);
    expect_start(ask("?"), "T05thread:p15.1;");
}

static void a_vm_is_killed(void **state)
{
    (void)state;
    begin();
    ask("vAttach;b");
    assert_int_equal(ask("vKill;15")[0], 'E'); /* another one */
    assert_int_equal(ask("vKill;zz")[0], 'E');
    assert_int_equal(killed, 0);
    EXPECT("vKill;b", "OK");
    assert_int_equal(killed, 1);
    EXPECT("?", "W00");
    EXPECT("k", "OK");
    assert_int_equal(killed, 1);
}

static void a_line_that_is_the_consoles_too(void **state)
{
    (void)state;
    assert_false(gdb_key('x'));
    assert_true(gdb_take_line());
    for (const char *key = "$?#3f"; *key; key++)
        assert_true(gdb_key(*key));
    nr_sent = 0;
    let_run();
    expect_start(sent, "+$T05thread:1;");
    assert_true(held(0, 0));
    EXPECT("D", "OK");
    assert_int_equal(left, 1);
    assert_false(gdb_key('x'));
    /* GDB has gone without a word: a person has it back. */
    gdb_take_line();
    expect_start(ask("?"), "T05");
    talk("$m\x1d", 3); /* no key, but a part of a packet */
    assert_int_equal(left, 1);
    talk("#00\x1d", 4);
    assert_int_equal(left, 2);
    assert_false(held(0, 0));
    assert_false(gdb_key('x'));
}

/* --- registers --- */

static void all_registers(void **state)
{
    char expected[2 * GDB_G_SIZE + 1] = "";

    (void)state;
    begin();
    ask("vAttach;b");
    for (u32 i = 0; i < 16; i++)
        machine_regs.r[IR_GPR + i] = i;
    machine_regs.r[IR_RIP] = 0xffffffff81000000;
    machine_regs.r[IR_RFLAGS] = 0x246;
    machine_regs.r[IR_SELECTOR + SEG_CS] = 0x10;
    machine_regs.r[IR_SELECTOR + SEG_GS] = 0x23;
    machine_regs.r[IR_CR3] = 0x123000;
    for (u32 i = 0; i < 16; i++) {
        static const u8 order[] = {0, 3, 1, 2, 6, 7, 5, 4};

        sprintf(expected + strlen(expected), "%02x00000000000000", i < 8 ? order[i] : i);
    }
    strcat(expected, "00000081ffffffff"
                     "46020000"
                     "10000000"
                     "00000000"
                     "00000000"
                     "00000000"
                     "00000000"
                     "23000000");
    EXPECT("g", expected);
    EXPECT("p1", "0300000000000000");
    EXPECT("p10", "00000081ffffffff");
    EXPECT("p3c", "0210000000000000"); /* see rdmsr() */
}

static void registers_of_a_level_that_does_not_run(void **state)
{
    const char *all;

    (void)state;
    begin();
    ask("vAttach;15");
    EXPECT("Hgp15.2", "OK");
    machine_regs.r[IR_GPR + REG_RSP] = 0xab;
    machine_regs.r[IR_CR3] = 0xcd;
    all = ask("g");
    expect_start(all, "xxxxxxxxxxxxxxxx");
    expect_start(all + 7 * 16, "ab00000000000000xxxxxxxxxxxxxxxx");
    expect_start(all + 16 * 16, "000000000000000000000000");
    EXPECT("p28", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    EXPECT("p18", "xxxxxxxxxxxxxxxxxxxx");
    EXPECT("p3f", "cd00000000000000");
    EXPECT("P0=0100000000000000", "E07");
    EXPECT("Hgp15.1", "OK");
    EXPECT("P0=0102000000000000", "OK");
    assert_int_equal(machine_regs.r[IR_GPR + REG_RAX], 0x201);
}

static void one_register_is_set(void **state)
{
    (void)state;
    begin();
    ask("vAttach;b");
    EXPECT("P1=efcdab8967452301", "OK");
    assert_true(machine_regs.r[IR_GPR + REG_RBX] == 0x0123456789abcdef);
    EXPECT("P10=0010000000000000", "OK");
    assert_int_equal(machine_regs.r[IR_RIP], 0x1000);
    field[GUEST_INTERRUPTIBILITY_STATE] = INTERRUPTIBILITY_STI;
    machine_regs.r[IR_RFLAGS] = 0x246;
    EXPECT("P11=46000000", "OK");
    assert_int_equal(machine_regs.r[IR_RFLAGS], 0x46);
    assert_int_equal(field[GUEST_INTERRUPTIBILITY_STATE], 0);
    /* Selectors stay, unless that is what they are anyway. */
    EXPECT("P12=00000000", "OK");
    EXPECT("P12=08000000", "E07");
    EXPECT("P29=000102030405060708090a0b0c0d0e0f", "OK");
    assert_memory_equal(fpu.xmm[1], "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16);
    EXPECT("P38=ffffffff", "OK"); /* reserved bits do not reach the CPU */
    EXPECT("P22=0cfc0000", "OK");
    assert_int_equal(fpu.ftw, 0x1d);
    EXPECT("P39=0000000000000000", "OK"); /* orig_rax */
    EXPECT("P3a=0000000000800000", "E02");
    EXPECT("P0=00", "E02");
    EXPECT("P0", "E02");
    EXPECT("P43=0000000000000000", "E02");
    EXPECT("P0=010000000000000000", "E02");
    EXPECT("p43", "E02");
    EXPECT("p", "E02");
    EXPECT("pffffffffffffffff", "E02");
}

/* --- memory --- */

static void memory_is_read(void **state)
{
    char question[40];

    (void)state;
    begin();
    EXPECT("m10000,4", "E05");
    ask("vAttach;15");
    EXPECT("m10002,4", "02030405");
    EXPECT("m11fff,4", "1e");
    EXPECT("m12000,4", "E0e");
    EXPECT("mffffffffffffffff,4", "E0e");
    snprintf(question, sizeof(question), "m10000,%x", GDB_PACKET_MAX);
    assert_int_equal(strlen(ask(question)), GDB_PACKET_MAX);
    EXPECT("m10000", "E02");
    EXPECT("m,4", "E02");
    EXPECT("m10000,4x", "E02");
    EXPECT("m10000,ffffffffffffffffff", "E02");
    EXPECT("qRcmd,706879736963616c", "OK"); /* physical */
    EXPECT("m2,2", "0203");
    EXPECT("qRcmd,6c696e656172", "OK"); /* linear */
    EXPECT("m2,2", "E0e");
}

static void memory_is_written(void **state)
{
    static const char binary[] = "X10010,3:\0}\003\xff";

    (void)state;
    begin();
    ask("vAttach;b");
    EXPECT("M10010,3:aabbcc", "OK");
    assert_memory_equal(memory[0] + 0x10, "\xaa\xbb\xcc\x13", 4);
    assert_memory_equal(memory[1] + 0x10, "\x30\x31", 2);
    assert_string_equal(ask_bytes(binary, sizeof(binary) - 1), "OK");
    assert_memory_equal(memory[0] + 0x10, "\0#\xff\x13", 4);
    EXPECT("X10010,0:", "OK"); /* whether it is supported */
    EXPECT("M10010,4:aabbcc", "E02");
    EXPECT("M10010,2:aabbcc", "E02");
    EXPECT("M10010,ffffffff:aa", "E02");
    EXPECT("X10010,4:aa", "E02");
    EXPECT("X10010,1:aa", "E02");
    EXPECT("M12000,1:aa", "E0e");
    EXPECT("M11fff,2:aabb", "E0e");
}

/* --- breakpoints --- */

static void points_of_each_kind(void **state)
{
    (void)state;
    begin();
    EXPECT("Z0,1000,1", "E05");
    ask("vAttach;16");
    EXPECT("Z0,ffffffff81000000,1", "OK");
    assert_int_equal(point.kind, DEBUG_SOFTWARE);
    assert_int_equal(point.level, 2);
    assert_true(point.address == 0xffffffff81000000);
    EXPECT("Z1,1000,1", "OK");
    assert_int_equal(point.kind, DEBUG_HARDWARE);
    EXPECT("Z2,1000,8", "OK");
    assert_int_equal(point.kind, DEBUG_WATCH_WRITE);
    assert_int_equal(point.size, 8);
    EXPECT("Z3,1000,8", "");
    EXPECT("Z5,1000,8", "");
    EXPECT("Z4,1000,8", "OK");
    assert_int_equal(point.kind, DEBUG_WATCH_ACCESS);
    EXPECT("z4,1000,8", "OK");
    assert_int_equal(points, 3);
    EXPECT("Z2,1000,10000", "E02");
    EXPECT("Z2,1000", "E02");
    EXPECT("Z", "");
    point_result = ERR_FAULT;
    EXPECT("Z0,1000,1", "E0e");
    point_result = ERR_NOMEM;
    EXPECT("Z2,1000,8", "E01");
    point_result = ERR_NOENT;
    EXPECT("z2,1000,8", "OK");
    EXPECT("D", "OK");
    assert_int_equal(points, 0);
}

/* --- running --- */

static void it_goes_on_and_stops(void **state)
{
    const char *reply;

    (void)state;
    begin();
    ask("vAttach;15");
    assert_null(ask("vCont;c"));
    assert_false(held(1, 0) || held(1, 1));
    assert_int_equal(steps, 0);
    happens(1, 0, (struct vcpu_stop){STOP_BREAKPOINT, {0x1234, DEBUG_SOFTWARE}});
    reply = strchr(sent, '$');
    expect_start(reply, "$T05thread:p15.1;swbreak:;10:");
    assert_true(held(1, 0) && held(1, 1));
    assert_null(ask("vCont;c:p15.-1"));
    happens(1, 0, (struct vcpu_stop){STOP_BREAKPOINT, {0x1234, DEBUG_HARDWARE}});
    expect_start(strchr(sent, '$'), "$T05thread:p15.1;hwbreak:;");
    ask("vCont;c");
    happens(1, 0, (struct vcpu_stop){STOP_WATCH, {0xabc0, 1}});
    expect_start(strchr(sent, '$'), "$T05thread:p15.1;watch:abc0;");
    ask("vCont;c");
    happens(1, 0, (struct vcpu_stop){STOP_WATCH, {0xabc0, 3}});
    expect_start(strchr(sent, '$'), "$T05thread:p15.1;awatch:abc0;");
    ask("vCont;c");
    happens(1, 1, (struct vcpu_stop){STOP_CRASH, {0, 0}});
    expect_start(strchr(sent, '$'), "$T06thread:p15.2;");
}

static void somebody_interrupts(void **state)
{
    (void)state;
    begin();
    ask("vAttach;15");
    assert_null(ask("vCont;c"));
    talk("\003", 1);
    expect_start(sent, "$T02thread:p15.");
    assert_true(held(1, 0) && held(1, 1));
}

static void steps_of_one_thread(void **state)
{
    (void)state;
    begin();
    ask("vAttach;15");
    ask("vAttach;16");
    assert_null(ask("vCont;s:p16.2"));
    assert_int_equal(steps, 1);
    assert_int_equal(step_of[1].level, 2);
    assert_int_equal(step_of[1].to, 0);
    assert_true(held(1, 0)); /* nothing was said of it */
    assert_false(held(1, 1));
    happens(1, 1, (struct vcpu_stop){STOP_STEP, {0x1000, 0}});
    expect_start(strchr(sent, '$'), "$T05thread:p16.2;10:");
    assert_int_equal(cancelled, 0);
    assert_null(ask("vCont;r1000,1010:p15.1;c"));
    assert_int_equal(step_of[0].level, 1);
    assert_int_equal(step_of[0].from, 0x1000);
    assert_int_equal(step_of[0].to, 0x1010);
    assert_false(held(1, 0) || held(1, 1));
    talk("\003", 1);
    assert_int_equal(cancelled, 1);
    assert_null(ask("vCont;S05:p15.1;C05"));
    assert_int_equal(steps, 3);
}

static void stops_that_come_together(void **state)
{
    (void)state;
    begin();
    ask("vAttach;15");
    ask("vCont;c");
    vcpus[1][1].stop = (struct vcpu_stop){STOP_WATCH, {0xabc0, 1}};
    vcpus[1][1].requests |= REQ_STOPPED;
    happens(1, 0, (struct vcpu_stop){STOP_BREAKPOINT, {0x1234, DEBUG_SOFTWARE}});
    expect_start(strchr(sent, '$'), "$T05thread:p15.1;swbreak");
    /* The other has something to tell still. */
    expect_start(ask("vCont;c"), "T05thread:p15.2;watch:abc0;");
    vcpus[1][0].stop = (struct vcpu_stop){STOP_BREAKPOINT, {0x1234, DEBUG_SOFTWARE}};
    assert_null(ask("vCont;c")); /* it will come there again */
    assert_false(held(1, 0) || held(1, 1));
}

static void what_vcont_does_not_take(void **state)
{
    static const char *const bad[] = {
        "vCont",       "vCont;",      "vCont;x",  "vCont;c;", "vCont;c:",    "vCont;c:p15.", "vCont;S:1",
        "vCont;r1000", "vCont;r1,:1", "vCont;cc", "vCont;t",  "vCont;c:1,2", "vCont;s5:p1.1"};
    char many[200] = "vCont";

    (void)state;
    begin();
    EXPECT("vCont?", "vCont;c;C;s;S;r");
    EXPECT("vCont;c", "E05");
    ask("vAttach;15");
    for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
        expect_start(ask(bad[i]), "E02");
        assert_true(held(1, 0) && held(1, 1));
    }
    for (u32 i = 0; i < 17; i++)
        strcat(many, ";c:p15.1");
    expect_start(ask(many), "E02");
}

static void the_vm_ends(void **state)
{
    (void)state;
    begin();
    ask("vAttach;16");
    ask("vAttach;15");
    ask("vCont;c");
    vms[1].start_tsc++; /* and was started again */
    nr_sent = 0;
    let_run();
    assert_string_equal(strchr(sent, '$'), "$W00;process:15#91");
    expect_start(ask("vCont;c"), "W00;process:16");
    EXPECT("?", "W00");
    expect_start(ask("vAttach;15"), "T05thread:p15.1;");
}

/* --- others --- */

static void the_description(void **state)
{
    (void)state;
    expect_start(ask("qXfer:features:read:target.xml:0,40"), "m<?xml version=\"1.0\"?><!DOCTYPE target");
    EXPECT("qXfer:features:read:target.xml:ffff,40", "l");
    EXPECT("qXfer:features:read:other.xml:0,40", "E02");
    EXPECT("qXfer:features:read:target.xml:0", "E02");
    EXPECT("qXfer:memory-map:read::0,40", "");
}

static void monitor_commands(void **state)
{
    (void)state;
    begin();
    EXPECT("qRcmd,766d73", /* vms */
           "313120612c20322076435055730a"
           "323120622c20322076435055730a"
           "323220622c20697473204c320a");
    expect_start(ask("qRcmd,"), "766d733a20");
    expect_start(ask("qRcmd,zz"), "766d733a20");
    expect_start(ask("qRcmd,7"), "766d733a20");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(mutilated_packets_are_asked_for_again, start),
        cmocka_unit_test_setup(a_line_that_does_not_move_is_no_end, start),
        cmocka_unit_test_setup(more_than_the_task_takes_is_lost, start),
        cmocka_unit_test_setup(extended_sessions_attach, start),
        cmocka_unit_test_setup(others_have_the_first_vm, start),
        cmocka_unit_test_setup(both_levels, start),
        cmocka_unit_test_setup(a_new_gdb_begins_anew, start),
        cmocka_unit_test_setup(a_vm_is_killed, start),
        cmocka_unit_test_setup(a_line_that_is_the_consoles_too, start),
        cmocka_unit_test_setup(all_registers, start),
        cmocka_unit_test_setup(registers_of_a_level_that_does_not_run, start),
        cmocka_unit_test_setup(one_register_is_set, start),
        cmocka_unit_test_setup(memory_is_read, start),
        cmocka_unit_test_setup(memory_is_written, start),
        cmocka_unit_test_setup(points_of_each_kind, start),
        cmocka_unit_test_setup(it_goes_on_and_stops, start),
        cmocka_unit_test_setup(somebody_interrupts, start),
        cmocka_unit_test_setup(steps_of_one_thread, start),
        cmocka_unit_test_setup(stops_that_come_together, start),
        cmocka_unit_test_setup(what_vcont_does_not_take, start),
        cmocka_unit_test_setup(the_vm_ends, start),
        cmocka_unit_test_setup(the_description, start),
        cmocka_unit_test_setup(monitor_commands, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

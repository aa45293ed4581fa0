/* SPDX-License-Identifier: MIT */
/* links: vmm/monitor/walk_text.c lib/format.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/ept.h"
#include "vmm/monitor/walk_text.h"

static char seen[4096];

static void collect(void *ctx, const char *text)
{
    (void)ctx;
    strcat(seen, text);
    strcat(seen, "\n");
}

static void pages(const struct inspect_walk *w, gva_t gva, const char *expected)
{
    seen[0] = 0;
    walk_text_pages(w, gva, collect, NULL);
    assert_string_equal(seen, expected);
}

static void ept(const struct inspect_walk *w, gpa_t gpa, const char *expected)
{
    seen[0] = 0;
    walk_text_ept(w, gpa, collect, NULL);
    assert_string_equal(seen, expected);
}

static void test_four_levels(void **state)
{
    const struct inspect_walk w = {
        .levels = 4,
        .entry_size = 8,
        .cr3 = 0x1000,
        .nr = 4,
        .step = {{0x1ff8, 0x1ff8, 0x2067},
                 {0x2ff0, 0x2ff0, 0x3023},
                 {0x3000, 0x3000, 0x4003},
                 {0x4010, 0x4010, 0x8000000000005161}},
        .page = WALK_PAGE_NX,
        .size = 4096,
        .to = 0x5123,
        .to1 = 0x5123,
    };

    (void)state;
    pages(
        &w, 0xffffffff80002123,
        "4-level paging, CR3 0x1000\n"
        "PML4E at 0x1ff8: 0000000000002067: writable, user, accessed -> table 0x2000\n"
        "PDPTE at 0x2ff0: 0000000000003023: writable, supervisor, accessed -> table 0x3000\n"
        "PDE   at 0x3000: 0000000000004003: writable, supervisor -> table 0x4000\n"
        "PTE   at 0x4010: 8000000000005161: read-only, supervisor, no execution, accessed, dirty, global -> 4 KiB "
        "page 0x5000\n"
        "0xffffffff80002123 is 0x5123: read-only, supervisor, no execution\n");
}

static void test_other_modes(void **state)
{
    struct inspect_walk w = {
        .entry_size = 4, .to = 0x10, .to1 = 0x10, .size = 4096, .page = WALK_PAGE_USER | WALK_PAGE_WRITE};

    (void)state;
    pages(&w, 0x10, "no paging, CR3 0x0\n0x10 is 0x10: writable, user, executable\n");
    w.levels = 2;
    w.nr = 1;
    w.step[0] = (struct inspect_step){0x1ffc, 0x1ffc, 0xffc000e7};
    w.size = MiB(4);
    w.to = w.to1 = 0xffc00010;
    pages(&w, 0xffc00010,
          "32-bit paging, CR3 0x0\n"
          "PDE   at 0x1ffc: ffc000e7: writable, user, accessed, dirty -> 4 MiB page 0xffc00000\n"
          "0xffc00010 is 0xffc00010: writable, user, executable\n");
    w.levels = 3;
    w.entry_size = 8;
    w.pdptes = true;
    w.nr = 2;
    w.step[0] = (struct inspect_step){0, 0, 0x2001};
    w.step[1] = (struct inspect_step){0x2000, 0x2000, 0xe3};
    w.size = MiB(2);
    w.to = w.to1 = 0x10;
    w.page = WALK_PAGE_WRITE;
    pages(&w, 0x10,
          "PAE paging, CR3 0x0\n"
          "PDPTE in its register: 0000000000002001: present -> table 0x2000\n"
          "PDE   at 0x2000: 00000000000000e3: writable, supervisor, accessed, dirty -> 2 MiB page 0x0\n"
          "0x10 is 0x10: writable, supervisor, executable\n");
}

static void test_faults(void **state)
{
    struct inspect_walk w = {.levels = 5, .entry_size = 8, .r = ERR_FAULT};

    (void)state;
    pages(&w, 0x1234, "5-level paging, CR3 0x0\nnot canonical: general protection\n");
    w.nr = 1;
    pages(&w, 0x1234,
          "5-level paging, CR3 0x0\n"
          "PML5E at 0x0: 0000000000000000: not present\n"
          "not present: page fault\n");
    w.step[0].entry = 0x80007;
    w.error_code = 9;
    pages(&w, 0x1234,
          "5-level paging, CR3 0x0\n"
          "PML5E at 0x0: 0000000000080007: writable, user -> table 0x80000\n"
          "a reserved bit is set: page fault\n");
    w.r = ERR_RANGE;
    w.error_code = 0;
    pages(&w, 0x1234,
          "5-level paging, CR3 0x0\n"
          "PML5E at 0x0: 0000000000080007: writable, user -> table 0x80000\n"
          "the next entry lies where there is no RAM\n");
}

static void test_l2(void **state)
{
    struct inspect_walk w = {.levels = 2,
                             .entry_size = 4,
                             .nr = 1,
                             .step = {{0x1000, 0x801000, 0x83}},
                             .size = MiB(4),
                             .page = WALK_PAGE_WRITE,
                             .to = 0x20,
                             .to1 = 0x800020};

    (void)state;
    pages(&w, 0x20,
          "32-bit paging, CR3 0x0\n"
          "PDE   at 0x1000 (in L1 0x801000): 00000083: writable, supervisor -> 4 MiB page 0x0\n"
          "0x20 is 0x20: writable, supervisor, executable; in L1 0x800020\n");
    w.r1 = ERR_FAULT;
    pages(&w, 0x20,
          "32-bit paging, CR3 0x0\n"
          "PDE   at 0x1000 (in L1 0x801000): 00000083: writable, supervisor -> 4 MiB page 0x0\n"
          "0x20 is 0x20: writable, supervisor, executable; L1's EPT maps nothing there: see 'ept 12'\n");
}

static void test_ept(void **state)
{
    struct inspect_walk w = {
        .levels = 4,
        .entry_size = 8,
        .cr3 = 0x1e,
        .nr = 3,
        .step = {{0x0, 0x0, 0x2007}, {0x2008, 0x2008, 0x3107}, {0x3000, 0x3000, 0x400000b5}},
        .page = EPT_READ | EPT_EXEC,
        .type = EPT_WB,
        .size = MiB(2),
        .to = 0x40000010,
        .to1 = 0x40000010};

    (void)state;
    ept(&w, 0x40000010,
        "EPT, tables at 0x0\n"
        "PML4E at 0x0: 0000000000002007: rwx -> table 0x2000\n"
        "PDPTE at 0x2008: 0000000000003107: rwx, accessed -> table 0x3000\n"
        "PDE   at 0x3000: 00000000400000b5: r-x, WB -> 2 MiB page 0x40000000\n"
        "0x40000010 is 0x40000010: r-x\n");
    w.nr = 1;
    w.step[0].entry = 0;
    w.r = ERR_FAULT;
    ept(&w, 0,
        "EPT, tables at 0x0\nPML4E at 0x0: 0000000000000000: not present\nnot present: EPT violation\n");
    w.step[0].entry = 0x2002;
    w.r = ERR_INVAL;
    ept(&w, 0,
        "EPT, tables at 0x0\nPML4E at 0x0: 0000000000002002: -w- -> table 0x2000\nmalformed: EPT misconfiguration\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_four_levels), cmocka_unit_test(test_other_modes), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_l2),          cmocka_unit_test(test_ept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Posted interrupts, from L1's descriptor to L2's virtual APIC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_user.h"
#include "tests/unit/nested_l2.h"

#define DESCRIPTOR   0x5040
#define APIC         0x7000
#define NOTIFICATION 0xf2
#define CR2          0x1234560

static u8 ram[0x9000] __aligned(8);
static u64 ram_size;
static bool mapped[sizeof(ram) / PAGE_SIZE];
static u32 eois, races;
static bool ever_changing;

void lapic_eoi(struct lapic *l)
{
    assert_ptr_equal(l, vcpu.lapic);
    assert_false(smap_lifted);
    if (!ever_changing && ram_size == sizeof(ram)) /* the bit first, and then the APIC, then PIR */
        assert_int_equal(ram[DESCRIPTOR + 32] & 1, 0);
    assert_int_equal(vm.dev_lock.next, vm.dev_lock.owner);
    eois++;
}

/* Maps it, too. */
int guest_read(struct vm *of, gpa_t gpa, void *to, u64 n)
{
    assert_ptr_equal(of, &vm);
    assert_false(smap_lifted);
    if (gpa + n > ram_size)
        return ERR_RANGE;
    memcpy(to, ram + gpa, n);
    mapped[gpa / PAGE_SIZE] = true;
    return OK;
}

static u64 *fake_word(gpa_t at)
{
    return at < ram_size && mapped[at / PAGE_SIZE] ? (u64 *)(ram + at) : NULL;
}

/* The first races of them in PIR post 0x21. */
static void fake_race(u64 *word)
{
    if (ever_changing)
        *word = ~*word;
    if (races && word == (u64 *)(ram + DESCRIPTOR)) {
        races--;
        *word |= BIT(0x21);
    }
}

#include "vmm/nested/posted.c"

static int start(void **state)
{
    (void)state;
    start_l2();
    memset(ram, 0, sizeof(ram));
    memset(mapped, seed++ & 1, sizeof(mapped));
    ram_size = sizeof(ram);
    fake_cr2 = CR2;
    eois = races = 0;
    ever_changing = false;
    vcpu.lapic = (struct lapic *)ram;
    L1_SAYS(PIN_BASED_CONTROLS) = PIN_POSTED_INTERRUPTS;
    L1_SAYS(POSTED_INT_VECTOR) = NOTIFICATION;
    L1_SAYS(POSTED_INT_DESC_ADDRESS) = DESCRIPTOR;
    L1_SAYS(VIRTUAL_APIC_ADDRESS) = APIC;
    return 0;
}

static int end(void **state)
{
    (void)state;
    return smap_lifted || fake_cr2 != CR2;
}

static void post(u8 vector)
{
    ram[DESCRIPTOR + vector / 8] |= 1 << vector % 8;
    ram[DESCRIPTOR + 32] |= 1;
}

static u32 virr(u32 n)
{
    u32 word;

    memcpy(&word, ram + APIC + 0x200 + 16 * n, 4);
    return word;
}

static bool requested(u8 vector)
{
    return virr(vector / 32) >> vector % 32 & 1;
}

static bool nothing_posted(void)
{
    static const u8 none[32];

    return !memcmp(ram + DESCRIPTOR, none, 32) && !(ram[DESCRIPTOR + 32] & 1);
}

static void other_interrupts(void **state)
{
    for (u32 i = 0; i < 3; i++) {
        start(state);
        post(0x31);
        set(&L1_SAYS(PIN_BASED_CONTROLS), PIN_POSTED_INTERRUPTS, i);
        assert_int_equal(nested_posted_interrupt(&vcpu, i == 1 ? NOTIFICATION - 1 : NOTIFICATION), i == 2);
        assert_int_equal(eois, i == 2);
        assert_int_equal(requested(0x31), i == 2);
    }
}

static void each_vector(void **state)
{
    for (u32 vector = 0; vector < 256; vector++)
        for (u32 before = 0; before < 256; before += 15) {
            start(state);
            memset(ram + DESCRIPTOR + 33, 0xa5, 31); /* L1's own */
            ram[DESCRIPTOR + 32] = 0xfe;
            post((u8)vector);
            vmcs02[GUEST_INTERRUPT_STATUS] = 0x7700 | before;
            assert_true(nested_posted_interrupt(&vcpu, NOTIFICATION));
            assert_int_equal(eois, 1);
            for (u32 n = 0; n < 8; n++)
                assert_int_equal(virr(n), n == vector / 32 ? 1u << vector % 32 : 0);
            assert_int_equal(vmcs02[GUEST_INTERRUPT_STATUS], 0x7700 | MAX(before, vector));
            assert_true(nothing_posted());
            assert_int_equal(ram[DESCRIPTOR + 32], 0xfe);
            for (u32 i = 33; i < 64; i++)
                assert_int_equal(ram[DESCRIPTOR + i], 0xa5);
        }
}

/* Without a notification: ON is nobody's to clear. */
static void one_more(void **state)
{
    for (u32 more = 16; more < 256; more++)
        for (u32 vector = 0; vector < 256; vector += 5) {
            u64 cr2;

            start(state);
            if (vector)
                post((u8)vector);
            cr2 = words_begin();
            nested_take_posted(&vcpu, (int)more);
            words_end(cr2);
            assert_int_equal(eois, 0);
            assert_int_equal(ram[DESCRIPTOR + 32], vector != 0);
            ram[DESCRIPTOR + 32] = 0;
            assert_true(nothing_posted() && requested((u8)more) && requested((u8)vector) == (vector != 0));
            assert_int_equal(vmcs02[GUEST_INTERRUPT_STATUS], MAX(more, vector));
        }
}

/* What VIRR has stays; between its words are reserved ones. */
static void all_at_once(void **state)
{
    (void)state;
    memset(ram + DESCRIPTOR, 0xff, 32);
    memset(ram + APIC, 0x11, PAGE_SIZE);
    assert_true(nested_posted_interrupt(&vcpu, NOTIFICATION));
    for (u32 i = 0; i < PAGE_SIZE; i++) {
        bool irr = i >= 0x200 && i < 0x280 && i % 16 < 4;

        assert_int_equal(ram[APIC + i], irr ? 0xff : 0x11);
    }
    assert_int_equal(vmcs02[GUEST_INTERRUPT_STATUS], 0xff);
}

static void notified_without_a_request(void **state)
{
    (void)state;
    vmcs02[GUEST_INTERRUPT_STATUS] = 0x4131;
    ram[DESCRIPTOR + 32] = 1;
    assert_true(nested_posted_interrupt(&vcpu, NOTIFICATION));
    assert_int_equal(eois, 1);
    assert_int_equal(vmcs02[GUEST_INTERRUPT_STATUS], 0x4131);
    assert_true(nothing_posted());
}

static void another_cpu_posts_meanwhile(void **state)
{
    (void)state;
    post(0x31);
    races = 1;
    assert_true(nested_posted_interrupt(&vcpu, NOTIFICATION));
    assert_int_equal(races, 0);
    assert_true(requested(0x31) && requested(0x21) && nothing_posted());
    assert_int_equal(vmcs02[GUEST_INTERRUPT_STATUS], 0x31);
}

/* L1 keeps nobody for ever, and needs no memory behind its addresses. */
static void hostile(void **state)
{
    post(0x31);
    ever_changing = true;
    assert_true(nested_posted_interrupt(&vcpu, NOTIFICATION));
    for (u64 size = DESCRIPTOR & ~0xfffull; size <= APIC; size += PAGE_SIZE) {
        start(state);
        post(0x31);
        ram_size = size;
        assert_true(nested_posted_interrupt(&vcpu, NOTIFICATION));
        assert_false(requested(0x31));
        assert_int_equal(nothing_posted(), size > DESCRIPTOR);
        assert_int_equal(eois, 1);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(other_interrupts),
        T(each_vector),
        T(one_more),
        T(all_at_once),
        T(notified_without_a_request),
        T(another_cpu_posts_meanwhile),
        T(hostile),
    };

    return cmocka_run_group_tests_name("nested_posted", tests, NULL, NULL);
}

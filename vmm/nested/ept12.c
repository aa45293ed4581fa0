/* SPDX-License-Identifier: MIT */
#include "vmm/nested/ept12.h"
#include "vmm/ept.h"

#define LEVELS     4u
#define RIGHTS     EPT_RWX
#define TYPE(e)    ((e) >> EPT_TYPE_SHIFT & 7)
#define IPAT       BIT(6)
#define MAX_ROUNDS 8 /* of flags that others set at the same time */

static u64 span(u32 level)
{
    return PAGE_SIZE << (9 * (level - 1));
}

static bool present(u64 e)
{
    return e & RIGHTS;
}

static bool is_leaf(u64 e, u32 level)
{
    return level == 1 || (level <= 3 && e & EPT_LARGE);
}

static bool rights_bad(const struct ept12 *e, u64 entry)
{
    return (entry & RIGHTS) == EPT_WRITE || (entry & RIGHTS) == (EPT_WRITE | EPT_EXEC) ||
           ((entry & RIGHTS) == EPT_EXEC && !(e->caps & EPT_CAP_EXECUTE_ONLY));
}

/* Bits that must be 0, by level and kind. */
static u64 reserved(const struct ept12 *e, u64 entry, u32 level)
{
    u64 address = EPT_ADDR & ~(BIT(e->maxphyaddr) - 1);

    if (!is_leaf(entry, level))
        return address | BITS(6, 3) | (level == LEVELS ? BIT(7) : 0);
    if (level == 1)
        return address;
    return address | ((span(level) - 1) & EPT_ADDR);
}

/* SDM, 'EPT Misconfigurations'. */
static bool misconfigured(const struct ept12 *e, u64 entry, u32 level)
{
    const u64 large = level == 3 ? EPT_CAP_1G : EPT_CAP_2M;

    if (rights_bad(e, entry) || entry & reserved(e, entry, level))
        return true;
    if (!is_leaf(entry, level))
        return false;
    return TYPE(entry) == 2 || TYPE(entry) == 3 || TYPE(entry) == 7 || (level > 1 && !(e->caps & large));
}

struct step {
    gpa_t at;
    u64 entry;
};

/* SDM, 'Accessed and Dirty Flags for EPT'. */
static bool set_flags(const struct ept12 *e, const struct step *steps, u32 nr, bool write)
{
    for (u32 i = 0; i < nr; i++) {
        u64 new = steps[i].entry | EPT_ACCESSED | (write && i == nr - 1 ? EPT_DIRTY : 0);

        if (new != steps[i].entry && e->update(e->ctx, steps[i].at, steps[i].entry, new))
            return false;
    }
    return true;
}

static enum ept12_outcome walk_once(const struct ept12 *e, gpa_t gpa2, u64 access, struct ept12_result *out)
{
    struct step steps[LEVELS];
    gpa_t table = e->eptp & EPT_ADDR;
    bool flags = e->eptp & EPTP_ACCESSED_DIRTY;

    for (u32 level = LEVELS, nr = 0;; level--) {
        gpa_t at = table + 8 * (gpa2 / span(level) % 512);
        u64 entry = e->read(e->ctx, at);

        steps[nr++] = (struct step){at, entry};
        out->rights &= entry;
        if (!present(entry))
            return EPT12_VIOLATION;
        if (misconfigured(e, entry, level))
            return EPT12_MISCONFIG;
        table = entry & EPT_ADDR;
        if (!is_leaf(entry, level))
            continue;
        if (access & ~out->rights)
            return EPT12_VIOLATION;
        if (flags && !set_flags(e, steps, nr, access & EPT_WRITE))
            return EPT12_BUSY;
        out->size = span(level);
        out->gpa1 = table + gpa2 % out->size;
        out->ipat = entry & IPAT;
        out->clean = flags && !(entry & EPT_DIRTY) && !(access & EPT_WRITE);
        return EPT12_OK;
    }
}

enum ept12_outcome ept12_walk(const struct ept12 *e, gpa_t gpa2, u64 access, struct ept12_result *out)
{
    enum ept12_outcome outcome = EPT12_BUSY;

    for (u32 round = 0; outcome == EPT12_BUSY && round < MAX_ROUNDS; round++) {
        *out = (struct ept12_result){.rights = RIGHTS};
        if (gpa2 >> EPT_GPA_BITS) {
            out->rights = 0;
            return EPT12_VIOLATION;
        }
        outcome = walk_once(e, gpa2, access, out);
    }
    return outcome;
}

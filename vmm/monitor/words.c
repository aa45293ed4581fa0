/* SPDX-License-Identifier: MIT */
/* What words of a command mean. */
#include "lib/string.h"
#include "lib/text.h"
#include "vmm/inspect.h"
#include "vmm/monitor/tables.h"
#include "vmm/vmm.h"

const char *const mon_no_l2 = PACK "there is no L2: no VMCS of L1's is current";

static bool find_vm(const char *word, u32 *vm)
{
    const struct config_vm *c;
    const char *at = word;
    u64 number;

    for (u32 i = 0; (c = vmm_config(i)); i++) {
        if (!strcmp(c->name, word)) {
            *vm = i;
            return true;
        }
    }
    if (!text_take_number(&at, &number) || *at || !number || !vmm_config((u32)MIN(number - 1, 0xffffu)))
        return false;
    *vm = (u32)number - 1;
    return true;
}

bool mon_vcpu(struct monitor *m, const char *word, u32 *vm, u32 *vcpu)
{
    const char *dot = word ? strchr(word, '.') : NULL, *at = dot ? dot + 1 : NULL;
    char name[CONFIG_NAME_MAX] = "";
    u32 selected;
    u64 number;

    mon_selected(m, &selected, vcpu);
    *vm = selected;
    if (!word)
        return true;
    str_copy(name, word, MIN(dot ? (size_t)(dot - word) + 1 : sizeof(name), sizeof(name)));
    if (*name && !find_vm(name, vm)) {
        mon_print(m, "there is no VM '%s'; 'vms' lists them\n", name);
        return false;
    }
    if (*vm != selected)
        *vcpu = 0;
    if (!dot)
        return true;
    if (!text_take_number(&at, &number) || *at || number >= vmm_config(*vm)->vcpus) {
        mon_print(m, "%s has no vCPU '%s'; it has %u\n", vmm_config(*vm)->name, dot + 1,
                  vmm_config(*vm)->vcpus);
        return false;
    }
    *vcpu = (u32)number;
    return true;
}

bool mon_number(struct monitor *m, const char *word, u64 *value)
{
    const char *at = word;

    if (text_take_address(&at, value) && !*at)
        return true;
    mon_print(m, "'%s' is not a number; say 16 or 0x10\n", word);
    return false;
}

static bool is_view_word(const char *word, struct mon_view *view)
{
    static const char *const words[] = {"l1", "l2", "gpa", "gva"};
    int i = text_choose(word, words, ARRAY_SIZE(words));

    if (i < 0)
        return false;
    if (i < 2)
        view->level = (u32)i + 1;
    else
        view->physical = i == 2;
    return true;
}

bool mon_view(struct monitor *m, u32 *argc, char **argv, struct mon_view *view)
{
    u32 kept = 1, vm;

    *view = (struct mon_view){0};
    mon_selected(m, &view->vm, &view->vcpu);
    for (u32 i = 1; i < *argc; i++) {
        if (is_view_word(argv[i], view))
            continue;
        if (!strchr(argv[i], '.') && ((argv[i][0] >= '0' && argv[i][0] <= '9') || !find_vm(argv[i], &vm)))
            argv[kept++] = argv[i];
        else if (!mon_vcpu(m, argv[i], &view->vm, &view->vcpu))
            return false;
    }
    argv[kept] = NULL;
    *argc = kept;
    return true;
}

struct regs_call {
    struct inspect_regs *regs;
    u32 level;
    int r;
};

static void get_regs(struct vcpu *v, void *arg)
{
    struct regs_call *call = arg;

    call->r = inspect_regs(v, call->level, call->regs);
}

bool mon_regs(struct monitor *m, const struct mon_view *view, struct inspect_regs *out)
{
    struct regs_call call = {.regs = out, .level = view->level};

    if (!mon_call(m, view->vm, view->vcpu, get_regs, &call))
        return false;
    if (call.r)
        mon_print(m, "%s\n", mon_no_l2);
    return !call.r;
}

/* A register at *at, which moves behind it. */
static bool take_reg(struct monitor *m, const struct mon_view *view, const char **at, u64 *value)
{
    struct inspect_regs regs;
    const char *name;
    size_t n = 0;

    while ((*at)[n] && !strchr("+-", (*at)[n]))
        n++;
    for (u32 i = 0; (name = mon_reg_name(i)); i++) {
        if (strlen(name) != n || strncmp(name, *at, n))
            continue;
        *at += n;
        if (!mon_regs(m, view, &regs))
            return false;
        *value = regs.r[i];
        return true;
    }
    mon_print(m, "'%s' is neither a number nor a register; say 0x1000, rsp or rsp+8\n", *at);
    return false;
}

bool mon_address(struct monitor *m, const struct mon_view *view, const char *word, u64 *value)
{
    bool minus = false;
    u64 term;

    for (*value = 0;; word++) {
        if (!text_take_address(&word, &term) && !take_reg(m, view, &word, &term))
            return false;
        *value += minus ? -term : term;
        if (!*word)
            return true;
        minus = *word == '-';
        if (*word != '+' && !minus) {
            mon_print(m, "what is '%s'?\n", word);
            return false;
        }
    }
}

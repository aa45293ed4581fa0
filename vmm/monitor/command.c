/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/command.h"
#include "lib/string.h"
#include "lib/text.h"

u32 command_split(char *line, char *argv[MONITOR_MAX_WORDS + 1])
{
    u32 n = 0;

    for (line = text_trim(line); *line && n < MONITOR_MAX_WORDS; line = text_split_word(line))
        argv[n++] = line;
    argv[n] = NULL;
    return *line ? n + 1 : n;
}

const struct command *command_nth(u32 n)
{
    for (u32 t = 0; t < monitor_nr_tables; t++)
        for (const struct command *c = monitor_tables[t]; c->name; c++)
            if (!n--)
                return c;
    return NULL;
}

const struct command *command_find(const char *word, u32 *nr)
{
    const struct command *c, *found = NULL;
    size_t n = strlen(word);

    *nr = 0;
    for (u32 i = 0; (c = command_nth(i)); i++) {
        if (strncmp(c->name, word, n))
            continue;
        if (!c->name[n])
            return c;
        found = c;
        ++*nr;
    }
    return *nr == 1 ? found : NULL;
}

void completion_offer(struct completion *c, const char *word)
{
    u32 n = 0;

    if (strncmp(word, c->word, c->n))
        return;
    if (!c->nr++)
        str_copy(c->common, word, sizeof(c->common));
    while (c->common[n] && c->common[n] == word[n])
        n++;
    c->common[n] = 0;
    if (c->each)
        c->each(c->ctx, word);
}

static void offer_commands(struct completion *c)
{
    const struct command *row;

    for (u32 i = 0; (row = command_nth(i)); i++)
        completion_offer(c, row->name);
}

/* words: as struct command has them. */
static void offer_words(struct completion *c, const char *words,
                        void (*expand)(struct completion *c, const char *class, u32 n))
{
    char word[32];
    u32 n;

    for (; *words; words += n + (words[n] == ' ')) {
        for (n = 0; words[n] && words[n] != ' ';)
            n++;
        str_copy(word, words, MIN(n + 1, (u32)sizeof(word)));
        if (!strcmp(word, "@command"))
            offer_commands(c);
        else if (*word == '@')
            expand(c, words + 1, n - 1);
        else
            completion_offer(c, word);
    }
}

void command_complete(struct completion *c, const char *line, u32 at,
                      void (*expand)(struct completion *c, const char *class, u32 n))
{
    const struct command *command;
    char first[EDIT_SIZE];
    u32 from = at, start = 0, n, nr;

    while (from && !text_is_blank(line[from - 1]))
        from--;
    c->word = line + from;
    c->n = at - from;
    c->nr = 0;
    c->common[0] = 0;
    while (text_is_blank(line[start]))
        start++;
    if (start >= from) {
        offer_commands(c);
        return;
    }
    for (n = 0; line[start + n] && !text_is_blank(line[start + n]);)
        n++;
    str_copy(first, line + start, MIN(n + 1, (u32)EDIT_SIZE));
    command = command_find(first, &nr);
    if (command && command->words)
        offer_words(c, command->words, expand);
}

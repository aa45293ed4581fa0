/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/edit.h"
#include "lib/string.h"
#include "lib/text.h"

#define CTRL(c) ((c) - '@')
#define ESC     0x1b
#define DELETE  0x7f

void edit_insert(struct edit *e, const char *text, u32 n)
{
    n = MIN(n, EDIT_SIZE - 1 - e->n);
    memmove(e->line + e->at + n, e->line + e->at, e->n - e->at + 1);
    memcpy(e->line + e->at, text, n);
    e->n += n;
    e->at += n;
}

/* What lies between from and to; the cursor comes to from. */
static void cut(struct edit *e, u32 from, u32 to)
{
    memmove(e->line + from, e->line + to, e->n - to + 1);
    e->n -= to - from;
    e->at = from;
}

static u32 word_before(const struct edit *e)
{
    u32 at = e->at;

    while (at && text_is_blank(e->line[at - 1]))
        at--;
    while (at && !text_is_blank(e->line[at - 1]))
        at--;
    return at;
}

static void show(struct edit *e, const char *text)
{
    str_copy(e->line, text, EDIT_SIZE);
    e->n = e->at = (u32)strlen(e->line);
}

/* A line of the history, counted back from the newest, which is 1. */
static char *line_back(struct edit *e, u32 back)
{
    return e->history[(e->taken - back) % EDIT_HISTORY];
}

static void go_back(struct edit *e)
{
    if (e->back == MIN(e->taken, (u32)EDIT_HISTORY))
        return;
    if (!e->back)
        memcpy(e->kept, e->line, EDIT_SIZE);
    show(e, line_back(e, ++e->back));
}

static void go_forth(struct edit *e)
{
    if (!e->back)
        return;
    e->back--;
    show(e, e->back ? line_back(e, e->back) : e->kept);
}

void edit_begin(struct edit *e)
{
    if (e->n && !(e->taken && !strcmp(line_back(e, 1), e->line))) {
        e->taken++;
        memcpy(line_back(e, 1), e->line, EDIT_SIZE);
    }
    e->line[0] = 0;
    e->n = e->at = e->first = e->back = 0;
}

static enum edit_event act(struct edit *e, char key);

/* The control key that a sequence stands for: ESC O letter, ESC [ letter, ESC [ number ~; 0: none. */
static char meaning(const struct edit *e, char final)
{
    static const struct {
        char final;
        u8 number;
        char key;
    } keys[] = {
        {'A', 0, CTRL('P')}, {'B', 0, CTRL('N')}, {'C', 0, CTRL('F')}, {'D', 0, CTRL('B')},
        {'H', 0, CTRL('A')}, {'F', 0, CTRL('E')}, {'~', 1, CTRL('A')}, {'~', 7, CTRL('A')},
        {'~', 4, CTRL('E')}, {'~', 8, CTRL('E')}, {'~', 3, CTRL('D')},
    };

    for (u32 i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].final == final && (final != '~' || keys[i].number == e->number))
            return keys[i].key;
    return 0;
}

/* A printable key behind ESC. Sequences that nobody knows are swallowed. */
static enum edit_event escaped(struct edit *e, char key)
{
    if (e->escape == 1) {
        e->escape = key == '[' || key == 'O' ? 2 : 0;
        e->number = 0;
        return EDIT_NONE;
    }
    if (key < '@') {
        if (key >= '0' && key <= '9')
            e->number = (u8)(e->number * 10 + (key - '0'));
        return EDIT_NONE;
    }
    e->escape = 0;
    key = meaning(e, key);
    /* On an empty line Ctrl-D is no deletion. */
    return !key || (key == CTRL('D') && !e->n) ? EDIT_NONE : act(e, key);
}

static enum edit_event move(struct edit *e, u32 to)
{
    bool moves = to != e->at && to <= e->n;

    if (moves)
        e->at = to;
    return moves ? EDIT_CHANGED : EDIT_NONE;
}

static enum edit_event remove(struct edit *e, u32 from, u32 to)
{
    if (from >= to || to > e->n)
        return EDIT_NONE;
    cut(e, from, to);
    return EDIT_CHANGED;
}

static enum edit_event act(struct edit *e, char key)
{
    switch (key) {
    case CTRL('A'):
        return move(e, 0);
    case CTRL('B'):
        return move(e, e->at - 1);
    case CTRL('C'):
        return EDIT_CANCEL;
    case CTRL('D'):
        return e->n ? remove(e, e->at, e->at + 1) : EDIT_CLOSE;
    case CTRL('E'):
        return move(e, e->n);
    case CTRL('F'):
        return move(e, e->at + 1);
    case CTRL('H'):
    case DELETE:
        return remove(e, e->at - 1, e->at);
    case CTRL('I'):
        return EDIT_COMPLETE;
    case CTRL('J'):
    case CTRL('M'):
        return EDIT_LINE;
    case CTRL('K'):
        return remove(e, e->at, e->n);
    case CTRL('L'):
        return EDIT_CHANGED;
    case CTRL('N'):
        go_forth(e);
        return EDIT_CHANGED;
    case CTRL('P'):
        go_back(e);
        return EDIT_CHANGED;
    case CTRL('U'):
        return remove(e, 0, e->at);
    case CTRL('W'):
        return remove(e, word_before(e), e->at);
    case CTRL(']'):
        return EDIT_CLOSE;
    default:
        if ((u8)key < ' ' || (u8)key > '~' || e->n == EDIT_SIZE - 1)
            return EDIT_NONE;
        edit_insert(e, &key, 1);
        return EDIT_CHANGED;
    }
}

enum edit_event edit_key(struct edit *e, char key)
{
    bool again = key == CTRL('J') && e->ended;

    e->ended = key == CTRL('M');
    if (again)
        return EDIT_NONE;
    if (e->escape && (u8)key >= ' ' && key != DELETE)
        return escaped(e, key);
    /* Control characters are what they always are, also where a sequence was cut off. */
    e->escape = key == ESC;
    return act(e, key);
}

u32 edit_view(struct edit *e, u32 width, const char **text, u32 *n)
{
    if (e->at < e->first)
        e->first = e->at;
    if (e->at >= e->first + width)
        e->first = e->at - width + 1;
    *text = e->line + e->first;
    *n = MIN(e->n - e->first, width);
    return e->at - e->first;
}

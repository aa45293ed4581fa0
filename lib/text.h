/* SPDX-License-Identifier: MIT */
/* Cutting lines of text into words and numbers, in place. White space is blanks and tabs. */
#ifndef LIB_TEXT_H
#define LIB_TEXT_H

#include "lib/types.h"

static inline bool text_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool text_has_blank(const char *text);
/* Without the white space at both ends. */
char *text_trim(char *text);
/* Ends text behind its first word; returns what follows, without white space around it. */
char *text_split_word(char *text);
/* Ends text at the first separator; returns what follows that, null if there is none. */
char *text_split(char *text, char separator);
/* A decimal number at *at, which moves behind it. False when there is none or it needs more than 64 bits. */
bool text_take_number(const char **at, u64 *value);
/* 0 to 15, or -1. */
int text_hex_digit(char c);
/* As text_take_number(), but hexadecimal, without 0x. */
bool text_take_hex(const char **at, u64 *value);
/* A decimal number, or a hexadecimal one behind 0x. */
bool text_take_address(const char **at, u64 *value);
/* Index of text among n names, -1 if it is none of them. */
int text_choose(const char *text, const char *const *names, u32 n);

#endif

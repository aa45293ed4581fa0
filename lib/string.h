/* SPDX-License-Identifier: MIT */
/* The part of <string.h> that a freestanding kernel needs. Host tests get libc's. */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include "lib/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *p, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strstr(const char *s, const char *what);

/* Copies at most size - 1 characters and always ends with NUL (size > 0). Returns false when cut short. */
bool str_copy(char *to, const char *from, size_t size);

#endif

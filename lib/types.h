/* SPDX-License-Identifier: MIT */
/* Basic types and macros; free of dependencies, for the kernel and for host tests alike. */
#ifndef LIB_TYPES_H
#define LIB_TYPES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

typedef u64 paddr_t; /* host physical address */
typedef u64 gpa_t;   /* guest physical address */
typedef u64 gva_t;   /* guest linear address */

#define BIT(n)           (1ull << (n))
#define BITS(hi, lo)     (((~0ull) >> (63 - (hi))) & ~(((1ull << (lo)) - 1)))
#define ARRAY_SIZE(a)    (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a)   (((x) + ((a)-1)) & ~((u64)(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((u64)(a)-1))
#define IS_ALIGNED(x, a) (((x) & ((u64)(a)-1)) == 0)
#define MIN(a, b)        ((a) < (b) ? (a) : (b))
#define MAX(a, b)        ((a) > (b) ? (a) : (b))
#define likely(x)        __builtin_expect(!!(x), 1)
#define unlikely(x)      __builtin_expect(!!(x), 0)
/* Where each instruction counts; and what is to stay out of that. */
#define HOT                           __attribute__((section(".text.hot"), aligned(16)))
#define NOINLINE                      __attribute__((noinline))
#define COLD                          __attribute__((noinline, cold))
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))
#define __packed                      __attribute__((packed))
#define __aligned(n)                  __attribute__((aligned(n)))
#define __noreturn                    __attribute__((noreturn))
#define __printf(f, a)                __attribute__((__format__(printf, f, a)))
#define __must_check                  __attribute__((warn_unused_result))

#define KiB(n) ((u64)(n) << 10)
#define MiB(n) ((u64)(n) << 20)
#define GiB(n) ((u64)(n) << 30)

#define PAGE_SHIFT 12
#define PAGE_SIZE  ((u64)4096)

/* Results of functions that can fail: 0 or one of these, negative. */
enum result {
    OK = 0,
    ERR_NOMEM = -1,  /* no memory, or a table is full */
    ERR_INVAL = -2,  /* the argument is malformed */
    ERR_RANGE = -3,  /* outside what exists */
    ERR_EXIST = -4,  /* overlaps something that exists */
    ERR_NOENT = -5,  /* there is no such thing */
    ERR_BUSY = -6,   /* not now */
    ERR_UNSUPP = -7, /* this CPU, machine or version cannot */
    ERR_FAULT = -8,  /* an access faulted */
};

#endif

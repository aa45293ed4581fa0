/* SPDX-License-Identifier: MIT */
/*
 * l2 GUEST VCPUS: a user of KVM that is as small as it can be. Loads the flat binary GUEST at 8000H, starts
 * it there in real mode, shows what it writes to port 3F8H, and ends with what it writes to port F4H.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "l2.h"

#define IDENTITY_MAP                                                                      \
    0xfffbc000u /* a page and three that KVM wants for itself where real mode is emulated \
                 */
#define TSS        0xfffbd000u
#define MAX_LEAVES 128

static int kvm, vm;
static int run_size;

static void __attribute__((noreturn)) fail(const char *what)
{
    fprintf(stderr, "l2: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int must(int result, const char *what)
{
    if (result < 0)
        fail(what);
    return result;
}

static void load(char *ram, const char *path)
{
    int fd = must(open(path, O_RDONLY), path);
    ssize_t n = read(fd, ram + L2_START, L2_STACKS - L2_START);

    must(n > 0 && n < L2_STACKS - L2_START ? 0 : -1, path);
    close(fd);
}

static void create_vm(const char *path)
{
    uint64_t identity = IDENTITY_MAP;
    char *ram = mmap(NULL, L2_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region region = {.memory_size = L2_RAM, .userspace_addr = (uintptr_t)ram};

    kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    run_size = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    must(ram == MAP_FAILED ? -1 : 0, "RAM");
    must(ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity), "KVM_SET_IDENTITY_MAP_ADDR");
    must(ioctl(vm, KVM_SET_TSS_ADDR, TSS), "KVM_SET_TSS_ADDR");
    must(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
    must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    load(ram, path);
}

/* What KVM supports, with the vCPU's own APIC id. */
static void set_cpuid(int vcpu, unsigned id)
{
    struct kvm_cpuid2 *all = calloc(1, sizeof(*all) + MAX_LEAVES * sizeof(all->entries[0]));

    must(all ? 0 : -1, "memory");
    all->nent = MAX_LEAVES;
    must(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, all), "KVM_GET_SUPPORTED_CPUID");
    for (unsigned i = 0; i < all->nent; i++) {
        struct kvm_cpuid_entry2 *e = &all->entries[i];

        if (e->function == 1) {
            e->ebx = (e->ebx & 0xffffff) | id << 24;
            e->ecx |= 1u << 31; /* a hypervisor is there */
        }
        if (e->function == 0xb || e->function == 0x1f)
            e->edx = id;
    }
    must(ioctl(vcpu, KVM_SET_CPUID2, all), "KVM_SET_CPUID2");
    free(all);
}

/* The state that a start-up IPI of vector 8 would give it. */
static void set_start(int vcpu)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rflags = 2};

    must(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.cs.base = L2_START;
    sregs.cs.selector = L2_START >> 4;
    must(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void port_io(struct kvm_run *run, unsigned nr_vcpus)
{
    char *data = (char *)run + run->io.data_offset;
    size_t size = (size_t)run->io.size * run->io.count;

    if (run->io.direction == KVM_EXIT_IO_IN) {
        memset(data, 0xff, size);
        if (run->io.port == L2_PORT_VCPUS)
            data[0] = (char)nr_vcpus;
    } else if (run->io.port == L2_PORT_CONSOLE) {
        must(write(STDOUT_FILENO, data, size) == (ssize_t)size ? 0 : -1, "console");
    } else if (run->io.port == L2_PORT_END) {
        _exit(data[0]);
    }
}

struct start {
    unsigned id, nr_vcpus;
};

static void *run_vcpu(void *arg)
{
    struct start *start = arg;
    int vcpu = must(ioctl(vm, KVM_CREATE_VCPU, start->id), "KVM_CREATE_VCPU");
    struct kvm_run *run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

    must(run == MAP_FAILED ? -1 : 0, "struct kvm_run");
    set_cpuid(vcpu, start->id);
    if (start->id == 0)
        set_start(vcpu);
    for (;;) {
        if (ioctl(vcpu, KVM_RUN, 0) < 0) {
            must(errno == EAGAIN || errno == EINTR ? 0 : -1, "KVM_RUN"); /* EAGAIN: it waited for a SIPI */
        } else if (run->exit_reason == KVM_EXIT_IO) {
            port_io(run, start->nr_vcpus);
        } else {
            fprintf(stderr, "l2: vCPU %u: exit %u, hardware reason 0x%llx, suberror %u\n", start->id,
                    run->exit_reason, run->fail_entry.hardware_entry_failure_reason, run->internal.suberror);
            exit(3);
        }
    }
}

int main(int argc, char **argv)
{
    static struct start starts[L2_MAX_VCPUS];
    unsigned n = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
    pthread_t thread;

    if (n < 1 || n > L2_MAX_VCPUS) {
        fprintf(stderr, "usage: l2 GUEST VCPUS (1 to %d)\n", L2_MAX_VCPUS);
        return 2;
    }
    create_vm(argv[1]);
    for (unsigned i = n; i-- > 1;) {
        starts[i] = (struct start){i, n};
        must(-pthread_create(&thread, NULL, run_vcpu, &starts[i]), "thread");
    }
    starts[0] = (struct start){0, n};
    run_vcpu(&starts[0]);
}

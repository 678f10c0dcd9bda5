/* The lab's self-checking guest: what its parts know of each other. */
#ifndef LAB_GUEST_H
#define LAB_GUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heartbeat.h"

/* From the kernel command line (gw.KEY=VALUE). */
struct guest_config {
    char name[HB_NAME_SIZE];
    uint8_t uuid[HB_UUID_SIZE];
    char address[32];
    char witness[32];
    unsigned fill_percent;
    unsigned working_set_mib; /* dirty only this much; 0: all that is filled */
    unsigned verify_mib;      /* MiB/s read back and compared; 0: as fast as it goes */
    unsigned interval_us;
    unsigned disk_interval_ms;
    unsigned spread_mib;      /* of each disk, written at random; 0: none */
    unsigned spread_fill_mib; /* written at once when the guest starts */
    unsigned spread_learn;    /* first read what an earlier boot left */
};

/* Counters and requests shared between threads, each a single atomic word. */
struct guest_state {
    uint64_t boot_id;
    _Atomic uint64_t mem_generation; /* page rewrites since boot */
    _Atomic uint64_t mem_errors;
    _Atomic uint64_t mem_passes;
    _Atomic uint64_t disk_sequence;
    _Atomic uint64_t disk_errors;   /* what was read is not what was written */
    _Atomic uint64_t disk_failures; /* the device refused */
    _Atomic unsigned dirty_kib;     /* KiB/s to rewrite */
    _Atomic bool stopping;
    _Atomic unsigned plant_flips;
    _Atomic unsigned plant_stales;
    _Atomic unsigned spread_rate;     /* random writes a second */
    _Atomic unsigned spread_verify;   /* passes asked for */
    _Atomic uint64_t spread_verified; /* passes done */
    _Atomic unsigned spread_filled;
};

extern struct guest_config config;
extern struct guest_state state;

uint64_t monotonic_ns(void);
void sleep_until(uint64_t deadline_ns);
uint64_t mix64(uint64_t value);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* memory.c: fills memory before it returns; the thread then rewrites and verifies for ever. */
bool memory_fill(void);
void *memory_thread(void *unused);

/* disk.c: opens the first virtio disk and finds where an earlier boot stopped; false: no disk. */
bool disk_open(void);
void *disk_thread(void *unused);

/* spread.c: random writes all over the disks; false: none wanted, or no disk. */
bool spread_open(void);
void *spread_thread(void *unused);
/* Each a line of text. The times of writes are counted from the last question on. */
int spread_status(char *text, size_t size);
int spread_latency(char *text, size_t size);

/* net.c */
bool net_configure(void);
void *heartbeat_thread(void *unused);
void *control_thread(void *unused);

#endif

/*
 * The datagram a lab guest sends to the witness, decoded field by field: the two programs may be of
 * different builds, and a corrupted guest may send anything.
 */
#ifndef LAB_HEARTBEAT_H
#define LAB_HEARTBEAT_H

#include <stdint.h>

#define HB_MAGIC 0x47574842u /* "GWHB" */
#define HB_VERSION 1
#define HB_PORT 7411    /* the witness listens here, and guests send from here */
#define HB_CONTROL 7412 /* a guest takes the lab's commands here */
#define HB_ECHO 7       /* a guest sends back what arrives here */

enum {
    HB_OFF_MAGIC = 0,
    HB_OFF_VERSION = 4,
    HB_OFF_UUID = 8,
    HB_OFF_NAME = 24,
    HB_OFF_BOOT = 56,
    HB_OFF_SEQUENCE = 64,
    HB_OFF_MONOTONIC = 72,
    HB_OFF_MEM_GENERATION = 80,
    HB_OFF_MEM_ERRORS = 88,
    HB_OFF_MEM_PASSES = 96,
    HB_OFF_DISK_SEQUENCE = 104,
    HB_OFF_DISK_ERRORS = 112,
    HB_OFF_DISK_FAILURES = 120,
    HB_SIZE = 128,
    HB_UUID_SIZE = 16,
    HB_NAME_SIZE = 32,
};

static inline void hb_put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, value >>= 8)
        at[i] = (uint8_t)value;
}

static inline uint64_t hb_get(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

#endif

/* The lab's outside witness: what arrives, and what it proves about each guest. */
#ifndef LAB_WITNESS_H
#define LAB_WITNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../guest/heartbeat.h"

#define MAX_GUESTS 256
#define HISTORY (1u << 20) /* sequence numbers remembered: 17 minutes at 1 ms */
#define BUCKET_NS 10000    /* of the inter-arrival histogram */
#define BUCKETS 100000     /* one second */
#define MAX_GAPS 1000
#define MAX_BOOTS 64
#define MAX_EVIDENCE 8
#define GAP_NS 20000000ll

/* A silence of the guest as seen from outside, and how far its own clock went meanwhile: a stopped
 * guest's clock stands still, a starved guest's does not. */
struct gap {
    int64_t at_ns; /* wall clock when it ended */
    int64_t length_ns;
    int64_t guest_ns;
    uint64_t sequence;
};

struct guest {
    uint8_t uuid[HB_UUID_SIZE];
    char name[HB_NAME_SIZE + 1];

    uint64_t boots[MAX_BOOTS]; /* ids in order of appearance; the last is the current one */
    unsigned boot_count;

    uint64_t first_sequence, top_sequence; /* of this boot, since the last reset */
    uint64_t top_clock;
    int64_t last_arrival;
    uint64_t last_clock;
    uint64_t *clocks; /* HISTORY entries: the guest's clock when it sent sequence i, 0: not seen */
    bool conflicted;  /* the packet before this one told of a second sender */

    uint64_t received, lost_before_boot, unique;
    uint64_t duplicates; /* the same datagram twice: the network did that */
    uint64_t reordered;
    uint64_t conflicts;    /* a sequence number again, sent at another time of the guest's clock */
    uint64_t went_back;    /* times the sequence fell behind itself */
    uint64_t alternations; /* times it came forward again: two senders take turns */
    uint64_t old_boot;     /* heartbeats of a boot that another boot had succeeded */
    char evidence[MAX_EVIDENCE][160];
    unsigned evidence_count;

    struct gap max_gap;
    struct gap gaps[MAX_GAPS]; /* the newest, as a ring */
    uint64_t gap_count;
    int64_t reboot_gap_ns;
    uint32_t *histogram;
    uint64_t intervals;

    uint64_t mem_generation, mem_errors, mem_passes;
    uint64_t disk_sequence, disk_errors, disk_failures;
    uint64_t mem_errors_at_reset, disk_errors_at_reset;
    uint64_t disk_went_back, mem_went_back;
};

/* judge.c: one heartbeat, received at this wall clock time. */
void guest_heartbeat(struct guest *guest, const uint8_t *packet, int64_t arrival);
void guest_reset(struct guest *guest);
bool guest_is_doubled(const struct guest *guest);

/* report.c: the guest's findings as one JSON object. */
void guest_report(const struct guest *guest, int64_t now, int64_t since, FILE *out);

#endif

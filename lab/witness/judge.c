/*
 * What a heartbeat proves. Two copies of one VM continue from one state: their sequence numbers run
 * over the same range, but at times of their own clocks that soon differ by nanoseconds. So a
 * number that comes again with another clock value was sent by somebody else, or by the same guest
 * set back. Two live senders take turns; a guest that was set back goes back once.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "witness.h"

#define TURNS_OF_TWO 3 /* alternations that one set-back guest cannot show */

static void note(struct guest *guest, int64_t arrival, const char *what, uint64_t sequence,
                 uint64_t clock, uint64_t other)
{
    if (guest->evidence_count == MAX_EVIDENCE)
        return;
    snprintf(guest->evidence[guest->evidence_count++], sizeof guest->evidence[0],
             "%.3f: %s: sequence %" PRIu64 " at guest clock %" PRIu64 " ns, known %" PRIu64,
             (double)arrival / 1e9, what, sequence, clock, other);
}

static void begin_boot(struct guest *guest, uint64_t boot)
{
    if (guest->boot_count == MAX_BOOTS) {
        memmove(guest->boots, guest->boots + 1, (MAX_BOOTS - 1) * sizeof guest->boots[0]);
        guest->boot_count--;
    }
    guest->boots[guest->boot_count++] = boot;
    if (guest->unique > 0)
        guest->lost_before_boot += guest->top_sequence - guest->first_sequence + 1 - guest->unique;
    guest->unique = 0;
    guest->first_sequence = guest->top_sequence = guest->top_clock = 0;
    guest->mem_generation = guest->mem_errors_at_reset = guest->disk_errors_at_reset = 0;
    guest->conflicted = false;
    memset(guest->clocks, 0, HISTORY * sizeof guest->clocks[0]);
}

/* False: the heartbeat is of an earlier boot, and says nothing about the current one. */
static bool settle_boot(struct guest *guest, uint64_t boot, uint64_t sequence, int64_t arrival)
{
    if (guest->boot_count > 0 && guest->boots[guest->boot_count - 1] == boot)
        return true;
    for (unsigned i = 0; i + 1 < guest->boot_count; i++)
        if (guest->boots[i] == boot) {
            if (guest->old_boot++ == 0)
                note(guest, arrival, "an earlier boot still sends", sequence, boot,
                     guest->boots[guest->boot_count - 1]);
            return false;
        }
    if (guest->boot_count > 0 && guest->last_arrival > 0)
        guest->reboot_gap_ns = arrival - guest->last_arrival;
    begin_boot(guest, boot);
    guest->last_arrival = 0; /* a reboot is no downtime of a move */
    return true;
}

static void settle_gap(struct guest *guest, uint64_t sequence, uint64_t clock, int64_t arrival)
{
    if (guest->last_arrival > 0 && arrival >= guest->last_arrival) {
        struct gap gap = { arrival, arrival - guest->last_arrival,
                           (int64_t)(clock - guest->last_clock), sequence };
        uint64_t bucket = (uint64_t)gap.length_ns / BUCKET_NS;
        guest->histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
        guest->intervals++;
        if (gap.length_ns > guest->max_gap.length_ns)
            guest->max_gap = gap;
        if (gap.length_ns > GAP_NS)
            guest->gaps[guest->gap_count++ % MAX_GAPS] = gap;
    }
    guest->last_arrival = arrival;
    guest->last_clock = clock;
}

static void settle_new(struct guest *guest, uint64_t sequence, uint64_t clock)
{
    uint64_t from = guest->top_sequence + 1;

    if (guest->unique == 0)
        guest->first_sequence = from = sequence;
    if (sequence - from >= HISTORY)
        from = sequence - HISTORY + 1;
    for (uint64_t missing = from; missing < sequence; missing++)
        guest->clocks[missing % HISTORY] = 0;
    guest->clocks[sequence % HISTORY] = clock;
    guest->top_sequence = sequence;
    guest->top_clock = clock;
    guest->unique++;
    if (guest->conflicted)
        guest->alternations++;
    guest->conflicted = false;
}

static void settle_old(struct guest *guest, uint64_t sequence, uint64_t clock, int64_t arrival)
{
    bool remembered = guest->top_sequence - sequence < HISTORY;
    uint64_t known = remembered ? guest->clocks[sequence % HISTORY] : 0;

    if (remembered && known == clock) {
        guest->duplicates++;
        return;
    }
    if (remembered && known == 0 && clock < guest->top_clock && !guest->conflicted) {
        guest->clocks[sequence % HISTORY] = clock;
        guest->reordered++;
        if (sequence >= guest->first_sequence)
            guest->unique++;
        return;
    }
    guest->conflicts++;
    if (!guest->conflicted) {
        guest->went_back++;
        note(guest, arrival, "sent again", sequence, clock, known);
    }
    guest->conflicted = true;
}

static void settle_health(struct guest *guest, const uint8_t *packet)
{
    uint64_t generation = hb_get(packet + HB_OFF_MEM_GENERATION, 8);
    uint64_t disk = hb_get(packet + HB_OFF_DISK_SEQUENCE, 8);

    if (generation < guest->mem_generation)
        guest->mem_went_back++;
    if (disk < guest->disk_sequence)
        guest->disk_went_back++;
    guest->mem_generation = generation;
    guest->disk_sequence = disk;
    guest->mem_errors = hb_get(packet + HB_OFF_MEM_ERRORS, 8);
    guest->mem_passes = hb_get(packet + HB_OFF_MEM_PASSES, 8);
    guest->disk_errors = hb_get(packet + HB_OFF_DISK_ERRORS, 8);
    guest->disk_failures = hb_get(packet + HB_OFF_DISK_FAILURES, 8);
}

void guest_heartbeat(struct guest *guest, const uint8_t *packet, int64_t arrival)
{
    uint64_t sequence = hb_get(packet + HB_OFF_SEQUENCE, 8);
    uint64_t clock = hb_get(packet + HB_OFF_MONOTONIC, 8);

    guest->received++;
    if (!settle_boot(guest, hb_get(packet + HB_OFF_BOOT, 8), sequence, arrival))
        return;
    settle_gap(guest, sequence, clock, arrival);
    if (guest->unique > 0 && sequence <= guest->top_sequence) {
        settle_old(guest, sequence, clock, arrival);
    } else {
        settle_new(guest, sequence, clock);
        settle_health(guest, packet);
        return;
    }
    if (guest->conflicted)
        settle_health(guest, packet); /* a guest set back is what there is to judge now */
}

/* Forgets findings, not identity: what comes next is still compared with what came before. */
void guest_reset(struct guest *guest)
{
    guest->received = guest->lost_before_boot = guest->unique = guest->duplicates = 0;
    guest->reordered = guest->conflicts = guest->went_back = guest->alternations = 0;
    guest->old_boot = guest->gap_count = guest->intervals = 0;
    guest->evidence_count = 0;
    guest->max_gap = (struct gap){ 0 };
    guest->reboot_gap_ns = 0;
    guest->disk_went_back = guest->mem_went_back = 0;
    guest->mem_errors_at_reset = guest->mem_errors;
    guest->disk_errors_at_reset = guest->disk_errors + guest->disk_failures;
    guest->conflicted = false;
    memset(guest->histogram, 0, BUCKETS * sizeof guest->histogram[0]);
    if (guest->boot_count > 0)
        guest->boots[0] = guest->boots[guest->boot_count - 1];
    guest->boot_count = guest->boot_count > 0;
}

bool guest_is_doubled(const struct guest *guest)
{
    return guest->alternations >= TURNS_OF_TWO || guest->old_boot >= TURNS_OF_TWO;
}

/*
 * A ring of records on the disk, each written with O_DIRECT, flushed, and read back before the
 * next. The guest keeps a copy of every record in memory: a record that went back, or that another
 * writer replaced (two copies of one VM share their sequence, but not their clocks), is told apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define BLOCK 4096
#define SLOTS 64
#define RECORD_MAGIC 0x47574449534b3031ull

enum { R_MAGIC, R_SEQUENCE, R_BOOT, R_CLOCK, R_UUID_HIGH, R_UUID_LOW, R_CHECK, R_WORDS };

static int disk = -1;
static uint64_t *buffer;              /* aligned, one block */
static uint64_t kept[SLOTS][R_WORDS]; /* what each slot should hold */

static uint64_t checksum(const uint64_t *record)
{
    uint64_t sum = 0;
    for (int i = 0; i < R_CHECK; i++)
        sum = mix64(sum ^ record[i]);
    return sum;
}

static bool read_slot(uint64_t sequence)
{
    return pread(disk, buffer, BLOCK, (off_t)(sequence % SLOTS) * BLOCK) == BLOCK;
}

static bool is_ours(const uint64_t *record)
{
    return record[R_MAGIC] == RECORD_MAGIC && record[R_CHECK] == checksum(record) &&
           record[R_UUID_HIGH] == hb_get(config.uuid, 8) &&
           record[R_UUID_LOW] == hb_get(config.uuid + 8, 8);
}

bool disk_open(void)
{
    uint64_t newest = 0;

    if (posix_memalign((void **)&buffer, BLOCK, BLOCK) != 0)
        return false;
    memset(buffer, 0, BLOCK);
    disk = open("/dev/vda", O_RDWR | O_DIRECT | O_CLOEXEC);
    if (disk < 0)
        return false;
    for (uint64_t slot = 0; slot < SLOTS; slot++) {
        if (!read_slot(slot)) {
            say("DISK cannot be read: %s", strerror(errno));
            return false;
        }
        memcpy(kept[slot], buffer, sizeof kept[slot]);
        if (is_ours(kept[slot]) && kept[slot][R_SEQUENCE] > newest)
            newest = kept[slot][R_SEQUENCE];
    }
    state.disk_sequence = newest;
    say("disk: continues after record %llu", (unsigned long long)newest);
    return true;
}

static void check_slot(uint64_t sequence)
{
    uint64_t *want = kept[sequence % SLOTS];

    if (!read_slot(sequence)) {
        state.disk_failures++;
        return;
    }
    if (memcmp(buffer, want, sizeof kept[0]) == 0)
        return;
    state.disk_errors++;
    say("DISK ERROR slot %llu: expected record %llu, found %s %llu%s",
        (unsigned long long)(sequence % SLOTS), (unsigned long long)want[R_SEQUENCE],
        is_ours(buffer) ? "record" : "garbage", (unsigned long long)buffer[R_SEQUENCE],
        is_ours(buffer) && buffer[R_SEQUENCE] >= want[R_SEQUENCE] ? " of another writer"
                                                                  : ": it went back");
    memcpy(want, buffer, sizeof kept[0]); /* so that one loss is counted once */
}

static bool write_record(uint64_t sequence)
{
    uint64_t *record = kept[sequence % SLOTS];
    uint64_t before[R_WORDS];

    memcpy(before, record, sizeof before);
    record[R_MAGIC] = RECORD_MAGIC;
    record[R_SEQUENCE] = sequence;
    record[R_BOOT] = state.boot_id;
    record[R_CLOCK] = monotonic_ns();
    record[R_UUID_HIGH] = hb_get(config.uuid, 8);
    record[R_UUID_LOW] = hb_get(config.uuid + 8, 8);
    record[R_CHECK] = checksum(record);
    memset(buffer, 0, BLOCK);
    memcpy(buffer, record, sizeof kept[0]);
    if (pwrite(disk, buffer, BLOCK, (off_t)(sequence % SLOTS) * BLOCK) == BLOCK &&
        fdatasync(disk) == 0)
        return true;
    memcpy(record, before, sizeof before);
    return false;
}

void *disk_thread(void *unused)
{
    uint64_t other = 0;

    while (!state.stopping) {
        uint64_t started = monotonic_ns();
        uint64_t sequence = state.disk_sequence;
        check_slot(sequence);
        check_slot(other += 2); /* twice the writer's pace, or it would trail it for ever */
        if (write_record(sequence + 1))
            state.disk_sequence = sequence + 1;
        else if (state.disk_failures++ == 0)
            say("DISK cannot be written: %s", strerror(errno));
        sleep_until(started + config.disk_interval_ms * 1000000ull);
    }
    return unused;
}

/*
 * Random writes all over the guest's disks, each block of which says by itself what it is, and
 * which the guest remembers: a block that was lost, or went back, on the way to another image is
 * told apart. How long the writes take is kept as well: moving a disk is not to be felt by who uses
 * it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/fs.h>

#include "guest.h"

#define BLOCK 4096
#define FIRST 1024 /* blocks: before them is disk.c's ring */
#define WORDS (BLOCK / 8)
#define MAGIC 0x4757535052443031ull
#define DISKS_MAX 4
#define SYNC_EVERY 16
#define SLICE_NS 20000000ull
#define FILL_BLOCKS 256 /* in one write */

enum { S_MAGIC, S_SEQUENCE, S_BLOCK, S_DISK, S_UUID_HIGH, S_UUID_LOW, S_FILL };

/* Times of writes: four buckets for each power of two of microseconds. */
#define BUCKETS 128

struct spread_disk {
    int handle;
    uint64_t blocks;    /* that may be written, from FIRST on */
    uint32_t *sequence; /* what each holds; 0: nobody knows */
};

static struct spread_disk disks[DISKS_MAX];
static unsigned disk_count;
static uint64_t *buffer, *many; /* one block, FILL_BLOCKS */
static uint32_t sequence_now;
static uint64_t random_state;
static _Atomic unsigned times[BUCKETS];
static _Atomic uint64_t longest_us;

static uint64_t draw(void)
{
    return random_state = mix64(random_state + 0x9e3779b97f4a7c15ull);
}

static void compose(uint64_t *block, unsigned disk, uint64_t number, uint32_t sequence)
{
    block[S_MAGIC] = MAGIC;
    block[S_SEQUENCE] = sequence;
    block[S_BLOCK] = number;
    block[S_DISK] = disk;
    block[S_UUID_HIGH] = hb_get(config.uuid, 8);
    block[S_UUID_LOW] = hb_get(config.uuid + 8, 8);
    uint64_t seed = mix64(sequence ^ number << 32 ^ (uint64_t)disk << 60);
    for (int i = S_FILL; i < WORDS; i++)
        block[i] = mix64(seed + (uint64_t)i);
}

static bool is_whole(const uint64_t *block, unsigned disk, uint64_t number)
{
    static _Thread_local uint64_t want[WORDS];

    if (block[S_MAGIC] != MAGIC)
        return false;
    compose(want, disk, number, (uint32_t)block[S_SEQUENCE]);
    return memcmp(block, want, BLOCK) == 0;
}

static off_t at(uint64_t number)
{
    return (off_t)(FIRST + number) * BLOCK;
}

static void note_time(uint64_t us)
{
    unsigned power = 0;

    while (power < 29 && us >> power > 7)
        power++;
    uint64_t top = us >> power < 8 ? us >> power : 7;
    times[power == 0 ? top : 8 + (power - 1) * 4 + (top - 4)]++;
    if (us > longest_us)
        longest_us = us;
}

/* The lower end of a bucket, us. */
static uint64_t time_of(unsigned bucket)
{
    if (bucket < 8)
        return bucket;
    return (uint64_t)((bucket - 8) % 4 + 4) << ((bucket - 8) / 4 + 1);
}

static uint64_t quantile(uint64_t count, unsigned per_mille)
{
    uint64_t below = 0;

    for (unsigned i = 0; i < BUCKETS; i++) {
        below += times[i];
        if (count > 0 && below * 1000 >= count * per_mille)
            return time_of(i);
    }
    return longest_us;
}

int spread_latency(char *text, size_t size)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < BUCKETS; i++)
        count += times[i];
    int length = snprintf(text, size, "writes=%llu p50_us=%llu p99_us=%llu max_us=%llu",
                          (unsigned long long)count, (unsigned long long)quantile(count, 500),
                          (unsigned long long)quantile(count, 990), (unsigned long long)longest_us);
    for (unsigned i = 0; i < BUCKETS; i++)
        times[i] = 0;
    longest_us = 0;
    return length;
}

static uint64_t sum_of_all(uint64_t *known)
{
    uint64_t sum = 0;

    *known = 0;
    for (unsigned d = 0; d < disk_count; d++)
        for (uint64_t b = 0; b < disks[d].blocks; b++)
            if (disks[d].sequence[b] != 0) {
                sum ^= mix64(disks[d].sequence[b] ^ b << 32 ^ (uint64_t)d << 60);
                (*known)++;
            }
    return sum;
}

int spread_status(char *text, size_t size)
{
    uint64_t known;
    uint64_t sum = sum_of_all(&known);

    return snprintf(text, size,
                    "disks=%u blocks=%llu sum=%016llx errors=%llu failures=%llu verified=%llu "
                    "filled=%u rate=%u",
                    disk_count, (unsigned long long)known, (unsigned long long)sum,
                    (unsigned long long)state.disk_errors, (unsigned long long)state.disk_failures,
                    (unsigned long long)state.spread_verified, (unsigned)state.spread_filled,
                    (unsigned)state.spread_rate);
}

static void write_block(unsigned disk, uint64_t number)
{
    uint32_t sequence = ++sequence_now;

    compose(buffer, disk, number, sequence);
    uint64_t begun = monotonic_ns();
    if (pwrite(disks[disk].handle, buffer, BLOCK, at(number)) != BLOCK) {
        if (state.disk_failures++ == 0)
            say("DISK %u cannot be written: %s", disk, strerror(errno));
        disks[disk].sequence[number] = 0;
        return;
    }
    note_time((monotonic_ns() - begun) / 1000);
    disks[disk].sequence[number] = sequence;
    if (sequence % SYNC_EVERY == 0 && fdatasync(disks[disk].handle) != 0)
        state.disk_failures++;
}

static void judge(unsigned disk, uint64_t number, const uint64_t *block)
{
    uint32_t want = disks[disk].sequence[number];
    bool whole = is_whole(block, disk, number);

    if (whole && block[S_SEQUENCE] == want)
        return;
    state.disk_errors++;
    say("DISK ERROR disk %u block %llu: expected %u, found %s %llu", disk,
        (unsigned long long)number, want, whole ? "record" : "garbage",
        (unsigned long long)block[S_SEQUENCE]);
    disks[disk].sequence[number] = 0; /* so that one loss is counted once */
}

static void check_block(unsigned disk, uint64_t number)
{
    if (disks[disk].sequence[number] == 0)
        return;
    if (pread(disks[disk].handle, many, BLOCK, at(number)) == BLOCK)
        judge(disk, number, many);
    else
        state.disk_failures++;
}

static void verify_disk(unsigned disk)
{
    for (uint64_t b = 0; b < disks[disk].blocks && !state.stopping; b += FILL_BLOCKS) {
        ssize_t got = pread(disks[disk].handle, many, BLOCK * FILL_BLOCKS, at(b));
        uint64_t count = got > 0 ? (uint64_t)got / BLOCK : 0;
        state.disk_failures += got < 0;
        for (uint64_t i = 0; i < count && b + i < disks[disk].blocks; i++)
            if (disks[disk].sequence[b + i] != 0)
                judge(disk, b + i, many + i * WORDS);
    }
}

static void verify_all(void)
{
    for (unsigned d = 0; d < disk_count; d++)
        verify_disk(d);
    state.spread_verified++;
}

/* Data that is there from the beginning, as fast as it goes. */
static void fill(void)
{
    for (unsigned d = 0; d < disk_count; d++) {
        uint64_t count = (uint64_t)config.spread_fill_mib * 256;
        for (uint64_t b = 0; b + FILL_BLOCKS <= disks[d].blocks && b < count; b += FILL_BLOCKS) {
            for (unsigned i = 0; i < FILL_BLOCKS; i++) {
                if (disks[d].sequence[b + i] == 0)
                    disks[d].sequence[b + i] = ++sequence_now;
                compose(many + i * WORDS, d, b + i, disks[d].sequence[b + i]);
            }
            if (pwrite(disks[d].handle, many, BLOCK * FILL_BLOCKS, at(b)) != BLOCK * FILL_BLOCKS)
                state.disk_failures++;
        }
        fdatasync(disks[d].handle);
    }
}

/* What an earlier boot left. A block that is neither ours nor empty is told by its absence in the
 * sum. */
static void learn(unsigned disk)
{
    for (uint64_t b = 0; b < disks[disk].blocks; b += FILL_BLOCKS) {
        ssize_t got = pread(disks[disk].handle, many, BLOCK * FILL_BLOCKS, at(b));
        for (ssize_t i = 0; i < got / BLOCK && b + (uint64_t)i < disks[disk].blocks; i++) {
            if (!is_whole(many + i * WORDS, disk, b + (uint64_t)i))
                continue;
            uint32_t sequence = (uint32_t)many[i * WORDS + S_SEQUENCE];
            disks[disk].sequence[b + (uint64_t)i] = sequence;
            if (sequence > sequence_now)
                sequence_now = sequence;
        }
    }
}

static bool open_disk(unsigned number)
{
    struct spread_disk *disk = &disks[number];
    char path[16];
    uint64_t bytes = 0;

    snprintf(path, sizeof path, "/dev/vd%c", 'a' + (int)number);
    disk->handle = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (disk->handle < 0 || ioctl(disk->handle, BLKGETSIZE64, &bytes) != 0 ||
        bytes / BLOCK <= FIRST)
        return false;
    disk->blocks = bytes / BLOCK - FIRST;
    if (disk->blocks > (uint64_t)config.spread_mib * 256)
        disk->blocks = (uint64_t)config.spread_mib * 256;
    disk->sequence = calloc(disk->blocks, sizeof *disk->sequence);
    return disk->sequence != NULL;
}

bool spread_open(void)
{
    if (config.spread_mib == 0 || posix_memalign((void **)&buffer, BLOCK, BLOCK) != 0 ||
        posix_memalign((void **)&many, BLOCK, BLOCK * FILL_BLOCKS) != 0)
        return false;
    random_state = state.boot_id;
    while (disk_count < DISKS_MAX && open_disk(disk_count)) {
        if (config.spread_learn)
            learn(disk_count);
        disk_count++;
    }
    uint64_t known;
    uint64_t sum = sum_of_all(&known);
    say("spread: %u disks, %llu blocks known, sum %016llx", disk_count, (unsigned long long)known,
        (unsigned long long)sum);
    return disk_count > 0;
}

void *spread_thread(void *unused)
{
    (void)unused;
    if (config.spread_fill_mib > 0)
        fill();
    state.spread_filled = 1;
    for (uint64_t next = monotonic_ns(), owed = 0; !state.stopping; next += SLICE_NS) {
        if (state.spread_verify > 0) {
            state.spread_verify--;
            verify_all();
            next = monotonic_ns();
        }
        owed += state.spread_rate * (SLICE_NS / 1000000);
        for (; owed >= 1000; owed -= 1000) {
            unsigned disk = (unsigned)(draw() % disk_count);
            write_block(disk, draw() % disks[disk].blocks);
            check_block(disk, draw() % disks[disk].blocks);
        }
        uint64_t now = monotonic_ns();
        if (next + SLICE_NS < now)
            next = now;
        else
            sleep_until(next + SLICE_NS);
    }
    return NULL;
}

/*
 * Pages that know what they should hold. Every page carries its number, a generation and the boot's
 * id, and a body computed from the three; what the generation *should* be is kept elsewhere, twice,
 * so that a page (or a page of expectations) which silently went back to an older content, as a
 * lost dirty bit leaves it, is caught as surely as garbage.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define PAGE 4096u
#define WORDS (PAGE / sizeof(uint64_t))
#define TICK_NS 5000000ull         /* while pages are rewritten */
#define IDLE_TICK_NS 50000000ull   /* an idle guest should cost its host little */
#define MAX_BACKLOG_NS 50000000ull /* a starved guest does not burst afterwards */
#define BODY_STEP 0x9e3779b97f4a7c15ull

enum { W_NUMBER, W_GENERATION, W_BOOT, W_CHECK, W_BODY };

static uint64_t *pages;
static size_t page_count;
static uint32_t *expected;       /* generation each page should carry */
static uint32_t *expected_check; /* its complement, on other pages of memory */
static uint64_t random_state = 0x2545f4914f6cdd1dull;

static uint64_t *page_at(size_t number)
{
    return pages + number * WORDS;
}

static uint64_t page_base(size_t number, uint32_t generation)
{
    return mix64(state.boot_id ^ mix64(((uint64_t)number << 32) | generation));
}

static void write_page(size_t number, uint32_t generation)
{
    uint64_t *word = page_at(number);
    uint64_t base = page_base(number, generation);

    word[W_NUMBER] = number;
    word[W_GENERATION] = generation;
    word[W_BOOT] = state.boot_id;
    word[W_CHECK] = ~base;
    for (size_t k = W_BODY; k < WORDS; k++)
        word[k] = base + k * BODY_STEP;
}

/* The index of the first word that is not of this generation, or WORDS. */
static size_t first_difference(size_t number, uint32_t generation)
{
    const uint64_t *word = page_at(number);
    uint64_t base = page_base(number, generation);

    if (word[W_NUMBER] != number)
        return W_NUMBER;
    if (word[W_GENERATION] != generation)
        return W_GENERATION;
    if (word[W_BOOT] != state.boot_id)
        return W_BOOT;
    if (word[W_CHECK] != ~base)
        return W_CHECK;
    for (size_t k = W_BODY; k < WORDS; k++)
        if (word[k] != base + k * BODY_STEP)
            return k;
    return WORDS;
}

static void describe(size_t number, uint32_t want, size_t at)
{
    static unsigned said;
    const uint64_t *word = page_at(number);
    uint32_t found = (uint32_t)word[W_GENERATION];

    if (++said > 20 && said % 100 != 0) /* the console is slow, and is part of the guest */
        return;
    if (word[W_NUMBER] == number && word[W_BOOT] == state.boot_id &&
        first_difference(number, found) == WORDS)
        say("MEMORY ERROR page %zu is stale: generation %u, expected %u", number, found, want);
    else
        say("MEMORY ERROR page %zu word %zu is %016llx: says page %llu generation %llu, "
            "expected generation %u",
            number, at, (unsigned long long)word[at], (unsigned long long)word[W_NUMBER],
            (unsigned long long)word[W_GENERATION], want);
}

/* Verifies one page and returns its expected generation. A bad page is counted once, then mended.
 */
static uint32_t verify_page(size_t number)
{
    uint32_t want = expected[number];

    if (expected_check[number] != ~want) {
        state.mem_errors++;
        say("MEMORY ERROR expectations of page %zu disagree: %u and %u", number, want,
            ~expected_check[number]);
        want = expected[number] = (uint32_t)page_at(number)[W_GENERATION];
        expected_check[number] = ~want;
    }
    size_t at = first_difference(number, want);
    if (at != WORDS) {
        state.mem_errors++;
        describe(number, want, at);
        write_page(number, want);
    }
    return want;
}

static size_t random_page(size_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % below);
}

static void rewrite_page(size_t number)
{
    uint32_t next = verify_page(number) + 1; /* else a rewrite would hide a lost page */

    write_page(number, next);
    expected[number] = next;
    expected_check[number] = ~next;
    state.mem_generation++;
}

static void plant_faults(void)
{
    while (state.plant_flips > 0) {
        size_t number = random_page(page_count);
        page_at(number)[random_page(WORDS)] ^= 1ull << random_page(64);
        state.plant_flips--;
        say("planted: one bit flipped in page %zu", number);
    }
    while (state.plant_stales > 0) {
        size_t number = random_page(page_count);
        write_page(number, expected[number] - 1);
        state.plant_stales--;
        say("planted: page %zu set back one generation", number);
    }
}

static size_t memory_available(void)
{
    char line[128];
    unsigned long total = 0, available = 0;
    FILE *meminfo = fopen("/proc/meminfo", "r");

    if (meminfo == NULL)
        return 0;
    while (fgets(line, sizeof line, meminfo) != NULL) {
        sscanf(line, "MemTotal: %lu", &total);
        sscanf(line, "MemAvailable: %lu", &available);
    }
    fclose(meminfo);
    unsigned long wanted = total / 100 * config.fill_percent;
    unsigned long most = available > 24576 ? available - 24576 : available / 2;
    return (size_t)(wanted < most ? wanted : most) * 1024;
}

static void *map_anonymous(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                    -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

bool memory_fill(void)
{
    page_count = memory_available() / PAGE;
    if (page_count == 0)
        return false;
    pages = map_anonymous(page_count * PAGE);
    expected = map_anonymous(page_count * sizeof *expected);
    expected_check = map_anonymous(page_count * sizeof *expected_check);
    if (pages == NULL || expected == NULL || expected_check == NULL)
        return false;
    for (size_t i = 0; i < page_count; i++) {
        expected[i] = 1; /* so that "one generation older" exists from the start */
        expected_check[i] = ~1u;
        write_page(i, 1);
    }
    say("memory: %zu MiB filled", page_count * PAGE >> 20);
    return true;
}

/* One more page of the endless verification. */
static void verify_next(void)
{
    static size_t cursor;

    verify_page(cursor);
    if (++cursor == page_count) {
        cursor = 0;
        state.mem_passes++;
    }
}

/* All expected generations must add up to the rewrites made: pages of expectations can be lost too.
 */
static void check_total(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < page_count; i++)
        sum += expected[i] - 1u;
    if (sum != state.mem_generation) {
        state.mem_errors++;
        say("MEMORY ERROR expectations add up to %llu rewrites, but %llu were made",
            (unsigned long long)sum, (unsigned long long)state.mem_generation);
        state.mem_generation = sum;
    }
}

void *memory_thread(void *unused)
{
    uint64_t dirty_credit = 0, verify_credit = 0, passes = 0; /* bytes */
    uint64_t last = monotonic_ns();
    size_t working_set = (size_t)config.working_set_mib << 8;

    (void)unused;
    if (working_set == 0 || working_set > page_count)
        working_set = page_count;
    for (;;) {
        uint64_t now = monotonic_ns();
        uint64_t passed = now - last;
        if (passed > MAX_BACKLOG_NS)
            passed = MAX_BACKLOG_NS;
        last = now;
        dirty_credit += (uint64_t)state.dirty_kib * 1024 * passed / 1000000000ull;
        for (; dirty_credit >= PAGE; dirty_credit -= PAGE)
            rewrite_page(random_page(working_set));
        plant_faults();
        if (config.verify_mib == 0)
            verify_credit = 256 * PAGE;
        else
            verify_credit += ((uint64_t)config.verify_mib << 20) * passed / 1000000000ull;
        for (; verify_credit >= PAGE; verify_credit -= PAGE)
            verify_next();
        if (passes != state.mem_passes) {
            passes = state.mem_passes;
            check_total();
        }
        if (config.verify_mib != 0)
            sleep_until(now + (state.dirty_kib > 0 ? TICK_NS : IDLE_TICK_NS));
    }
    return NULL;
}

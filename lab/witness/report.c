/* The witness's findings as JSON. Names are a guest's own word, so they are escaped. */
#include <inttypes.h>
#include <string.h>

#include "witness.h"

static void put_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++)
        if (*text == '"' || *text == '\\' || (unsigned char)*text < 0x20)
            fprintf(out, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            fputc(*text, out);
    fputc('"', out);
}

static double to_ms(int64_t ns)
{
    return (double)ns / 1e6;
}

static void put_gap(FILE *out, const struct gap *gap)
{
    fprintf(out,
            "{\"at\":%.6f,\"ms\":%.3f,\"guest_ms\":%.3f,\"stopped_ms\":%.3f,\"sequence\":%" PRIu64
            "}",
            (double)gap->at_ns / 1e9, to_ms(gap->length_ns), to_ms(gap->guest_ns),
            to_ms(gap->length_ns - gap->guest_ns), gap->sequence);
}

static void put_gaps(FILE *out, const struct guest *guest, int64_t since)
{
    uint64_t first = guest->gap_count > MAX_GAPS ? guest->gap_count - MAX_GAPS : 0;
    const char *comma = "";

    fputs(",\"gaps_over_20ms\":[", out);
    for (uint64_t i = first; i < guest->gap_count; i++) {
        if (guest->gaps[i % MAX_GAPS].at_ns < since)
            continue;
        fputs(comma, out);
        put_gap(out, &guest->gaps[i % MAX_GAPS]);
        comma = ",";
    }
    fputc(']', out);
}

static double percentile_ms(const struct guest *guest, double share)
{
    uint64_t wanted = (uint64_t)((double)guest->intervals * share), seen = 0;

    for (int i = 0; i < BUCKETS; i++) {
        seen += guest->histogram[i];
        if (seen > wanted)
            return to_ms((int64_t)i * BUCKET_NS + BUCKET_NS / 2);
    }
    return 0;
}

static struct gap largest_since(const struct guest *guest, int64_t since)
{
    uint64_t first = guest->gap_count > MAX_GAPS ? guest->gap_count - MAX_GAPS : 0;
    struct gap largest = { 0 };

    if (guest->max_gap.at_ns >= since)
        return guest->max_gap;
    for (uint64_t i = first; i < guest->gap_count; i++) {
        const struct gap *gap = &guest->gaps[i % MAX_GAPS];
        if (gap->at_ns >= since && gap->length_ns > largest.length_ns)
            largest = *gap;
    }
    return largest;
}

static void put_problems(FILE *out, const struct guest *guest)
{
    const struct {
        bool bad;
        const char *what;
    } rows[] = {
        { guest_is_doubled(guest), "doubled" },
        { guest->went_back > 0 && !guest_is_doubled(guest), "went back" },
        { guest->mem_errors > guest->mem_errors_at_reset, "memory errors" },
        { guest->disk_errors + guest->disk_failures > guest->disk_errors_at_reset, "disk errors" },
        { guest->disk_went_back > 0, "disk went back" },
        { guest->mem_went_back > 0, "memory went back" },
        { guest->boot_count > 1, "rebooted" },
    };
    const char *comma = "";

    fputs(",\"problems\":[", out);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].bad) {
            fputs(comma, out);
            put_text(out, rows[i].what);
            comma = ",";
        }
    fputc(']', out);
}

static void put_evidence(FILE *out, const struct guest *guest)
{
    fputs(",\"doubled_evidence\":[", out);
    for (unsigned i = 0; i < guest->evidence_count; i++) {
        if (i > 0)
            fputc(',', out);
        put_text(out, guest->evidence[i]);
    }
    fputc(']', out);
}

static void put_number(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, ",\"%s\":%" PRIu64, name, value);
}

void guest_report(const struct guest *guest, int64_t now, int64_t since, FILE *out)
{
    uint64_t expected = guest->unique > 0 ? guest->top_sequence - guest->first_sequence + 1 : 0;
    struct gap largest = largest_since(guest, since);

    fputs("{\"uuid\":\"", out);
    for (int i = 0; i < HB_UUID_SIZE; i++)
        fprintf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", guest->uuid[i]);
    fprintf(out, "\",\"boot\":\"%016" PRIx64 "\"",
            guest->boot_count > 0 ? guest->boots[guest->boot_count - 1] : 0);
    put_number(out, "boots", guest->boot_count);
    put_number(out, "received", guest->received);
    put_number(out, "lost", guest->lost_before_boot + expected - guest->unique);
    put_number(out, "duplicates", guest->duplicates);
    put_number(out, "reordered", guest->reordered);
    fprintf(out, ",\"max_gap_ms\":%.3f,\"max_gap_at\":%.6f,\"max_gap_stopped_ms\":%.3f",
            to_ms(largest.length_ns), (double)largest.at_ns / 1e9,
            to_ms(largest.length_ns - largest.guest_ns));
    fprintf(out, ",\"median_ms\":%.3f,\"p999_ms\":%.3f", percentile_ms(guest, 0.5),
            percentile_ms(guest, 0.999));
    put_gaps(out, guest, since);
    fprintf(out, ",\"doubled\":%s", guest_is_doubled(guest) ? "true" : "false");
    put_evidence(out, guest);
    put_number(out, "senders", guest_is_doubled(guest) ? 2 : guest->received > 0);
    put_number(out, "conflicts", guest->conflicts);
    put_number(out, "went_back", guest->went_back);
    put_number(out, "verify_errors", guest->mem_errors);
    put_number(out, "verify_passes", guest->mem_passes);
    put_number(out, "memory_generation", guest->mem_generation);
    put_number(out, "disk_sequence", guest->disk_sequence);
    put_number(out, "disk_errors", guest->disk_errors + guest->disk_failures);
    put_number(out, "disk_went_back", guest->disk_went_back);
    fprintf(out, ",\"reboot_gap_ms\":%.3f", to_ms(guest->reboot_gap_ns));
    fprintf(out, ",\"last_seen_ms_ago\":%.1f",
            guest->last_arrival > 0 ? to_ms(now - guest->last_arrival) : -1.0);
    put_problems(out, guest);
    fputc('}', out);
}

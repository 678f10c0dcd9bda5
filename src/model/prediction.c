/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/prediction.h"

GW_DEFINE_RECORD(GwInterval, gw_interval, "Interval", "A figure as an interval of 10 to 90 %.",
                 GW_F(GwInterval, low, GW_INT, .min = -1, .max = G_MAXINT64,
                      .doc = "10 % are below."),
                 GW_F(GwInterval, likely, GW_INT, .min = -1, .max = G_MAXINT64,
                      .doc = "As many above as below."),
                 GW_F(GwInterval, high, GW_INT, .min = -1, .max = G_MAXINT64,
                      .doc = "10 % are above."));

const GwEnum gw_converges_enum = {
    "Converges", (const char *const[]){ "unknown", "yes", "throttled", "no", "nothing", NULL }
};

GW_DEFINE_RECORD(GwPrediction, gw_prediction, "Prediction", "How long a move will take (R66).",
                 GW_F(GwPrediction, total_ms, GW_OBJECT, .of = &gw_interval_record,
                      .doc = "From its start (not counting the queue) to its end, ms."),
                 GW_F(GwPrediction, downtime_ms, GW_OBJECT, .of = &gw_interval_record,
                      .doc = "The guest stands still, ms."),
                 GW_F(GwPrediction, bytes, GW_OBJECT, .of = &gw_interval_record,
                      .doc = "Moved over the network, or between the pools of one host, bytes."),
                 GW_F(GwPrediction, converges, GW_ENUM, .of_enum = &gw_converges_enum,
                      .doc = "Whether memory is copied faster than the guest dirties it."),
                 GW_F(GwPrediction, remedy, GW_STRING, .doc = "What to choose where it does not."),
                 GW_F(GwPrediction, link_bps, GW_INT,
                      .doc = "What the copy is taken to get, bytes/s."),
                 GW_F(GwPrediction, dirty_bps, GW_INT, .min = -1, .max = G_MAXINT64,
                      .doc = "What the guest is taken to dirty, bytes/s; -1: unknown."),
                 GW_F(GwPrediction, cpu_permille, GW_INT,
                      .doc = "How busy the guest is taken to keep its CPUs, in thousandths of all "
                             "of them; 0: unknown."),
                 GW_F(GwPrediction, memory_bytes, GW_INT,
                      .doc = "What of its memory is taken to hold something, bytes."),
                 GW_F(GwPrediction, disk_bytes, GW_INT,
                      .doc = "What is taken to be copied of its disks, bytes."),
                 GW_F(GwPrediction, samples, GW_INT,
                      .doc = "Moves between these hosts that it learned from."),
                 GW_F(GwPrediction, basis, GW_STRINGS, .doc = "What each figure rests on."));

#define SEEN(T, m, text) GW_F(T, m, GW_INT, .min = -1, .max = G_MAXINT64, .doc = text)

GW_DEFINE_RECORD(GwVmUsage, gw_vm_usage, "VmUsage", "What was seen of a running VM; -1: unknown.",
                 SEEN(GwVmUsage, cpu_permille, "CPU used, in thousandths of one CPU."),
                 SEEN(GwVmUsage, memory_used_kib, "Memory its emulator holds, KiB."),
                 SEEN(GwVmUsage, dirty_bps, "Memory it dirties, bytes/s."),
                 SEEN(GwVmUsage, disk_read_bps, "Read from its disks, bytes/s."),
                 SEEN(GwVmUsage, disk_write_bps, "Written to its disks, bytes/s."),
                 SEEN(GwVmUsage, network_bps, "Over its adapters, in and out, bytes/s."),
                 SEEN(GwVmUsage, disk_allocated_bytes, "Space its disks take, bytes."),
                 GW_F(GwVmUsage, sampled_at, GW_STRING, .doc = "When, RFC 3339."),
                 GW_F(GwVmUsage, dirty_sampled_at, GW_STRING,
                      .doc = "When its dirtying was, RFC 3339."));

GW_DEFINE_RECORD(GwHostUsage, gw_host_usage, "HostUsage", "What was seen of a host; -1: unknown.",
                 SEEN(GwHostUsage, cpu_permille, "CPU used, in thousandths of all its CPUs."),
                 SEEN(GwHostUsage, memory_used_kib, "Memory used, KiB."),
                 SEEN(GwHostUsage, network_bps, "Over its network, in and out, bytes/s."),
                 GW_F(GwHostUsage, sampled_at, GW_STRING, .doc = "When, RFC 3339."));

GwVmUsage *gw_vm_usage_new_unknown(void)
{
    GwVmUsage *usage = gw_vm_usage_new();

    usage->cpu_permille = usage->memory_used_kib = usage->dirty_bps = -1;
    usage->disk_read_bps = usage->disk_write_bps = usage->network_bps = -1;
    usage->disk_allocated_bytes = -1;
    return usage;
}

GwHostUsage *gw_host_usage_new_unknown(void)
{
    GwHostUsage *usage = gw_host_usage_new();

    usage->cpu_permille = usage->memory_used_kib = usage->network_bps = -1;
    return usage;
}

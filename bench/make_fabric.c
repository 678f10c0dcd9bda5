/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes a fabric made by chance for godwitd --simulate, and what the API is to be told of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fabric.h"

typedef struct {
    gint hosts, vms, seed, share, rack, rules, full, local, off, old; /* of the fabric */
    gint link, dirty, latency;                                        /* of the simulator */
    char *output, *setup;
} Options;

#define VMS_MOST 10000
#define RULES_MOST 1000
#define UNSAID G_MININT

typedef struct {
    const char *name;
    gint *value;
    gint least, most;
} Range;

static const char about[] =
    "Writes a simulated data centre as a file for godwitd --simulate (docs/simulator.md). The\n"
    "same options give the same file.";
static const char more[] =
    "FILE holds what hosts say of themselves: their facts, pools and VMs. Hosts have 64 GiB to\n"
    "1 TiB of memory; 60 of 100 VMs have 1-4 GiB, a few 64; half of each say what they use. What\n"
    "only a controller knows is not part of it: host groups with their goals and reserves, tags,\n"
    "numbers of moves at a time, placement rules. --setup writes that, for the same options, as\n"
    "a JSON object: host-groups, hosts and rules, each a list of the bodies to POST to\n"
    "/api/v1/host-groups, /hosts and /rules, in this order. Rules name VMs of FILE, and all of\n"
    "them hold at the beginning.";

/* Of real hosts: a CPU of a kilobyte, tens of machine types. -------------------------------- */

static char *cpu_xml(void)
{
    static const char features[] =
        "ss vmx pdcm hypervisor tsc_adjust clflushopt clwb umip pku md-clear stibp "
        "arch-capabilities ssbd xsaves pdpe1gb ibpb ibrs amd-stibp amd-ssbd rdctl-no ibrs-all "
        "skip-l1dfl-vmentry mds-no pschange-mc-no fb-clear";
    g_auto(GStrv) names = g_strsplit(features, " ", -1);
    GString *xml = g_string_new("<cpu mode='custom' match='exact' check='full'><model "
                                "fallback='forbid'>Skylake-Server</model><vendor>Intel</vendor>");

    for (guint i = 0; names[i] != NULL; i++)
        g_string_append_printf(xml, "<feature policy='require' name='%s'/>", names[i]);
    g_string_append(xml, "</cpu>");
    return g_string_free(xml, FALSE);
}

/* Older types than those that the fabric gave it, which decide where VMs can go. */
static void add_machines(json_t *facts)
{
    static const char *const older[] = {
        "pc-q35-7.1",    "pc-q35-7.0",    "pc-q35-6.2",    "pc-q35-6.1",    "pc-q35-6.0",
        "pc-q35-5.2",    "pc-q35-5.1",    "pc-q35-5.0",    "pc-q35-4.2",    "pc-q35-4.1",
        "pc-q35-4.0",    "pc-q35-3.1",    "pc-q35-3.0",    "pc-i440fx-7.2", "pc-i440fx-7.1",
        "pc-i440fx-7.0", "pc-i440fx-6.2", "pc-i440fx-6.1", "pc-i440fx-6.0", "pc-i440fx-5.2",
        "pc-i440fx-5.1",
    };
    json_t *machines = json_object_get(facts, "machines");

    for (guint i = 0; i < G_N_ELEMENTS(older); i++)
        json_array_append_new(machines, json_string(older[i]));
}

static void enlarge(json_t *host, const char *cpu)
{
    json_t *facts = json_object_get(host, "facts");
    json_t *vms = json_object_get(host, "vms");

    json_object_set_new(facts, "cpu_xml", json_string(cpu));
    add_machines(facts);
    for (gsize i = 0; i < json_array_size(vms); i++)
        json_object_set_new(json_array_get(vms, i), "cpu_xml", json_string(cpu));
}

static json_t *file_json(const GwFabric *fabric, const Options *options)
{
    json_t *file = fabric_sim_json(fabric, options->link);
    json_t *hosts = json_object_get(file, "hosts");
    g_autofree char *cpu = cpu_xml();

    json_object_set_new(file, "dirty_mibps", json_integer(options->dirty));
    for (gsize i = 0; i < json_array_size(hosts); i++) {
        json_t *host = json_array_get(hosts, i);
        json_object_set_new(host, "latency_ms", json_integer(options->latency));
        enlarge(host, cpu);
    }
    return file;
}

/* The program ------------------------------------------------------------------------------- */

static gboolean write_json(const char *path, const json_t *json)
{
    FILE *out = path != NULL ? fopen(path, "we") : stdout;
    gboolean written = out != NULL && json_dumpf(json, out, JSON_COMPACT) == 0 &&
                       fputc('\n', out) != EOF && fflush(out) == 0;
    int problem = errno;

    if (out != NULL && path != NULL && fclose(out) != 0) {
        problem = written ? errno : problem;
        written = FALSE;
    }
    if (!written)
        fprintf(stderr, "make-fabric: %s cannot be written: %s\n", path != NULL ? path : "-",
                g_strerror(problem));
    return written;
}

static gboolean check(const Range *ranges, gsize count)
{
    for (gsize i = 0; i < count; i++) {
        if (*ranges[i].value >= ranges[i].least && *ranges[i].value <= ranges[i].most)
            continue;
        fprintf(stderr, "make-fabric: --%s is %d, must be %d to %d\n", ranges[i].name,
                *ranges[i].value, ranges[i].least, ranges[i].most);
        return FALSE;
    }
    return TRUE;
}

/* What goes with the other options. */
static void fill_in(Options *o)
{
    if (o->vms == UNSAID)
        o->vms = CLAMP(o->hosts, 0, VMS_MOST / 10) * 10;
    if (o->rules == UNSAID)
        o->rules = o->rack > 0 ? CLAMP(o->vms / 20, 0, 200) : 0;
}

static gboolean in_range(Options *o)
{
    const Range ranges[] = {
        { "hosts", &o->hosts, 1, 1000 },
        { "vms", &o->vms, 0, VMS_MOST },
        { "seed", &o->seed, 0, G_MAXINT },
        { "hosts-per-share", &o->share, 0, 1000 },
        { "hosts-per-rack", &o->rack, 0, 1000 },
        { "rules", &o->rules, 0, RULES_MOST },
        { "full", &o->full, 1, 100 },
        { "local", &o->local, 0, 100 },
        { "off", &o->off, 0, 100 },
        { "old", &o->old, 0, 100 },
        { "link", &o->link, 1, 100000 },
        { "dirty", &o->dirty, 0, 100000 },
        { "latency", &o->latency, 0, 10000 },
    };

    if (!check(ranges, G_N_ELEMENTS(ranges)))
        return FALSE;
    if (o->rules > 0 && o->rack == 0) {
        fprintf(stderr, "make-fabric: --rules rest on tags of racks: give --hosts-per-rack, or "
                        "--rules 0\n");
        return FALSE;
    }
    return TRUE;
}

static gboolean parse(Options *o, int argc, char **argv)
{
    const GOptionEntry entries[] = {
        { "hosts", 0, 0, G_OPTION_ARG_INT, &o->hosts, "up to 1000 (1000)", "N" },
        { "vms", 0, 0, G_OPTION_ARG_INT, &o->vms, "up to 10000 (10 for each host)", "N" },
        { "seed", 0, 0, G_OPTION_ARG_INT, &o->seed, "another makes another fabric (1)", "N" },
        { "hosts-per-share", 0, 0, G_OPTION_ARG_INT, &o->share,
          "hosts that reach one NFS export; 0: all (100)", "N" },
        { "hosts-per-rack", 0, 0, G_OPTION_ARG_INT, &o->rack,
          "hosts of one group in the setup; 0: no groups (20)", "N" },
        { "rules", 0, 0, G_OPTION_ARG_INT, &o->rules,
          "placement rules of the setup, as far as VMs are found for them (one for 20 VMs, at most "
          "200)",
          "N" },
        { "full", 0, 0, G_OPTION_ARG_INT, &o->full, "memory that VMs take at most, % (50)", "N" },
        { "local", 0, 0, G_OPTION_ARG_INT, &o->local, "VMs on local storage, % (0)", "N" },
        { "off", 0, 0, G_OPTION_ARG_INT, &o->off, "VMs that are off, % (5)", "N" },
        { "old", 0, 0, G_OPTION_ARG_INT, &o->old,
          "racks with older libvirt, QEMU and machine types, % (20)", "N" },
        { "link", 0, 0, G_OPTION_ARG_INT, &o->link, "MiB/s of every move (1100)", "N" },
        { "dirty", 0, 0, G_OPTION_ARG_INT, &o->dirty, "MiB/s by every moving VM (20)", "N" },
        { "latency", 0, 0, G_OPTION_ARG_INT, &o->latency, "ms of every answer (1)", "N" },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &o->output, "default: standard output", "FILE" },
        { "setup", 0, 0, G_OPTION_ARG_FILENAME, &o->setup, "what the API is to be told", "FILE" },
        { .long_name = NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    g_option_context_set_summary(context, about);
    g_option_context_set_description(context, more);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "make-fabric: %s\n", error->message);
        return FALSE;
    }
    if (argc > 1) {
        fprintf(stderr, "make-fabric: '%s' is no option\n", argv[1]);
        return FALSE;
    }
    fill_in(o);
    return in_range(o);
}

int main(int argc, char **argv)
{
    Options o = { .hosts = 1000,
                  .vms = UNSAID,
                  .seed = 1,
                  .share = 100,
                  .rack = 20,
                  .rules = UNSAID,
                  .full = 50,
                  .off = 5,
                  .old = 20,
                  .link = 1100,
                  .dirty = 20,
                  .latency = 1 };

    if (!parse(&o, argc, argv))
        return 2;
    const FabricOptions wanted = { .seed = (guint32)o.seed,
                                   .hosts = (guint)o.hosts,
                                   .vms = (guint)o.vms,
                                   .hosts_per_share = (guint)o.share,
                                   .full_percent = (guint)o.full,
                                   .local_percent = (guint)o.local,
                                   .off_percent = (guint)o.off,
                                   .hosts_per_rack = (guint)o.rack,
                                   .old_percent = (guint)o.old,
                                   .rack_rules = (guint)o.rules };
    g_autoptr(GwFabric) fabric = fabric_make(&wanted);
    g_autoptr(GwJson) file = file_json(fabric, &o);
    g_autoptr(GwJson) setup = o.setup != NULL ? fabric_setup_json(fabric) : NULL;
    gboolean written = write_json(o.output, file) && (setup == NULL || write_json(o.setup, setup));

    g_free(o.output);
    g_free(o.setup);
    return written ? 0 : 1;
}

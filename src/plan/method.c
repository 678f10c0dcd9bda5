/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/method.h"

#include "plan/rule.h"

#define CHANNELS_DEFAULT 2
#define QEMU_POST_COPY_PARALLEL 10001000 /* multifd and post-copy can be combined from here */

/* Each way to carry a method out, best first; the first that both ends can do is taken. The last
 * of each method wants nothing. */
typedef struct {
    GwMethod method;
    const char *compression;
    gboolean parallel;
    gint64 libvirt, qemu; /* the oldest that can */
    const char *words;
    const char *what; /* that needs those versions */
} Way;

static const Way ways[] = {
    { GW_METHOD_COMPRESSION, "zstd", TRUE, 9004000, 5000000, "Compression (multifd with zstd)",
      "zstd over parallel connections" },
    { GW_METHOD_COMPRESSION, "xbzrle", FALSE, 0, 0, "Compression (xbzrle)", NULL },
    { GW_METHOD_MULTICHANNEL, NULL, TRUE, 5002000, 4000000, "Multichannel",
      "a move over parallel connections" },
    { GW_METHOD_MULTICHANNEL, NULL, FALSE, 0, 0, "Standard", NULL },
    { GW_METHOD_STANDARD, NULL, FALSE, 0, 0, "Standard", NULL },
};

static GwMethod method_of(const GwPlanInput *input)
{
    int method = gw_plan_options(input)->method;

    if (method == (int)GW_METHOD_DEFAULT)
        method = input->source->method;
    return method == (int)GW_METHOD_DEFAULT ? GW_METHOD_COMPRESSION : (GwMethod)method;
}

static gboolean splits_post_copy(const GwPlanInput *input)
{
    return gw_plan_facts(input->source)->qemu_version < QEMU_POST_COPY_PARALLEL ||
           gw_plan_facts(input->destination)->qemu_version < QEMU_POST_COPY_PARALLEL;
}

static char *too_old(const GwHost *host, const char *program, gint64 has, gint64 needs,
                     const char *what)
{
    if (has >= needs)
        return NULL;
    g_autofree char *has_text = has == 0 ? g_strdup("of unknown version") : gw_plan_version(has);
    g_autofree char *needs_text = gw_plan_version(needs);
    return g_strdup_printf("%s has %s %s, %s needs %s", gw_plan_host_name(host), program, has_text,
                           what, needs_text);
}

/* Why @way cannot be gone between the two ends, or NULL where it can. */
static char *obstacle(const GwPlanInput *input, const Way *way)
{
    const GwHost *ends[] = { input->source, input->destination };

    for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
        const GwHostFacts *facts = gw_plan_facts(ends[i]);
        char *why = too_old(ends[i], "libvirt", facts->libvirt_version, way->libvirt, way->what);
        if (why == NULL)
            why = too_old(ends[i], "QEMU", facts->qemu_version, way->qemu, way->what);
        if (why != NULL)
            return why;
    }
    if (way->parallel && gw_plan_options(input)->post_copy && splits_post_copy(input))
        return g_strdup("post-copy is asked for, which QEMU before 10.1 cannot combine with "
                        "parallel connections");
    return NULL;
}

static char *describe(const Way *way, gint64 channels, const char *instead)
{
    g_autofree char *count = way->parallel && way->compression == NULL
                                 ? g_strdup_printf(" (%" G_GINT64_FORMAT " connections)", channels)
                                 : g_strdup("");
    return g_strdup_printf("%s%s%s%s", way->words, count, instead != NULL ? ": " : "",
                           instead != NULL ? instead : "");
}

GwMethodChoice gw_method_choose(const GwPlanInput *input)
{
    GwMethod method = method_of(input);
    gint64 asked = gw_plan_options(input)->channels;
    gint64 channels = asked > 0 ? asked : CHANNELS_DEFAULT;
    g_autofree char *instead = NULL; /* why the way before was not taken */
    const Way *way = ways;

    for (;; way++) {
        if (way->method != method)
            continue;
        char *why = obstacle(input, way);
        if (why == NULL)
            break;
        g_free(instead);
        instead = why;
    }
    return (GwMethodChoice){ way->compression, way->parallel ? channels : 0,
                             describe(way, channels, instead) };
}

/* Options that cannot be combined, with each other or with what the fabric is. */
typedef struct {
    gboolean (*asked)(const GwPlanInput *input);
    gboolean (*clashes)(const GwPlanInput *input);
    GwSeverity severity;
    const char *observed, *required, *remedy;
} Conflict;

static gboolean asks_post_copy(const GwPlanInput *input)
{
    return gw_plan_options(input)->post_copy;
}

static gboolean asks_channels(const GwPlanInput *input)
{
    return gw_plan_options(input)->channels > 0;
}

static gboolean copies_disks(const GwPlanInput *input)
{
    return input->storage->transfer == GW_TRANSFER_LIVE_VSM;
}

static gboolean lacks_locks(const GwPlanInput *input)
{
    return !copies_disks(input) && !gw_plan_locks_cover(input);
}

static gboolean is_multichannel_without_post_copy(const GwPlanInput *input)
{
    return method_of(input) == GW_METHOD_MULTICHANNEL && splits_post_copy(input);
}

static gboolean is_single(const GwPlanInput *input)
{
    GwMethodChoice choice = gw_method_choose(input);
    g_free(choice.words);
    return choice.channels == 0;
}

static gboolean asks_tls(const GwPlanInput *input)
{
    return gw_plan_options(input)->tls;
}

static gboolean is_through_agents(const GwPlanInput *input)
{
    return gw_plan_through_agents(input->source, input->destination);
}

static const Conflict conflicts[] = {
    { asks_post_copy, copies_disks, GW_SEVERITY_ERROR,
      "Post-copy is asked for, but disks are copied with the VM (Live (VSM)): it would run at the "
      "destination on disks whose last writes are still at the source",
      "A move without disks to copy, on shares whose locks are proved.",
      "Move without post-copy." },
    { asks_post_copy, lacks_locks, GW_SEVERITY_ERROR,
      "Post-copy is asked for, but no proved lock covers every writable disk: such a move leaves "
      "the destination paused until the source is seen gone, and libvirt refuses to combine that "
      "with post-copy",
      "Every writable disk on a share whose locks are proved.",
      "Move without post-copy, or prove the share and its locks: godwit share prove." },
    { asks_post_copy, is_multichannel_without_post_copy, GW_SEVERITY_ERROR,
      "Post-copy and Multichannel are asked for together",
      "QEMU 10.1 or newer on both hosts to combine the two.",
      "Choose another method, or move without post-copy." },
    { asks_channels, is_single, GW_SEVERITY_WARNING,
      "A number of connections is given, but this move uses a single one",
      "Multichannel, or Compression over parallel connections.",
      "Choose the method Multichannel, or leave the number out." },
    { asks_tls, is_through_agents, GW_SEVERITY_WARNING,
      "Encryption by QEMU is asked for, but this move goes through the agents of both hosts, which "
      "encrypt all of it: QEMU's own is left out",
      "Nothing more: it is encrypted.", "Leave --tls out." },
};

static void check_conflicts(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    for (guint i = 0; i < G_N_ELEMENTS(conflicts); i++) {
        const Conflict *row = &conflicts[i];
        if (row->asked(input) && row->clashes(input))
            gw_rule_add_as(self, row->severity, findings, g_strdup(row->observed),
                           g_strdup(row->required), g_strdup(row->remedy));
    }
}

const GwRule gw_rule_option_conflict = {
    "option-conflict", "R24",
    GW_SEVERITY_ERROR, "The options must be possible together, here.",
    GW_RULE_LIVE,      check_conflicts
};

static void check_tls(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    if (!asks_tls(input) || is_through_agents(input))
        return;
    gw_rule_add(self, findings,
                g_strdup_printf("Encryption is asked for; whether QEMU on %s and %s has "
                                "certificates cannot be seen from here",
                                gw_plan_host_name(input->source),
                                gw_plan_host_name(input->destination)),
                g_strdup("Certificates for migration on both hosts (migrate_tls_x509_cert_dir in "
                         "qemu.conf)."),
                g_strdup_printf("See that they are there, and that the destination's names the "
                                "address it is reached by. If not, the move fails before anything "
                                "is copied and %s stays on %s.",
                                gw_plan_vm_name(input->vm), gw_plan_host_name(input->source)));
}

const GwRule gw_rule_tls_certificates = {
    "tls-certificates",  "R24",
    GW_SEVERITY_WARNING, "QEMU's TLS needs certificates on both hosts.",
    GW_RULE_LIVE,        check_tls
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"
#include "plan/reach.h"
#include "plan/rule.h"
#include "plan/script.h"

/* R43: the move as commands. Every name is one quoted word, since names may hold anything. */

static void add_number(GString *line, const char *option, gint64 value)
{
    if (value > 0)
        g_string_append_printf(line, " %s %" G_GINT64_FORMAT, option, value);
}

static void add_flag(GString *line, const char *option, gboolean set)
{
    if (set)
        g_string_append_printf(line, " %s", option);
}

void gw_script_add_word(GString *line, const char *word)
{
    g_autofree char *quoted = gw_plan_quote(word);
    g_string_append_printf(line, " %s", quoted);
}

/* The name where it finds this VM and can be shown as it is, else the UUID. */
static const char *word_for_vm(const GwPlanInput *input)
{
    const GwVm *vm = input->vm;
    gboolean named = gw_text_check_name("VM", vm->name, NULL) &&
                     gw_fabric_find_vm(input->fabric, vm->name, NULL) == vm;
    return named ? vm->name : vm->uuid;
}

/* The shell's words of GwTransfer, as the command line takes them. */
static const char *const transfer_words[] = {
    [GW_TRANSFER_LIVE] = "live",       [GW_TRANSFER_LIVE_VSM] = "live-vsm",
    [GW_TRANSFER_NETWORK] = "network", [GW_TRANSFER_FAST_COPY] = "fast-copy",
    [GW_TRANSFER_SAN] = "san",         [GW_TRANSFER_REGISTER] = "register",
};

static void add_speed(GString *line, const GwMoveOptions *options)
{
    if (options->method != (int)GW_METHOD_DEFAULT) {
        g_string_append(line, " --method");
        gw_script_add_word(line, gw_enum_word(&gw_method_enum, options->method));
    }
    add_number(line, "--bandwidth", options->bandwidth_mibps);
    add_number(line, "--max-downtime", options->max_downtime_ms);
    add_number(line, "--channels", options->channels);
    add_flag(line, "--post-copy", options->post_copy);
    add_flag(line, "--no-auto-converge", options->no_auto_converge);
    add_flag(line, "--tls", options->tls);
    add_number(line, "--completion-timeout", options->completion_timeout_s_per_gib);
    add_number(line, "--progress-timeout", options->progress_timeout_s);
}

/* The name apart from the place: both may hold slashes or commas of their own. */
static void add_disk(GString *line, const GwDiskChoice *choice)
{
    g_autofree char *text = g_strdup_printf(
        "%s:%s%s%s%s%s", gw_plan_text(choice->target),
        choice->storage != NULL ? choice->storage : "", choice->name != NULL ? ",name=" : "",
        choice->name != NULL ? choice->name : "", choice->format != NULL ? ",format=" : "",
        choice->format != NULL ? choice->format : "");

    g_string_append(line, " --disk");
    gw_script_add_word(line, text);
}

/* What both commands take. */
static void add_places(GString *line, const GwMoveOptions *options)
{
    for (guint i = 0; options->disks != NULL && i < options->disks->len; i++)
        add_disk(line, options->disks->pdata[i]);
    add_flag(line, "--flatten", options->flatten);
    add_flag(line, "--wait-for-merge", options->wait_for_merge);
    if (options->keep_source_s < 0)
        g_string_append(line, " --keep-source none");
    else if (options->keep_source_s > 0)
        g_string_append_printf(line, " --keep-source %" G_GINT64_FORMAT "s",
                               options->keep_source_s);
    add_flag(line, "--add-default-storage", options->add_default_storage);
}

static void add_transfer(GString *line, const GwMoveOptions *options)
{
    guint transfer = (guint)options->transfer;

    if (options->storage != NULL) {
        g_string_append(line, " --storage");
        gw_script_add_word(line, options->storage);
    }
    if (transfer < G_N_ELEMENTS(transfer_words) && transfer_words[transfer] != NULL)
        g_string_append_printf(line, " --transfer %s", transfer_words[transfer]);
    add_flag(line, "--copy-all", options->copy_all);
    add_flag(line, "--network", options->network);
    add_flag(line, "--start", options->start);
}

char **gw_plan_script_cli(const GwPlanInput *input)
{
    const GwMoveOptions *options = gw_plan_options(input);
    gboolean within = gw_plan_is_within(input) && options->transfer == (int)GW_TRANSFER_STORAGE;
    GString *line = g_string_new(within ? "godwit vm migrate-storage" : "godwit vm migrate");
    const char *vm = word_for_vm(input);
    const char *host = gw_text_check_name("host", input->destination->name, NULL)
                           ? input->destination->name
                           : input->destination->id;
    const char *last = within ? options->storage : host;

    if (within) {
        add_number(line, "--bandwidth", options->bandwidth_mibps);
    } else {
        add_speed(line, options);
        add_transfer(line, options);
        gw_script_add_nics(line, options);
        gw_script_add_hbas(line, options);
    }
    add_places(line, options);
    add_flag(line, "--", *vm == '-' || (last != NULL && *last == '-'));
    gw_script_add_word(line, vm);
    if (last != NULL)
        gw_script_add_word(line, last);

    char **script = g_new0(char *, 2);
    script[0] = g_string_free(line, FALSE);
    return script;
}

/* virsh does not know what leads to an agent. */
static void add_uri(GString *line, const GwHost *host, const char *variable)
{
    if (gw_host_has_agent(host))
        g_string_append_printf(line, " \"$%s\"", variable);
    else
        gw_script_add_word(line, host->uri);
}

static const char *variable_of(const GwPlanInput *input, const GwHost *host)
{
    return host == input->source ? "SOURCE_URI" : "DESTINATION_URI";
}

GString *gw_script_virsh(const GwPlanInput *input, const GwHost *host, const char *command)
{
    GString *line = g_string_new("virsh -c");

    add_uri(line, host, variable_of(input, host));
    g_string_append_printf(line, " %s", command);
    return line;
}

static void add_migration_uri(GString *line, const GwHost *host)
{
    const char *address = host->migration_address;
    if (address == NULL || *address == '\0')
        return;

    gboolean bare_ipv6 = strchr(address, ':') != NULL && *address != '[';
    g_autofree char *uri = g_strdup_printf(bare_ipv6 ? "tcp://[%s]" : "tcp://%s", address);
    g_string_append(line, " --migrateuri");
    gw_script_add_word(line, uri);
}

static char *virsh_migrate(const GwPlanInput *input, const GwMoveDecision *decision,
                           gboolean peer_to_peer, const char *vm)
{
    GString *line = gw_script_virsh(input, input->source, "migrate --live --verbose");
    g_autofree char *peer = peer_to_peer ? gw_host_peer_uri(input->destination) : NULL;

    add_flag(line, "--p2p", peer_to_peer);
    add_flag(line, "--persistent", input->vm->persistent);
    add_flag(line, "--suspend", decision->commit_by_resume);
    add_flag(line, "--unsafe", decision->unsafe);
    add_flag(line, "--auto-converge", decision->auto_converge);
    add_flag(line, "--postcopy", decision->post_copy);
    add_flag(line, "--tls", decision->tls);
    if (decision->compression != NULL) {
        g_string_append(line, " --compressed --comp-methods");
        gw_script_add_word(line, decision->compression);
    }
    add_flag(line, "--parallel", decision->channels > 0);
    add_number(line, "--parallel-connections", decision->channels);
    add_number(line, "--bandwidth", decision->bandwidth_mibps);
    add_migration_uri(line, input->destination);
    gw_script_migrate_disks(line, input);
    g_string_append_printf(line, " %s", vm);
    if (peer != NULL)
        gw_script_add_word(line, peer);
    else
        add_uri(line, input->destination, "DESTINATION_URI");
    return g_string_free(line, FALSE);
}

char *gw_script_on(const GwPlanInput *input, const GwHost *host, const char *command,
                   const char *vm, const char *rest)
{
    GString *line = gw_script_virsh(input, host, command);
    g_string_append_printf(line, " %s%s", vm, rest);
    return g_string_free(line, FALSE);
}

void gw_script_take(GStrvBuilder *lines, char *line)
{
    g_strv_builder_add(lines, line);
    g_free(line);
}

/* What is not virsh's to do is said. */
static void explain_agents(GStrvBuilder *lines, const GwPlanInput *input, gboolean through_agents)
{
    const GwHost *const ends[] = { input->source, input->destination };
    guint count = gw_plan_is_within(input) ? 1 : 2;

    if (through_agents) {
        gw_script_take(
            lines, g_strdup("# This move goes through the agents of both hosts: libvirt is given "
                            "sockets in /run/libvirt/godwit"));
        gw_script_take(lines,
                       g_strdup("# that are there only while the job runs. Without them it goes "
                                "directly, and unencrypted unless --tls is added:"));
    }
    for (guint i = 0; i < count; i++) {
        if (!gw_host_has_agent(ends[i]))
            continue;
        g_autofree char *name = gw_text_printable(gw_plan_host_name(ends[i]), GW_TEXT_MESSAGE_MAX);
        gw_script_take(
            lines, g_strdup_printf("# %s is known by its agent, which virsh cannot use: set %s to "
                                   "a libvirt URI of it.",
                                   name, variable_of(input, ends[i])));
    }
}

static void live_lines(GStrvBuilder *lines, const GwPlanInput *input,
                       const GwMoveDecision *decision, gboolean peer_to_peer, const char *vm)
{
    explain_agents(lines, input, decision->through_agents);
    gw_script_before_live(lines, input, vm);
    if (decision->max_downtime_ms > 0) {
        g_autofree char *ms = g_strdup_printf(" %" G_GINT64_FORMAT, decision->max_downtime_ms);
        gw_script_take(lines, gw_script_on(input, input->source, "migrate-setmaxdowntime", vm, ms));
    }
    gw_script_take(lines, virsh_migrate(input, decision, peer_to_peer, vm));
    if (decision->commit_by_resume) {
        /* Only once the source is seen gone may the destination run. */
        gw_script_take(
            lines, g_strdup("# Go on only if this says 'shut off' (or that there is no such VM):"));
        gw_script_take(lines, gw_script_on(input, input->source, "domstate", vm, ""));
        gw_script_take(lines, gw_script_on(input, input->destination, "resume", vm, ""));
    }
    if (input->vm->persistent && input->vm->autostart)
        gw_script_take(lines, gw_script_on(input, input->destination, "autostart", vm, ""));
    if (input->vm->persistent)
        gw_script_take(lines, gw_script_on(input, input->source, "undefine", vm, " --keep-nvram"));
}

char **gw_plan_script_virsh(const GwPlanInput *input, const GwMoveDecision *decision,
                            gboolean peer_to_peer)
{
    GwPlanInput own = *input;
    g_autoptr(GPtrArray) reaches = gw_reach_all(input);
    own.reaches = reaches;
    g_autoptr(GwStoragePlan) storage = gw_plan_storage(&own);
    own.storage = storage;
    g_autoptr(GPtrArray) nics = gw_plan_is_within(&own) ? NULL : gw_plan_networks(&own);
    own.nics = nics;
    g_autoptr(GStrvBuilder) lines = g_strv_builder_new();
    g_autofree char *vm = gw_plan_virsh_vm(own.vm);

    if (gw_script_writes_files(&own))
        gw_script_take(lines, g_strdup("umask 077 # what is written here holds secrets"));
    if (gw_plan_is_live(own.vm) && !gw_plan_is_within(&own)) {
        live_lines(lines, &own, decision, peer_to_peer, vm);
        return g_strv_builder_end(lines);
    }
    explain_agents(lines, &own, FALSE);
    if (gw_plan_is_within(&own))
        gw_script_within(lines, &own, vm);
    else
        gw_script_off(lines, &own, vm);
    return g_strv_builder_end(lines);
}

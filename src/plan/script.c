/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/script.h"

#include <string.h>

#include "base/text.h"

/* R43: the move as virsh commands. Every name is one quoted word, since names may hold anything. */

void gw_script_number(GString *line, const char *option, gint64 value)
{
    if (value > 0)
        g_string_append_printf(line, " %s %" G_GINT64_FORMAT, option, value);
}

void gw_script_flag(GString *line, const char *option, gboolean set)
{
    if (set)
        g_string_append_printf(line, " %s", option);
}

void gw_script_word(GString *line, const char *word)
{
    g_autofree char *quoted = gw_plan_quote(word);
    g_string_append_printf(line, " %s", quoted);
}

/* virsh does not know what leads to an agent. */
static void add_uri(GString *line, const GwHost *host, const char *variable)
{
    if (gw_host_has_agent(host))
        g_string_append_printf(line, " \"$%s\"", variable);
    else
        gw_script_word(line, host->uri);
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
    gw_script_word(line, uri);
}

static char *virsh_migrate(const GwPlanInput *input, const GwMoveDecision *decision,
                           gboolean peer_to_peer, const char *vm)
{
    GString *line = gw_script_virsh(input, input->source, "migrate --live --verbose");
    g_autofree char *peer = peer_to_peer ? gw_host_peer_uri(input->destination) : NULL;

    gw_script_flag(line, "--p2p", peer_to_peer);
    gw_script_flag(line, "--persistent", input->vm->persistent);
    gw_script_flag(line, "--suspend", decision->commit_by_resume);
    gw_script_flag(line, "--unsafe", decision->unsafe);
    gw_script_flag(line, "--auto-converge", decision->auto_converge);
    gw_script_flag(line, "--postcopy", decision->post_copy);
    gw_script_flag(line, "--tls", decision->tls);
    if (decision->compression != NULL) {
        g_string_append(line, " --compressed --comp-methods");
        gw_script_word(line, decision->compression);
    }
    gw_script_flag(line, "--parallel", decision->channels > 0);
    gw_script_number(line, "--parallel-connections", decision->channels);
    gw_script_number(line, "--bandwidth", decision->bandwidth_mibps);
    add_migration_uri(line, input->destination);
    if (input->storage->transfer == GW_TRANSFER_LIVE_VSM)
        gw_script_vsm_options(line, input);
    g_string_append_printf(line, " %s", vm);
    if (peer != NULL)
        gw_script_word(line, peer);
    else
        add_uri(line, input->destination, "DESTINATION_URI");
    return g_string_free(line, FALSE);
}

static char *virsh_on(const GwPlanInput *input, const GwHost *host, const char *command,
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

    if (through_agents) {
        gw_script_take(
            lines, g_strdup("# This move goes through the agents of both hosts: libvirt is given "
                            "sockets in /run/libvirt/godwit"));
        gw_script_take(lines,
                       g_strdup("# that are there only while the job runs. Without them it goes "
                                "directly, and unencrypted unless --tls is added:"));
    }
    for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
        if (!gw_host_has_agent(ends[i]))
            continue;
        g_autofree char *name = gw_text_printable(gw_plan_host_name(ends[i]), GW_TEXT_MESSAGE_MAX);
        gw_script_take(
            lines, g_strdup_printf("# %s is known by its agent, which virsh cannot use: set %s to "
                                   "a libvirt URI of it.",
                                   name, variable_of(input, ends[i])));
    }
}

static void script_live(GStrvBuilder *lines, const GwPlanInput *input,
                        const GwMoveDecision *decision, gboolean peer_to_peer)
{
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);

    if (input->storage->transfer == GW_TRANSFER_LIVE_VSM)
        gw_script_before_vsm(lines, input);
    if (decision->max_downtime_ms > 0) {
        g_autofree char *ms = g_strdup_printf(" %" G_GINT64_FORMAT, decision->max_downtime_ms);
        gw_script_take(lines, virsh_on(input, input->source, "migrate-setmaxdowntime", vm, ms));
    }
    gw_script_take(lines, virsh_migrate(input, decision, peer_to_peer, vm));
    if (decision->commit_by_resume) {
        /* Only once the source is seen gone may the destination run. */
        gw_script_take(
            lines, g_strdup("# Go on only if this says 'shut off' (or that there is no such VM):"));
        gw_script_take(lines, virsh_on(input, input->source, "domstate", vm, ""));
        gw_script_take(lines, virsh_on(input, input->destination, "resume", vm, ""));
    }
    if (input->vm->persistent && input->vm->autostart)
        gw_script_take(lines, virsh_on(input, input->destination, "autostart", vm, ""));
    if (input->vm->persistent)
        gw_script_take(lines, virsh_on(input, input->source, "undefine", vm, " --keep-nvram"));
}

char **gw_plan_script_virsh(const GwPlanInput *input, const GwMoveDecision *decision,
                            gboolean peer_to_peer)
{
    g_autoptr(GStrvBuilder) lines = g_strv_builder_new();
    g_autoptr(GwStoragePlan) storage = gw_plan_storage(input);
    GwPlanInput with = *input;

    with.storage = storage;
    explain_agents(lines, &with, decision->through_agents && gw_plan_is_live(input->vm));
    if (gw_plan_is_within(&with))
        gw_script_within(lines, &with);
    else if (gw_plan_is_live(input->vm))
        script_live(lines, &with, decision, peer_to_peer);
    else
        gw_script_off(lines, &with);
    return g_strv_builder_end(lines);
}

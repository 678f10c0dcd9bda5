/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/network_words.h"

#include <string.h>

#include "base/error.h"
#include "cli/columns.h"
#include "cli/format.h"
#include "model/network.h"

/* Typed ----------------------------------------------------------------------------------- */

#define NIC_REMEDY                                                                                 \
    "Give MAC=NETWORK or MAC=none, then ,port-group=GROUP or ,link=down as needed: "               \
    "52:54:00:12:34:56=lan, 52:54:00:12:34:56=bridge:br1, 52:54:00:12:34:56=none."

static gboolean bad_nic(GError **error, const char *text, const char *why)
{
    gw_error_set(error, GW_ERR_INVALID, NIC_REMEDY, "--nic '%.300s': %s", text, why);
    return FALSE;
}

/* Cuts the setting that @network ends with off, and gives its value; NULL: it ends with none. A
 * comma is otherwise a character like any other. */
static char *take_setting(char *network, const char *key)
{
    g_autofree char *mark = g_strdup_printf(",%s=", key);
    char *at = g_strrstr(network, mark);

    if (at == NULL)
        return NULL;
    char *value = g_strdup(at + strlen(mark));
    *at = '\0';
    return value;
}

static const char *take_kind(json_t *nic, const char *network)
{
    static const char *const kinds[][2] = { { "network:", "libvirt" }, { "bridge:", "bridge" } };

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (g_str_has_prefix(network, kinds[i][0])) {
            json_object_set_new(nic, "kind", json_string(kinds[i][1]));
            return network + strlen(kinds[i][0]);
        }
    }
    return network;
}

static gboolean put_network(json_t *nic, const char *text, const char *said, GError **error)
{
    g_autofree char *network = g_strdup(said);
    g_autofree char *link = take_setting(network, "link");
    g_autofree char *group = take_setting(network, "port-group");

    if (link != NULL && strcmp(link, "down") != 0)
        return bad_nic(error, text, "the link can be down, or left out");
    if (link != NULL)
        json_object_set_new(nic, "link_down", json_true());
    if (group != NULL)
        json_object_set_new(nic, "port_group", json_string(group));
    if (strcmp(network, "none") == 0)
        json_object_set_new(nic, "none", json_true());
    else if (*network != '\0')
        json_object_set_new(nic, "network", json_string(take_kind(nic, network)));
    return TRUE;
}

json_t *gw_nic_choice_read(const char *text, GError **error)
{
    const char *equals = strchr(text, '=');
    g_autoptr(GwJson) nic = json_object();
    g_autoptr(GError) why = NULL;

    if (equals == NULL || equals == text) {
        bad_nic(error, text, "it does not begin with an adapter's MAC address and '='");
        return NULL;
    }
    g_autofree char *mac = g_strndup(text, (gsize)(equals - text));
    json_object_set_new(nic, "mac", json_string(mac));
    if (!put_network(nic, text, equals + 1, error))
        return NULL;
    GwNicChoice *choice = gw_record_from_request(&gw_nic_choice_record, nic, &why);
    gboolean well = choice != NULL && gw_nic_choice_check(choice, &why);
    gw_nic_choice_free(choice);
    if (well)
        return g_steal_pointer(&nic);
    bad_nic(error, text, why->message);
    return NULL;
}

static gboolean is_chosen(json_t *nics, json_t *nic)
{
    for (gsize i = 0; i < json_array_size(nics); i++) {
        if (g_ascii_strcasecmp(gw_at_text(json_array_get(nics, i), "mac"),
                               gw_at_text(nic, "mac")) == 0)
            return TRUE;
    }
    return FALSE;
}

json_t *gw_nic_choices(const GwArgs *args, GError **error)
{
    const GPtrArray *given = gw_args_all(args, "nic");
    g_autoptr(GwJson) nics = json_array();

    for (guint i = 0; given != NULL && i < given->len; i++) {
        g_autoptr(GwJson) nic = gw_nic_choice_read(given->pdata[i], error);
        if (nic == NULL)
            return NULL;
        if (is_chosen(nics, nic)) {
            bad_nic(error, given->pdata[i], "this adapter is chosen twice");
            return NULL;
        }
        json_array_append(nics, nic);
    }
    return g_steal_pointer(&nics);
}

/* Shown ----------------------------------------------------------------------------------- */

/* "bridge br0", "network lan (fast)", "none" */
static char *place_words(json_t *nic)
{
    g_autofree char *type = gw_format_line(gw_at_text(nic, "type"));
    g_autofree char *source = gw_format_line(gw_at_text(nic, "source"));
    g_autofree char *group = gw_format_line(gw_at_text(nic, "port_group"));
    gboolean down = gw_at_true(nic, "link_down");

    if (nic == NULL)
        return g_strdup("");
    if (down && (*source == '\0' || strcmp(type, "ethernet") == 0))
        return g_strdup("none");
    return g_strdup_printf("%s%s%s%s%s%s%s", type, *source != '\0' ? " " : "", source,
                           *group != '\0' ? " (" : "", group, *group != '\0' ? ")" : "",
                           down ? ", link down" : "");
}

static char *show_place(GwSession *session, json_t *row, const char *path)
{
    return place_words(gw_at(row, path));
}

const GwColumn gw_nic_move_columns[] = {
    { "ADAPTER", "mac" },
    { "FROM", "from", show_place, .cut = TRUE },
    { "TO", "to", show_place, .cut = TRUE },
    { "BY", "match" },
    { "WHY", "why", .wrap = TRUE },
    { .header = NULL },
};

void gw_print_nic_moves(GwSession *session, const char *heading, json_t *nics)
{
    if (json_array_size(nics) == 0)
        return;
    gw_print_heading(session, heading);
    gw_print_table(session, gw_nic_move_columns, nics);
}

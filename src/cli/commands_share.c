/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "cli/columns.h"
#include "cli/format.h"
#include "model/host.h"

const GwColumn gw_share_columns[] = {
    { "NAME", "name", .cut = TRUE },
    { "MEMBERS", "members", gw_show_count, .right = TRUE },
    { "PROVED", "proved", gw_show_yes_no },
    { "LOCKS", "locks_proved", gw_show_yes_no },
    { "ID", "id" },
    { "REASON", "reason", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_share_sheet[] = {
    { "Name", "name" },
    { "Id", "id" },
    { "Proved shared", "proved", gw_show_yes_no },
    { "Locks proved", "locks_proved", gw_show_yes_no },
    { "Proved at", "proved_at" },
    { "Reason", "reason" },
    { .header = NULL },
};

const GwColumn gw_member_columns[] = {
    { "HOST", "host_id", gw_show_host, .cut = TRUE },
    { "POOL", "pool", .cut = TRUE },
    { .header = NULL },
};

static int list(GwSession *session, const GwArgs *args, GError **error)
{
    return gw_print_list(session, "/shares", gw_share_columns, "No shares declared.", error);
}

static int show(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) share =
        gw_session_find(session, "/shares", "share", gw_args_word(args, 0), error);

    if (share != NULL && !gw_print_document(session, share)) {
        gw_print_sheet(session, gw_share_sheet, share);
        gw_print_heading(session, "Members");
        gw_print_table(session, gw_member_columns, gw_at(share, "members"));
    }
    return GW_EXIT_OK;
}

/* "HOST:POOL"; the host may hold a colon itself, the pool may not. */
static json_t *read_member(GwSession *session, const char *text, GError **error)
{
    const char *colon = strrchr(text, ':');

    if (colon == NULL || colon == text || colon[1] == '\0') {
        gw_error_set(error, GW_ERR_INVALID, "Give each member as HOST:POOL, e.g. kvm1:default.",
                     "'%.255s' is no HOST:POOL", text);
        return NULL;
    }
    g_autofree char *name = g_strndup(text, (gsize)(colon - text));
    g_autoptr(GwJson) host = gw_session_find(session, "/hosts", "host", name, error);
    if (host == NULL)
        return NULL;
    return json_pack("{s:s*,s:s}", "host_id", gw_at_text(host, "id"), "pool", colon + 1);
}

static int add(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) members = json_array();

    for (guint i = 1; gw_args_word(args, i) != NULL; i++) {
        json_t *member = read_member(session, gw_args_word(args, i), error);
        if (member == NULL)
            return GW_EXIT_FAILED;
        json_array_append_new(members, member);
    }
    g_autoptr(GwJson) body =
        json_pack("{s:s,s:O}", "name", gw_args_word(args, 0), "members", members);
    g_autoptr(GwJson) job = gw_client_call(session->client, "POST", "/shares", body, NULL, error);
    return job != NULL ? gw_wait_for_job(session, args, job, error) : GW_EXIT_FAILED;
}

static int prove(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) job =
        gw_post_action(session, "/shares", "share", gw_args_word(args, 0), "/prove", NULL, error);
    return job != NULL ? gw_wait_for_job(session, args, job, error) : GW_EXIT_FAILED;
}

static int share_remove(GwSession *session, const GwArgs *args, GError **error)
{
    return gw_remove_record(session, "/shares", "share", gw_args_word(args, 0), error);
}

static const GwArgument add_arguments[] = {
    { "NAME", NULL, "The share's name.", GW_ARGUMENT_ONE },
    { "HOST:POOL", "hosts", "The storage pool that shows it, for each host.", GW_ARGUMENT_MANY },
    { .name = NULL },
};
static const GwArgument share_argument[] = {
    { "SHARE", "shares", "The share's name or id.", GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwOption wait_options[] = { GW_NO_WAIT_OPTION, { .name = NULL } };

const GwCommand gw_share_commands[] = {
    { "share list", NULL, "List the declared shares",
      "LOCKS tells whether a disk lock taken through one host is refused through the others.", NULL,
      NULL,
      (const GwExample[]){ { "godwit share list", "All shares, proved or not." }, { NULL, NULL } },
      "R2", NULL, list },
    { "share add", NULL, "Declare pools of several hosts to be one share, and prove it",
      "For directories that libvirt cannot see to be shared. A marker is written through one "
      "host and read through all others; only then moves of type Live use it.",
      add_arguments, wait_options,
      (const GwExample[]){ { "godwit share add images kvm1:default kvm2:default",
                             "The pool 'default' of both hosts is one directory." },
                           { NULL, NULL } },
      "R2 R4", &gw_share_record, add },
    { "share show", NULL, "Show a share with its members", "", share_argument, NULL,
      (const GwExample[]){ { "godwit share show images", "Members, and what is proved." },
                           { NULL, NULL } },
      "R2", NULL, show },
    { "share prove", NULL, "Prove a share again", "As after a change of its mounts.",
      share_argument, wait_options,
      (const GwExample[]){ { "godwit share prove images", "Write the marker and read it anew." },
                           { NULL, NULL } },
      "R2", NULL, prove },
    { "share remove", NULL, "Remove the declaration of a share",
      "The directory and what is in it stay as they are.", share_argument, NULL,
      (const GwExample[]){ { "godwit share remove images", "No longer treat it as shared." },
                           { NULL, NULL } },
      "R2", NULL, share_remove },
    { .name = NULL },
};

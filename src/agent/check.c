/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/check_internal.h"
#include "agent/facts.h"
#include "base/error.h"
#include "wire/identity.h"

/* The controller's call "check": what a move needs of this host, and of the path to another one,
 * tried for real. Each finding is a line; nothing that fails ends the check. */

#define STATE_ROOM ((guint64)16 * 1024 * 1024)
#define CLOCK_WARN_S 5
#define CERTIFICATE_WARN_DAYS 14
#define PORT_LIBVIRT_TLS 16514
#define PORT_LIBVIRT_TCP 16509

void gw_check_add(Check *check, const char *name, const char *host_id, GwCheckOutcome outcome,
                  const char *observed, const char *required, const char *remedy)
{
    g_autoptr(GwCheckLine) line = gw_check_line_new();

    line->name = g_strdup(name);
    line->host_id = g_strdup(host_id != NULL ? host_id : check->warden->state->host_id);
    line->outcome = outcome;
    line->observed = g_strdup(observed);
    line->required = g_strdup(required);
    line->remedy = g_strdup(outcome == GW_CHECK_OK ? NULL : remedy);
    json_array_append_new(check->lines, gw_record_to_json(&gw_check_line_record, line));
}

static void add_result(Check *check, const char *name, const GError *error, const char *observed,
                       const char *required, const char *remedy)
{
    const char *own = error != NULL ? gw_error_remedy(error) : NULL;

    gw_check_add(check, name, NULL, error != NULL ? GW_CHECK_FAILED : GW_CHECK_OK,
                 error != NULL ? error->message : observed, required, own != NULL ? own : remedy);
}

void gw_check_finish(Check *check)
{
    gw_warden_answer(check->warden, check->id, json_pack("{s:O}", "lines", check->lines), -1, NULL);
    json_decref(check->lines);
    json_decref(check->peer);
    g_free(check->peer_id);
    g_free(check->ticket_text);
    gw_ticket_free(check->ticket);
    g_free(check);
}

/* This host ------------------------------------------------------------------------------------ */

static void check_libvirt(Check *check)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = gw_warden_libvirt_socket(check->warden);
    int fd = gw_sockets_connect_libvirt(check->warden, &error);

    add_result(check, "libvirt-socket", error, path, "libvirt's local socket answers",
               "Start libvirtd (or virtqemud).");
    if (fd >= 0)
        close(fd);
    gw_check_add(check, "libvirt", NULL,
                 gw_virt_is_up(check->warden->virt) ? GW_CHECK_OK : GW_CHECK_FAILED,
                 gw_virt_is_up(check->warden->virt) ? "connected" : "not connected",
                 "the agent is connected to libvirt", "Look at libvirt's log.");
}

/* proc(5), net/tcp: local addresses are "ADDRESS:PORT" in hex; state 0A is listening. */
static gboolean listens_in(const char *path, guint port)
{
    g_autofree char *text = NULL;
    g_autofree char *wanted = g_strdup_printf(":%04X", port);

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(text, "\n", 0);
    for (guint i = 1; i < g_strv_length(lines); i++) {
        char local[80], remote[80], state[8];
        if (sscanf(lines[i], " %*s %79s %79s %7s", local, remote, state) == 3 &&
            g_str_has_suffix(local, wanted) && strcmp(state, "0A") == 0)
            return TRUE;
    }
    return FALSE;
}

static void check_listeners(Check *check)
{
    g_autofree char *tcp = g_build_filename(check->warden->paths.proc_folder, "net/tcp", NULL);
    g_autofree char *tcp6 = g_build_filename(check->warden->paths.proc_folder, "net/tcp6", NULL);
    gboolean tls = listens_in(tcp, PORT_LIBVIRT_TLS) || listens_in(tcp6, PORT_LIBVIRT_TLS);
    gboolean plain = listens_in(tcp, PORT_LIBVIRT_TCP) || listens_in(tcp6, PORT_LIBVIRT_TCP);

    gw_check_add(check, "libvirt-network", NULL, tls || plain ? GW_CHECK_WARNING : GW_CHECK_OK,
                 plain ? "something listens on port 16509 (libvirt's TCP)"
                 : tls ? "something listens on port 16514 (libvirt's TLS)"
                       : "no listener on ports 16509 and 16514",
                 "libvirt listens on no network port: the agent carries all",
                 "systemctl disable --now libvirtd-tcp.socket libvirtd-tls.socket");
}

/* The warden cannot become the emulator's user (it gave that right up), so the way in is read from
 * the modes, and the socket is made by ourselves. */
static gboolean can_reach(const char *folder, gid_t gid)
{
    g_autofree char *at = g_strdup(folder);

    while (strcmp(at, "/") != 0 && strcmp(at, ".") != 0) {
        char *parent = g_path_get_dirname(at);
        struct stat st;
        g_free(at);
        at = parent;
        if (stat(at, &st) < 0 ||
            ((st.st_mode & S_IXOTH) == 0 && (st.st_gid != gid || (st.st_mode & S_IXGRP) == 0)))
            return FALSE;
    }
    return TRUE;
}

static gboolean can_make_socket(const GwWarden *warden)
{
    int fd = gw_sockets_listen(warden, ".godwit-check", TRUE, NULL);

    if (fd < 0)
        return FALSE;
    close(fd);
    gw_sockets_remove(warden, ".godwit-check");
    return TRUE;
}

static void check_folder(Check *check)
{
    const GwWarden *warden = check->warden;
    struct stat st;
    gid_t gid = gw_sockets_group(warden);
    g_autofree char *observed = NULL;
    gboolean ok = lstat(warden->paths.run_folder, &st) == 0 && S_ISDIR(st.st_mode) &&
                  st.st_uid == geteuid() && st.st_gid == gid && (st.st_mode & 0777) == 0771;
    gboolean made = ok && can_reach(warden->paths.run_folder, gid) && can_make_socket(warden);

    observed = ok ? g_strdup_printf("%s, mode %04o, group %u; a socket %s in it",
                                    warden->paths.run_folder, st.st_mode & 07777, (guint)st.st_gid,
                                    made ? "can be made" : "cannot be made")
                  : g_strdup_printf("%s is missing, or of another owner or mode",
                                    warden->paths.run_folder);
    gw_check_add(check, "migration-socket", NULL, ok && made ? GW_CHECK_OK : GW_CHECK_FAILED,
                 observed, "the emulator's user can make a socket in the agent's folder",
                 "Restart the agent; it makes the folder. See that nothing mounts over it.");
}

static void check_apparmor(Check *check)
{
    gboolean on = access("/sys/kernel/security/apparmor/profiles", F_OK) == 0;
    gboolean usual = g_str_has_prefix(check->warden->paths.run_folder, "/run/libvirt/");

    gw_check_add(
        check, "apparmor", NULL, on && !usual ? GW_CHECK_WARNING : GW_CHECK_OK,
        on ? "AppArmor is on" : "AppArmor is not on",
        "with AppArmor, the sockets lie under /run/libvirt, where its rules let emulators in",
        "Give the agent its usual folder, /run/libvirt/godwit.");
}

static void check_state(Check *check)
{
    struct statvfs st;
    const char *folder = check->warden->paths.state_folder;
    guint64 room = statvfs(folder, &st) == 0 ? (guint64)st.f_bavail * st.f_frsize : 0;
    g_autofree char *observed =
        g_strdup_printf("%" G_GUINT64_FORMAT " MiB free under %s", room / (1024 * 1024), folder);

    gw_check_add(check, "agent-state", NULL, room >= STATE_ROOM ? GW_CHECK_OK : GW_CHECK_FAILED,
                 observed, "16 MiB are free for the agent's state",
                 "Make room there: without it this host takes part in no move.");
}

static void check_clock(Check *check)
{
    gint64 off = check->warden->state->offset_s;
    g_autofree char *observed = g_strdup_printf("%" G_GINT64_FORMAT " s %s the controller's",
                                                ABS(off), off > 0 ? "behind" : "ahead of");

    gw_check_add(
        check, "clock", NULL, ABS(off) > CLOCK_WARN_S ? GW_CHECK_WARNING : GW_CHECK_OK, observed,
        "the host's clock is within 5 s of the controller's",
        "Set up NTP. Moves work all the same; guests that read the host's clock will jump.");
}

static void check_certificate(Check *check)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwPeer) own = gw_identity_read(check->warden->state->certificate_pem, &error);
    gint64 days = own != NULL ? (own->expires_s - gw_warden_now_s(check->warden)) / 86400 : -1;
    g_autofree char *observed = g_strdup_printf("ends in %" G_GINT64_FORMAT " days", days);

    gw_check_add(check, "certificate", NULL,
                 days < 1                       ? GW_CHECK_FAILED
                 : days < CERTIFICATE_WARN_DAYS ? GW_CHECK_WARNING
                                                : GW_CHECK_OK,
                 own != NULL ? observed : error->message,
                 "the host's certificate is good for 14 days",
                 "The controller renews it by itself while it reaches the agent: see its journal.");
}

/* The call ------------------------------------------------------------------------------------- */

static gboolean read_params(Check *check, const json_t *params, GError **error)
{
    const json_t *peer = json_object_get(params, "peer"),
                 *ticket = json_object_get(params, "ticket");

    if (peer == NULL || json_is_null(peer))
        return TRUE;
    const char *host_id = json_string_value(json_object_get(peer, "host_id"));
    if (host_id == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no host to check the way to");
        return FALSE;
    }
    check->peer_id = g_strdup(host_id);
    check->peer = json_deep_copy(peer);
    if (ticket == NULL || json_is_null(ticket))
        return TRUE;
    check->ticket = gw_permits_ticket(check->warden, ticket, error);
    if (check->ticket == NULL)
        return FALSE;
    if (strcmp(check->ticket->source_id, check->warden->state->host_id) != 0 ||
        strcmp(check->ticket->destination_id, host_id) != 0 ||
        (check->ticket->kinds & (GW_STREAM_MIGRATION | GW_STREAM_DISK)) != 0) {
        gw_error_set(error, GW_ERR_INVALID, NULL,
                     "a check of another host needs a trial's ticket from here to there");
        return FALSE;
    }
    check->ticket_text = g_strdup(json_string_value(ticket));
    return TRUE;
}

static void facts_known(const GwReply *reply, gpointer user)
{
    Check *check = user;
    gboolean found = reply->error == NULL && reply->facts != NULL && reply->facts->qemu_version > 0;

    gw_check_add(check, "emulator", NULL, found ? GW_CHECK_OK : GW_CHECK_FAILED,
                 found                  ? "libvirt knows an emulator"
                 : reply->error != NULL ? reply->error->message
                                        : "libvirt knows no emulator",
                 "libvirt finds a QEMU", "Install QEMU for this host's architecture.");
    if (check->peer != NULL)
        gw_check_peer(check);
    else
        gw_check_finish(check);
}

void gw_check_call(GwWarden *warden, guint64 id, const json_t *params)
{
    g_autoptr(GError) error = NULL;
    Check *check = g_new0(Check, 1);

    *check = (Check){ .warden = warden, .id = id, .lines = json_array() };
    if (!read_params(check, params, &error)) {
        gw_warden_answer(warden, id, NULL, -1, error);
        check->id = 0;
        gw_check_finish(check);
        return;
    }
    check_libvirt(check);
    check_listeners(check);
    check_folder(check);
    check_apparmor(check);
    check_state(check);
    check_clock(check);
    check_certificate(check);
    gw_virt_ask(warden->virt, GW_OP_FACTS, NULL, 0, 4 * GW_WARDEN_LOOK_US, facts_known, check);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "fleet/copies_internal.h"

/* How far a copy is, what its agents say when it is over, and what is left to do then. */

static gint64 number(const json_t *said, const char *key)
{
    return MAX(json_integer_value(json_object_get(said, key)), 0);
}

/* The source's word on what was read and sent, the destination's on the rest. */
static void take_figures(GwFleetCopy *copy, const GwFleetHost *host, const json_t *said)
{
    GwCopyResult *result = copy->result;

    if (host == copy->from) {
        result->read_bytes = number(said, "read");
        result->sent_bytes = number(said, "sent");
    }
    if (host != copy->to)
        return;
    result->written_bytes = number(said, "written");
    result->same_bytes = number(said, "same");
    result->verified = json_is_true(json_object_get(said, "verified"));
    g_free(result->digest);
    result->digest = gw_fleet_read_text(said, "digest");
    g_free(result->how);
    result->how = gw_fleet_read_text(said, "how");
    copy->position = number(said, "position");
    copy->total = number(said, "total");
}

static GError *reason(const json_t *said)
{
    const json_t *error = json_object_get(said, "error");
    g_autofree char *message = gw_fleet_read_text(error, "message");
    g_autofree char *remedy = gw_fleet_read_text(error, "remedy");
    const char *code = json_string_value(json_object_get(error, "code"));
    GError *why = NULL;

    gw_error_set(&why, code != NULL ? gw_error_code_from_word(code) : GW_ERR_OPERATION, remedy,
                 "%s", message != NULL ? message : "the agent does not say why");
    return why;
}

static void access_set(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                       const GError *error)
{
    GError *why = NULL;

    if (error != NULL && gw_fleet_copy_is_away(copy, error)) {
        /* Both are done, and say so again. */
        gw_fleet_copy_wait(copy, GW_FLEET_COPY_PAUSE_US, gw_fleet_copy_look);
        return;
    }
    if (error != NULL) {
        why = g_error_copy(error);
        g_prefix_error(&why, "it was copied, but: ");
    }
    gw_fleet_copy_finish(copy, why);
}

/* R30: it belongs to whom it is to belong. */
static void set_access(GwFleetCopy *copy)
{
    const GwVolume *to = gw_fleet_copy_wish(copy)->to;

    if (to->owner == NULL && to->group == NULL && to->mode == NULL && to->label == NULL &&
        to->acl == NULL) {
        gw_fleet_copy_finish(copy, NULL);
        return;
    }
    gw_fleet_copy_ask(copy, copy->to, "volume-access",
                      json_pack("{s:s, s:{s:s?, s:s?, s:s?, s:s?, s:s?}}", "path", to->path, "set",
                                "owner", to->owner, "group", to->group, "mode", to->mode, "label",
                                to->label, "acl", to->acl),
                      access_set);
}

/* Where both have failed, who saw more than a broken connection knows why. */
static void failed(GwFleetCopy *copy, GError *why_stolen)
{
    g_autoptr(GError) why = why_stolen;

    if (copy->why != NULL && why->code == GW_ERR_UNREACHABLE &&
        copy->why->code != GW_ERR_UNREACHABLE) {
        g_clear_error(&why);
        why = g_error_copy(copy->why);
    }
    g_clear_error(&copy->why);
    if (why->code == GW_ERR_UNREACHABLE)
        gw_fleet_copy_again(copy, why);
    else
        gw_fleet_copy_fail(copy, why);
}

static void poll_from(GwFleetCopy *copy);

/* The old copy may be deleted once this is done. */
static gboolean is_proved(GwFleetCopy *copy)
{
    g_autoptr(GError) why = NULL;

    if (gw_fleet_copy_is_local(copy) || copy->result->verified)
        return TRUE;
    gw_error_set(&why, GW_ERR_OPERATION, "Install the same version of the agent on both hosts.",
                 "the agent says that all was copied, and not that it read it back");
    gw_fleet_copy_fail(copy, why);
    return FALSE;
}

static void settle(GwFleetCopy *copy)
{
    if (copy->to_done && copy->from_done && !is_proved(copy))
        return;
    if (copy->to_done && copy->from_done)
        set_access(copy);
    else
        gw_fleet_copy_wait(copy, GW_FLEET_COPY_POLL_US, gw_fleet_copy_look);
}

/* FALSE: the copy was begun anew, failed, or is asked of later. */
static gboolean take_status(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                            const GError *error, gboolean *done)
{
    const char *state = json_string_value(json_object_get(said, "state"));

    if (error != NULL && error->code == GW_ERR_NOT_FOUND) {
        gw_fleet_copy_again(copy, error); /* the agent was started anew */
        return FALSE;
    }
    if (error != NULL) {
        gw_fleet_copy_retry(copy, error, gw_fleet_copy_look);
        return FALSE;
    }
    take_figures(copy, host, said);
    *done = g_strcmp0(state, "done") == 0;
    return TRUE;
}

static gboolean has_failed(const json_t *said)
{
    return g_strcmp0(json_string_value(json_object_get(said, "state")), "failed") == 0;
}

static void polled_from(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                        const GError *error)
{
    if (!take_status(copy, host, said, error, &copy->from_done))
        return;
    if (has_failed(said))
        failed(copy, reason(said));
    else if (copy->why != NULL && !copy->from_done)
        failed(copy, g_steal_pointer(&copy->why));
    else
        settle(copy);
}

static void polled_to(GwFleetCopy *copy, GwFleetHost *host, const json_t *said, const GError *error)
{
    if (!take_status(copy, host, said, error, &copy->to_done))
        return;
    g_clear_error(&copy->why);
    if (has_failed(said))
        copy->why = reason(said);
    copy->from_done = gw_fleet_copy_is_local(copy) ? copy->to_done : copy->from_done;
    if (!gw_fleet_copy_is_local(copy))
        poll_from(copy);
    else if (copy->why != NULL)
        failed(copy, g_steal_pointer(&copy->why));
    else
        settle(copy);
}

void gw_fleet_copy_look(GwFleetCopy *copy)
{
    gw_fleet_copy_ask(copy, copy->to, "copy-status", gw_fleet_copy_by_id(copy), polled_to);
}

static void poll_from(GwFleetCopy *copy)
{
    gw_fleet_copy_ask(copy, copy->from, "copy-status", gw_fleet_copy_by_id(copy), polled_from);
}

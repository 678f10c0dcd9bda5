/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/warden_internal.h"
#include "base/error.h"

/* What may hang in a dead file system is done in a thread of its own, so that the loop, on which
 * the commits of all moves wait, does not. */

#define ERRANDS_MAX 32

typedef struct {
    GwWarden *warden;
    GwLoop *loop;
    void (*work)(gpointer data);
    void (*done)(gpointer data);
    gpointer data;
} Errand;

static void come_back(gpointer user)
{
    g_autofree Errand *errand = user;

    errand->warden->errands--;
    errand->done(errand->data);
}

static gpointer go(gpointer user)
{
    Errand *errand = user;

    errand->work(errand->data);
    gw_loop_post(errand->loop, come_back, errand);
    return NULL;
}

gboolean gw_errand(GwWarden *warden, void (*work)(gpointer data), void (*done)(gpointer data),
                   gpointer data, GError **error)
{
    if (warden->errands >= ERRANDS_MAX) {
        gw_error_set(error, GW_ERR_TIMEOUT,
                     "Look for a network file system that does not answer (df hangs).",
                     "%d questions to this host's file systems have not been answered yet",
                     ERRANDS_MAX);
        return FALSE;
    }
    Errand *errand = g_new0(Errand, 1);
    *errand = (Errand){ warden, warden->loop, work, done, data };
    warden->errands++;
    g_thread_unref(g_thread_new("gw-errand", go, errand));
    return TRUE;
}

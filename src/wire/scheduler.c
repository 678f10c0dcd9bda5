/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/scheduler.h"

#define WEIGHT_USUAL 10
#define WEIGHT_MAX 100
#define QUANTUM_OF_WEIGHT 6554 /* so that the usual weight's turn is about one full frame */
#define STREAM_QUANTUM (64 * 1024)
#define LEAST 1024 /* smaller rests are kept for the next turn: they would be mostly headers */

struct GwGroup {
    GwScheduler *scheduler;
    GwClass class;
    char *name; /* NULL: of one stream alone */
    guint members;
    guint weight;
    gint64 deficit;
    gboolean in_turn;
    GList link;     /* among the active groups of the class */
    GQueue streams; /* active ones */
};

struct GwScheduler {
    GQueue active[GW_CLASS_COUNT];      /* of groups */
    GHashTable *groups[GW_CLASS_COUNT]; /* name -> group */
};

GwScheduler *gw_scheduler_new(void)
{
    GwScheduler *scheduler = g_new0(GwScheduler, 1);

    for (int i = 0; i < GW_CLASS_COUNT; i++) {
        g_queue_init(&scheduler->active[i]);
        scheduler->groups[i] = g_hash_table_new(g_str_hash, g_str_equal);
    }
    return scheduler;
}

void gw_scheduler_free(GwScheduler *scheduler)
{
    if (scheduler == NULL)
        return;
    for (int i = 0; i < GW_CLASS_COUNT; i++)
        g_hash_table_destroy(scheduler->groups[i]);
    g_free(scheduler);
}

static GwGroup *group_new(GwScheduler *scheduler, const GwStreamShare *share)
{
    GwGroup *group = g_new0(GwGroup, 1);

    group->scheduler = scheduler;
    group->class = share->class;
    group->name = g_strdup(share->group);
    group->link.data = group;
    g_queue_init(&group->streams);
    if (group->name != NULL)
        g_hash_table_insert(scheduler->groups[group->class], group->name, group);
    return group;
}

void gw_scheduler_join(GwScheduler *scheduler, GwTurn *turn, const GwStreamShare *share)
{
    GwGroup *group = NULL;

    g_return_if_fail(turn->group == NULL && (guint)share->class < GW_CLASS_COUNT);
    if (share->group != NULL)
        group = g_hash_table_lookup(scheduler->groups[share->class], share->group);
    if (group == NULL)
        group = group_new(scheduler, share);
    group->weight = share->weight == 0 ? WEIGHT_USUAL : MIN(share->weight, WEIGHT_MAX);
    group->members++;
    turn->group = group;
    turn->link.data = turn;
}

void gw_scheduler_leave(GwTurn *turn)
{
    GwGroup *group = turn->group;

    if (group == NULL)
        return;
    gw_scheduler_set(turn, FALSE);
    turn->group = NULL;
    if (--group->members > 0)
        return;
    if (group->name != NULL)
        g_hash_table_remove(group->scheduler->groups[group->class], group->name);
    g_free(group->name);
    g_free(group);
}

void gw_scheduler_set(GwTurn *turn, gboolean active)
{
    GwGroup *group = turn->group;

    if (group == NULL || turn->active == active)
        return;
    GQueue *groups = &group->scheduler->active[group->class];
    turn->active = active;
    if (active) {
        turn->left = STREAM_QUANTUM;
        g_queue_push_tail_link(&group->streams, &turn->link);
        if (group->streams.length == 1)
            g_queue_push_tail_link(groups, &group->link);
        return;
    }
    g_queue_unlink(&group->streams, &turn->link);
    if (group->streams.length == 0) {
        g_queue_unlink(groups, &group->link);
        group->deficit = 0;
        group->in_turn = FALSE;
    }
}

/* The group whose turn it is in a class, with a deficit worth a frame. */
static GwGroup *group_next(GQueue *groups)
{
    for (;;) {
        GwGroup *group = g_queue_peek_head(groups);

        if (group == NULL)
            return NULL;
        if (!group->in_turn) {
            group->in_turn = TRUE;
            group->deficit += (gint64)group->weight * QUANTUM_OF_WEIGHT;
        }
        if (group->deficit >= LEAST)
            return group;
        group->in_turn = FALSE;
        g_queue_unlink(groups, &group->link);
        g_queue_push_tail_link(groups, &group->link);
    }
}

static GwTurn *stream_next(GwGroup *group)
{
    GwTurn *turn = g_queue_peek_head(&group->streams);

    while (turn->left < LEAST) {
        turn->left += STREAM_QUANTUM;
        g_queue_unlink(&group->streams, &turn->link);
        g_queue_push_tail_link(&group->streams, &turn->link);
        turn = g_queue_peek_head(&group->streams);
    }
    return turn;
}

GwTurn *gw_scheduler_next(GwScheduler *scheduler, GwClass last, gsize *room)
{
    for (int i = 0; i <= (int)last; i++) {
        GwGroup *group = group_next(&scheduler->active[i]);

        if (group == NULL)
            continue;
        GwTurn *turn = stream_next(group);
        *room = (gsize)MIN(group->deficit, turn->left);
        return turn;
    }
    return NULL;
}

void gw_scheduler_sent(GwTurn *turn, gsize bytes)
{
    if (turn->group == NULL)
        return;
    turn->left -= (gint64)bytes;
    turn->group->deficit -= (gint64)bytes;
}

GwClass gw_turn_class(const GwTurn *turn)
{
    return turn->group != NULL ? turn->group->class : GW_CLASS_COUNT;
}

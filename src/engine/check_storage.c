/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/engine_internal.h"
#include "engine/inventory.h"
#include "plan/hbas.h"

/* What preflight asks of storage. The planner says from facts alone where each disk would go; what
 * is copied, and what stays on a SAN, is then looked at on the hosts, all of it at once, and the
 * planner is asked again. That shows the images below a disk, whose names are looked at in a second
 * round. Nothing of it is asked for a disk that both ends reach, so a Live move waits for nothing.
 */

#define ROUNDS_MAX 3
#define AT_ONCE_MAX 8 /* of one check: an agent takes 32 questions at once, from everybody */
#define CHAIN_MAX 256 /* images of one disk */

typedef enum { ASK_IMAGES, ASK_POOL, ASK_THERE, ASK_REACH } Ask;

struct StorageCheck {
    StorageAsk ask;
    GPtrArray *images;  /* GwDiskImages */
    GPtrArray *there;   /* GwVolume */
    GPtrArray *reached; /* GwDiskReached */
    gboolean asked_any; /* FALSE: only facts are at hand */
    GError *error;      /* what could not be asked */
    GHashTable *asked;  /* what was asked, so that nothing is asked twice */
    GPtrArray *questions;
    guint next, outstanding, rounds;
    StorageChecked done;
    gpointer user;
};

typedef struct {
    StorageCheck *check;
    Ask ask;
    char *target;
    GwRequest *request; /* until it is sent */
    GwVolume *volume;   /* ASK_THERE: as it was asked for */
} Question;

static void question_free(gpointer data)
{
    Question *question = data;

    g_free(question->target);
    gw_request_free(question->request);
    gw_volume_free(question->volume);
    g_free(question);
}

StorageCheck *gw_storage_check_new(StorageAsk ask)
{
    StorageCheck *check = g_new0(StorageCheck, 1);

    check->ask = ask;
    check->images = gw_record_array(&gw_disk_images_record);
    check->there = gw_record_array(&gw_volume_record);
    check->reached = gw_record_array(&gw_disk_reached_record);
    check->asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    check->questions = g_ptr_array_new_with_free_func(question_free);
    return check;
}

void gw_storage_check_free(StorageCheck *check)
{
    if (check == NULL)
        return;
    g_ptr_array_unref(check->images);
    g_ptr_array_unref(check->there);
    g_ptr_array_unref(check->reached);
    g_clear_error(&check->error);
    g_hash_table_unref(check->asked);
    g_ptr_array_unref(check->questions);
    g_free(check);
}

gboolean gw_storage_check_input(GwEngine *engine, const StorageCheck *check, GwPlanInput *input)
{
    const GwFabric *fabric = gw_engine_now(engine);

    *input = (GwPlanInput){
        .fabric = fabric,
        .vm = check->ask.vm,
        .source = gw_fabric_host(fabric, check->ask.source_id),
        .destination = gw_fabric_host(fabric, check->ask.destination_id),
        .options = check->ask.options,
        .job_id = check->ask.own_job_id,
        .images = check->asked_any ? check->images : NULL,
        .there = check->asked_any ? check->there : NULL,
        .reached = check->asked_any ? check->reached : NULL,
    };
    return input->source != NULL && input->destination != NULL;
}

/* Questions -------------------------------------------------------------------------------- */

/* NULL: it was asked before. @key: taken. */
static Question *add(StorageCheck *check, Ask ask, char *key, GwOp op, const char *host_id)
{
    if (!g_hash_table_add(check->asked, key))
        return NULL;
    Question *question = g_new0(Question, 1);
    question->check = check;
    question->ask = ask;
    question->request = gw_request_new(op, host_id, check->ask.vm->uuid);
    g_ptr_array_add(check->questions, question);
    return question;
}

static const GwDisk *disk_of(const GwVm *vm, const char *target)
{
    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        if (g_strcmp0(disk->target, target) == 0)
            return disk;
    }
    return NULL;
}

/* The image on top, as the planner names it, or as the definition does; NULL: it is not one. */
static GwVolume *top_image(const StorageCheck *check, const GwDiskMove *move)
{
    const GwImageMove *first = gw_disk_move_top(move);
    const GwDisk *disk = disk_of(check->ask.vm, move->target);

    if (first != NULL && first->from != NULL)
        return gw_volume_copy(first->from);
    if (disk == NULL || disk->source == NULL)
        return NULL;
    GwVolume *volume = gw_volume_new();
    volume->path = g_strdup(disk->source);
    volume->server = g_strdup(disk->source_host);
    volume->kind = g_strdup(disk->type);
    volume->format = g_strdup(disk->format);
    return volume;
}

/* A network disk is opened by QEMU alone: no host looks at it otherwise, and all that is known is
 * what the VM sees. It may be full. */
static void take_network_disk(StorageCheck *check, const GwDiskMove *move, GwVolume *image)
{
    const GwDisk *disk = disk_of(check->ask.vm, move->target);
    GwDiskImages *images = gw_disk_images_new();

    images->target = g_strdup(move->target);
    images->images = gw_record_array(&gw_volume_record);
    image->capacity_bytes = disk != NULL ? disk->capacity_bytes : 0;
    image->allocation_bytes = image->length_bytes = image->capacity_bytes;
    image->internal_snapshots = -1;
    g_ptr_array_add(images->images, image);
    g_ptr_array_add(check->images, images);
    check->asked_any = TRUE;
}

static void ask_images(StorageCheck *check, const GwDiskMove *move)
{
    GwVolume *image = top_image(check, move);
    if (image == NULL)
        return;
    if (g_strcmp0(image->kind, "network") == 0) {
        if (gw_record_find(&gw_disk_images_record, check->images, "target", move->target) == NULL)
            take_network_disk(check, move, image);
        else
            gw_volume_free(image);
        return;
    }

    char *key = g_strdup_printf("images %s", move->target);
    Question *question = add(check, ASK_IMAGES, key, GW_OP_VOLUME_LOOK, check->ask.source_id);
    if (question == NULL) {
        gw_volume_free(image);
        return;
    }
    question->target = g_strdup(move->target);
    question->request->volume = image;
    question->request->number = 1;
}

static void ask_pool(StorageCheck *check, const char *pool)
{
    Question *question = add(check, ASK_POOL, g_strdup_printf("pool %s", pool), GW_OP_POOL_LOOK,
                             check->ask.destination_id);
    if (question != NULL)
        question->request->text = g_strdup(pool);
}

static void ask_there(StorageCheck *check, const GwVolume *to)
{
    char *key = to->pool != NULL ? g_strdup_printf("there %s/%s", to->pool, to->name)
                                 : g_strdup_printf("there %s", to->path);
    Question *question = add(check, ASK_THERE, key, GW_OP_VOLUME_LOOK, check->ask.destination_id);
    if (question == NULL)
        return;
    question->volume = gw_volume_copy(to);
    question->request->volume = gw_volume_copy(to);
    /* What is there may be of another format: an old copy from before a conversion, which read as
     * the new one would be no sound image. */
    g_clear_pointer(&question->request->volume->format, g_free);
}

static void ask_reach(StorageCheck *check, const GwDisk *disk)
{
    char *key = g_strdup_printf("reach %s", disk->target);
    Question *question = add(check, ASK_REACH, key, GW_OP_REACH, check->ask.destination_id);
    if (question == NULL)
        return;
    question->target = g_strdup(disk->target);
    question->request->disk = gw_disk_copy(disk);
}

static void ask_copied(StorageCheck *check, const GwDiskMove *move)
{
    ask_images(check, move);
    for (guint i = 0; move->images != NULL && i < move->images->len; i++) {
        const GwVolume *to = ((const GwImageMove *)move->images->pdata[i])->to;
        if (to != NULL && to->pool != NULL && to->name != NULL) {
            ask_pool(check, to->pool);
            ask_there(check, to);
        } else if (to != NULL && to->path != NULL) {
            ask_there(check, to);
        }
    }
}

/* R28: a LUN is on a host's own session, whatever its definition says; a file of a share that both
 * hosts mount is not. */
static gboolean is_on_san(const GwDisk *disk)
{
    return disk != NULL && disk->source != NULL &&
           (g_strcmp0(disk->type, "block") == 0 || g_strcmp0(disk->type, "network") == 0 ||
            g_strcmp0(disk->device, "lun") == 0);
}

/* What comes along with its virtual HBA is not there yet (R41). */
static gboolean comes_along(const GPtrArray *hbas, const GwDisk *disk)
{
    const GwHbaMove *hba = disk->source != NULL ? gw_plan_hba_of(hbas, disk) : NULL;
    return hba != NULL && hba->how == (int)GW_HBA_HANDED_OVER;
}

static void ask_disk(StorageCheck *check, const GwDiskMove *move, const GPtrArray *hbas)
{
    const GwDisk *disk = disk_of(check->ask.vm, move->target);

    switch ((GwDiskHow)move->how) {
    case GW_DISK_MIRROR:
    case GW_DISK_BLOCK_COPY:
    case GW_DISK_NETWORK:
    case GW_DISK_FAST_COPY:
    case GW_DISK_CONVERT:
        ask_copied(check, move);
        break;
    case GW_DISK_STAYS:
    case GW_DISK_SAN:
        if (disk != NULL && (move->how == (int)GW_DISK_SAN || is_on_san(disk)) &&
            !comes_along(hbas, disk) &&
            g_strcmp0(check->ask.source_id, check->ask.destination_id) != 0)
            ask_reach(check, disk);
        break;
    case GW_DISK_WITH_MEMORY:
    case GW_DISK_LEFT:
        break;
    }
}

/* Answers ---------------------------------------------------------------------------------- */

static void next_round(GwEngine *engine, StorageCheck *check);

/* An image that cannot be read is what preflight is there to find, not a reason to find nothing. */
static void take_images(StorageCheck *check, const Question *question, const GwReply *reply)
{
    GwDiskImages *images = gw_disk_images_new();
    guint count = reply->error == NULL && reply->volumes != NULL ? reply->volumes->len : 0;

    images->target = g_strdup(question->target);
    if (reply->error != NULL)
        images->error = g_strdup(reply->error->message);
    else if (count == 0)
        images->error = g_strdup("the host has no such image");
    else if (count > CHAIN_MAX)
        images->error =
            g_strdup_printf("it is a chain of %u images, more than %d", count, CHAIN_MAX);
    if (images->error == NULL) {
        images->images = gw_record_array(&gw_volume_record);
        for (guint i = 0; i < count; i++)
            g_ptr_array_add(images->images, gw_volume_copy(reply->volumes->pdata[i]));
    }
    g_ptr_array_add(check->images, images);
}

static void take_there(StorageCheck *check, const Question *question, const GwReply *reply)
{
    if (reply->volumes == NULL || reply->volumes->len == 0)
        return; /* the name is free */
    GwVolume *volume = gw_volume_copy(reply->volumes->pdata[0]);
    const GwVolume *asked = question->volume;

    if (asked->pool != NULL) { /* it is found again by what it was asked for */
        g_free(volume->pool);
        volume->pool = g_strdup(asked->pool);
        g_free(volume->name);
        volume->name = g_strdup(asked->name);
    } else if (volume->path == NULL) {
        volume->path = g_strdup(asked->path);
    }
    g_ptr_array_add(check->there, volume);
}

static void take_reached(StorageCheck *check, const Question *question, const GwReply *reply)
{
    GwDiskReached *reached = gw_disk_reached_new();

    reached->target = g_strdup(question->target);
    reached->told = reply->error == NULL;
    reached->reached = reached->told && reply->verdict;
    reached->why = g_strdup(reply->error != NULL ? reply->error->message : reply->text);
    g_ptr_array_add(check->reached, reached);
}

/* What stands in the way at the destination's pool is said with the host and what was asked. */
static void take_trouble(GwEngine *engine, StorageCheck *check, const Question *question,
                         const char *what, const GError *error)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), check->ask.destination_id);

    if (check->error != NULL)
        return;
    check->error = g_error_copy(error);
    g_prefix_error(&check->error,
                   "%s '%s' of host '%s': ", question->ask == ASK_POOL ? "storage pool" : "volume",
                   what, host != NULL ? host->name : check->ask.destination_id);
}

static void take(GwEngine *engine, Question *question, const GwReply *reply, const char *what)
{
    StorageCheck *check = question->check;

    switch (question->ask) {
    case ASK_IMAGES:
        take_images(check, question, reply);
        break;
    case ASK_POOL:
        if (reply->error != NULL)
            take_trouble(engine, check, question, what, reply->error);
        else if (reply->pool != NULL)
            gw_inventory_put_pool(engine, check->ask.destination_id, what, reply->pool);
        break;
    case ASK_THERE:
        /* Something bears the name, though it is no sound image. */
        if (g_error_matches(reply->error, GW_ERROR, GW_ERR_INVALID))
            g_ptr_array_add(check->there, gw_volume_copy(question->volume));
        else if (reply->error != NULL)
            take_trouble(engine, check, question, what, reply->error);
        else
            take_there(check, question, reply);
        break;
    case ASK_REACH:
        take_reached(check, question, reply);
        break;
    }
}

static void send_some(GwEngine *engine, StorageCheck *check);

static void answered(GwEngine *engine, const GwReply *reply, const char *what, gint64 number)
{
    Question *question = GSIZE_TO_POINTER((gsize)number);
    StorageCheck *check = question->check;

    take(engine, question, reply, what);
    check->outstanding--;
    send_some(engine, check);
    if (check->outstanding == 0)
        next_round(engine, check);
}

static const char *what_of(const Question *question)
{
    if (question->ask == ASK_POOL)
        return question->request->text;
    if (question->ask == ASK_THERE)
        return question->volume->pool != NULL ? question->volume->name : question->volume->path;
    return question->target;
}

static void send_some(GwEngine *engine, StorageCheck *check)
{
    while (check->outstanding < AT_ONCE_MAX && check->next < check->questions->len) {
        Question *question = check->questions->pdata[check->next++];
        g_autofree char *what = g_strdup(what_of(question));
        check->outstanding++;
        gw_engine_ask(engine, g_steal_pointer(&question->request), answered, what,
                      (gint64)GPOINTER_TO_SIZE(question));
    }
}

static void next_round(GwEngine *engine, StorageCheck *check)
{
    GwPlanInput input;
    gboolean known = gw_storage_check_input(engine, check, &input);

    if (known && check->error == NULL && check->rounds++ < ROUNDS_MAX) {
        g_autoptr(GPtrArray) hbas = gw_plan_hbas(&input);
        g_autoptr(GwStoragePlan) plan = gw_plan_storage(&input);
        for (guint i = 0; i < plan->disks->len; i++)
            ask_disk(check, plan->disks->pdata[i], hbas);
    }
    /* From here on what is not in the answers is known not to be there. */
    check->asked_any = TRUE;
    send_some(engine, check);
    if (check->outstanding == 0)
        check->done(engine, check->error, check->user);
}

void gw_storage_check_begin(GwEngine *engine, StorageCheck *check, StorageChecked done,
                            gpointer user)
{
    check->done = done;
    check->user = user;
    next_round(engine, check);
}
